"""The driver: gives units to an engine, a bounded window at a time, and again where one was lost or took too long."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic

from segdata.engines.engine import Begun, Done, Engine, Lost, R, U
from segdata.errors import SegdataError

TRIES = 3  # how often a unit is given out before it is blamed for its lost workers


@dataclass
class _Trial(Generic[U]):
    """A unit that is given out, and how often it was before."""

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
    fresh, again = map(_Trial, units), deque[_Trial[U]]()
    given: dict[Any, _Trial[U]] = {}  # by ticket
    while True:
        while len(given) < engine.slots and (trial := next(fresh, None) or (again.popleft() if again else None)):
            given[engine.give(trial.unit)] = trial
        if not given:
            return
        first = min(trial.deadline for trial in given.values())
        for event in engine.wait(None if first == math.inf else max(0.0, first - time.monotonic())):
            match event:
                case Begun(ticket):
                    given[ticket].deadline = time.monotonic() + limit(given[ticket].unit)
                case Done(ticket, outcome):
                    del given[ticket]
                    yield outcome
                case Lost(ticket, reason):
                    again.append(_next_trial(given.pop(ticket), reason, name))
        for ticket in [ticket for ticket, trial in given.items() if trial.deadline <= time.monotonic()]:
            engine.stop(ticket)
            trial = given.pop(ticket)
            reason = f"it took longer than {limit(trial.unit):g} s (--timeout gives it more)"
            again.append(_next_trial(trial, reason, name))


def _next_trial(trial: _Trial[U], reason: str, name: Callable[[U], str]) -> _Trial[U]:
    """Raises SegdataError after the last one."""
    if trial.tries + 1 < TRIES:
        return _Trial(trial.unit, trial.tries + 1)
    raise SegdataError(
        f"{name(trial.unit)} was lost {TRIES} times; the last time {reason}. "
        "Run the command again, with fewer --workers where memory is short: finished shards are kept."
    )
