"""Label maps to targets at x1, x2, x4, x8: pure functions on uint8 arrays.

A target of scale S has 1/S of the height and width. Rules:
`majority`  the class with most pixels in the S x S cell of x1; ties go to the smallest id, so 255 (ignore) loses
`stride`    the cell's top-left pixel, as the TAS500 experiments did
`coverage`  how many pixels of each class a cell has; the counts sum to S*S
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from segdata.base.arrays import U8

RULES = ("majority", "stride", "coverage")
SCALES = (1, 2, 4, 8)
IDENTITY = np.arange(256, dtype=np.uint8)
Histogram = NDArray[np.int64]  # (256,) pixels per code


class Targets(NamedTuple):
    """maps: scale -> (H/S, W/S) ids, under `coverage` at S > 1 (K+1, H/S, W/S) counts; histogram of raw codes."""

    maps: dict[int, U8]
    histogram: Histogram


def make_targets(labels: U8, lut: U8, scales: Sequence[int], rule: str, classes: int) -> Targets:
    """Map raw labels (H, W) through `lut` (256,) and downscale; the largest scale divides H and W."""
    labels = np.ascontiguousarray(labels)
    if rule == "majority":
        return _majorities(labels, lut, scales)
    x1, histogram = remap(labels, lut)
    return Targets({scale: downscale(x1, scale, rule, classes) for scale in scales}, histogram)


def remap(labels: U8, lut: U8) -> tuple[U8, Histogram]:
    """(lut[labels], pixels per raw code)."""
    x1, histogram = np.empty_like(labels), np.zeros(256, np.int64)
    _remap(labels, lut, x1, histogram)
    return x1, histogram


def downscale(x1: U8, scale: int, rule: str, classes: int) -> U8:
    """One target from x1 (H, W): (H/S, W/S), or (K+1, H/S, W/S) under `coverage`, ignored pixels last."""
    if scale == 1:
        return x1
    if rule == "stride":
        return np.ascontiguousarray(x1[::scale, ::scale])
    if rule == "coverage":
        return coverage(x1, scale, classes)
    return majority(x1, scale, scale)


def majority(x1: U8, rows: int, columns: int) -> U8:
    """(H/rows, W/columns): the most frequent id of each cell, ties to the smallest."""
    out = np.empty((x1.shape[0] // rows, x1.shape[1] // columns), np.uint8)
    _majority_cells(np.ascontiguousarray(x1), rows, columns, out)
    return out


def coverage(x1: U8, scale: int, classes: int) -> U8:
    """(K+1, H/S, W/S) uint8 pixel counts per class; plane K counts the ignored. S*S <= 64 always fits."""
    out = np.zeros((classes + 1, x1.shape[0] // scale, x1.shape[1] // scale), np.uint8)
    _count_cells(np.ascontiguousarray(x1), scale, classes, out)
    return out


def _majorities(labels: U8, lut: U8, scales: Sequence[int]) -> Targets:
    height, width = labels.shape
    if height % 8 or width % 8:
        x1, histogram = remap(labels, lut)
        return Targets({scale: downscale(x1, scale, "majority", 0) for scale in scales}, histogram)
    maps = {scale: np.empty((height // scale, width // scale), np.uint8) for scale in SCALES}
    histogram = np.zeros(256, np.int64)
    _fused(labels, lut, maps[1], maps[2], maps[4], maps[8], histogram)
    return Targets({scale: maps[scale] for scale in scales}, histogram)


# ---- kernels: one pass over the labels, without the interpreter lock ---------------------------------------


@numba.njit(cache=True, nogil=True)
def _remap(labels: Any, lut: Any, x1: Any, histogram: Any) -> None:
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            code = labels[y, x]
            histogram[code] += 1
            x1[y, x] = lut[code]


@numba.njit(cache=True, nogil=True)
def _majority_cells(x1: Any, rows: int, columns: int, out: Any) -> None:
    counts = np.zeros(256, np.int64)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            best, most = 255, 0
            for y in range(i * rows, (i + 1) * rows):
                for x in range(j * columns, (j + 1) * columns):
                    code = x1[y, x]
                    counts[code] += 1
                    if counts[code] > most or (counts[code] == most and code < best):
                        best, most = code, counts[code]
            out[i, j] = best
            for y in range(i * rows, (i + 1) * rows):
                for x in range(j * columns, (j + 1) * columns):
                    counts[x1[y, x]] = 0


@numba.njit(cache=True, nogil=True)
def _count_cells(x1: Any, scale: int, classes: int, out: Any) -> None:
    for y in range(out.shape[1] * scale):
        for x in range(out.shape[2] * scale):
            out[min(x1[y, x], classes), y // scale, x // scale] += 1


@numba.njit(cache=True, nogil=True)
def _fused(labels: Any, lut: Any, x1: Any, x2: Any, x4: Any, x8: Any, histogram: Any) -> None:
    """Remap, count and take all majorities at once. Most 8 x 8 blocks hold one code and cost 8 compares."""
    words, x1_words = labels.view(np.uint64), x1.view(np.uint64)  # (H, W/8): a row of a block is one word
    x2_words, x4_words = x2.view(np.uint32), x4.view(np.uint16)  # (H/2, W/8), (H/4, W/8): so it is in these
    ones = np.uint64(0x0101010101010101)
    ids, raws = np.empty(64, np.uint8), np.empty((8, 8), np.uint8)
    counts = np.zeros((4, 64), np.int64)  # per 4 x 4 quarter and distinct id
    for i in range(words.shape[0] // 8):
        for j in range(words.shape[1]):
            word = words[8 * i, j]
            code = word & np.uint64(0xFF)
            differs = word ^ (code * ones)
            for row in range(1, 8):
                differs |= words[8 * i + row, j] ^ word
            if differs == 0:
                histogram[code] += 64
                target = lut[code]
                filled = np.uint64(target) * ones
                x1_words[8 * i : 8 * i + 8, j] = filled
                x2_words[4 * i : 4 * i + 4, j] = np.uint32(filled & np.uint64(0xFFFFFFFF))
                x4_words[2 * i : 2 * i + 2, j] = np.uint16(filled & np.uint64(0xFFFF))
                x8[i, j] = target
                continue
            distinct = 0
            for y in range(8):
                for x in range(8):
                    raw = labels[8 * i + y, 8 * j + x]
                    histogram[raw] += 1
                    value = lut[raw]
                    x1[8 * i + y, 8 * j + x] = value
                    raws[y, x] = value
                    slot = 0
                    while slot < distinct and ids[slot] != value:
                        slot += 1
                    if slot == distinct:
                        ids[slot] = value
                        counts[:, slot] = 0
                        distinct += 1
                    counts[(y >> 2) * 2 + (x >> 2), slot] += 1
            for quarter in range(4):
                x4[2 * i + (quarter >> 1), 2 * j + (quarter & 1)] = _most(ids, counts[quarter], distinct)
            counts[0] += counts[1] + counts[2] + counts[3]
            x8[i, j] = _most(ids, counts[0], distinct)
            for y in range(4):
                for x in range(4):
                    x2[4 * i + y, 4 * j + x] = _most_of_four(
                        raws[2 * y, 2 * x],
                        raws[2 * y, 2 * x + 1],
                        raws[2 * y + 1, 2 * x],
                        raws[2 * y + 1, 2 * x + 1],
                    )


@numba.njit(cache=True, nogil=True)
def _most(ids: Any, counts: Any, distinct: int) -> Any:
    best, most = ids[0], counts[0]
    for slot in range(1, distinct):
        if counts[slot] > most or (counts[slot] == most and ids[slot] < best):
            best, most = ids[slot], counts[slot]
    return best


@numba.njit(cache=True, nogil=True)
def _most_of_four(a: Any, b: Any, c: Any, d: Any) -> Any:
    """A pair wins unless the other two are a pair of a smaller id; without a pair the smallest wins."""
    if a == b:
        return min(a, c) if c == d else a
    if c == d:
        return c
    if a == c:
        return min(a, b) if b == d else a
    if b == d:
        return b
    if a == d:
        return min(a, b) if b == c else a
    if b == c:
        return b
    return min(min(a, b), min(c, d))  # noqa: PLW3301 numba's min takes two
