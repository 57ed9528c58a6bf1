"""A model of the network's answer under any q, without the network: the rule of acceptance on remembered pixels.

Which pixels stage 1 accepts is exact, but for the grid. From there on it is a model: stages 2 and 3 are taken to say
what they say when every pixel goes through them, and work to be in proportion to the pixels that reach a stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segdata.base.arrays import U8
from segdata.labels.taxonomy import IGNORE
from segmodels.calibration.pixels import Pixels
from segmodels.scoring.metrics import miou

Q = tuple[float, ...]  # one a class
Positions = NDArray[np.int64]


class Estimate(NamedTuple):
    """What a q is expected to give."""

    miou: float  # NaN where undefined
    work: float  # share of the full compute
    shares: tuple[float, float, float]  # of the pixels that reach each stage


class Model:
    """`model(q)`; a pass over the pixels, about a hundredth of a microsecond each.

    Pixels lie in the order of stage 2 (by image, winning class, confidence), so that percentiles among those that
    reach it are differences of one running count.
    """

    def __init__(self, pixels: Pixels, evaluated: Sequence[bool], base: float) -> None:
        """`base` is the share of the full compute that every pixel takes: all before stage 2."""
        self.classes, self.evaluated, self.base = pixels.classes, evaluated, base
        first = _Ranks(pixels.image, pixels.winner[0], pixels.confidence[0])
        second = _Ranks(pixels.image, pixels.winner[1], pixels.confidence[1])
        order = second.order
        self._places = second
        self._winners = tuple(winner[order] for winner in pixels.winner)
        self._rank = np.empty(len(order), np.int64)  # of a pixel among those of its class at stage 1
        self._rank[first.order] = first.tie - first.start
        self._last = np.empty(len(order), np.int64)  # the highest rank there
        self._last[first.order] = first.stop - first.start - 1
        self._rank, self._last = self._rank[order], self._last[order]
        target = pixels.target[order]
        self._counted = target != IGNORE
        self._rows = target[self._counted].astype(np.int64) * self.classes

    @property
    def winning(self) -> list[int]:
        """The classes whose q matters: those that win somewhere at stage 1 or 2."""
        return [int(number) for number in np.unique(np.concatenate(self._winners[:2]))]

    def __call__(self, q: Q) -> Estimate:
        reached, last = self.reached(q)
        answer = np.where(last, self._winners[2], np.where(reached, self._winners[1], self._winners[0]))
        pairs = self._rows + answer[self._counted]
        matrix = np.bincount(pairs, minlength=self.classes**2).reshape(self.classes, self.classes)
        shares = (1.0, float(reached.mean()), float(last.mean()))
        work = self.base + (1 - self.base) * (shares[1] + shares[2]) / 2
        return Estimate(float(miou(matrix, self.evaluated)), work, shares)

    def reached(self, q: Q) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """The pixels (N,) that reach stages 2 and 3, in the order of stage 2.

        At rank r of 0 … n-1 a pixel is above the interpolated q-quantile exactly if r > q (n-1); of equal ones the
        lowest rank counts for all.
        """
        each, places = np.asarray(q), self._places
        reached = self._rank <= each[self._winners[0]] * self._last
        before = np.concatenate([[0], np.cumsum(reached)])  # reached ones before each place
        rank = before[places.tie] - before[places.start]
        last = before[places.stop] - before[places.start] - 1
        return reached, reached & (rank <= each[self._winners[1]] * last)

    def uniform(self, allowed: float) -> Q:
        """The largest q in hundredths, one for all classes, whose work is at most `allowed`; 0 where none is."""
        low, high = 0, 100
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self(self.same(middle / 100)).work <= allowed else (low, middle - 1)
        return self.same(low / 100)

    def same(self, q: float) -> Q:
        """One q for all classes."""
        return (q,) * self.classes


class _Ranks:
    """Places in the order by image, class and confidence: of a pixel's image and class, and of its equals."""

    def __init__(self, image: Positions, winner: U8, confidence: NDArray[np.float32]) -> None:
        self.order = np.lexsort((confidence, winner, image))
        group = (image * 256 + winner)[self.order]
        begins = np.diff(group, prepend=-1) != 0
        places = np.arange(len(group))
        self.start = _latest(begins, places)
        differs = np.diff(confidence[self.order], prepend=-1) != 0
        self.tie = _latest(begins | differs, places)
        ends = np.append(np.flatnonzero(begins)[1:], len(group))
        self.stop = ends[np.cumsum(begins) - 1]


def _latest(marks: NDArray[np.bool_], places: Positions) -> Positions:
    """For each place the last marked one up to it."""
    return np.maximum.accumulate(np.where(marks, places, 0))
