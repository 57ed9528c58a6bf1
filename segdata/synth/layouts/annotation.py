"""Outlines to label images, by the same rasteriser as the official Cityscapes tools (Pillow's)."""

import io
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segdata.errors import SegdataError
from segdata.synth.canvas.stage import Outline
from segdata.synth.canvas.texture import U8


def rasterise(outlines: Sequence[Outline], height: int, width: int) -> NDArray[np.int32]:
    """(H, W) which outline is seen in each pixel, counted from 1; 0 where there is none."""
    picture = Image.new("I", (width, height), 0)
    drawer = ImageDraw.Draw(picture)
    for number, outline in enumerate(outlines, start=1):
        drawer.polygon(outline.polygon.ravel().tolist(), fill=number)
    return np.array(picture, np.int32)


def png(pixels: U8 | NDArray[np.uint16]) -> bytes:
    """A label image as the official tools store it; uint16 becomes 16-bit grey."""
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "PNG")
    return memory.getvalue()


def photograph(pixels: U8) -> bytes:
    """RGB or RGBA as PNG: run lengths alone are fast, small on noise, and need no match finder, whose
    choices differ between versions of zlib."""
    order, choice = (
        (cv2.COLOR_RGB2BGR, cv2.IMWRITE_PNG_FILTER_PAETH)
        if pixels.shape[2] == 3
        else (cv2.COLOR_RGBA2BGRA, cv2.IMWRITE_PNG_FILTER_UP)  # flat colours
    )
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    done, data = cv2.imencode(".png", cv2.cvtColor(pixels, order), [*how, cv2.IMWRITE_PNG_FILTER, choice])
    if not done:
        raise SegdataError("synth: OpenCV could not encode a PNG; its build has no libpng.")
    return data.tobytes()
