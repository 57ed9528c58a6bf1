"""One unit after the other, in this process: for debuggers, and where processes cost more than they bring."""

from collections.abc import Callable, Iterable
from typing import Generic

from segdata.base.memory import keep_freed_memory
from segdata.engines.engine import Done, Event, R, U


class Serial(Generic[U, R]):
    """Computes when it is waited for. Nobody is there to end a unit that hangs: `limit` does not apply."""

    slots = 1

    def __init__(self, function: Callable[[U], R]) -> None:
        keep_freed_memory()
        self.function = function
        self.unit: U | None = None

    def give(self, unit: U) -> int:
        self.unit = unit
        return 0

    def wait(self, seconds: float | None) -> Iterable[Event[R]]:
        assert self.unit is not None
        return [Done(0, self.function(self.unit))]

    def stop(self, ticket: int) -> None:
        raise AssertionError("a unit that never began was stopped")
