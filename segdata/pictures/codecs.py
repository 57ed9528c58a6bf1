"""Encode and decode what a sample holds: images in three codecs, targets always as 8-bit grey PNG, metadata as JSON.

What a picture's header declares is bounded before anything decodes it: by what so many bytes can hold, by what any
picture has, and by the size that the caller knows.
"""

from typing import Any

import cv2
import numpy as np

from segdata.base.arrays import U8, Window
from segdata.base.files import parsing
from segdata.documents.json import load_json
from segdata.errors import CodecError, SizeError
from segdata.pictures import png
from segdata.pictures.chunks import SIGNATURE, open_png
from segdata.pictures.containers.container import Size
from segdata.pictures.containers.jpeg import START, jpeg_size
from segdata.pictures.containers.webp import webp_size

CODECS = ("keep", "png", "jpeg", "webp")
SUFFIXES = {"png": "png", "jpeg": "jpg", "webp": "webp"}
JPEG_QUALITY = 95  # where none is asked for
MAX_META_BYTES = 1 << 16  # six texts and numbers take 300


def encode_image(image: U8, codec: str, quality: int = JPEG_QUALITY) -> bytes:
    """Image (H, W, 3) as `png` or `webp` (both lossless) or `jpeg` (quality 1 to 100, colour at full resolution)."""
    if codec == "png":
        return png.encode_image(image)
    if codec == "webp":
        return _opencv(image, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)  # above 100 means lossless
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    return _opencv(image, ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling)


def _opencv(image: U8, suffix: str, *flags: int) -> bytes:
    done, data = cv2.imencode(suffix, image[:, :, ::-1], flags)
    if not done:
        raise CodecError(f"OpenCV cannot write an image of {image.shape[1]}x{image.shape[0]} as {suffix}.")
    return data.tobytes()


def decode_image(data: bytes, window: Window | None = None, size: Size | None = None) -> U8:
    """Image (H, W, 3), or exactly that window of it; of a PNG only what the window needs is decoded.

    Raises CodecError: SizeError, before anything is decoded, where (H, W) is not `size`, or is more than a picture
    of so many bytes can have.
    """
    if data.startswith(SIGNATURE):
        return _png(data, 3, window, size)
    declared = _declared(data)
    _check_size(declared, size)
    image: Any = None
    with parsing(f"a picture of {len(data)} bytes", CodecError):
        # turned as a camera's note says, it would not be what was written
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None or image.shape != (*declared, 3):
        raise CodecError(f"{len(data)} bytes that begin as a picture does, expected a whole one.")
    return cropped(image, window)


def decode_map(data: bytes, window: Window | None = None, size: Size | None = None) -> U8:
    """Label or target map (H, W), or exactly that window of it. Raises CodecError, as `decode_image` does."""
    return _png(data, 1, window, size)


def decode_planes(data: bytes, planes: int, window: Window | None = None, size: Size | None = None) -> U8:
    """Coverage counts (K+1, H, W), which are stored as one grey picture of the planes below each other.

    `size` is that of one plane. Raises CodecError, as `decode_image` does.
    """
    stacked = decode_map(data, size=size and (planes * size[0], size[1]))
    if stacked.shape[0] % planes:
        raise CodecError(f"{stacked.shape[0]} rows of counts do not make {planes} equal planes.")
    counts = stacked.reshape(planes, -1, stacked.shape[1])
    return counts if window is None else cropped(counts.transpose(1, 2, 0), window).transpose(2, 0, 1)


def decode_meta(data: bytes) -> dict[str, Any]:
    """The metadata of a sample: texts and integers by name, among them its height and width. Raises CodecError."""
    if len(data) > MAX_META_BYTES:
        raise CodecError(f"metadata of {len(data)} bytes, expected at most {MAX_META_BYTES}.")
    with parsing("metadata", CodecError):
        meta = load_json(data)
        if not isinstance(meta, dict) or not all(type(value) in {str, int} for value in meta.values()):
            raise CodecError("metadata that is no object of texts and integers.")
        if not all(type(meta.get(name)) is int and meta[name] > 0 for name in ("height", "width")):
            raise CodecError("metadata without a height and width in pixels.")
    return dict(meta)


def cropped(picture: U8, window: Window | None) -> U8:
    """A copy of the window, so that the whole picture can be freed; raises CodecError outside the picture."""
    if window is None:
        return picture
    top, left, height, width = window
    if min(window) < 0 or top + height > picture.shape[0] or left + width > picture.shape[1]:
        raise CodecError(f"window {window} leaves the picture of {picture.shape[1]}x{picture.shape[0]}.")
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


# ---- what headers declare -----------------------------------------------------------------------------------


def _png(data: bytes, channels: int, window: Window | None, size: Size | None) -> U8:
    header, _ = open_png(data)
    _check_size((header.height, header.width), size)
    if header.channels != channels or header.bit_depth > 8:
        found = f"{header.channels} samples of {header.bit_depth} bits"
        raise CodecError(f"PNG: a pixel has {found}, expected {channels} of at most 8")
    return np.asarray(png.decode(data, window=window), np.uint8)


def _check_size(declared: Size, size: Size | None) -> None:
    if size is not None and declared != size:
        raise SizeError(f"{declared[1]}x{declared[0]} pixels, expected {size[1]}x{size[0]}.")


def _declared(data: bytes) -> Size:
    """(H, W) of a JPEG or WebP, from its header."""
    if data.startswith(START):
        return jpeg_size(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp_size(data)
    raise CodecError(f"{len(data)} bytes that begin with {data[:4].hex(' ')}, expected a PNG, JPEG or WebP.")
