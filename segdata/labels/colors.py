"""Colours of labels, as three values and as one whole number, 0xRRGGBB."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segdata.base.arrays import U8

Color = tuple[int, int, int]  # red, green, blue, each 0 to 255


def code_of(color: Sequence[int]) -> int:
    """0xRRGGBB."""
    return color[0] << 16 | color[1] << 8 | color[2]


def color_of(code: int) -> Color:
    """(red, green, blue) of 0xRRGGBB."""
    return code >> 16, code >> 8 & 255, code & 255


def codes_of(pixels: U8) -> NDArray[np.uint32]:
    """(H, W) of the colours (H, W, 3), as 0xRRGGBB."""
    wide = pixels.astype(np.uint32)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], np.uint32)
