"""Outlines to label images, by the same rasteriser as the official Cityscapes tools (Pillow's)."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segdata.synth.stage import Outline, U8


def rasterise(outlines: Sequence[Outline], height: int, width: int) -> NDArray[np.int32]:
    """(H, W) which outline is seen in each pixel, counted from 1; 0 where there is none."""
    picture = Image.new("I", (width, height), 0)
    drawer = ImageDraw.Draw(picture)
    for number, outline in enumerate(outlines, start=1):
        if not outline.deleted:
            drawer.polygon(outline.polygon.ravel().tolist(), fill=number)
    return np.array(picture, np.int32)


def png(pixels: U8 | NDArray[np.uint16], level: int = 6) -> bytes:
    """A label image as the official tools store it; uint16 becomes 16-bit grey."""
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "PNG", compress_level=level)
    return memory.getvalue()
