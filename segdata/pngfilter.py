"""PNG's five row filters: undone at memory speed where the arithmetic allows it, and filter Up applied.

The letters are those of the standard (PNG, third edition, section 9): `a` is the byte one pixel to the left,
`b` the one above, `c` the one above `a`; all sums are modulo 256. Every kernel releases the interpreter lock.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

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

    Returns the first row whose filter code is not one of the five, or -1.
    """
    above = np.zeros(rows.shape[1], np.uint8)
    for y in range(rows.shape[0]):
        code = filtered[y, 0]
        line = filtered[y, 1 : 1 + rows.shape[1]]
        row = rows[y]
        if code == NONE:
            for x in range(row.size):  # a loop is three times faster here than numba's slice assignment
                row[x] = line[x]
        elif code == UP:
            for x in range(row.size):
                row[x] = line[x] + above[x]
        elif code > PAETH:
            return y
        elif step == 3:
            _undo_rgb(code, line, above, row)
        elif step == 1 and code == PAETH:
            _undo_paeth_grey(line, above, row)
        else:
            _undo_any(code, line, above, row, step)
        above = row
    return -1


@njit(nogil=True, cache=True)
def _undo_rgb(code: int, line: Bytes, above: Bytes, row: Bytes) -> None:
    """Sub, Average or Paeth; the three channels in step, so that their chains of sums overlap in time."""
    a0 = a1 = a2 = c0 = c1 = c2 = np.int64(0)
    if code == SUB:
        for x in range(0, row.size, 3):
            a0, a1, a2 = (line[x] + a0) & 255, (line[x + 1] + a1) & 255, (line[x + 2] + a2) & 255
            row[x], row[x + 1], row[x + 2] = a0, a1, a2
    elif code == AVERAGE:
        for x in range(0, row.size, 3):
            a0 = (line[x] + ((a0 + above[x]) >> 1)) & 255
            a1 = (line[x + 1] + ((a1 + above[x + 1]) >> 1)) & 255
            a2 = (line[x + 2] + ((a2 + above[x + 2]) >> 1)) & 255
            row[x], row[x + 1], row[x + 2] = a0, a1, a2
    else:
        for x in range(0, row.size, 3):
            b0, b1, b2 = np.int64(above[x]), np.int64(above[x + 1]), np.int64(above[x + 2])
            a0 = (line[x] + _paeth(a0, b0, c0)) & 255
            a1 = (line[x + 1] + _paeth(a1, b1, c1)) & 255
            a2 = (line[x + 2] + _paeth(a2, b2, c2)) & 255
            row[x], row[x + 1], row[x + 2] = a0, a1, a2
            c0, c1, c2 = b0, b1, b2


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
                a = (line[i] + _paeth(a, b, c)) & 255
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
def _undo_any(code: int, line: Bytes, above: Bytes, row: Bytes, step: int) -> None:
    """Sub, Average or Paeth at any distance between pixels, one byte of the pixel after the other."""
    for first in range(step):
        a = c = np.int64(0)
        for x in range(first, row.size, step):
            b = np.int64(above[x])
            if code == SUB:
                a = (line[x] + a) & 255
            elif code == AVERAGE:
                a = (line[x] + ((a + b) >> 1)) & 255
            else:
                a = (line[x] + _paeth(a, b, c)) & 255
            row[x] = a
            c = b


@njit(nogil=True, cache=True)
def _paeth(a: np.int64, b: np.int64, c: np.int64) -> np.int64:
    """Of `a`, `b`, `c` the nearest to a + b - c, ties in this order; without branches or absolute values.

    The form of stb_image: the larger of `a` and `b` where `c` is far below, the smaller where far above,
    else `c`. Twice as fast as the standard's wording.
    """
    threshold = 3 * c - a - b
    low, high = min(a, b), max(a, b)
    above = low if high <= threshold else c
    return high if threshold <= low else above
