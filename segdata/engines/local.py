"""Processes of this machine, one unit each: a worker that dies or hangs costs its own unit alone."""

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic

from segdata.base.memory import keep_freed_memory
from segdata.base.processes import environment_set
from segdata.engines.engine import Begun, Done, Event, Lost, R, U


class Local(Generic[U, R]):
    """At most `slots` processes; a context manager, at whose end none is left."""

    def __init__(self, function: Callable[[U], R], workers: int) -> None:
        self.slots = workers
        self.function = function
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(["segdata.making.build"])
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}  # by ticket
        self._begun: list[int] = []
        self._given = 0

    def __enter__(self) -> "Local[U, R]":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for worker in (*self._idle, *self._busy.values()):
            worker.end()

    def give(self, unit: U) -> int:
        self._given += 1
        while True:
            worker = self._idle.pop() if self._idle else self._start()
            try:
                worker.pipe.send(unit)
                break
            except (BrokenPipeError, ConnectionResetError):  # it died while it had nothing to do
                worker.end()
        self._busy[self._given] = worker
        self._begun.append(self._given)
        return self._given

    def wait(self, seconds: float | None) -> Iterator[Event[R]]:
        if self._begun:
            yield from map(Begun, self._begun)
            self._begun.clear()
            return
        tickets: dict[Any, int] = {worker.pipe: ticket for ticket, worker in self._busy.items()}
        for pipe in connection.wait(list(tickets), seconds):
            worker = self._busy.pop(tickets[pipe])
            try:
                outcome, error = worker.pipe.recv()
            except (EOFError, OSError):
                yield Lost(tickets[pipe], f"its worker {worker.end(grace=1)}")  # it closed its pipe: it is ending
                continue
            self._idle.append(worker)
            if error is not None:
                raise error
            yield Done(tickets[pipe], outcome)

    def stop(self, ticket: int) -> None:
        self._busy.pop(ticket).end()

    def _start(self) -> "_Worker":
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self.function), daemon=True)
        with environment_set():
            process.start()
        theirs.close()  # so that our end closes when the worker dies
        return _Worker(process, ours)


class _Worker:
    """One process and our end of its pipe."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self.process, self.pipe = process, pipe

    def end(self, grace: float = 0) -> str:
        """Kill it, if it lives after so many seconds; how it ended, for people."""
        self.process.join(grace)
        self.process.kill()
        self.process.join()
        self.pipe.close()
        code = self.process.exitcode or 0
        return f"was ended by signal {-code} (9: killed, as for memory)" if code < 0 else f"ended with status {code}"


# ---- in the worker ------------------------------------------------------------------------------------------


def _work(pipe: Connection, function: Callable[[U], R]) -> None:
    """Compute what comes through the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which ends its workers
    _die_with_parent()
    keep_freed_memory()
    with suppress(EOFError, OSError):
        while True:
            unit = pipe.recv()
            try:
                answer: tuple[R | None, BaseException | None] = (function(unit), None)
            except BaseException as error:
                error.add_note("".join(traceback.format_exception(error)))  # where it happened does not travel
                answer = (None, error)
            pipe.send(answer)


def _die_with_parent() -> None:
    """Workers of a killed driver must not go on beside the run that continues its work."""
    parent = parent_process()
    if parent is not None:
        sentinel = parent.sentinel
        threading.Thread(target=lambda: (connection.wait([sentinel]), os._exit(1)), daemon=True).start()
