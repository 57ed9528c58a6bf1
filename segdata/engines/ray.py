"""A Ray cluster: one of its own on this machine, or one that runs already.

Ray itself lives in a process of its own, the broker. What Ray prints, its signal handlers and its settings stay
there, and when the driver is killed the broker ends the cluster, which Ray would leave behind for a minute.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Generic

from segdata.base.processes import environment_set
from segdata.engines.engine import Event, R, U, default_workers
from segdata.errors import SegdataError


class Ray(Generic[U, R]):
    """Units as Ray tasks of one processor each; a context manager, at whose end a cluster of its own is gone.

    address: host:port or "auto" of a cluster that runs; None starts one here with `workers` processors. Its machines
    need this version of segdata, and the paths in the units: several machines share a file system.
    """

    def __init__(self, function: Callable[[U], R], workers: int | None, address: str | None) -> None:
        if find_spec("ray") is None:
            raise SegdataError("--engine ray: Ray is not installed. Run: pip install 'segdata[ray]'")
        self.function = function
        self.address = None if address in {None, "", "local"} else address
        self.workers = workers if self.address else workers or default_workers()
        self.slots = 1  # until the cluster tells
        self._given = 0

    def __enter__(self) -> "Ray[U, R]":
        from segdata.engines.broker import broker

        self._home = Path(tempfile.mkdtemp(prefix="segdata-ray-", dir=_short_folder()))
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._broker = context.Process(
            target=broker, args=(theirs, self._home, self.function, self.workers, self.address)
        )
        with environment_set():  # and with that for the cluster that it starts
            self._broker.start()
        theirs.close()
        try:
            self._receive()  # the cluster's slots
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """The broker sees the end of the pipe and clears up: the same as when this process is killed."""
        self._pipe.close()
        self._broker.join()
        shutil.rmtree(self._home, ignore_errors=True)

    def give(self, unit: U) -> int:
        self._given += 1
        self._send(("give", self._given, unit))
        return self._given

    def wait(self, seconds: float | None) -> Iterator[Event[R]]:
        if self._pipe.poll(seconds):
            yield from self._receive()

    def stop(self, ticket: int) -> None:
        self._send(("stop", ticket, None))

    def _send(self, message: tuple[str, int, U | None]) -> None:
        try:
            self._pipe.send(message)
        except OSError as error:
            raise self._lost() from error

    def _receive(self) -> list[Event[R]]:
        try:
            message, content = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if message == "error":
            raise content
        if message == "slots":
            self.slots = content
            return []
        event: Event[R] = content
        return [event]

    def _lost(self) -> SegdataError:
        where = f"at {self.address}" if self.address else "on this machine"
        return SegdataError(f"the Ray cluster {where} was lost. Run the command again: finished shards are kept.")


def _short_folder() -> str:
    """Where Ray may put its sockets, whose paths end at 107 bytes: Ray itself appends 63, `mkdtemp` 21."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= 107 - 63 - 21 - 1 else "/tmp"
