"""Image files of any kind as people have them: bounded before they are decoded, upright, three channels."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from segdata.base.arrays import U8
from segdata.base.files import parsing, read_file
from segmodels.errors import SegmodelsError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # Pillow's EPS runs Ghostscript
LARGEST_FILE = 1 << 30  # bytes
MOST_PIXELS = 89_478_485  # from here on Pillow itself warns of a bomb


def read_image(path: Path) -> U8:
    """An image file as (H, W, 3), upright: turned as Exif or XMP says, whatever its format.

    `segdata prepare` refuses such a picture, since its label may lie either way; here there is no label.
    Grey becomes three equal channels, of 16 bits the upper 8 count, transparency is dropped, of several frames the
    first is taken. Raises SegmodelsError.
    """
    try:
        data = read_file(path, LARGEST_FILE, SegmodelsError)
    except FileNotFoundError:
        raise SegmodelsError(f"no image {path}") from None
    with parsing(f"cannot read image {path}", SegmodelsError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about metadata and the like: what it reads, it reads
        with open_image(data, path, MOST_PIXELS) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith(("I", "F")):
                return _deep_grey(np.asarray(upright), path)
            if "transparency" in upright.info:
                upright = upright.convert("RGBA")
            return np.array(upright.convert("RGB"))


def open_image(data: bytes, path: Path, most: int) -> Image.Image:
    """A picture of at most that many pixels, nothing of which is decoded yet. Call it inside `parsing`."""
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise SegmodelsError(f"cannot read image {path}: it is damaged, or none of {', '.join(FORMATS)}") from None
    if image.width * image.height > most:
        raise SegmodelsError(f"cannot read image {path}: {image.width}x{image.height}, expected at most {most} pixels")
    return image


def _deep_grey(values: np.ndarray[Any, Any], path: Path) -> U8:
    if not np.issubdtype(values.dtype, np.integer) or values.min() < 0 or values.max() > 65535:
        raise SegmodelsError(f"cannot read image {path}: its values are no 16-bit grey levels")
    return np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2)
