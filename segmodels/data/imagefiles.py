"""Image files of any kind as people have them: bounded before they are decoded, upright, three channels of 8 bits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from segdata.base.arrays import U8
from segdata.base.files import open_regular, parsing
from segmodels.errors import SegmodelsError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # Pillow's EPS runs Ghostscript
LARGEST_FILE = 1 << 30  # bytes
MOST_PIXELS = 200_000_000  # 0.8 GB as Pillow decodes them
STRIP = 256  # rows that are copied at a time
FULL = (0, 65535)  # the grey levels of 16 bits
DARK = 1 << 14  # below this a 16-bit image has used at most 14 of its bits: a camera's raw values, not shifted up

Range = tuple[int, int]  # the values that become black and white
Say = Callable[[str], None]


def read_image(path: Path, levels: Range | None = None, say: Say = lambda line: None) -> U8:
    """An image file as (H, W, 3), upright: turned as Exif or XMP says, whatever its format.

    `segdata prepare` refuses such a picture, since its label may lie either way; here there is no label.
    Grey becomes three equal channels, transparency is dropped, of several frames the first is taken. Of more than 8
    bits the upper 8 of 16 count, or `levels` become black and white; without them `say` is told where the upper bits
    are all 0. Raises SegmodelsError.
    """
    try:
        file = FileIO(open_regular(path, LARGEST_FILE, SegmodelsError))
    except FileNotFoundError:
        raise SegmodelsError(f"no image {path}") from None
    with file, parsing(f"cannot read image {path}", SegmodelsError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about metadata and the like: what it reads, it reads
        with open_image(file, path, MOST_PIXELS) as image:
            is_deep = _is_deep(image)
            if is_deep and levels and not _is_grey(image):
                return _deep_colors(file, image, levels)
            ImageOps.exif_transpose(image, in_place=True)  # not in place it copies every image
            if _is_grey(image):
                return _deep_grey(np.asarray(image), path, levels, say)
            pixels = _array(image.convert("RGBA") if "transparency" in image.info else image)
            if is_deep:
                _warn_of_darkness(int(pixels.max()) << 8 | 255, path, say)
            return pixels


def open_image(data: bytes | BinaryIO | FileIO, path: Path, most: int) -> Image.Image:
    """A picture of at most that many pixels, nothing of which is decoded yet. Call it inside `parsing`."""
    try:
        file: Any = BytesIO(data) if isinstance(data, bytes) else data
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise SegmodelsError(f"cannot read image {path}: it is damaged, or none of {', '.join(FORMATS)}") from None
    if image.width * image.height > most:
        raise SegmodelsError(f"cannot read image {path}: {image.width}x{image.height}, expected at most {most} pixels")
    return image


def _is_grey(image: Image.Image) -> bool:
    """Whether Pillow keeps all bits of its grey levels, which have more than 8."""
    return image.mode.startswith(("I", "F"))


def _is_deep(image: Image.Image) -> bool:
    """Whether the file has 16 bits a channel, of which Pillow takes the upper 8 in colours."""
    arguments = [str(tile[3]) for tile in getattr(image, "tile", ())]  # such as RGB;16B
    return any(";16" in each for each in arguments)


def _array(image: Image.Image) -> U8:
    """An image as (H, W, 3), copied in strips: whole, Pillow holds three copies at once."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, STRIP):
        bottom = min(top + STRIP, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)).convert("RGB"))
    return pixels


def _deep_colors(file: FileIO, image: Image.Image, levels: Range) -> U8:
    """Of a file of 16 bits a channel: Pillow would drop the lower 8, OpenCV keeps them."""
    orientation = image.getexif().get(0x0112, 1)
    file.seek(0)
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    values = cv2.imdecode(np.frombuffer(file.readall(), np.uint8), flags)
    if values is None or values.ndim != 3 or values.dtype != np.uint16:
        raise ValueError("its 16-bit colours cannot be decoded")
    flat = Image.fromarray(_scaled(values[..., 2::-1], levels))  # from BGR or BGRA
    flat.getexif()[0x0112] = orientation
    ImageOps.exif_transpose(flat, in_place=True)
    return np.array(flat)


def _deep_grey(values: np.ndarray[Any, Any], path: Path, levels: Range | None, say: Say) -> U8:
    if not np.issubdtype(values.dtype, np.integer) or values.min() < 0 or values.max() > FULL[1]:
        raise SegmodelsError(f"cannot read image {path}: its values are no 16-bit grey levels")
    if not levels:
        _warn_of_darkness(int(values.max()), path, say)
    return np.repeat(_scaled(values, levels or FULL)[..., None], 3, axis=2)


def _scaled(values: np.ndarray[Any, Any], levels: Range) -> U8:
    """Values from `low` to `high` in 256 steps of equal width: of 0 to 65535 these are the upper 8 bits."""
    low, high = levels
    table = (np.arange(FULL[1] + 1, dtype=np.int64) - low) * 256 // (high - low + 1)
    return np.asarray(table.clip(0, 255).astype(np.uint8)[values])


def _warn_of_darkness(largest: int, path: Path, say: Say) -> None:
    """Where all values fit into fewer bits than 16: as 16 bits they would be nearly black."""
    if 0 < largest < DARK:
        bits = next(bits for bits in (8, 10, 12, 14) if largest < 1 << bits)
        say(
            f"{path}: a 16-bit image with no value above {largest}, so it is nearly black. "
            f"If its values have {bits} bits, give --range {(1 << bits) - 1}"
        )
