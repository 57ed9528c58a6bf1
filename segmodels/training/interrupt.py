"""Ctrl-C and SIGTERM as a wish: the first ends a training after the step under way, the second gives that step up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

Item = TypeVar("Item")

AGAIN = "and saving the run; press Ctrl-C again to abort"


class GivenUp(KeyboardInterrupt):
    """What is under way is not to be finished; the run can be saved as it was before it."""


class Interrupt:
    """What the signals so far ask for.

    A second one raises GivenUp, but in an `abortable` part alone: elsewhere state and files change, and must
    not be left halfway. It waits there for the next such part, or the end.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.asked = False  # to end after the step under way
        self._again, self._abortable = False, False
        self._does, self._tell = "stopping", tell

    @contextmanager
    def abortable(self, does: str = "") -> Iterator[None]:
        """Inside, the second signal raises GivenUp. From now on the first is answered with `does`, if any."""
        self._does, self._abortable = does or self._does, True
        try:
            if self._again:
                raise GivenUp
            yield
        finally:
            self._abortable = False

    def waiting(self, items: Iterable[Item], does: Callable[[], str]) -> Iterator[Item]:
        """The items; waiting for one is abortable."""
        iterator = iter(items)
        while True:
            with self.abortable(does()):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def until_asked(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items; the first signal already raises GivenUp, between two of them."""
        for item in items:
            if self.asked:
                raise GivenUp
            yield item

    def note(self) -> None:
        """A signal came."""
        if not self.asked:
            self.asked = True
            with suppress(RuntimeError):  # it came while something else was being told
                self._tell(f"{self._does} {AGAIN}")
            return
        self._again = True
        if self._abortable:
            raise GivenUp


@contextmanager
def interruptible(tell: Callable[[str], None]) -> Iterator[Interrupt]:
    """Inside, two Ctrl-C or SIGTERM are what `Interrupt` says; a third does what it always does.

    `tell` is called with what the first one leads to. Outside of the main thread Python allows no handlers, and
    nothing is changed.
    """
    interrupt = Interrupt(tell)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: object) -> None:
        if interrupt.asked:
            restore()
        interrupt.note()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield interrupt
    finally:
        restore()
