"""Augmentation: image and labels move together, and what is drawn depends on the key alone."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from segdata.base.arrays import U8
from segdata.labels.targets import downscale
from segmodels.config.config import TrainConfig
from segmodels.data.augment import Augmentation, Draw, augmentation, draw

SIZE = (96, 160)
PALETTE = np.array([[40 * i, 255 - 40 * i, (90 * i) % 256] for i in range(6)], np.uint8)
FILL = (7, 99, 211)
EVERYTHING = Augmentation(
    (48, 64), scale=(0.5, 2.0), rotations=(15.0, 30.0), flip=True, vertical_flip=True, fill=FILL,
)  # fmt: skip


def scene(size: tuple[int, int] = SIZE, seed: int = 0) -> tuple[U8, U8]:
    """Labels of blobs, and the image that is painted from them: colour = palette[label]."""
    noise = np.random.default_rng(seed).normal(size=(*size, len(PALETTE)))
    labels = cv2.GaussianBlur(noise, (0, 0), 10).argmax(2).astype(np.uint8)
    return PALETTE[labels], labels


def crop(drawn: Draw, image: U8, labels: U8) -> tuple[U8, U8]:
    """Image and labels of a draw, from exactly the region that it asks for."""
    region = drawn.region(labels.shape)
    top, left, height, width = region
    part = slice(top, top + height), slice(left, left + width)
    return drawn.image(image[part], region), drawn.labels(labels[part], region)


def draws(how: Augmentation, count: int, size: tuple[int, int] = SIZE, grid: int = 1) -> list[Draw]:
    return [draw(how, 0, 0, f"frame{i}", size, grid) for i in range(count)]


def uniform(ids: U8) -> NDArray[np.bool_]:
    """Where all ids within two pixels are the same; never in the outer two rows and columns."""
    same = cv2.erode(ids, np.ones((5, 5))) == cv2.dilate(ids, np.ones((5, 5)))
    return np.pad(same[2:-2, 2:-2], 2)


def origin(drawn: Draw, x: float, y: float) -> tuple[float, float]:
    """Where the point (x, y) of a crop came from, step by step backwards: flips, turn, scale, window."""
    height, width = drawn.crop
    x, y = (width - x if drawn.flip else x), (height - y if drawn.vertical_flip else y)
    x, y = x - width / 2, y - height / 2
    angle = math.radians(drawn.angle)
    # Counter-clockwise as it is seen, with y downwards: the picture's right (1, 0) went to (cos, -sin).
    x, y = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
    x, y = x * drawn.window[3] / width, y * drawn.window[2] / height
    return drawn.window[1] + drawn.window[3] / 2 + x, drawn.window[0] + drawn.window[2] / 2 + y


# ---- what is drawn --------------------------------------------------------------------------------------


def test_a_draw_is_a_pure_function_of_seed_epoch_and_key() -> None:
    """Equal arguments, equal draws; a change of any of the three changes the draw."""
    first = draw(EVERYTHING, 3, 5, "a", SIZE)
    assert draw(EVERYTHING, 3, 5, "a", SIZE) == first
    others = [draw(EVERYTHING, *which, SIZE) for which in ((4, 5, "a"), (3, 6, "a"), (3, 5, "b"))]
    assert all(other != first for other in others)


def test_switching_one_parameter_changes_no_other() -> None:
    """Flips, colours and rotations each have their own number: the window stays where it was."""
    plain = Augmentation((48, 64), scale=(0.5, 2.0))
    more = Augmentation((48, 64), scale=(0.5, 2.0), rotations=(15.0,), flip=True, brightness=0.2)
    assert [d.window for d in draws(plain, 50)] == [d.window for d in draws(more, 50)]


def test_draws_spread_over_what_is_allowed() -> None:
    """1,000 draws: flips in about half, rotations to both sides in about half, factors and scales all over."""
    how = Augmentation((48, 64), False, (0.5, 2.0), (15.0, 30.0), True, True, 0.2, 0.3, 0.4)
    drawn = draws(how, 1000)
    for share in (d.flip for d in drawn), (d.vertical_flip for d in drawn), (d.angle != 0 for d in drawn):
        assert 440 < sum(share) < 560  # four standard deviations: 437 to 563
    for angle in (-30, -15, 15, 30):
        assert 80 < sum(d.angle == angle for d in drawn) < 170
    fewer = draws(replace(how, rotation_probability=0.4), 1000)
    assert 340 < sum(d.angle != 0 for d in fewer) < 460  # four standard deviations: 338 to 462
    assert all(few in (all_of, replace(all_of, angle=0.0)) for few, all_of in zip(fewer, drawn, strict=True))
    for values, low, high in (
        ([d.brightness for d in drawn], 0.8, 1.2),
        ([d.contrast for d in drawn], 0.7, 1.3),
        ([d.saturation for d in drawn], 0.6, 1.4),
        ([48 / d.window[2] for d in drawn], 0.5, 2.0),
    ):
        spread = high - low
        assert low - 0.02 <= min(values) < low + 0.05 * spread
        assert high - 0.05 * spread < max(values) <= high + 0.02
        assert abs(np.mean(values) - (low + high) / 2) < 0.05 * spread


def test_unscaled_windows_lie_on_the_grid_and_reach_every_place() -> None:
    """Every position on the grid of 8 is drawn, none outside the image, all about equally often."""
    drawn = draws(Augmentation((64, 64)), 2000, grid=8)
    places = [(d.window[0], d.window[1]) for d in drawn]
    grid = list(itertools.product(range(0, 33, 8), range(0, 97, 8)))
    counts = [places.count(place) for place in grid]
    assert sum(counts) == 2000
    assert min(counts) > 9  # 31 are expected, standard deviation 5.5
    assert all(d.window[2:] == (64, 64) for d in drawn)


def test_centre_crops_are_in_the_centre() -> None:
    """The room is the same on both sides, up to the grid."""
    (drawn,) = draws(Augmentation((64, 64), centre_crop=True), 1, grid=8)
    assert drawn.window == (16, 48, 64, 64)


def test_without_scale_a_smaller_image_lies_at_the_top_left() -> None:
    """A crop larger than the image (whole images, padded to a multiple) pads at the bottom and right."""
    image, labels = scene((40, 60))
    (drawn,) = draws(Augmentation((48, 64), fill=FILL), 1, (40, 60))
    padded, ids = crop(drawn, image, labels)
    assert np.array_equal(padded[:40, :60], image)
    assert np.array_equal(ids[:40, :60], labels)
    assert (ids[40:] == 255).all() and (ids[:, 60:] == 255).all()
    assert (padded[40:] == FILL).all() and (padded[:, 60:] == FILL).all()


def test_a_config_says_what_happens() -> None:
    """Every field that augmentation and TrainConfig share is taken over; the fill is the mean colour."""
    given = {
        "scale": (0.5, 3.0),
        "rotations": (5.0,),
        "rotation_probability": 0.3,
        "flip": False,
        "vertical_flip": True,
        "brightness": 0.1,
        "contrast": 0.3,
        "saturation": 0.4,
        "centre_crop": True,
    }
    config = TrainConfig("pspnet", Path(), Path(), crop=(8, 8), mean=(0.0, 0.5, 1.0), **given)  # type: ignore[arg-type]
    assert augmentation(config, (16, 24)) == Augmentation((16, 24), fill=(0, 128, 255), **given)  # type: ignore[arg-type]


# ---- what becomes of image and labels -------------------------------------------------------------------


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.3, 0.6), (0.5, 2.0), (1.7, 2.3)])
@pytest.mark.parametrize("rotations", [(), (15.0, 30.0)])
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True), (True, True)])
def test_image_and_labels_stay_aligned(
    scale: tuple[float, float], rotations: tuple[float, ...], flips: tuple[bool, bool]
) -> None:
    """An image painted from its labels still is after every augmentation, wherever labels are uniform around."""
    how = Augmentation((48, 64), False, scale, rotations, *flips, fill=FILL)
    image, labels = scene()
    for drawn in draws(how, 12):
        seen, ids = crop(drawn, image, labels)
        assert seen.shape == (48, 64, 3) and ids.shape == (48, 64)
        inside = uniform(ids)
        assert inside.mean() > 0.05
        painted = np.vstack([PALETTE, np.tile(FILL, (250, 1))])[ids]  # 6 … 255: the fill
        assert np.abs(painted[inside].astype(int) - seen[inside]).max() <= 1


@pytest.mark.parametrize(
    ("how", "tolerance"),
    [
        (Augmentation((48, 64), scale=(0.6, 2.5), flip=True), 0),
        (EVERYTHING, 0.02),  # OpenCV rounds where a turned pixel comes from: a border can lie one pixel off
    ],
)
def test_labels_are_those_of_a_naive_loop(how: Augmentation, tolerance: float) -> None:
    """Each crop pixel has the id of the image pixel that its centre came from, or 255 outside the image."""
    _, labels = scene()
    for drawn in draws(how, 6):
        _, ids = crop(drawn, scene()[0], labels)
        wrong = 0
        for row, column in itertools.product(range(48), range(64)):
            x, y = origin(drawn, column + 0.5, row + 0.5)
            inside = 0 <= x < SIZE[1] and 0 <= y < SIZE[0]
            wrong += ids[row, column] != (labels[int(y), int(x)] if inside else 255)
        assert wrong <= tolerance * ids.size


def test_turning_a_whole_image_ignores_the_corners() -> None:
    """By 30 degrees, the four corners come from outside: 255 and the fill colour there, nowhere else."""
    image, labels = scene()
    drawn = Draw(SIZE, (0, 0, *SIZE), angle=30.0, fill=FILL)
    seen, ids = crop(drawn, image, labels)
    outside = np.zeros(SIZE, bool)
    for row, column in itertools.product(range(SIZE[0]), range(SIZE[1])):
        x, y = origin(drawn, column + 0.5, row + 0.5)
        outside[row, column] = not (0 <= x < SIZE[1] and 0 <= y < SIZE[0])
    assert 0.15 < outside.mean() < 0.25
    assert all(outside[y, x] for y in (0, -1) for x in (0, -1))
    well_out, well_in = uniform(outside.astype(np.uint8)) & outside, uniform(outside.astype(np.uint8)) & ~outside
    assert (ids[well_out] == 255).all() and (seen[well_out] == FILL).all()
    assert (ids[well_in] != 255).all()


def test_counter_clockwise_is_what_opencv_calls_it() -> None:
    """A positive angle turns as cv2.getRotationMatrix2D does."""
    _, labels = scene((64, 64))
    matrix = cv2.getRotationMatrix2D((31.5, 31.5), 20.0, 1.0)
    expected = cv2.warpAffine(labels, matrix, (64, 64), flags=cv2.INTER_NEAREST, borderValue=255)
    _, ids = crop(Draw((64, 64), (0, 0, 64, 64), angle=20.0), PALETTE[labels], labels)
    assert (ids == expected).mean() > 0.98


def test_a_turned_crop_needs_nothing_outside_its_region() -> None:
    """Read whole or only there: the same labels, and the same image up to the last bit of a float."""
    image, labels = scene()
    for drawn in draws(EVERYTHING, 40):
        if drawn.angle:
            top, left, height, width = drawn.region(SIZE)
            assert top >= 0 and left >= 0 and top + height <= SIZE[0] and left + width <= SIZE[1]
            seen, ids = crop(drawn, image, labels)
            whole = (0, 0, *SIZE)
            assert np.abs(drawn.image(image, whole).astype(int) - seen).max() <= 1
            assert np.array_equal(drawn.labels(labels, whole), ids)


@pytest.mark.parametrize(("flip", "vertical_flip", "axes"), [(True, False, 1), (False, True, 0), (True, True, (0, 1))])
def test_flips_are_those_of_numpy(flip: bool, vertical_flip: bool, axes: int | tuple[int, int]) -> None:
    """A horizontal flip swaps left and right, a vertical one top and bottom, of image and labels."""
    image, labels = scene()
    seen, ids = crop(Draw(SIZE, (0, 0, *SIZE), flip=flip, vertical_flip=vertical_flip), image, labels)
    assert np.array_equal(seen, np.flip(image, axes))
    assert np.array_equal(ids, np.flip(labels, axes))


@pytest.mark.parametrize("factors", [(1.3, 1, 1), (1, 0.6, 1), (1, 1, 0.2), (0.8, 1.2, 1.4)])
def test_colours_are_those_of_the_textbook(factors: tuple[float, float, float]) -> None:
    """Brightness scales, contrast blends with the mean grey, saturation with each pixel's grey, in this order."""
    pixels = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8)
    brightness, contrast, saturation = factors
    grey = np.array([0.299, 0.587, 0.114])
    expected = pixels * brightness
    expected = contrast * expected + (1 - contrast) * (expected @ grey).mean()
    expected = saturation * expected + (1 - saturation) * (expected @ grey)[..., None]
    drawn = Draw(SIZE, (0, 0, *SIZE), 0.0, False, False, *factors)
    found = drawn.image(pixels, (0, 0, *SIZE))
    assert np.abs(found - expected.clip(0, 255)).max() < 0.8  # rounded, and the factors of the matrix are fixed-point


def test_colours_leave_the_fill_alone() -> None:
    """Outside the image the colour is the fill, whatever was drawn."""
    drawn = Draw((48, 64), (0, 0, 48, 64), brightness=1.2, contrast=0.8, fill=FILL)
    seen = drawn.image(scene((40, 64))[0], (0, 0, 40, 64))
    assert (seen[40:] == FILL).all()
    assert (seen[:40] != FILL).any()


# ---- targets --------------------------------------------------------------------------------------------


@settings(deadline=None)  # the first call compiles
@given(arrays(np.uint8, (16, 24), elements=st.sampled_from([0, 1, 2, 255])), st.sampled_from([2, 4, 8]))
def test_majorities_commute_with_flips(labels: U8, scale: int) -> None:
    """The target of a flipped map is the flipped target, ties included, so stored targets may be flipped."""
    for flipped in (np.fliplr, np.flipud):
        of_flipped = downscale(np.ascontiguousarray(flipped(labels)), scale, "majority", 3)
        assert np.array_equal(of_flipped, flipped(downscale(labels, scale, "majority", 3)))


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 2**32), st.sampled_from([2, 4, 8]))
def test_a_crop_of_the_target_is_the_target_of_the_crop(seed: int, scale: int) -> None:
    """On the grid, cropping and flipping the stored target gives what cropping and flipping x1 gives."""
    labels = np.random.default_rng(seed).integers(0, 3, (64, 96), np.uint8)
    drawn = draw(Augmentation((32, 48), flip=True, vertical_flip=True), seed, 0, "a", (64, 96), grid=scale)
    top, left, height, width = region = drawn.region((64, 96))
    of_x1 = downscale(drawn.labels(labels[top : top + height, left : left + width], region), scale, "majority", 3)
    stored = downscale(labels, scale, "majority", 3)
    part = stored[top // scale : (top + height) // scale, left // scale : (left + width) // scale]
    assert np.array_equal(drawn.labels(part, region, scale), of_x1)
