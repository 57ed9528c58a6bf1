"""Who is better than whom: only where the intervals of their scores are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """A score as far as it is known: what 95 % of the resamples of the images gave."""

    low: float
    high: float


class Rank(NamedTuple):
    """A row's place: `best` to `worst`, one number where it is settled."""

    best: int
    worst: int
    tied: tuple[str, ...]  # rows that it is not ranked against

    def __str__(self) -> str:
        return str(self.best) if self.best == self.worst else f"{self.best}\N{EN DASH}{self.worst}"


def apart(one: Interval | None, other: Interval | None) -> bool:
    """Whether the intervals do not overlap; an undefined one overlaps with all."""
    return one is not None and other is not None and (one.low > other.high or other.low > one.high)


def ranks(intervals: Mapping[str, Interval | None]) -> dict[str, Rank]:
    """The rank of every name. Overlap is not transitive: b may tie with a and with c, and a be better than c."""
    return {name: _rank(name, mine, intervals) for name, mine in intervals.items()}


def _rank(name: str, mine: Interval | None, intervals: Mapping[str, Interval | None]) -> Rank:
    others: Sequence[tuple[str, Interval | None]] = [each for each in intervals.items() if each[0] != name]
    better = sum(1 for _, each in others if mine and each and each.low > mine.high)
    worse = sum(1 for _, each in others if mine and each and each.high < mine.low)
    tied = tuple(other for other, each in others if not apart(mine, each))
    return Rank(1 + better, len(intervals) - worse, tied)
