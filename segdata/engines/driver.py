"""The driver: gives units to an engine, a bounded window at a time, and again where one was lost or took too long."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic

from segdata.engines.engine import Begun, Done, Engine, Lost, R, U
from segdata.errors import SegdataError

TRIES = 3  # how often a unit is given out before it is blamed for its lost workers


@dataclass
class _Trial(Generic[U]):
    """A unit that was given out, and what became of it before."""

    unit: U
    tries: int = 0
    deadline: float = math.inf  # on the monotonic clock, from when a worker began


def drive(
    engine: Engine[U, R], units: Iterable[U], name: Callable[[U], str], limit: Callable[[U], float]
) -> Iterator[R]:
    """Outcomes of all units as they finish; `limit` is the seconds that a unit may take.

    Units are taken from the iterable when their turn comes, lost ones after all others. Raises SegdataError for a
    unit that was lost again and again, and what the function raised.
    """
    fresh, again = iter(units), deque[_Trial[U]]()
    given: dict[int, _Trial[U]] = {}
    while True:
        while len(given) < engine.slots and (trial := _next(fresh, again)):
            given[engine.give(trial.unit)] = trial
        if not given:
            return
        for event in engine.wait(_patience(given)):
            match event:
                case Begun(ticket):
                    given[ticket].deadline = time.monotonic() + limit(given[ticket].unit)
                case Done(ticket, outcome):
                    del given[ticket]
                    yield outcome
                case Lost(ticket, reason):
                    again.append(_tried(given.pop(ticket), reason, name))
        for ticket in [ticket for ticket, trial in given.items() if trial.deadline <= time.monotonic()]:
            engine.stop(ticket)
            trial = given.pop(ticket)
            reason = f"it took longer than {limit(trial.unit):g} s (--timeout gives it more)"
            again.append(_tried(trial, reason, name))


def _next(fresh: Iterator[U], again: "deque[_Trial[U]]") -> "_Trial[U] | None":
    for unit in fresh:
        return _Trial(unit)
    return again.popleft() if again else None


def _patience(given: dict[int, _Trial[U]]) -> float | None:
    """Seconds until the first deadline."""
    first = min(trial.deadline for trial in given.values())
    return None if first == math.inf else max(0.0, first - time.monotonic())


def _tried(trial: _Trial[U], reason: str, name: Callable[[U], str]) -> _Trial[U]:
    """The trial that comes next, or SegdataError after the last one."""
    if trial.tries + 1 < TRIES:
        return _Trial(trial.unit, trial.tries + 1)
    raise SegdataError(
        f"{name(trial.unit)} was lost {TRIES} times; the last time {reason}. "
        "Run the command again, with fewer --workers where memory is short: finished shards are kept."
    )
