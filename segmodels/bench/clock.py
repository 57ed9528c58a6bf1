"""Times of single forwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple, TypeVar

import numpy as np
import torch

T = TypeVar("T")

WARM_UP = 3  # forwards: kernels are chosen and compiled, caches filled, clocks raised
FEWEST, MOST = 5, 2000  # that are timed


class Times(NamedTuple):
    """Milliseconds of single forwards in three figures."""

    median: float
    p95: float
    iqr: float  # interquartile range: the spread of the middle half


def times(ms: Sequence[float]) -> Times:
    """The figures of a series; quantiles are interpolated."""
    low, median, high, p95 = np.quantile(ms, (0.25, 0.5, 0.75, 0.95)).tolist()
    return Times(median, p95, high - low)


def warm_up(forward: Callable[[], object], device: torch.device) -> None:
    for _ in range(WARM_UP):
        forward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def series(forward: Callable[[], object], device: torch.device, seconds: float) -> list[float]:
    """Milliseconds of one forward after the other, for so many seconds: at least FEWEST, at most MOST."""
    found: list[float] = []
    end = perf_counter() + seconds
    while len(found) < FEWEST or (perf_counter() < end and len(found) < MOST):
        found.append(clocked(forward, device)[1])
    return found


def clocked(forward: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """What one forward gives, and its milliseconds: until its result is there, on CUDA by the device's own clock."""
    if device.type != "cuda":
        before = perf_counter()
        result = forward()
        return result, 1000 * (perf_counter() - before)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]  # it is
    torch.cuda.synchronize(device)
    with torch.cuda.device(device):
        start.record()
        result = forward()
        end.record()
    end.synchronize()
    return result, start.elapsed_time(end)
