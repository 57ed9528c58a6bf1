"""Encode and decode the pictures of a sample: images in four codecs, targets always as 8-bit grey PNG."""

from typing import Any

import cv2
import numpy as np

from segdata import png
from segdata.errors import CodecError
from segdata.pngchunks import SIGNATURE
from segdata.scene import U8

CODECS = ("keep", "png", "jpeg", "webp")
SUFFIXES = {"png": "png", "jpeg": "jpg", "webp": "webp"}
JPEG_QUALITY = 95  # where none is asked for
Window = tuple[int, int, int, int]  # top, left, height, width


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


def decode_image(data: bytes, window: Window | None = None) -> U8:
    """Image (H, W, 3), or exactly that window of it; of a PNG only what the window needs is decoded."""
    if data.startswith(SIGNATURE):
        return _channels(png.decode(data, window=window), 3)
    try:
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:  # no bytes at all, or a header that declares more pixels than OpenCV allows
        raise CodecError(f"{len(data)} bytes that OpenCV refuses ({error.err}).") from error
    if image is None:
        raise CodecError(f"{len(data)} bytes that begin with {data[:4].hex(' ')}: no picture that OpenCV reads.")
    return cropped(_channels(image, 3), window)


def decode_map(data: bytes, window: Window | None = None) -> U8:
    """Label or target map (H, W), or exactly that window of it."""
    return _channels(png.decode(data, window=window), 1)


def decode_planes(data: bytes, planes: int, window: Window | None = None) -> U8:
    """Coverage counts (K+1, H, W), which are stored as one grey picture of the planes below each other."""
    stacked = decode_map(data)
    if stacked.shape[0] % planes:
        raise CodecError(f"{stacked.shape[0]} rows of counts do not make {planes} equal planes.")
    counts = stacked.reshape(planes, -1, stacked.shape[1])
    return counts if window is None else cropped(counts.transpose(1, 2, 0), window).transpose(2, 0, 1)


def encode_target(target: U8) -> bytes:
    """Target ids (H, W), or coverage counts (K+1, H, W) with the planes below each other."""
    return png.encode_labels(target.reshape(-1, target.shape[-1]))


def cropped(picture: U8, window: Window | None) -> U8:
    """A copy of the window, so that the whole picture can be freed; raises CodecError outside the picture."""
    if window is None:
        return picture
    top, left, height, width = window
    if min(window) < 0 or top + height > picture.shape[0] or left + width > picture.shape[1]:
        raise CodecError(f"window {window} leaves the picture of {picture.shape[1]}x{picture.shape[0]}.")
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def _channels(picture: Any, channels: int) -> U8:
    found = picture.shape[2] if picture.ndim == 3 else 1
    if picture.dtype != np.uint8 or found != channels:
        raise CodecError(f"found {found} channels of {picture.dtype}, expected {channels} of uint8.")
    return np.asarray(picture, np.uint8)
