"""Units as Ray tasks, on a cluster of its own on this machine or on one that runs already.

Ray itself lives in a worker process, the broker. What Ray prints, its signal handlers and its settings stay there, and
when the driver is killed the broker ends the cluster, which Ray would leave behind for a minute.
"""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Generic

from segdata.engines.engine import Begun, Done, Event, Lost, R, U, default_workers
from segdata.engines.worker import Worker
from segdata.errors import SegdataError
from segdata.requirements import need
from segdata.version import __version__

REACHED_WITHIN = 10.0  # seconds
PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h: orphans below this process become its children, not init's
STORE_BYTES = 80 << 20  # Ray's shared memory, of which units and outcomes need next to nothing; its least is 75 MiB
COUNTED_EVERY = 10.0  # seconds between looks at how large the cluster is
LOSSES = {
    "WorkerCrashedError": "its worker died",
    "OutOfMemoryError": "Ray ended its worker, since memory ran out",
    "NodeDiedError": "its machine was lost",
}


class Ray(Generic[U, R]):
    """A context manager, at whose end a cluster of its own is gone.

    address: host:port or "auto" of a cluster that runs; None starts one here with `workers` processors. Its machines
    need this version of segdata, and the paths in the units: several machines share a file system.
    """

    def __init__(self, function: Callable[[U], R], workers: int | None, address: str | None) -> None:
        need("--engine ray", "ray")
        self._address = None if address in {None, "", "local"} else address
        if self._address:
            _check_reachable(self._address)
        self._function = function
        self._workers = workers if self._address else workers or default_workers()

    def __enter__(self) -> "Ray[U, R]":
        # Where Ray may put its sockets, whose paths end at 107 bytes: Ray itself appends 63, `mkdtemp` 21.
        usual = tempfile.gettempdir()
        self._home = home = tempfile.mkdtemp(
            prefix="segdata-ray-", dir=usual if len(usual) <= 107 - 63 - 21 - 1 else "/tmp"
        )
        cluster = Cluster(self._function, self._workers, self._address, home)
        self._broker = Worker(get_context("spawn"), cluster, partial(_clear_up, self._address, home))
        try:
            self.slots = self._ask("connect")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """The broker sees the end of the pipe and clears up: the same as when this process is killed."""
        self._broker.end(grace=None)
        shutil.rmtree(self._home, ignore_errors=True)

    def give(self, unit: U) -> Any:
        return self._ask("give", unit)

    def wait(self, seconds: float | None) -> Iterator[Event[R]]:
        self.slots, events = self._ask("wait", seconds)
        yield from events

    def stop(self, ticket: Any) -> None:
        self._ask("stop", ticket)

    def _ask(self, *call: object) -> Any:
        """What a method of `Cluster` in the broker returns or raises."""
        try:
            self._broker.pipe.send(call)
            answer, error = self._broker.pipe.recv()
        except (EOFError, OSError) as gone:
            where = f"at {self._address}" if self._address else "on this machine"
            raise SegdataError(
                f"the Ray cluster {where} was lost. Run the command again: finished shards are kept."
            ) from gone
        if error is not None:
            raise error
        return answer


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes. Raises SegdataError."""
    if address.startswith("ray://"):
        raise SegdataError(
            f"--address {address}: Ray Client cannot follow tasks. Run the command on a machine of the cluster with "
            "--address auto, or send it there with `ray job submit`."
        )
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise SegdataError(f"--address {address!r}: expected host:port, or auto.")
    try:
        socket.create_connection((host, int(port)), REACHED_WITHIN).close()
    except OSError as error:
        raise SegdataError(
            f"--address {address}: nothing answers there ({error.strerror or error}). Start a cluster with "
            "`ray start --head`, or leave --address out for one on this machine."
        ) from None


# ---- in the broker ------------------------------------------------------------------------------------------


class Cluster:
    """The engine itself, whose methods `Ray._ask` calls. A unit is a Ray task of one processor.

    home: a folder for Ray's own files.
    """

    def __init__(self, function: Callable[[Any], Any], workers: int | None, address: str | None, home: str) -> None:
        self._function, self._workers, self._address, self._home = function, workers, address, home
        self._running: dict[int, Any] = {}  # ticket -> the task's ObjectRefGenerator
        self._given = 0

    def __call__(self, call: tuple[Any, ...]) -> Any:
        method, *arguments = call
        return getattr(self, method)(*arguments)

    def connect(self) -> int:
        """Start a cluster, or reach the one at the address; its slots. Raises SegdataError."""
        os.setsid()  # signals to the driver's group, as Ctrl-C, are the driver's: then the pipe ends
        log = os.open(f"{self._home}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for standard in (1, 2):  # what Ray's Python and C++ parts print goes to a file
            os.dup2(log, standard)
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        own = {
            "num_cpus": self._workers,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
            "_temp_dir": self._home,
        }
        if self._address is None:
            if sys.platform == "linux":
                ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            os.environ["RAY_AUTH_MODE"] = "token"  # Ray listens on all addresses
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        import ray

        job = ray.job_config.JobConfig()
        job._client_job = True  # as Ray marks jobs from elsewhere: its workers would look for modules in our folder
        try:
            ray.init(self._address or "local", job_config=job, log_to_driver=False, **({} if self._address else own))
        except Exception as error:
            where = f"--address {self._address}" if self._address else "--engine ray"
            what = f"{where}: Ray could not be started or reached ({_first_line(error)})."
            if self._address:  # Ray's own message keeps quiet about it
                what += " A cluster that wants a token gets it from RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH."
            raise SegdataError(what) from None
        self._ray = ray
        self._task = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(compute)  # retries: the driver's
        return self._count()

    def give(self, unit: Any) -> int:
        self._given += 1
        self._running[self._given] = self._task.remote(__version__, self._function, unit)
        return self._given

    def wait(self, seconds: float | None) -> tuple[int, list[Event[Any]]]:
        """The slots that the cluster has now, and what happened."""
        tickets = {task: ticket for ticket, task in self._running.items()}
        patience = COUNTED_EVERY if seconds is None else min(seconds, COUNTED_EVERY)
        ready, _ = self._ray.wait(list(tickets), timeout=patience)
        events = [self._told(tickets[task], task) for task in ready]
        return self._slots if time.monotonic() < self._counted + COUNTED_EVERY else self._count(), events

    def stop(self, ticket: int) -> None:
        self._ray.cancel(self._running.pop(ticket), force=True)

    def _told(self, ticket: int, task: Any) -> Event[Any]:
        try:
            told = self._ray.get(next(task))
        except self._ray.exceptions.RayTaskError as error:
            raise _cause(error) from error
        except self._ray.exceptions.RayError as error:
            del self._running[ticket]
            return Lost(ticket, LOSSES.get(type(error).__name__) or _first_line(error))
        if told is None:
            return Begun(ticket)
        del self._running[ticket]
        return Done(ticket, *told)

    def _count(self) -> int:
        """Machines come and go."""
        self._slots = self._workers or max(1, int(self._ray.cluster_resources().get("CPU", 0)))
        self._counted = time.monotonic()
        return self._slots


def compute(version: str, function: Callable[[Any], Any], unit: Any) -> Iterator[Any]:
    """The Ray task: first None, as a sign that it began, then (outcome,)."""
    if version != __version__:
        raise SegdataError(f"the Ray cluster has segdata {__version__}, this is {version}: bring both to one version.")
    yield None
    yield (function(unit),)


def _cause(error: Any) -> BaseException:
    """What the function raised. The worker's traceback stands in `error`."""
    cause = error.cause if isinstance(error.cause, BaseException) else SegdataError(_first_line(error))
    if isinstance(cause, ModuleNotFoundError):
        return SegdataError(f"a machine of the Ray cluster lacks a package ({cause}): install segdata on every one.")
    return cause


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def _clear_up(address: str | None, home: str) -> None:
    """Leave a cluster that was there before; end one that was started here, whatever state it is in."""
    if address is not None or sys.platform != "linux":
        threading.Timer(5, os._exit, [1]).start()
        import ray

        ray.shutdown()
    deadline = time.monotonic() + 5
    while (family := list(_descendants(os.getpid()))) and time.monotonic() < deadline:
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)
    shutil.rmtree(home, ignore_errors=True)


def _descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                yield child
                yield from _descendants(child)
