"""How far scores are known: intervals from images that come in groups, and paired comparisons.

Frames of one clip resemble each other, so what is resampled is not the image but its group: the clip that the source
of the data says it is from (`group` of a source in segdata). Images of group g are left out, the score of all others is
taken, and the spread of these G scores gives the standard error: the jackknife over groups. The interval is the score
plus and minus Student's t of that error. Why this and not the percentiles of a bootstrap: with 8 to 50 groups and rare
classes, percentiles of nominal 95 % cover 72 to 88 %, and this covers 92 to 96 % (`test_intervals.py` simulates it).

Two rules are for rare classes. The set of classes is fixed: those that occur in the whole split. Where the others of a
group have no pixel of a class, its IoU is that of the whole split, so that the class neither leaves the mean, which
jumps then, nor counts as a failure, which it is not. But a class that only a few groups hold seems to be known well
because next to nothing is left to compare with. It is given at least the variance of the average class: that of one
group's IoU, divided by the number of groups that hold the class.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isnan, nan, sqrt
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmodels.scoring.metrics import ABSENT_COUNT, COLUMNS, IMAGE_SCORES, ConfusionMatrix, Scores
from segmodels.scoring.student import two_sided

LEAST_IMAGES = 50  # below, rare classes are in so few images that no interval of theirs covers what it says
LEAST_GROUPS = 8  # that count as independent: with 4, t is 3.2 and the interval as wide as a third of all scores
LEAST_SEEDS = 3  # of each of two networks that are compared, beyond the two trainings
OLDER = "scored by an older version, whose intervals took frames of one clip for independent"
FEW = 5  # groups that hold a class: below, its own variance says little
AT_ONCE = 256  # groups: matrices of large splits lie on disk
ALL = (*COLUMNS, *IMAGE_SCORES)  # names of scores
Groups: TypeAlias = Sequence[Hashable]  # of each image, in the order of its matrices


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
    members = _Members.of(groups)
    clips = "one clip" if len(members.sizes) == 1 else f"{len(members.sizes)} clips"
    return f"{len(groups)} images of {clips}" if members.independent < LEAST_GROUPS else ""


def no_interval(groups: Groups) -> str:
    """Why images of these groups have no interval, as a phrase; empty where they have one."""
    found = too_few(groups)
    if not found or len(groups) < LEAST_IMAGES:
        return f"{found}, an interval needs at least {LEAST_IMAGES}" if found else ""
    independent = _Members.of(groups).independent
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
    members = _Members.of(groups)
    parts = [_parts(run, members, evaluated, names) for run in runs]
    found = {}
    for name in names:
        side = [each[name] for each in parts]
        mean = _mean_of(side)
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
) -> Difference:
    """The mean score of the runs `a` less that of the runs `b`: (N, K, K) each, runs that differ by seed alone.

    Its variance is that of the images, as in `paired`, and that of the seeds where a side has several. Sides of one
    run say nothing of other seeds.
    """
    return differences({"a": a, "b": b}, groups, evaluated, score, level)["a", "b"]


def differences(
    sides: Mapping[str, Sequence[ConfusionMatrix]],
    groups: Groups,
    evaluated: ArrayLike,
    score: str = "miou",
    level: float = 0.95,
) -> dict[tuple[str, str], Difference]:
    """`between` of each two of `sides`, by both names in their order there."""
    members, known = _Members.of(groups), not no_interval(groups)
    parts = {name: [_parts(run, members, evaluated, [score])[score] for run in runs] for name, runs in sides.items()}
    means = {name: _mean_of(side) for name, side in parts.items()}
    found = {}
    for a, b in combinations(sides, 2):
        less = means[a].less(means[b])
        of_images = (less.variance(members), members.independent - 1)
        half = _half_width([of_images, *_of_seeds(parts[a]), *_of_seeds(parts[b])], level) if known else nan
        found[a, b] = Difference(less.score, less.score - half, less.score + half)
    return found


def _of_seeds(side: Sequence[_Part]) -> list[tuple[float, float]]:
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


# --- Leaving groups out -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Members:
    """Which images are of which of G groups."""

    order: NDArray[np.intp]  # (N,): the images, group by group
    sizes: NDArray[np.intp]  # (G,)

    @classmethod
    def of(cls, groups: Groups) -> _Members:
        number: dict[Hashable, int] = {}
        index = np.array([number.setdefault(group, len(number)) for group in groups], np.intp)
        return cls(np.argsort(index, kind="stable"), np.bincount(index, minlength=len(number)))

    @property
    def independent(self) -> float:
        """How many groups of equal size say as much (Kish): one long clip among short ones is not worth more."""
        return float(self.sizes.sum() ** 2 / (self.sizes**2).sum()) if len(self.sizes) else 0.0

    def chunks(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Images of some groups at once, and where each group begins among them."""
        ends = np.cumsum(self.sizes)
        begins = ends - self.sizes
        for first in range(0, len(self.sizes), AT_ONCE):
            last = min(first + AT_ONCE, len(self.sizes)) - 1
            yield self.order[begins[first] : ends[last]], begins[first : last + 1] - begins[first]


@dataclass(frozen=True)
class _Part:
    """A score, and what becomes of it without each group."""

    score: float
    changes: Scores  # (G, C): of each column's share in the score
    held: Scores  # (C,): how many equal groups hold the class of a column; 0 where it is no class, or none holds it

    def less(self, other: _Part) -> _Part:
        return _Part(self.score - other.score, self.changes - other.changes, np.minimum(self.held, other.held))

    def variance(self, members: _Members) -> float:
        """Of the score, over other images of this kind."""
        groups = len(members.sizes)
        if groups < 2 or isnan(self.score):
            return nan
        factor = (groups - 1) / groups
        whole = self.changes.sum(1)
        own = factor * ((self.changes - self.changes.mean(0)) ** 2).sum(0)  # (C,)
        return float(factor * ((whole - whole.mean()) ** 2).sum() + self._hidden(own))

    def _hidden(self, own: Scores) -> float:
        """The variance of classes that few groups hold, beyond their own (C,): up to that of the average class."""
        classes = self.held > 0
        few, many = classes & (self.held < FEW), classes & (self.held >= FEW)
        if not few.any():
            return 0.0
        average = np.mean((own * self.held)[many if many.any() else classes])  # of one group
        return float(np.maximum(average / self.held[few] - own[few], 0).sum())


def _mean_of(parts: Sequence[_Part]) -> _Part:
    """Of runs of several seeds."""
    score = float(np.mean([part.score for part in parts]))
    return _Part(score, np.mean([part.changes for part in parts], axis=0), parts[0].held)


def _parts(
    split: ConfusionMatrix, members: _Members, evaluated: ArrayLike, names: Sequence[str]
) -> Mapping[str, _Part]:
    """The scores of these names of a split (N, K, K)."""
    total = split.sum(0)
    rests: dict[str, list[Scores]] = {name: [] for name in names}
    truth: list[Scores] = []
    for images, begins in members.chunks():
        chosen = np.asarray(split[images])  # (n, K, K)
        sums = np.add.reduceat(chosen, begins)  # (g, K, K)
        truth.append(sums.sum(2))
        for name in names:
            if name in COLUMNS:
                rests[name].append(COLUMNS[name](total - sums, evaluated))
            else:
                rests[name].append(_sums(IMAGE_SCORES[name](chosen), begins))
    held = _held(_joined(truth, total.shape[-1]))
    return {
        name: _of_classes(name, COLUMNS[name](total, evaluated), _joined(rest, 1), held)
        if name in COLUMNS
        else _of_images(_joined(rest, 2))
        for name, rest in rests.items()
    }


def _of_classes(name: str, whole: Scores, rest: Scores, held: Scores) -> _Part:
    """Of its columns (C,) in the whole split, and (G, C) without each group."""
    occurs = ~np.isnan(whole)
    count = len(whole) if name in ABSENT_COUNT else int(occurs.sum())
    if not count:
        return _Part(nan, np.zeros_like(rest), np.zeros_like(whole))
    changes = np.nan_to_num(rest - whole, nan=0.0) / count  # NaN: no pixel of the class is left, or there is none
    known = np.where(occurs, held, 0.0) if len(whole) > 1 else np.zeros(1)
    return _Part(float(np.nan_to_num(whole, nan=0.0).sum() / count), changes, known)


def _of_images(sums: Scores) -> _Part:
    """Of a mean over images: its sum and its number in each group (G, 2)."""
    total = sums.sum(0)
    if not total[1]:
        return _Part(nan, np.zeros((len(sums), 1)), np.zeros(1))
    mean, rest = total[0] / total[1], total - sums
    without = np.divide(rest[:, 0], rest[:, 1], out=np.full(len(sums), mean), where=rest[:, 1] > 0)
    return _Part(float(mean), (without - mean)[:, None], np.zeros(1))


def _sums(values: Scores, begins: NDArray[np.intp]) -> Scores:
    """Sum and number of the defined values of each group: (n,) → (g, 2)."""
    pairs = np.stack([np.nan_to_num(values, nan=0.0), ~np.isnan(values)], axis=1)
    return np.asarray(np.add.reduceat(pairs, begins), np.float64)


def _held(pixels: Scores) -> Scores:
    """How many groups of equal size hold each class: (G, K) of pixels → (K,), 0 where none does."""
    squares = (pixels.astype(np.float64) ** 2).sum(0)
    number: Scores = np.divide(pixels.sum(0) ** 2.0, squares, out=np.zeros(pixels.shape[1]), where=squares > 0)
    return number


def _joined(chunks: Sequence[Scores], columns: int) -> Scores:
    return np.concatenate(chunks) if chunks else np.zeros((0, columns))
