"""What an engine is: it computes units elsewhere, tells when each begins and ends, and can be told to end one."""

from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from segdata.base.processes import usable_processors

U = TypeVar("U")
U_contra = TypeVar("U_contra", contravariant=True)
R = TypeVar("R")


class Begun(NamedTuple):
    """The unit waits no longer, a worker has it: its time counts from here."""

    ticket: Any


class Done(NamedTuple, Generic[R]):
    """The unit's outcome."""

    ticket: Any
    outcome: R


class Lost(NamedTuple):
    """The unit will have no outcome; `reason` completes "lost, because …"."""

    ticket: Any
    reason: str


Event = Begun | Done[R] | Lost


class Engine(Protocol[U_contra, R]):
    """Made for one function. The driver decides what is given, how often, and when a unit took too long."""

    @property
    def slots(self) -> int:
        """How many units it computes at once; machines may come and go."""

    def give(self, unit: U_contra) -> Any:
        """Have the unit computed; the ticket by which `wait` and `stop` name it."""

    def wait(self, seconds: float | None) -> Iterable[Event[R]]:
        """What happened, in order, after at most so many seconds; raises what the function raised."""

    def stop(self, ticket: Any) -> None:
        """End the worker that has this unit; no event tells of the unit any more."""


def default_workers() -> int:
    """The processors this process may use."""
    return usable_processors()
