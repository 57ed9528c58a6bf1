"""A process that computes for this one. What goes into its pipe comes back as (outcome, None) or (None, error)."""

import os
import select
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.reduction import ForkingPickler
from typing import Any

from segdata.base.memory import keep_freed_memory
from segdata.base.processes import environment_set
from segdata.base.refusal import refusal
from segdata.errors import SegdataError


class Worker:
    """The process and our end of its pipe.

    When our end closes, also because this process is killed, the worker calls `at_end` and exits, whatever it is at.
    """

    def __init__(
        self,
        context: ForkServerContext | SpawnContext,
        function: Callable[[Any], Any],
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, function, at_end), daemon=True)
        try:
            with environment_set(), _without_interrupts():
                self._process.start()
        except (EOFError, OSError) as error:  # of the pipes and sockets over which it is started
            raise SegdataError(_not_started(error)) from error
        theirs.close()  # so that our end closes when the worker dies

    def end(self, grace: float | None = 0) -> str:
        """Kill it, if it lives after so many seconds (None: wait for it); how it ended, for people."""
        self.pipe.close()
        self._process.join(grace)
        self._process.kill()
        self._process.join()
        code = self._process.exitcode or 0
        return f"was ended by signal {-code} (9: killed, as for memory)" if code < 0 else f"ended with status {code}"


def _not_started(error: EOFError | OSError) -> str:
    what = "no worker process can be started"
    told = refusal(error, what) if isinstance(error, OSError) else f"{what}: it ended at once."
    return f"{told} `prepare` needs none with --engine serial, nor `verify` with --workers 1."


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that starts inside never hears Ctrl-C, not even while it imports: it would print a traceback.

    multiprocessing's tracker of resources, which the first process starts with it, lets signals through again where it
    is started inside.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Connection, function: Callable[[Any], Any], at_end: Callable[[], None] | None) -> None:
    """In the worker: answer until the pipe ends."""
    first = threading.Lock()  # both threads may come to the end; one of them ends the process

    def end() -> None:
        with first:
            try:
                if at_end:
                    at_end()
            finally:
                os._exit(1)

    def watch() -> None:
        hang_up = select.poll()
        hang_up.register(pipe, 0)  # nothing else is waited for
        hang_up.poll()
        end()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which ends its workers
    threading.Thread(target=watch, daemon=True).start()  # a worker that hangs ends with its driver as well
    keep_freed_memory()
    with suppress(EOFError, OSError):
        while True:
            unit = pipe.recv()
            try:
                answer = ForkingPickler.dumps((function(unit), None))
            except BaseException as error:
                error.add_note("".join(traceback.format_exception(error)))  # where it happened does not travel
                answer = ForkingPickler.dumps((None, error))
            pipe.send_bytes(answer)
    end()
