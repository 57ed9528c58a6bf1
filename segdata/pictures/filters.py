"""PNG's five row filters: undone at memory speed where the arithmetic allows it, and filter Up applied.

The letters are those of the standard (PNG, third edition, section 9): `a` is the byte one pixel to the left,
`b` the one above, `c` the one above `a`; all sums are modulo 256. Every kernel releases the interpreter lock.
"""

import numpy as np
from numpy.typing import NDArray

from segdata.base.kernels import kernel
from segdata.pictures.wavefront import LANE, ROWS, advance

Bytes = NDArray[np.uint8]

NONE, SUB, UP, AVERAGE, PAETH = range(5)
RUN = 16  # pixels looked at together in a label map; 8 and 32 are a tenth slower


def apply_up(rows: Bytes) -> Bytes:
    """Filter every row of `rows` (H, N) by Up: (H, 1 + N), each led by its filter code."""
    filtered = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = UP
    filtered[:1, 1:] = rows[:1]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered


def unfilter(filtered: Bytes, rows: Bytes, step: int) -> int:
    """Undo the filters of `filtered` (H, 1 + M) into `rows` (H, N), N <= M; pixels are `step` bytes apart.

    Both have their bytes without gaps. Returns the first row whose filter code is not one of the five, or -1.
    """
    wrong = np.flatnonzero(filtered[:, 0] > PAETH)
    if wrong.size:
        return int(wrong[0])
    _undo(filtered, rows, step, np.zeros((1, rows.shape[1]), np.uint8), np.empty((PAETH, ROWS, LANE), np.uint8))
    return -1


@kernel("void(Array(uint8, 2, 'C', True), uint8[:, ::1], int64, uint8[:, ::1], uint8[:, :, ::1])")
def _undo(filtered: Bytes, rows: Bytes, step: int, zeros: Bytes, masks: Bytes) -> None:
    """`zeros` (1, N) stand above the first row; `masks` is room for those of a wavefront."""
    height = rows.shape[0]
    if height:
        _undo_row(filtered, zeros, 0, rows, 0, step)
    y = 1
    while y < height:
        if y <= height - ROWS and _is_for_wavefront(filtered, y, rows.shape[1], step):
            _undo_wavefront(filtered, rows, y, step, masks)
            y += ROWS
        else:
            _undo_row(filtered, rows, y - 1, rows, y, step)
            y += 1


@kernel("boolean(Array(uint8, 2, 'C', True), int64, int64, int64)")
def _is_for_wavefront(filtered: Bytes, y: int, row_bytes: int, step: int) -> bool:
    """Whether pixels and rows have the size for it; None and Up are quicker along the row."""
    chained = False
    for k in range(ROWS):
        code = filtered[y + k, 0]
        chained |= code != NONE and code != UP  # noqa: PLR1714  numba compiles a tuple for `in`
    return chained and (step == 3 or step == 4) and row_bytes >= 3 * ROWS * step  # noqa: PLR1714


@kernel("void(Array(uint8, 2, 'C', True), uint8[:, ::1], int64, int64, uint8[:, :, ::1])")
def _undo_wavefront(filtered: Bytes, rows: Bytes, y: int, step: int, masks: Bytes) -> None:
    """Rows y to y + 7. Each begins and ends alone: at first row k is k pixels behind, and stops k pixels short."""
    width = rows.shape[1] // step
    count = width - ROWS - 1  # up to the last pixel but one: behind the last there is no byte to spare
    for k in range(ROWS):
        code = filtered[y + k, 0]
        for kind in range(PAETH):
            for i in range(LANE):
                masks[kind, k, i] = 255 if code == kind + 1 else 0
        _undo_part(filtered, rows, y + k - 1, rows, y + k, step, 0, (ROWS - k) * step)
    advance(
        np.uintp(filtered.ctypes.data + y * filtered.strides[0] + 1 + ROWS * step),
        np.uintp(rows.ctypes.data + y * rows.strides[0] + ROWS * step),
        np.uintp(masks.ctypes.data),
        filtered.strides[0],
        rows.strides[0],
        step,
        count,
    )
    for k in range(ROWS):
        first = (ROWS - k + count) * step
        _undo_part(filtered, rows, y + k - 1, rows, y + k, step, first, rows.shape[1])


@kernel("void(Array(uint8, 2, 'C', True), uint8[:, ::1], int64, uint8[:, ::1], int64, int64)")
def _undo_row(filtered: Bytes, above: Bytes, y_above: int, rows: Bytes, y: int, step: int) -> None:
    """Row y, of which row `y_above` of `above` is the one before."""
    code = filtered[y, 0]
    if code == NONE:
        for x in range(rows.shape[1]):  # a loop is three times faster here than numba's slice assignment
            rows[y, x] = filtered[y, 1 + x]
    elif code == UP:
        for x in range(rows.shape[1]):
            rows[y, x] = filtered[y, 1 + x] + above[y_above, x]
    elif step == 1 and code == PAETH:
        _undo_paeth_grey(filtered, above, y_above, rows, y)
    else:
        _undo_part(filtered, above, y_above, rows, y, step, 0, rows.shape[1])


@kernel("void(Array(uint8, 2, 'C', True), uint8[:, ::1], int64, uint8[:, ::1], int64, int64, int64, int64)")
def _undo_part(
    filtered: Bytes, above: Bytes, y_above: int, rows: Bytes, y: int, step: int, first: int, stop: int
) -> None:
    """Any filter at any distance between pixels: bytes `first` to `stop` of a row, one after the other."""
    code = filtered[y, 0]
    for x in range(first, stop):
        b = np.int64(above[y_above, x])
        a = np.int64(rows[y, x - step]) if x >= step else np.int64(0)
        c = np.int64(above[y_above, x - step]) if x >= step else np.int64(0)
        if code == NONE:
            predicted = np.int64(0)
        elif code == SUB:
            predicted = a
        elif code == UP:
            predicted = b
        elif code == AVERAGE:
            predicted = (a + b) >> 1
        else:
            predicted = paeth(a, b, c)
        rows[y, x] = filtered[y, 1 + x] + predicted


@kernel("void(Array(uint8, 2, 'C', True), uint8[:, ::1], int64, uint8[:, ::1], int64)")
def _undo_paeth_grey(filtered: Bytes, above: Bytes, y_above: int, rows: Bytes, y: int) -> None:
    """Paeth at one byte a pixel; runs of zeros, of which label maps are full, are copied from above.

    For where a = c, the predictor is b whatever their value, and after a zero the next a and c are equal too.
    """
    a = c = np.int64(0)
    x = 0
    while x < rows.shape[1]:
        end = min(x + RUN, rows.shape[1])
        seen = np.uint8(1)
        if a == c and end - x == RUN:
            seen = np.uint8(0)
            for i in range(1 + x, 1 + x + RUN):  # no early exit, so that they are compared as one word
                seen |= filtered[y, np.uint64(i)]  # not negative: numba would look, and compare byte by byte
        if seen == 0:
            for i in range(x, x + RUN):
                rows[y, np.uint64(i)] = above[y_above, np.uint64(i)]
        else:
            for i in range(x, end):
                b = np.int64(above[y_above, i])
                a = (filtered[y, 1 + i] + paeth(a, b, c)) & 255
                rows[y, i] = a
                c = b
        x = end


@kernel("int64(int64, int64, int64)")
def paeth(a: np.int64, b: np.int64, c: np.int64) -> np.int64:
    """Of `a`, `b`, `c` the nearest to a + b - c, ties in this order; without branches or absolute values.

    The form of stb_image: the larger of `a` and `b` where `c` is far below, the smaller where far above,
    else `c`. Twice as fast as the standard's wording.
    """
    threshold = 3 * c - a - b
    low, high = min(a, b), max(a, b)
    above = low if high <= threshold else c
    return high if threshold <= low else above
