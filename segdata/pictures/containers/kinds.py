"""The formats of picture files, told by their names' suffixes: what checks each, and what decodes it."""

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from segdata.errors import CodecError
from segdata.pictures import png
from segdata.pictures.ancillary import disagreement
from segdata.pictures.chunks import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, SIGNATURE
from segdata.pictures.codecs import decode_image
from segdata.pictures.containers.container import Container
from segdata.pictures.containers.jpeg import START, inspect_jpeg
from segdata.pictures.containers.tags import STARTS
from segdata.pictures.containers.tiff import decode_tiff, inspect_tiff
from segdata.pictures.containers.webp import inspect_webp

FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WebP", "tif": "TIFF", "tiff": "TIFF"}  # by suffix
KEPT = {"PNG": "png", "JPEG": "jpg", "WebP": "webp"}  # suffixes of a sample's image whose bytes pass; a TIFF's do not
COLORS = {GREY: "grey", RGB: "RGB", PALETTE: "palette", GREY_ALPHA: "grey with alpha", RGBA: "RGBA"}
BEGINNINGS: Mapping[str, Callable[[bytes], bool]] = {
    "PNG": lambda data: data.startswith(SIGNATURE),
    "JPEG": lambda data: data.startswith(START),
    "WebP": lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP",
    "TIFF": lambda data: data.startswith(STARTS),
}


def format_of(name: str) -> str | None:
    """By the suffix, in capitals or not; None of another one."""
    return FORMATS.get(name.rpartition(".")[2].lower())


def inspect(data: bytes, due: str) -> Container:
    """Check the container of a file whose name says the format `due`, without decoding it.

    Raises CodecError: SizeError for a size that no such file has, UnsupportedError for what not every reader opens.
    """
    found = next((each for each, begins in BEGINNINGS.items() if begins(data)), due)
    if found != due:
        raise CodecError(f"begins as a {found} does, its name says {due}")
    return INSPECTORS[due](data)


def decode(data: bytes, container: Container) -> NDArray[Any]:
    """(H, W) or (H, W, C) samples as they are stored, uint8 or uint16; of a JPEG or WebP always colours (H, W, 3)."""
    if container.format in {"JPEG", "WebP"}:
        return decode_image(data, size=container.size)
    return decode_tiff(data, container) if container.format == "TIFF" else png.decode(data)


def _inspect_png(data: bytes) -> Container:
    header, chunks = png.inspect(data)
    dispute = disagreement(chunks) if chunks else ""
    return Container("PNG", (header.height, header.width), header.bit_depth, COLORS[header.color_type], dispute, chunks)


def _inspect_jpeg(data: bytes) -> Container:
    if not data.startswith(START):
        raise CodecError(f"JPEG: found {data[:8]!r}, expected {START!r}")
    return inspect_jpeg(data)


INSPECTORS: Mapping[str, Callable[[bytes], Container]] = {
    "PNG": _inspect_png,
    "JPEG": _inspect_jpeg,
    "WebP": inspect_webp,
    "TIFF": inspect_tiff,
}
