"""How much of each run has room on the page, so that many runs do not make it heavy."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import TypeVar

PIXELS = 9_000_000  # of all label maps together: about 0.1 byte each
MAPS = 200  # label maps on the page, where every run has one
WIDEST, NARROWEST = 640, 160  # of a picture, in pixels
SMALL = 400  # of pictures that stand side by side
POINTS = 1500  # of all learning curves together
FEWEST = 12  # of one

Item = TypeVar("Item")


def images_shown(wanted: int, runs: int) -> int:
    """Of each split, at least one."""
    return max(1, min(wanted, MAPS // max(runs, 1)))


def map_width(maps: int) -> int:
    """Of a label map that is one of so many and twice as wide as high."""
    return max(NARROWEST, min(WIDEST, isqrt(2 * PIXELS // max(maps, 1))))


def thinned(points: Sequence[Item], runs: int) -> list[Item]:
    """Points of a curve that is one of so many: spread evenly, the first and the last among them."""
    room = max(FEWEST, POINTS // max(runs, 1))
    if len(points) <= room:
        return list(points)
    return [points[round(i * (len(points) - 1) / (room - 1))] for i in range(room)]
