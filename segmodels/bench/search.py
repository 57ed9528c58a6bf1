"""The batch size at which most images a second are done."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from segmodels.bench.clock import times
from segmodels.bench.figure import Figure

GROWTH = 1.05  # a doubled batch that gives less than 5 % more is no gain
HEADROOM = 0.9  # of the memory that is available: the rest is left to others


class Throughput(NamedTuple):
    """The best batch that was tried."""

    figure: Figure
    images_per_second: float
    stopped: str  # why no larger one was tried: growth, memory or largest


def best_batch(first: Figure, figure_of: Callable[[int], Figure | None], largest: int) -> Throughput:
    """Double the batch, from that of `first`, until it stops to pay, memory ends (None) or `largest` is passed."""
    best, speed = first, throughput(first)
    while 2 * best.batch <= largest:
        figure = figure_of(2 * best.batch)
        if figure is None:
            return Throughput(best, speed, "memory")
        faster = throughput(figure)
        if faster < GROWTH * speed:
            return Throughput(*((figure, faster) if faster > speed else (best, speed)), "growth")
        best, speed = figure, faster
    return Throughput(best, speed, "largest")


def throughput(figure: Figure) -> float:
    """Images a second, at the median of the times."""
    return 1000 * figure.batch / times(figure.ms).median


def needed(figure: Figure) -> int:
    """Bytes that a batch twice as large may take: all but the base doubles, the weights too to be on the safe side."""
    return 2 * figure.peak_memory_bytes - figure.base_memory_bytes
