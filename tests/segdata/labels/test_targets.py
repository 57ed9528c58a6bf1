"""Targets against naive loops, and the algebra of their rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segdata.labels.targets import IDENTITY, coverage, downscale, majority, make_targets
from segdata.making.convert import fitted, resized_image, resized_labels

U8 = NDArray[np.uint8]


def naive_majority(x1: U8, rows: int, columns: int) -> U8:
    """The definition: count every cell, the first maximum wins."""
    out = np.empty((x1.shape[0] // rows, x1.shape[1] // columns), np.uint8)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            cell = x1[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
            out[i, j] = np.bincount(cell.ravel(), minlength=256).argmax()
    return out


@st.composite
def label_maps(draw: st.DrawFn) -> U8:
    """Blocky maps with some noise and some ignored pixels; sides are multiples of 8 in half of the cases."""
    unit = draw(st.sampled_from([8, 4]))
    shape = draw(st.integers(1, 5)) * unit, draw(st.integers(1, 5)) * unit
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    block = draw(st.sampled_from([1, 3, 8]))
    coarse = rng.integers(0, draw(st.sampled_from([2, 5, 40])), (-(-shape[0] // block), -(-shape[1] // block)))
    labels = coarse.repeat(block, 0).repeat(block, 1)[: shape[0], : shape[1]].astype(np.uint8)
    labels[rng.random(shape) < draw(st.sampled_from([0, 0.02, 0.5]))] = 255
    return labels


@settings(max_examples=60, deadline=None)
@given(label_maps(), st.integers(0, 2**32))
def test_majority_equals_the_naive_loop(labels: U8, seed: int) -> None:
    """The fused pass, its fallback and their histogram agree with counting, for any lookup table."""
    lut = np.random.default_rng(seed).integers(0, 30, 256).astype(np.uint8)
    scales = (1, 2, 4, 8) if all(side % 8 == 0 for side in labels.shape) else (1, 2, 4)
    made = make_targets(labels, lut, scales, "majority", 30)
    assert np.array_equal(made.histogram, np.bincount(labels.ravel(), minlength=256))
    for scale in scales:
        assert np.array_equal(made.maps[scale], naive_majority(lut[labels], scale, scale)), scale


@settings(max_examples=30, deadline=None)
@given(label_maps())
def test_coverage_counts_and_composes(labels: U8) -> None:
    """Counts sum to S*S, adding 2 x 2 cells of x2 gives x4, and the most covered class is the majority."""
    by_scale = {scale: coverage(labels, scale, 40).astype(int) for scale in (2, 4)}
    for scale, counts in by_scale.items():
        assert (counts.sum(0) == scale * scale).all()
        ids = counts.argmax(0)
        assert np.array_equal(np.where(ids == 40, 255, ids), majority(labels, scale, scale))
    x2 = by_scale[2]
    assert np.array_equal(x2[:, ::2, ::2] + x2[:, 1::2, ::2] + x2[:, ::2, 1::2] + x2[:, 1::2, 1::2], by_scale[4])


def test_majority_of_majorities_is_not_the_majority() -> None:
    """x4 is counted on x1: three quarters won by a pair of 2 do not outweigh seven pixels of 0."""
    quarter, empty = np.array([[2, 2], [0, 1]], np.uint8), np.zeros((2, 2), np.uint8)
    x1 = np.block([[quarter, quarter], [quarter, empty]])
    assert majority(majority(x1, 2, 2), 2, 2) == 2
    assert majority(x1, 4, 4) == 0


def test_ties_go_to_the_smallest_id_and_ignore_loses() -> None:
    """2 x 2 cells with every kind of tie."""
    cells = {(7, 7, 3, 3): 3, (255, 255, 9, 9): 9, (4, 3, 2, 1): 1, (255, 255, 255, 0): 255, (255, 7, 255, 8): 255}
    for values, expected in cells.items():
        assert majority(np.array(values, np.uint8).reshape(2, 2), 2, 2)[0, 0] == expected


def test_stride_is_the_top_left_pixel() -> None:
    """Rule `stride` is labels[::s, ::s] of the mapped labels."""
    labels = np.random.default_rng(0).integers(0, 20, (16, 24)).astype(np.uint8)
    made = make_targets(labels, IDENTITY, (1, 4), "stride", 20)
    assert np.array_equal(made.maps[4], labels[::4, ::4])
    assert np.array_equal(downscale(labels, 4, "stride", 20), labels[::4, ::4])


@pytest.mark.parametrize("size", [(32, 64), (16, 16), (24, 40)])
def test_resizing_labels(size: tuple[int, int]) -> None:
    """Whole factors go by majority, others by the pixel that holds the new pixel's centre."""
    x1 = np.random.default_rng(1).integers(0, 5, (64, 128)).astype(np.uint8)
    got = resized_labels(x1, size, size)
    if 64 % size[0] == 0 and 128 % size[1] == 0:
        expected = naive_majority(x1, 64 // size[0], 128 // size[1])
    else:
        rows = [int((i + 0.5) * 64 / size[0]) for i in range(size[0])]
        columns = [int((j + 0.5) * 128 / size[1]) for j in range(size[1])]
        expected = x1[np.ix_(rows, columns)]
    assert np.array_equal(got, expected)


def test_pad_and_crop() -> None:
    """Padding adds ignored labels and black pixels at bottom and right, cropping takes from there."""
    x1, image = np.ones((5, 6), np.uint8), np.ones((5, 6, 3), np.uint8)
    shape = fitted((5, 6), "pad", 8)
    assert shape == (8, 8)
    assert (resized_labels(x1, None, shape) == 255).sum() == 64 - 30
    assert resized_image(image, None, shape).sum() == 90
    assert fitted((13, 22), "crop", 8) == (8, 16)
    assert fitted((13, 22), "", 8) is None
