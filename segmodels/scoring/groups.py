"""What becomes of scores when the images of one group are left out: the jackknife behind `intervals.py`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmodels.scoring.metrics import ABSENT_COUNT, COLUMNS, IMAGE_SCORES, ConfusionMatrix, Scores

FEW = 5  # groups that hold a class: below, its own variance says little
UNHELD = 0.5  # of a class that is predicted and held by no group: next to nothing is known of how often it is
AT_ONCE = 256  # groups: matrices of large splits lie on disk
Groups: TypeAlias = Sequence[Hashable]  # of each image, in the order of its matrices


@dataclass(frozen=True)
class Members:
    """Which images are of which of G groups."""

    order: NDArray[np.intp]  # (N,): the images, group by group
    sizes: NDArray[np.intp]  # (G,)

    @classmethod
    def of(cls, groups: Groups) -> Members:
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
class Part:
    """A score, and what becomes of it without each group."""

    score: float
    changes: Scores  # (G, C): of each column's share in the score
    held: Scores  # (C,): how many equal groups hold the class of a column; 0 where it is no class in the mean

    def less(self, other: Part) -> Part:
        """The difference; its changes are NaN where only one of both predicts a class that no image holds.

        Such a class is in the mean of that one alone, as IoU 0: nothing is known of how often that happens.
        """
        changes = self.changes - other.changes
        if np.any((self.held > 0) != (other.held > 0)):
            changes = np.full_like(changes, nan)
        return Part(self.score - other.score, changes, np.minimum(self.held, other.held))

    def variance(self, members: Members) -> float:
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


def mean_of(parts: Sequence[Part]) -> Part:
    """Of runs of several seeds."""
    score = float(np.mean([part.score for part in parts]))
    return Part(score, np.mean([part.changes for part in parts], axis=0), parts[0].held)


def parts_of(
    split: ConfusionMatrix, members: Members, evaluated: ArrayLike, names: Sequence[str]
) -> Mapping[str, Part]:
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


def _of_classes(name: str, whole: Scores, rest: Scores, held: Scores) -> Part:
    """Of its columns (C,) in the whole split, and (G, C) without each group."""
    occurs = ~np.isnan(whole)
    count = len(whole) if name in ABSENT_COUNT else int(occurs.sum())
    if not count:
        return Part(nan, np.zeros_like(rest), np.zeros_like(whole))
    changes = np.nan_to_num(rest - whole, nan=0.0) / count  # NaN: no pixel of the class is left, or there is none
    known = np.where(occurs, np.maximum(held, UNHELD), 0.0) if len(whole) > 1 else np.zeros(1)
    return Part(float(np.nan_to_num(whole, nan=0.0).sum() / count), changes, known)


def _of_images(sums: Scores) -> Part:
    """Of a mean over images: its sum and its number in each group (G, 2)."""
    total = sums.sum(0)
    if not total[1]:
        return Part(nan, np.zeros((len(sums), 1)), np.zeros(1))
    mean, rest = total[0] / total[1], total - sums
    without = np.divide(rest[:, 0], rest[:, 1], out=np.full(len(sums), mean), where=rest[:, 1] > 0)
    return Part(float(mean), (without - mean)[:, None], np.zeros(1))


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
