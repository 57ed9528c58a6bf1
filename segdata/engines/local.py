"""Processes of this machine, one unit each: a worker that dies or hangs costs its own unit alone.

Every worker has a pipe of its own. In a pool whose workers share one, a worker that dies while it hands over its
outcome leaves half a message there and a lock that nobody opens: no other worker gets through any more.
"""

from collections.abc import Callable, Iterator
from multiprocessing import connection, get_context
from typing import Any, Generic

from segdata.engines.engine import Begun, Done, Event, Lost, R, U
from segdata.engines.worker import Worker


class Local(Generic[U, R]):
    """At most `slots` processes; a context manager, at whose end none is left. A ticket is the worker's pipe."""

    def __init__(self, function: Callable[[U], R], workers: int, kernels: bool = False) -> None:
        self.slots = workers
        self._function = function
        self._context = get_context("forkserver")
        # Imported once, not by every worker.
        self._context.set_forkserver_preload([function.__module__, *["segdata.engines.compiler"] * kernels])
        self._idle: list[Worker] = []
        self._busy: dict[Any, Worker] = {}  # by ticket
        self._begun: list[Begun] = []

    def __enter__(self) -> "Local[U, R]":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for worker in (*self._idle, *self._busy.values()):
            worker.end()

    def give(self, unit: U) -> Any:
        while True:
            worker = self._idle.pop() if self._idle else Worker(self._context, self._function)
            try:
                worker.pipe.send(unit)
                break
            except (BrokenPipeError, ConnectionResetError):  # it died while it had nothing to do
                worker.end()
        self._busy[worker.pipe] = worker
        self._begun.append(Begun(worker.pipe))
        return worker.pipe

    def wait(self, seconds: float | None) -> Iterator[Event[R]]:
        if self._begun:
            yield from self._begun
            self._begun.clear()
            return
        for pipe in connection.wait(list(self._busy), seconds):
            worker = self._busy.pop(pipe)
            try:
                outcome, error = worker.pipe.recv()
            except (EOFError, OSError):
                yield Lost(pipe, f"its worker {worker.end(grace=1)}")  # it closed its pipe: it is ending
                continue
            self._idle.append(worker)
            if error is not None:
                raise error
            yield Done(pipe, outcome)

    def stop(self, ticket: Any) -> None:
        self._busy.pop(ticket).end()
