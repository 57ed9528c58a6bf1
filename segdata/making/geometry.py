"""What happens to a picture before its targets are made: resize, then pad or crop to the largest scale."""

from dataclasses import dataclass

import cv2
import numpy as np

from segdata.base.arrays import U8
from segdata.labels.targets import majority
from segdata.labels.taxonomy import IGNORE


@dataclass(frozen=True)
class Geometry:
    """size: (H, W) to resize to, or None. fit: "" (sizes must divide), "pad" or "crop" at bottom and right.

    turn: `size` may be upright where a frame lies, or the reverse. It changes no byte of what is converted at all.
    """

    size: tuple[int, int] | None = None
    fit: str = ""
    turn: bool = False

    def shape(self, height: int, width: int, multiple: int) -> tuple[int, int] | None:
        """The size of the result, or None where `multiple` does not divide it and no rule says what to do."""
        height, width = self.size or (height, width)
        if self.fit == "pad":
            return -(-height // multiple) * multiple, -(-width // multiple) * multiple
        if self.fit == "crop":
            return height // multiple * multiple, width // multiple * multiple
        return None if height % multiple or width % multiple else (height, width)

    def image(self, image: U8, shape: tuple[int, int]) -> U8:
        """Image (H, W, 3) resized by area (bilinear where it grows), black where padded."""
        if self.size and self.size != image.shape[:2]:
            shrinks = self.size[0] <= image.shape[0] and self.size[1] <= image.shape[1]
            way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = np.asarray(cv2.resize(image, self.size[::-1], interpolation=way), np.uint8)
        return _fitted(image, shape, 0)

    def labels(self, x1: U8, shape: tuple[int, int]) -> U8:
        """Target ids (H, W) resized by majority at whole factors, else nearest; 255 where padded."""
        if self.size and self.size != x1.shape:
            x1 = _resized(x1, self.size)
        return _fitted(x1, shape, IGNORE)


def _resized(x1: U8, size: tuple[int, int]) -> U8:
    (rows, row_rest), (columns, column_rest) = divmod(x1.shape[0], size[0]), divmod(x1.shape[1], size[1])
    if not row_rest and not column_rest:
        return majority(x1, rows, columns)
    y, x = (_centres(old, new) for old, new in zip(x1.shape, size, strict=True))
    return np.ascontiguousarray(x1[y[:, None], x])


def _centres(old: int, new: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """For each new pixel the old one that holds its centre: floor((i + 1/2) * old / new), in integers."""
    return (2 * np.arange(new, dtype=np.int64) + 1) * old // (2 * new)


def _fitted(picture: U8, shape: tuple[int, int], fill: int) -> U8:
    """Cropped to, or padded with `fill` up to, `shape` at the bottom and the right."""
    picture = picture[: shape[0], : shape[1]]
    missing = shape[0] - picture.shape[0], shape[1] - picture.shape[1]
    if any(missing):
        width = [(0, missing[0]), (0, missing[1]), (0, 0)][: picture.ndim]
        picture = np.pad(picture, width, constant_values=fill)
    return np.ascontiguousarray(picture)
