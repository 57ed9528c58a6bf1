"""The lines of a leaderboard: runs that differ by seed alone are one, with their mean score and its spread."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from statistics import fmean, stdev

from segmodels.report.read.result import SCORES, Result, Scores
from segmodels.scoring.intervals import Interval, mean_intervals

NUMBER = re.compile(r"[-_.]?(seed)?[-_.]?\d+$")  # at the end of a run's name


@dataclass(frozen=True)
class Row:
    """A network as it was trained, scored on the images of a board."""

    name: str
    runs: tuple[Result, ...]  # in order of their seeds
    scores: Scores  # means over the seeds
    own_stride: Scores
    spread: Scores  # standard deviations over the seeds, None of one
    intervals: Mapping[str, Interval | None]  # of the means; of several seeds they speak of other seeds, too

    @property
    def first(self) -> Result:
        """What stands for all where seeds make no difference, as for the number of parameters."""
        return self.runs[0]

    @property
    def miou(self) -> float:
        """To sort by: undefined is last."""
        found = self.scores["miou"]
        return -1.0 if found is None else found

    @property
    def steps(self) -> tuple[float | None, ...]:
        """mIoU after each step, mean over the seeds."""
        return tuple(
            _mean([step.full for step in steps]) for steps in zip(*(run.steps for run in self.runs), strict=True)
        )

    @property
    def images_per_second(self) -> float | None:
        """Of training, mean over the seeds."""
        return _mean([run.images_per_second for run in self.runs])

    @property
    def seconds(self) -> float:
        """Of training, mean over the seeds."""
        return fmean(run.seconds for run in self.runs)


def rows_of(results: Iterable[Result]) -> tuple[Row, ...]:
    """The best first."""
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in sorted(results, key=lambda result: (result.provenance.seed, result.name)):
        kind = (result.provenance.but_for_seed, result.views, result.q, result.keys_digest, len(result.steps))
        number = 0  # a second run of one seed is a line of its own
        while any(each.provenance.seed == result.provenance.seed for each in groups.get((*kind, number), ())):
            number += 1
        groups.setdefault((*kind, number), []).append(result)
    names = _names(list(groups.values()))
    rows = [_row(name, runs) for name, runs in zip(names, groups.values(), strict=True)]
    return tuple(sorted(rows, key=lambda row: (-row.miou, row.name)))


def _names(groups: Sequence[Sequence[Result]]) -> list[str]:
    """What the names of the runs of each group share, without the number of the seed, where that is one name."""
    taken = {run.name for runs in groups for run in runs if len(runs) == 1}
    names = []
    for runs in groups:
        shared = {NUMBER.sub("", run.name) for run in runs}
        common = shared.pop() if len(runs) > 1 and len(shared) == 1 else ""
        names.append(common if common and common not in taken else runs[0].name)
        taken.add(names[-1])
    return names


def _row(name: str, runs: Sequence[Result]) -> Row:
    return Row(
        name,
        tuple(runs),
        {each: _mean([run.scores[each] for run in runs]) for each in SCORES},
        {each: _mean([run.own_stride[each] for run in runs]) for each in SCORES},
        {each: _spread([run.scores[each] for run in runs]) for each in SCORES},
        _intervals(runs),
    )


def _intervals(runs: Sequence[Result]) -> Mapping[str, Interval | None]:
    """Of one run as `evaluate` wrote them; of several computed here, from their matrices."""
    first = runs[0]
    if len(runs) == 1:
        return first.intervals
    if any(run.no_interval for run in runs):
        return dict.fromkeys(SCORES)
    evaluated = [row.evaluated for row in first.taxonomy.classes]
    found = mean_intervals([run.confusions for run in runs], first.groups, evaluated)
    return {name: None if isnan(ends.low) else ends for name, ends in found.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return fmean(known) if len(known) == len(values) else None


def _spread(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return stdev(known) if len(known) == len(values) > 1 else None
