"""The quantiles of Student's t distribution, which SciPy has and segmodels does without."""

from functools import lru_cache
from math import floor, pi, sqrt, tan

import numpy as np

LARGEST = 1000  # degrees of freedom: beyond, the quantile of 95 % changes by less than 0.0024


@lru_cache
def two_sided(freedom: float, level: float) -> float:
    """t such that |T| < t has probability `level`; broken degrees of freedom are rounded down, to 1 at least."""
    whole = max(1, min(floor(freedom + 1e-6), LARGEST))  # 13 may come as 12.999…
    low, high = 0.0, pi / 2  # of the angle atan(t / √freedom)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, whole) < level else (low, middle)
    return sqrt(whole) * tan(low)


def _within(angle: float, freedom: int) -> float:
    """P(|T| < √freedom · tan(angle)): Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    sine, cosine = np.sin(angle), np.cos(angle)
    steps = np.arange(1, freedom // 2 if freedom % 2 == 0 else (freedom - 1) // 2)
    if freedom % 2 == 0:
        return float(sine * (1 + np.cumprod((2 * steps - 1) / (2 * steps) * cosine**2).sum()))
    if freedom == 1:
        return 2 * angle / pi
    return float(2 / pi * (angle + sine * cosine * (1 + np.cumprod(2 * steps / (2 * steps + 1) * cosine**2).sum())))
