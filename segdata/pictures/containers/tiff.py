"""TIFF (6.0): one page of grey, RGB or RGBA, of 8 or 16 bits, whose compression loses nothing; all else is refused.

Pixels are read by Pillow: OpenCV would multiply colours of 8 bits by their opacity. OpenCV reads what Pillow does not,
pixels of several samples of 16 bits.
"""

import warnings
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from cv2.utils import logging
from numpy.typing import NDArray

from segdata.base.files import parsing
from segdata.errors import CodecError, SizeError, UnsupportedError
from segdata.pictures.ancillary import turned_by
from segdata.pictures.containers.container import MAX_PIXELS, Container
from segdata.pictures.containers.tags import read_tags

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES = 256, 257, 258, 259, 262, 274, 277
PLANES, EXTRA, FORMAT = 284, 338, 339
LOSSLESS = frozenset({1, 5, 8, 32773, 32946})  # none, LZW, deflate, PackBits, deflate by its older number
RATIO = 4096  # bytes from one: the longest string of LZW has as many, from 12 bits; deflate makes 1032
COLORS = {(1, 1): "grey", (2, 3): "RGB", (2, 4): "RGBA"}  # by photometric interpretation and samples of a pixel
MULTIPLIED = 1  # of what is beside the colours: their opacity, by which they were multiplied


def inspect_tiff(data: bytes) -> Container:
    """Check what the tags say. Raises CodecError: SizeError for a size that no such file has, UnsupportedError."""
    tags, more = read_tags(data)
    if not {WIDTH, HEIGHT} <= tags.keys():
        raise CodecError("TIFF: tags without a width and a height in pixels")
    one = {SAMPLES: 1, COMPRESSION: 1, ORIENTATION: 1, PLANES: 1, PHOTOMETRIC: -1, EXTRA: 0}  # where nothing is said
    one |= {tag: values[0] for tag, values in tags.items()}
    height, width, samples = one[HEIGHT], one[WIDTH], one[SAMPLES]
    bits, formats = {*tags.get(BITS, (1,))}, {*tags.get(FORMAT, (1,))}
    color = COLORS.get((one[PHOTOMETRIC], samples))
    if more:
        raise UnsupportedError("a TIFF of several pages, and which of them is meant nobody says. Save the one")
    if formats != {1}:
        raise UnsupportedError("a TIFF whose samples are no whole numbers from 0 on (float, or with a sign)")
    if color is None or bits not in ({8}, {16}) or one[EXTRA] == MULTIPLIED:
        raise UnsupportedError(
            f"a TIFF of photometric interpretation {one[PHOTOMETRIC]} with {samples} samples a pixel of "
            f"{' and '.join(map(str, sorted(bits)))} bits. Save it as grey or RGB of 8 or 16 bits"
        )
    if samples > 1 and 16 in bits and one[PLANES] != 1:
        raise UnsupportedError("a TIFF of 16 bits whose channels lie apart. Save it with its pixels together")
    if one[COMPRESSION] not in LOSSLESS:
        raise UnsupportedError(f"a TIFF of compression {one[COMPRESSION]}. Save it with LZW or deflate, or without any")
    size = height * width * samples * max(bits) // 8
    if not 0 < height * width <= MAX_PIXELS or size > RATIO * len(data):
        raise SizeError(f"{len(data)} bytes that declare {width}x{height} pixels, expected 1 to {MAX_PIXELS}.")
    return Container("TIFF", (height, width), max(bits), color, turned_by(one[ORIENTATION]))


def decode_tiff(data: bytes, container: Container) -> NDArray[Any]:
    """(H, W) or (H, W, C) samples as they are stored, uint8 or uint16, of a checked file. Raises CodecError."""
    with parsing(f"a TIFF of {len(data)} bytes", CodecError):
        picture = _read_deep(data) if container.depth == 16 and container.color != "grey" else _read(data)
    if picture is None or picture.shape[:2] != container.size or picture.dtype.itemsize * 8 != container.depth:
        raise CodecError(f"{len(data)} bytes that begin as a TIFF does, expected a whole one.")
    return np.ascontiguousarray(picture, np.uint8 if container.depth == 8 else np.uint16)


def _read(data: bytes) -> NDArray[Any]:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(BytesIO(data), formats=["TIFF"]) as image:
            return np.array(image)


def _read_deep(data: bytes) -> NDArray[Any] | None:
    level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # what is wrong with a file, a finding says
    try:
        picture: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    finally:
        logging.setLogLevel(level)
    return None if picture is None else np.asarray(picture[..., [2, 1, 0, 3][: picture.shape[2]]])
