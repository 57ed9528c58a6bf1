"""Outlines to label images, by the same rasteriser as the official Cityscapes tools (Pillow's)."""

import io
from collections.abc import Sequence

import cv2
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


def photograph(pixels: U8) -> bytes:
    """An RGB image as PNG: Paeth and run lengths are fast, small on noise, and need no match finder, whose
    choices differ between zlib versions."""
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
           cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH]  # fmt: skip
    done, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), how)
    assert done
    return data.tobytes()
