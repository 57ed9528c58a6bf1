"""Eight rows at once against the standard's formulas, one byte after the other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segdata.pictures.filters import unfilter
from segdata.pictures.wavefront import ROWS

Bytes = NDArray[np.uint8]


def one_by_one(filtered: Bytes, step: int) -> Bytes:
    """Section 9.2 of the standard, word by word, over (H, 1 + N)."""
    rows = np.zeros((len(filtered), filtered.shape[1] - 1), int)
    for y, line in enumerate(filtered.astype(int)):
        for x, value in enumerate(line[1:]):
            a = rows[y, x - step] if x >= step else 0
            b = rows[y - 1, x] if y else 0
            c = rows[y - 1, x - step] if y and x >= step else 0
            distances = [abs(a + b - c - each) for each in (a, b, c)]
            paeth = (a, b, c)[distances.index(min(distances))]
            rows[y, x] = (value + (0, a, b, (a + b) // 2, paeth)[line[0]]) % 256
    return rows.astype(np.uint8)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 6, 8])
@given(seed=st.integers(0, 2**32), height=st.integers(1, 3 * ROWS), width=st.integers(1, 5 * ROWS))
@settings(deadline=None, max_examples=25)
def test_any_filters_in_any_order(step: int, seed: int, height: int, width: int) -> None:
    """Rows of any filters, one after the other, around the sizes where the wavefront begins and ends."""
    rng = np.random.default_rng(seed)
    filtered = rng.integers(0, rng.choice([3, 256]), (height, 1 + width * step)).astype(np.uint8)
    filtered[:, 0] = rng.integers(0, 5, height)
    columns = int(rng.integers(1, width + 1)) * step  # only the first of a row may be wanted
    rows = np.empty((height, columns), np.uint8)
    assert unfilter(filtered, rows, step) == -1
    assert np.array_equal(rows, one_by_one(filtered, step)[:, :columns])


def test_every_paeth_prediction() -> None:
    """All 2^24 of left `a`, above `b`, corner `c`: rows of one colour under a row in which every pair follows."""
    words = [(i, j) if i < j else (i,) for i in range(256) for j in range(i, 256)]  # Lyndon words: in order, de Bruijn
    pairs = np.array([value for word in words for value in word] + [0], np.int16)
    b, c = pairs[1:, None], pairs[:-1, None]
    for first in range(0, 256, 4 * ROWS):
        picture = np.empty((2 * ROWS + 1, pairs.size, 4), np.uint8)  # every pixel tries four values of `a`
        picture[::2] = pairs[:, None].astype(np.uint8)
        picture[1::2] = np.arange(first, first + 4 * ROWS).reshape(ROWS, 1, 4)
        filtered = np.zeros((len(picture), 1 + 4 * pairs.size), np.uint8)
        filtered[:, 1:] = picture.reshape(len(picture), -1)
        filtered[1::2, 0] = 4
        for line, row in zip(filtered[1::2], picture[1::2], strict=True):
            a = row[0].astype(np.int16)
            to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
            nearest = np.where((to_a <= to_b) & (to_a <= to_c), a, np.where(to_b <= to_c, b, c))
            line[5:] = (row[1:] - nearest).astype(np.uint8).reshape(-1)
            line[1:5] = a - pairs[0]  # the first pixel's prediction is what is above it
        rows = np.empty((len(picture), 4 * pairs.size), np.uint8)
        assert unfilter(filtered, rows, 4) == -1
        assert np.array_equal(rows, picture.reshape(rows.shape))


@pytest.mark.parametrize("step", [3, 4])
def test_touches_nothing_around(step: int) -> None:
    """Rows inside a larger buffer: no byte around them changes, though the vectors are wider than a pixel."""
    rng = np.random.default_rng(step)
    filtered = rng.integers(0, 256, (2 * ROWS + 1, 1 + 50 * step)).astype(np.uint8)
    filtered[:, 0] = rng.integers(0, 5, len(filtered))
    buffer = np.full(len(filtered) * 50 * step + 32, 7, np.uint8)
    rows = buffer[16:-16].reshape(len(filtered), -1)
    assert unfilter(filtered, rows, step) == -1
    assert np.array_equal(rows, one_by_one(filtered, step))
    assert (buffer[:16] == 7).all()
    assert (buffer[-16:] == 7).all()
