"""The process between driver and Ray: takes units from a pipe, gives them to Ray as tasks, tells what became of them.

When the pipe ends, for whatever reason, so does this process, and the cluster that it started with all of its own.
"""

import asyncio
import ctypes
import os
import secrets
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from segdata.engines.engine import Begun, Done, Lost
from segdata.errors import SegdataError
from segdata.version import __version__

PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h: orphans below this process become its children, not init's
STORE_BYTES = 80 << 20  # Ray's shared memory, of which units and outcomes need next to nothing; its least is 75 MiB
REACHED_WITHIN = 10.0  # seconds
COUNTED_EVERY = 10.0  # seconds between looks at how large the cluster is
LOSSES = {
    "WorkerCrashedError": "its worker died",
    "OutOfMemoryError": "Ray ended its worker, since memory ran out",
    "NodeDiedError": "its machine was lost",
}


def broker(
    pipe: Connection, home: Path, function: Callable[[Any], Any], workers: int | None, address: str | None
) -> None:
    """Serve the driver at the other end of the pipe until that closes it. `home`: a folder for Ray's files."""
    os.setsid()  # signals to the driver's group, as Ctrl-C, are the driver's: then the pipe ends
    _silence(home / "log")
    served = _Served(pipe, function)
    threading.Thread(target=served.read, args=(home, address), daemon=True).start()
    try:
        asyncio.run(served.serve(home, workers, address))
    except BaseException as error:
        pipe.send(("error", error))
        threading.Event().wait()  # until the driver has read it, and ended this


class _Served:
    """The driver that is served: its pipe, and what it has given."""

    def __init__(self, pipe: Connection, function: Callable[[Any], Any]) -> None:
        self.pipe, self.function = pipe, function
        self.loop: asyncio.AbstractEventLoop  # this and `submit` are there before the first unit: see `serve`
        self.submit: Callable[..., Any]
        self.running: dict[int, Any] = {}  # ticket -> the task's ObjectRefGenerator
        self.followed: set[asyncio.Task[None]] = set()  # asyncio itself would forget them

    def read(self, home: Path, address: str | None) -> None:
        """In a thread of its own, so that neither Ray's start nor its end can keep this process alive."""
        try:
            while message := self.pipe.recv():
                self.loop.call_soon_threadsafe(self.act, *message)
        finally:  # whatever it was: nobody listens any more
            _clear_up(home, address)
            os._exit(0)

    async def serve(self, home: Path, workers: int | None, address: str | None) -> None:
        self.loop = asyncio.get_running_loop()
        slots = 0
        self.submit = _connect(home, workers, address)
        while True:
            if (now := workers or _processors()) != slots:
                slots = now
                self.pipe.send(("slots", slots))
            await asyncio.sleep(COUNTED_EVERY)

    def act(self, what: str, ticket: int, unit: Any) -> None:
        if what == "give":
            self.running[ticket] = self.submit(self.function, unit)
            task = self.loop.create_task(self.follow(ticket))
            self.followed.add(task)
            task.add_done_callback(self.followed.discard)
        else:
            import ray

            ray.cancel(self.running.pop(ticket), force=True)

    async def follow(self, ticket: int) -> None:
        """Tell of one task: that it began, then its outcome, or that it was lost."""
        from ray.exceptions import RayError, RayTaskError

        try:
            told = []
            async for reference in self.running[ticket]:
                told.append(await reference)
                if len(told) == 1:
                    _check_version(*told)
                    self.tell(ticket, Begun(ticket))
            self.tell(ticket, Done(ticket, told[1]))
        except RayTaskError as error:
            self.pipe.send(("error", _cause(error)))
        except RayError as error:
            self.tell(ticket, Lost(ticket, LOSSES.get(type(error).__name__) or _first_line(error)))
        except Exception as error:
            self.pipe.send(("error", error))

    def tell(self, ticket: int, event: Begun | Done[Any] | Lost) -> None:
        if ticket not in self.running:  # stopped
            return
        if not isinstance(event, Begun):
            del self.running[ticket]
        self.pipe.send(("event", event))


# ---- Ray ----------------------------------------------------------------------------------------------------


def _connect(home: Path, workers: int | None, address: str | None) -> Callable[..., Any]:
    """Start or reach the cluster; the function that submits `compute` to it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        os.environ |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }  # Ray listens on all addresses
    else:
        _check_reachable(address)
    import ray

    job = ray.job_config.JobConfig()
    job._client_job = True  # as Ray marks jobs from elsewhere: its workers would look for modules in our working folder
    try:
        if address is None:
            ray.init(
                job_config=job,
                address="local",
                num_cpus=workers,
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                log_to_driver=False,
                _temp_dir=str(home),
            )
        else:
            ray.init(address=address, job_config=job, log_to_driver=False)
    except Exception as error:
        where = f"--address {address}" if address else "--engine ray"
        what = f"{where}: Ray could not be started or reached ({_first_line(error)})."
        if address:  # Ray's own message keeps quiet about it
            what += " A cluster that wants a token gets it from RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH."
        raise SegdataError(what) from None
    task = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(compute)  # retries are the driver's
    return cast(Callable[..., Any], task.remote)


def compute(function: Callable[[Any], Any], unit: Any) -> Iterator[Any]:
    """The Ray task: first the worker's version, as a sign that it began, then the outcome."""
    yield __version__
    yield function(unit)


def _processors() -> int:
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 0)))


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


def _check_version(found: str) -> None:
    if found != __version__:
        raise SegdataError(f"the Ray cluster has segdata {found}, this is {__version__}: bring both to one version.")


def _cause(error: Any) -> BaseException:
    """What the function raised, with the worker's traceback as a note."""
    cause = error.cause if isinstance(error.cause, BaseException) else SegdataError(_first_line(error))
    if isinstance(cause, ModuleNotFoundError):
        return SegdataError(f"a machine of the Ray cluster lacks a package ({cause}): install segdata on every one.")
    cause.add_note(str(error))
    return cause


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


# ---- this process -------------------------------------------------------------------------------------------


def _silence(log: Path) -> None:
    """What Ray's Python and C++ parts print goes to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(descriptor, standard)


def _clear_up(home: Path, address: str | None) -> None:
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
