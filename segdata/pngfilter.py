"""PNG's five row filters, undone at memory speed where the arithmetic allows it, and filter Up applied.

Every kernel releases the interpreter lock. Bytes are those of PNG (third edition), section 9: `a` is the
byte to the left (one pixel back), `b` the one above, `c` the one above `a`; all sums are modulo 256.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

NONE, SUB, UP, AVERAGE, PAETH = range(5)


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

    Returns the first row whose filter code is not PNG's, or -1.
    """
    above = np.zeros(rows.shape[1], np.uint8)
    for y in range(rows.shape[0]):
        code = filtered[y, 0]
        line = filtered[y, 1 : 1 + rows.shape[1]]
        row = rows[y]
        if code == NONE:
            row[:] = line
        elif code == SUB:
            _undo_sub(line, row, step)
        elif code == UP:
            for x in range(row.size):
                row[x] = line[x] + above[x]
        elif code == AVERAGE:
            _undo_average(line, above, row, step)
        elif code == PAETH and step == 3:
            _undo_paeth_rgb(line, above, row)
        elif code == PAETH:
            _undo_paeth(line, above, row, step)
        else:
            return y
        above = row
    return -1


@njit(nogil=True, cache=True)
def _undo_sub(line: Bytes, row: Bytes, step: int) -> None:
    for channel in range(step):
        a = np.uint8(0)
        for x in range(channel, row.size, step):
            a = np.uint8(a + line[x])
            row[x] = a


@njit(nogil=True, cache=True)
def _undo_average(line: Bytes, above: Bytes, row: Bytes, step: int) -> None:
    for channel in range(step):
        a = np.int64(0)
        for x in range(channel, row.size, step):
            a = (line[x] + ((a + above[x]) >> 1)) & 255
            row[x] = a


@njit(nogil=True, cache=True)
def _undo_paeth(line: Bytes, above: Bytes, row: Bytes, step: int) -> None:
    for channel in range(step):
        a = np.int64(0)
        c = np.int64(0)
        for x in range(channel, row.size, step):
            b = np.int64(above[x])
            a = (line[x] + _paeth(a, b, c)) & 255
            row[x] = a
            c = b


@njit(nogil=True, cache=True)
def _undo_paeth_rgb(line: Bytes, above: Bytes, row: Bytes) -> None:
    """The three channels in step, so that their chains of dependent sums overlap in the processor."""
    a0 = a1 = a2 = c0 = c1 = c2 = np.int64(0)
    for x in range(0, row.size, 3):
        b0, b1, b2 = np.int64(above[x]), np.int64(above[x + 1]), np.int64(above[x + 2])
        a0 = (line[x] + _paeth(a0, b0, c0)) & 255
        a1 = (line[x + 1] + _paeth(a1, b1, c1)) & 255
        a2 = (line[x + 2] + _paeth(a2, b2, c2)) & 255
        row[x], row[x + 1], row[x + 2] = a0, a1, a2
        c0, c1, c2 = b0, b1, b2


@njit(nogil=True, cache=True, inline="always")
def _paeth(a: np.int64, b: np.int64, c: np.int64) -> np.int64:
    """Of `a`, `b`, `c` the nearest to a + b - c, ties in this order; without a branch or an absolute value.

    It is the smaller of `a` and `b` where c lies above both by enough, the larger where below, else `c`:
    stb_image's form of the rule, a third faster than the standard's.
    """
    threshold = 3 * c - a - b
    low, high = min(a, b), max(a, b)
    inner = low if high <= threshold else c
    return high if threshold <= low else inner
