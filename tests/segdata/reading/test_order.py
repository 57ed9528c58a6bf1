"""The keyed permutation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdata.reading.order import Permutation


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(0, 2**40), st.integers(0, 10**6))
def test_it_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    """Every number once; single positions, slices and iteration agree."""
    order = Permutation(n, seed, epoch)
    values = list(order)
    assert sorted(values) == list(range(n))
    assert [order[i] for i in (0, n // 2, n - 1)] == [values[i] for i in (0, n // 2, n - 1)]
    assert order[n // 3 :] == values[n // 3 :]


def test_it_depends_on_seed_and_epoch_alone() -> None:
    """Equal for equal (seed, epoch, n), unlike for others; pinned, since runs are resumed by it."""
    assert list(Permutation(100, 1, 2)) == list(Permutation(100, 1, 2))
    assert list(Permutation(100, 1, 2)) != list(Permutation(100, 1, 3))
    assert list(Permutation(100, 1, 2)) != list(Permutation(100, 2, 2))
    assert list(Permutation(10, 0, 0)) == [5, 4, 2, 6, 8, 1, 7, 3, 0, 9]


@pytest.mark.parametrize("n", [3, 8, 33])
def test_every_value_reaches_every_position(n: int) -> None:
    """Over 3,000 epochs each of the n*n (position, value) counts stays within 6 sigma of uniform."""
    rounds = 3000
    counts = np.zeros((n, n))
    for epoch in range(rounds):
        counts[np.arange(n), list(Permutation(n, 7, epoch))] += 1
    expected, sigma = rounds / n, np.sqrt(rounds / n * (1 - 1 / n))
    assert np.abs(counts - expected).max() < 6 * sigma


def test_a_position_costs_no_array() -> None:
    """A position of an order of 10**12 is computed by itself."""
    order = Permutation(10**12, 0, 0)
    assert len({order[i] for i in range(100)}) == 100


def test_outside_is_an_index_error() -> None:
    """Positions beyond the end raise, negative ones count from the end."""
    order = Permutation(5, 0)
    assert order[-1] == list(order)[4]
    with pytest.raises(IndexError, match="position 5 of an order of 5"):
        order[5]
