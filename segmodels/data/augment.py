"""Augmentation in two acts: `draw` decides, from a key alone; a `Draw` is then applied to image and labels.

Both go through one geometry: a window of the image is scaled to the crop, turned about its centre, flipped.
Where the crop reaches over the image's edge, the image has the fill colour and the labels are 255 (ignored).
"""

import math
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segdata.base.arrays import U8, Window
from segdata.labels.taxonomy import IGNORE
from segmodels.config.config import TrainConfig
from segmodels.spec import Size

GREY = np.array([0.299, 0.587, 0.114])  # of red, green, blue: ITU-R BT.601


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a sample; by default only the crop."""

    crop: Size  # (H, W) of the result
    centre_crop: bool = False  # instead of a random place
    scale: tuple[float, float] = (1.0, 1.0)  # drawn between
    rotations: tuple[float, ...] = ()  # degrees: by one of them, to either side
    flip: bool = False  # horizontally, with probability 1/2
    vertical_flip: bool = False
    brightness: float = 0.0  # factor drawn from 1 ± this
    contrast: float = 0.0
    saturation: float = 0.0
    fill: tuple[int, int, int] = (0, 0, 0)  # colour outside the image
    rotation_probability: float = 0.5

    @property
    def resamples(self) -> bool:
        """Whether result and image can have different pixel grids."""
        return self.scale != (1.0, 1.0) or any(self.rotations)


def augmentation(config: TrainConfig, crop: Size) -> Augmentation:
    """What a training's options say; outside the image is their mean colour, which normalises to zero."""
    red, green, blue = (round(255 * value) for value in config.mean)
    return Augmentation(
        crop=crop,
        centre_crop=config.centre_crop,
        scale=config.scale,
        rotations=config.rotations,
        rotation_probability=config.rotation_probability,
        flip=config.flip,
        vertical_flip=config.vertical_flip,
        brightness=config.brightness,
        contrast=config.contrast,
        saturation=config.saturation,
        fill=(red, green, blue),
    )


@dataclass(frozen=True)
class Draw:
    """What was decided for one sample of one epoch."""

    crop: Size
    window: Window  # top, left, height, width of what becomes the crop, in pixels of the image; may leave it
    angle: float = 0.0  # degrees, counter-clockwise
    flip: bool = False
    vertical_flip: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    fill: tuple[int, int, int] = (0, 0, 0)

    @property
    def resamples(self) -> bool:
        return self.angle != 0 or self.window[2:] != self.crop

    def region(self, size: Size) -> Window:
        """The part of an image of this size that the crop needs: all that has to be decoded."""
        top, left, height, width = self.window
        if self.angle:
            x, y = self._source() @ [[0, self.crop[1], 0, self.crop[1]], [0, 0, *self.crop[:1] * 2], [1] * 4]
            top, left = math.floor(y.min()) - 1, math.floor(x.min()) - 1  # bilinear looks one pixel further
            height, width = math.ceil(y.max()) + 1 - top, math.ceil(x.max()) + 1 - left
        first_row, first_column = max(top, 0), max(left, 0)
        return (
            first_row,
            first_column,
            min(top + height, size[0]) - first_row,
            min(left + width, size[1]) - first_column,
        )

    def image(self, pixels: U8, region: Window) -> U8:
        """The crop (H, W, 3) from the pixels of `region`."""
        return self._placed(self._coloured(pixels), region, self.fill)

    def labels(self, ids: U8, region: Window, scale: int = 1) -> U8:
        """The crop (H/scale, W/scale) from the ids of `region` at that scale: the nearest pixel's, 255 outside.

        A scale above 1 must divide window and crop, and nothing may resample.
        """
        coarse = replace(self, crop=_divided(self.crop, scale), window=_divided(self.window, scale))
        return coarse._placed(ids, _divided(region, scale), IGNORE)

    def _placed(self, picture: U8, region: Window, fill: Any) -> U8:
        placed = self._turned(picture, region, fill) if self.angle else self._scaled(picture, region, fill)
        if self.flip or self.vertical_flip:
            both = self.flip and self.vertical_flip
            placed = np.asarray(cv2.flip(placed, -1 if both else int(self.flip)), np.uint8)
        return placed

    def _scaled(self, picture: U8, region: Window, fill: Any) -> U8:
        """Upright: the region fills its share of the crop."""
        top, bottom = _span(region[0], region[2], self.window[0], self.window[2], self.crop[0])
        left, right = _span(region[1], region[3], self.window[1], self.window[3], self.crop[1])
        if picture.shape[:2] != (bottom - top, right - left):
            way = cv2.INTER_NEAREST_EXACT if picture.ndim == 2 else cv2.INTER_LINEAR
            picture = np.asarray(cv2.resize(picture, (right - left, bottom - top), interpolation=way), np.uint8)
        if picture.shape[:2] == self.crop:
            return picture
        placed = np.full(self.crop + picture.shape[2:], fill, np.uint8)
        placed[top:bottom, left:right] = picture
        return placed

    def _turned(self, picture: U8, region: Window, fill: Any) -> U8:
        matrix = self._source()
        # OpenCV's whole numbers are the centres of pixels, ours their corners
        matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - [region[1] + 0.5, region[0] + 0.5]
        way = cv2.INTER_NEAREST if picture.ndim == 2 else cv2.INTER_LINEAR
        turned = cv2.warpAffine(
            picture,
            matrix,
            self.crop[::-1],
            flags=way | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=fill,
        )
        return np.asarray(turned, np.uint8)

    def _source(self) -> NDArray[np.float64]:
        """(2, 3): where a point (x, y, 1) of the crop lies in the image."""
        top, left, height, width = self.window
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        turn = np.diag([width / self.crop[1], height / self.crop[0]]) @ [[cos, -sin], [sin, cos]]
        centre = np.array([left + width / 2, top + height / 2])
        return np.column_stack([turn, centre - turn @ [self.crop[1] / 2, self.crop[0] / 2]])

    def _coloured(self, pixels: U8) -> U8:
        """Brightness, contrast about the region's mean grey, saturation about each pixel's grey: one matrix."""
        if (self.brightness, self.contrast, self.saturation) == (1, 1, 1):
            return pixels
        factor = self.brightness * self.contrast
        mixed = self.saturation * np.eye(3) + (1 - self.saturation) * GREY  # every row adds its share of grey
        mean = GREY @ cv2.mean(pixels)[:3] * self.brightness
        matrix = np.column_stack([factor * mixed, np.full(3, (1 - self.contrast) * mean)])
        return np.asarray(cv2.transform(pixels, matrix), np.uint8)


def draw(how: Augmentation, seed: int, epoch: int, key: str, size: Size, grid: int = 1) -> Draw:
    """Decide for the sample `key` of that size: a pure function of its arguments.

    Every parameter has a number of its own: switching one on or off changes none of the others. Without
    scale and rotation the window lies on the grid.
    """

    def number(name: str) -> float:  # in [0, 1)
        digest = blake2b(f"segmodels.augment/{seed}/{epoch}/{key}/{name}".encode(), digest_size=8).digest()
        return (int.from_bytes(digest, "little") >> 11) * 2.0**-53

    def factor(name: str, spread: float) -> float:
        return 1 + spread * (2 * number(name) - 1)

    scale = how.scale[0] + (how.scale[1] - how.scale[0]) * number("scale")
    height, width = (max(1, round(side / scale)) for side in how.crop)
    grid = 1 if how.resamples else grid
    place = (0.5, 0.5) if how.centre_crop else (number("top"), number("left"))
    angle = 0.0
    if how.rotations and number("rotate") < how.rotation_probability:
        angle = how.rotations[int(number("rotation") * len(how.rotations))]
        angle = -angle if number("side") < 0.5 else angle
    return Draw(
        crop=how.crop,
        window=(
            _start(size[0] - height, place[0], grid, how.resamples),
            _start(size[1] - width, place[1], grid, how.resamples),
            height,
            width,
        ),
        angle=angle,
        flip=how.flip and number("flip") < 0.5,
        vertical_flip=how.vertical_flip and number("vertical_flip") < 0.5,
        brightness=factor("brightness", how.brightness),
        contrast=factor("contrast", how.contrast),
        saturation=factor("saturation", how.saturation),
        fill=how.fill,
    )


def _start(room: int, place: float, grid: int, resamples: bool) -> int:
    """First row or column of the window, `room` of them to spare.

    Where the image is smaller than the window (room < 0), it lies anywhere in it after resampling, else at
    the start, as it does in evaluation.
    """
    if room < 0 and not resamples:
        return 0
    start = int(place * (abs(room) // grid + 1)) * grid
    return start if room >= 0 else -start


def _span(first: int, count: int, start: int, length: int, side: int) -> tuple[int, int]:
    """Where rows `first … first+count` lie when `start … start+length` become 0 … side."""
    low, high = (round((edge - start) * side / length) for edge in (first, first + count))
    return low, max(high, low + 1)


def _divided(values: Any, divisor: int) -> Any:
    return tuple(value // divisor for value in values)
