"""How far scores are known: intervals from images that come in groups, and paired comparisons.

Frames of one clip resemble each other, so what is resampled is not the image but its group: the clip that the source
of the data says it is from (`group` of a source in segdata). Images of group g are left out, the score of all others is
taken, and the spread of these G scores gives the standard error: the jackknife over groups. The interval is the score
plus and minus Student's t of that error. Why this and not the percentiles of a bootstrap: with 8 to 50 groups and rare
classes, percentiles of nominal 95 % cover 72 to 89 %, and this covers 92 to 96 % (`test_intervals.py` simulates it).

Two rules are for rare classes. The set of classes is fixed: those that occur in the whole split. Where the others of a
group have no pixel of a class, its IoU is that of the whole split, so that the class neither leaves the mean, which
jumps then, nor counts as a failure, which it is not. But a class that only a few groups hold seems to be known well
because next to nothing is left to compare with. It is given at least the variance of the average class: that of one
group's IoU, divided by the number of groups that hold the class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import nan, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from segmodels.scoring.groups import Groups, Members, Part, mean_of, parts_of
from segmodels.scoring.metrics import COLUMNS, IMAGE_SCORES, ConfusionMatrix
from segmodels.scoring.student import two_sided

LEAST_IMAGES = 50  # below, rare classes are in so few images that no interval of theirs covers what it says
LEAST_GROUPS = 8  # that count as independent: with 4, t is 3.2 and the interval as wide as a third of all scores
LEAST_SEEDS = 3  # of each of two networks that are compared, beyond the two trainings
OLDER = "scored by an older version, whose intervals took frames of one clip for independent"
ALL = (*COLUMNS, *IMAGE_SCORES)  # names of scores


class Interval(NamedTuple):
    """The ends of the interval of a score; NaN where there is none."""

    low: float
    high: float


UNKNOWN = Interval(nan, nan)


class Difference(NamedTuple):
    """A score of `a` less that of `b`, and its interval: NaN ends where there is none."""

    difference: float
    low: float
    high: float

    @property
    def settled(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def too_few(groups: Groups) -> str:
    """What images of these groups are too few of for an interval, as `16 images`; empty where they are enough."""
    if len(groups) < LEAST_IMAGES:
        return f"{len(groups)} images"
    members = Members.of(groups)
    clips = "one clip" if len(members.sizes) == 1 else f"{len(members.sizes)} clips"
    return f"{len(groups)} images of {clips}" if members.independent < LEAST_GROUPS else ""


def no_interval(groups: Groups) -> str:
    """Why images of these groups have no interval, as a phrase; empty where they have one."""
    found = too_few(groups)
    if not found or len(groups) < LEAST_IMAGES:
        return f"{found}, an interval needs at least {LEAST_IMAGES}" if found else ""
    independent = Members.of(groups).independent
    return f"{found}, which count as {independent:.1f} independent clips: an interval needs at least {LEAST_GROUPS}"


def too_few_seeds(seeds: int) -> str:
    """Why a network of so many seeds is not ranked against others; empty where it is."""
    return "" if seeds >= LEAST_SEEDS else f"not ranked: {'one seed' if seeds == 1 else f'{seeds} seeds'}"


def intervals(
    matrices: ConfusionMatrix, groups: Groups, evaluated: ArrayLike, level: float = 0.95, names: Sequence[str] = ALL
) -> dict[str, Interval]:
    """The interval of every score in `metrics.py` by its name. It speaks of other images, not of other trainings.

    `matrices` (N, K, K), one an image; `groups` N, what each image belongs to; `evaluated` K truth values.
    NaN ends where `no_interval` has a reason, or where a score is undefined.
    """
    return mean_intervals([matrices], groups, evaluated, level, names)


def interval(
    matrices: ConfusionMatrix, groups: Groups, evaluated: ArrayLike, score: str = "miou", level: float = 0.95
) -> Interval:
    """`intervals` of one score."""
    return intervals(matrices, groups, evaluated, level, [score])[score]


def mean_intervals(
    runs: Sequence[ConfusionMatrix],
    groups: Groups,
    evaluated: ArrayLike,
    level: float = 0.95,
    names: Sequence[str] = ALL,
) -> dict[str, Interval]:
    """Of the mean score of runs (N, K, K) that differ by seed alone: of several it speaks of other seeds, too."""
    if no_interval(groups):
        return dict.fromkeys(names, UNKNOWN)
    members = Members.of(groups)
    parts = [parts_of(run, members, evaluated, names) for run in runs]
    found = {}
    for name in names:
        side = [each[name] for each in parts]
        mean = mean_of(side)
        half = _half_width([(mean.variance(members), members.independent - 1), *_of_seeds(side)], level)
        found[name] = Interval(max(0.0, mean.score - half), min(1.0, mean.score + half)) if half >= 0 else UNKNOWN
    return found


def paired(
    a: ConfusionMatrix,
    b: ConfusionMatrix,
    groups: Groups,
    evaluated: ArrayLike,
    score: str = "miou",
    level: float = 0.95,
) -> Difference:
    """The score of `a` less that of `b`, two answers (N, K, K) to the same images in the same order.

    Both lose the same group at once, so what is hard for both alike does not widen the interval. It speaks of these
    two answers on other images, not of other trainings: for those, `between`.
    """
    return between([a], [b], groups, evaluated, score, level)


def between(
    a: Sequence[ConfusionMatrix],
    b: Sequence[ConfusionMatrix],
    groups: Groups,
    evaluated: ArrayLike,
    score: str = "miou",
    level: float = 0.95,
    *,
    matched: bool = False,
) -> Difference:
    """The mean score of the runs `a` less that of the runs `b`: (N, K, K) each, runs that differ by seed alone.

    Its variance is that of the images, as in `paired`, and that of the seeds where a side has several. Sides of one
    run say nothing of other seeds. `matched`: both sides are answers of the same runs in the same order, such as two
    outputs of each; what of the seeds counts is then the spread of the differences alone.
    """
    return differences({"a": a, "b": b}, groups, evaluated, score, level, matched=matched)["a", "b"]


def differences(
    sides: Mapping[str, Sequence[ConfusionMatrix]],
    groups: Groups,
    evaluated: ArrayLike,
    score: str = "miou",
    level: float = 0.95,
    *,
    matched: bool = False,
) -> dict[tuple[str, str], Difference]:
    """`between` of each two of `sides`, by both names in their order there."""
    members, known = Members.of(groups), not no_interval(groups)
    parts = {name: [parts_of(run, members, evaluated, [score])[score] for run in runs] for name, runs in sides.items()}
    means = {name: mean_of(side) for name, side in parts.items()}
    found = {}
    for a, b in combinations(sides, 2):
        less = means[a].less(means[b])
        of_images = (less.variance(members), members.independent - 1)
        if matched:
            of_seeds = _of_seeds([one.less(other) for one, other in zip(parts[a], parts[b], strict=True)])
        else:
            of_seeds = [*_of_seeds(parts[a]), *_of_seeds(parts[b])]
        half = _half_width([of_images, *of_seeds], level) if known else nan
        found[a, b] = Difference(less.score, less.score - half, less.score + half)
    return found


def _of_seeds(side: Sequence[Part]) -> list[tuple[float, float]]:
    """Variance of a mean over seeds, with its degrees of freedom; of one seed nothing is known."""
    count = len(side)
    return [(float(np.var([run.score for run in side], ddof=1)) / count, count - 1)] if count > 1 else []


def _half_width(variances: Sequence[tuple[float, float]], level: float) -> float:
    """Student's t times the error of all variances together, each with its degrees of freedom (Welch's rule)."""
    total = sum(variance for variance, _ in variances)
    if not total > 0:
        return total  # 0: every group says the same; NaN: undefined
    freedom = total**2 / sum(variance**2 / freedom for variance, freedom in variances if variance)
    return two_sided(freedom, level) * sqrt(total)
