"""Label maps to targets at x1, x2, x4, x8: pure functions on uint8 arrays.

A target of scale S has 1/S of the height and width. Rules:
`majority`  the class with most pixels in the S x S cell of x1; ties go to the smallest id, so 255 (ignore) loses
`stride`    the cell's top-left pixel, as the TAS500 experiments did
`coverage`  how many pixels of each class a cell has; the counts sum to S*S
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segdata.base.arrays import U8
from segdata.base.kernels import kernel

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
    labels = np.ascontiguousarray(labels)
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
    _majority_cells(np.ascontiguousarray(x1), rows, columns, out, np.zeros(256, np.int64))
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
    words = [labels.view(np.uint64), maps[1].view(np.uint64), maps[2].view(np.uint32), maps[4].view(np.uint16)]
    blocks = np.empty(64, np.uint8), np.zeros((4, 64), np.int64)
    _fused(labels, lut, maps[1], maps[2], maps[4], maps[8], *words, histogram, *blocks)
    return Targets({scale: maps[scale] for scale in scales}, histogram)


# ---- kernels: one pass over the labels, without the interpreter lock ---------------------------------------


@kernel("void(Array(uint8, 2, 'C', True), Array(uint8, 1, 'C', True), uint8[:, ::1], int64[::1])")
def _remap(labels: Any, lut: Any, x1: Any, histogram: Any) -> None:
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            code = labels[y, x]
            histogram[code] += 1
            x1[y, x] = lut[code]


@kernel("void(Array(uint8, 2, 'C', True), int64, int64, uint8[:, ::1], int64[::1])")
def _majority_cells(x1: Any, rows: int, columns: int, out: Any, counts: Any) -> None:
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


@kernel("void(Array(uint8, 2, 'C', True), int64, int64, uint8[:, :, ::1])")
def _count_cells(x1: Any, scale: int, classes: int, out: Any) -> None:
    for y in range(out.shape[1] * scale):
        for x in range(out.shape[2] * scale):
            out[min(x1[y, x], classes), y // scale, x // scale] += 1


@kernel(
    "void(Array(uint8, 2, 'C', True), Array(uint8, 1, 'C', True), uint8[:, ::1], uint8[:, ::1], uint8[:, ::1],"
    "uint8[:, ::1], Array(uint64, 2, 'C', True), uint64[:, ::1], uint32[:, ::1], uint16[:, ::1], int64[::1], "
    "uint8[::1], int64[:, ::1])"
)
def _fused(  # noqa: PLR0912  one pass: calls inside it would be compiled one by one
    labels: Any,
    lut: Any,
    x1: Any,
    x2: Any,
    x4: Any,
    x8: Any,
    words: Any,  # of labels: (H, W/8), a row of a block is one word
    x1_words: Any,
    x2_words: Any,  # (H/2, W/8), and (H/4, W/8): so it is in these
    x4_words: Any,
    histogram: Any,
    ids: Any,  # (64,) distinct ids of a block
    counts: Any,  # (4, 64) zeros: per 4 x 4 quarter and distinct id
) -> None:
    """Remap, count and take all majorities at once. Most 8 x 8 blocks hold one code and cost 8 compares."""
    ones = np.uint64(0x0101010101010101)
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
                for row in range(8):
                    x1_words[8 * i + row, j] = filled
                for row in range(4):
                    x2_words[4 * i + row, j] = np.uint32(filled & np.uint64(0xFFFFFFFF))
                for row in range(2):
                    x4_words[2 * i + row, j] = np.uint16(filled & np.uint64(0xFFFF))
                x8[i, j] = target
                continue
            distinct = 0
            for y in range(8):
                for x in range(8):
                    raw = labels[8 * i + y, 8 * j + x]
                    histogram[raw] += 1
                    value = lut[raw]
                    x1[8 * i + y, 8 * j + x] = value
                    slot = 0
                    while slot < distinct and ids[slot] != value:
                        slot += 1
                    if slot == distinct:
                        ids[slot] = value
                        for quarter in range(4):
                            counts[quarter, slot] = 0
                        distinct += 1
                    counts[(y >> 2) * 2 + (x >> 2), slot] += 1
            for quarter in range(4):
                x4[2 * i + (quarter >> 1), 2 * j + (quarter & 1)] = _most(ids, counts, quarter, distinct)
            for slot in range(distinct):
                counts[0, slot] += counts[1, slot] + counts[2, slot] + counts[3, slot]
            x8[i, j] = _most(ids, counts, 0, distinct)
            for y in range(4):
                for x in range(4):
                    top, left = 8 * i + 2 * y, 8 * j + 2 * x
                    x2[4 * i + y, 4 * j + x] = _most_of_four(
                        x1[top, left], x1[top, left + 1], x1[top + 1, left], x1[top + 1, left + 1]
                    )


@kernel("uint8(uint8[::1], int64[:, ::1], int64, int64)")
def _most(ids: Any, counts: Any, quarter: int, distinct: int) -> Any:
    best, most = ids[0], counts[quarter, 0]
    for slot in range(1, distinct):
        count = counts[quarter, slot]
        if count > most or (count == most and ids[slot] < best):
            best, most = ids[slot], count
    return best


@kernel("uint8(uint8, uint8, uint8, uint8)")
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
