"""PNG's five row filters: undone at memory speed where the arithmetic allows it, and filter Up applied.

The letters are those of the standard (PNG, third edition, section 9): `a` is the byte one pixel to the left,
`b` the one above, `c` the one above `a`; all sums are modulo 256. Every kernel releases the interpreter lock.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

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


@njit(nogil=True, cache=True)
def unfilter(filtered: Bytes, rows: Bytes, step: int) -> int:
    """Undo the filters of `filtered` (H, 1 + M) into `rows` (H, N), N <= M; pixels are `step` bytes apart.

    Both have their bytes without gaps in a row. Returns the first row whose filter code is not one of the five, or -1.
    """
    for y in range(rows.shape[0]):
        if filtered[y, 0] > PAETH:
            return y
    above = np.zeros(rows.shape[1], np.uint8)
    y = 0
    while y < rows.shape[0]:
        if 0 < y <= rows.shape[0] - ROWS and _is_for_wavefront(filtered[y : y + ROWS, 0], rows.shape[1], step):
            _undo_wavefront(filtered[y : y + ROWS], rows, y, step)
            y += ROWS
        else:
            _undo_row(filtered[y, 0], filtered[y, 1 : 1 + rows.shape[1]], above, rows[y], step)
            y += 1
        above = rows[y - 1]
    return -1


@njit(nogil=True, cache=True)
def _is_for_wavefront(codes: Bytes, row_bytes: int, step: int) -> bool:
    """Whether pixels and rows have the size for it; None and Up are quicker along the row."""
    chained = False
    for code in codes:
        chained |= code not in (NONE, UP)
    return chained and step in (3, 4) and row_bytes >= 3 * ROWS * step


@njit(nogil=True, cache=True)
def _undo_wavefront(filtered: Bytes, rows: Bytes, y: int, step: int) -> None:
    """Rows y to y + 7. Each begins and ends alone: at first row k is k pixels behind, and stops k pixels short."""
    width = rows.shape[1] // step
    count = width - ROWS - 1  # up to the last pixel but one: behind the last there is no byte to spare
    masks = np.zeros((PAETH, ROWS, LANE), np.uint8)
    for k in range(ROWS):
        if filtered[k, 0] != NONE:
            masks[filtered[k, 0] - 1, k] = 255
        _undo_part(filtered[k, 0], filtered[k, 1:], rows[y + k - 1], rows[y + k], step, 0, (ROWS - k) * step)
    advance(
        np.uintp(filtered[0, 1 + ROWS * step :].ctypes.data),
        np.uintp(rows[y, ROWS * step :].ctypes.data),
        np.uintp(masks.ctypes.data),
        filtered.strides[0],
        rows.strides[0],
        step,
        count,  # type: ignore[call-arg]  # numba gives the first argument
    )
    for k in range(ROWS):
        first = (ROWS - k + count) * step
        _undo_part(filtered[k, 0], filtered[k, 1:], rows[y + k - 1], rows[y + k], step, first, rows.shape[1])


@njit(nogil=True, cache=True)
def _undo_row(code: int, line: Bytes, above: Bytes, row: Bytes, step: int) -> None:
    if code == NONE:
        for x in range(row.size):  # a loop is three times faster here than numba's slice assignment
            row[x] = line[x]
    elif code == UP:
        for x in range(row.size):
            row[x] = line[x] + above[x]
    elif step == 1 and code == PAETH:
        _undo_paeth_grey(line, above, row)
    else:
        _undo_part(code, line, above, row, step, 0, row.size)


@njit(nogil=True, cache=True)
def _undo_part(code: int, line: Bytes, above: Bytes, row: Bytes, step: int, first: int, stop: int) -> None:
    """Any filter at any distance between pixels: bytes `first` to `stop` of a row, one after the other."""
    for x in range(first, stop):
        b = np.int64(above[x])
        a = np.int64(row[x - step]) if x >= step else np.int64(0)
        c = np.int64(above[x - step]) if x >= step else np.int64(0)
        if code == NONE:
            row[x] = line[x]
        elif code == SUB:
            row[x] = line[x] + a
        elif code == UP:
            row[x] = line[x] + b
        elif code == AVERAGE:
            row[x] = line[x] + ((a + b) >> 1)
        else:
            row[x] = line[x] + paeth(a, b, c)


@njit(nogil=True, cache=True)
def _undo_paeth_grey(line: Bytes, above: Bytes, row: Bytes) -> None:
    """Paeth at one byte a pixel; runs of zeros, of which label maps are full, are copied from above.

    For where a = c, the predictor is b whatever their value, and after a zero the next a and c are equal too.
    """
    a = c = np.int64(0)
    x = 0
    while x < row.size:
        end = min(x + RUN, row.size)
        if a == c and end - x == RUN and _is_zero(line[x:end]):
            for i in range(x, x + RUN):
                row[i] = above[i]
        else:
            for i in range(x, end):
                b = np.int64(above[i])
                a = (line[i] + paeth(a, b, c)) & 255
                row[i] = a
                c = b
        x = end


@njit(nogil=True, cache=True)
def _is_zero(run: Bytes) -> bool:
    """Whether all RUN bytes are zero: no early exit, so that they are compared as one word."""
    seen = np.uint8(0)
    for i in range(RUN):
        seen |= run[i]
    return bool(seen == 0)


@njit(nogil=True, cache=True)
def paeth(a: np.int64, b: np.int64, c: np.int64) -> np.int64:
    """Of `a`, `b`, `c` the nearest to a + b - c, ties in this order; without branches or absolute values.

    The form of stb_image: the larger of `a` and `b` where `c` is far below, the smaller where far above,
    else `c`. Twice as fast as the standard's wording.
    """
    threshold = 3 * c - a - b
    low, high = min(a, b), max(a, b)
    above = low if high <= threshold else c
    return high if threshold <= low else above
