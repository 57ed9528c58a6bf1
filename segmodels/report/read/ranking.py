"""Which network is better than which: told only of networks with several seeds, by a paired comparison.

Two trainings of one network differ too. So one run of each of two networks says which of the two runs is better, and
nothing of the networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from segmodels.report.read.rows import Row
from segmodels.scoring.intervals import LEAST_SEEDS, differences, too_few


class Rank(NamedTuple):
    """A row's place: `best` to `worst`, one number where it is settled."""

    best: int
    worst: int
    tied: tuple[str, ...]  # rows that it is not ranked against

    def __str__(self) -> str:
        return str(self.best) if self.best == self.worst else f"{self.best}\N{EN DASH}{self.worst}"


@dataclass(frozen=True)
class Ranking:
    """The rank of every row, and why none is settled: "one seed, 16 images: not ranked"; empty where some may be."""

    ranks: Mapping[str, Rank]
    not_ranked: str


def rank_rows(rows: Sequence[Row]) -> Ranking:
    """Compare the rows that have enough seeds, where they are two at least and the images are enough.

    A row of fewer seeds may have any place.
    """
    names = [row.name for row in rows]
    if len(rows) < 2:
        return Ranking(ranks(names, set()), "")
    ready = [row for row in rows if len(row.runs) >= LEAST_SEEDS]
    if reasons := [*_seeds(rows, ready), *_images(rows)]:
        return Ranking(ranks(names, set()), f"{', '.join(reasons)}: not ranked")
    first = ready[0].first
    evaluated = [each.evaluated for each in first.taxonomy.classes]
    found = differences({row.name: [run.confusions for run in row.runs] for row in ready}, first.groups, evaluated)
    better = {pair if each.low > 0 else pair[::-1] for pair, each in found.items() if each.settled}
    return Ranking(ranks(names, better), "")


def _seeds(rows: Sequence[Row], ready: Sequence[Row]) -> list[str]:
    if len(ready) >= 2:
        return []
    most = max(len(row.runs) for row in rows)
    return ["one seed" if most == 1 else f"fewer than {LEAST_SEEDS} seeds"]


def _images(rows: Sequence[Row]) -> list[str]:
    if len({run.keys_digest for row in rows for run in row.runs}) > 1:
        return ["other images"]
    if any(not len(run.groups) for row in rows for run in row.runs):
        return ["scored by an older version"]
    return [reason] if (reason := too_few(rows[0].first.groups)) else []


def ranks(names: Sequence[str], better: set[tuple[str, str]]) -> dict[str, Rank]:
    """The rank of every name; a pair in `better` is settled, and its first name is the better one.

    A tie is not handed on: b may tie with a and with c, and a be better than c.
    """
    found = {}
    for name in names:
        above = sum((other, name) in better for other in names)
        below = sum((name, other) in better for other in names)
        others = (other for other in names if other != name)
        tied = tuple(other for other in others if not {(name, other), (other, name)} & better)
        found[name] = Rank(1 + above, len(names) - below, tied)
    return found
