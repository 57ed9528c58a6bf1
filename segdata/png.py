"""The PNG codec: reads what a sample needs and no more, and writes bytes that are the same everywhere.

Decoding is isal's inflate and the kernels of `pngfilter`; every kind of PNG is read, its samples as they
are stored (a palette image gives indices, 16 bits stay 16 bits). Layout and names are those of the
standard: PNG, third edition, https://www.w3.org/TR/png-3/.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.errors import CodecError
from segdata.pngfilter import apply_up, unfilter


def _module(name: str) -> ModuleType:
    """The accelerated zlib, or the standard library's where it has no wheel: same answers, slower."""
    try:
        return import_module(name)
    except ImportError:
        return zlib


inflate_zlib = _module("isal.isal_zlib")
deflate_zlib = _module("zlib_ng.zlib_ng")

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 2**28  # 16384 x 16384; a header that declares more is taken for a decompression bomb
MAX_RATIO = 1032  # deflate's best: 258 bytes for two bits
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
WHOLE = ((0, 0, 1, 1),)
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
PIECE = 1 << 16  # compressed bytes inflated at a time: the output is still in cache when it is copied

Window = tuple[int, int, int, int]
Picture = NDArray[Any]  # uint8 or uint16


@dataclass(frozen=True)
class Header:
    """What IHDR declares; sizes in pixels, `bit_depth` per sample."""

    width: int
    height: int
    bit_depth: int
    color_type: int
    interlace: int

    @property
    def channels(self) -> int:
        """Samples per pixel."""
        return CHANNELS[self.color_type]

    @property
    def step(self) -> int:
        """Bytes from a pixel to its left neighbour, for the filters; at least 1."""
        return max(1, self.channels * self.bit_depth // 8)

    def row_bytes(self, width: int) -> int:
        """Bytes of a row of `width` pixels, without its filter code."""
        return (width * self.channels * self.bit_depth + 7) // 8


def inspect(data: bytes) -> Header:
    """Check the whole container without inflating it: order and CRC-32 of every chunk, nothing missing.

    Raises CodecError with one line that says what was found and what was expected.
    """
    header, bodies = _open(data)
    for _ in bodies:
        pass
    return header


def decode(data: bytes, *, window: Window | None = None) -> Picture:
    """Decode a PNG: (H, W) for one channel, else (H, W, C); uint16 for 16 bits, else uint8.

    `window` = (top, left, height, width) gives exactly `decode(data)[top:top+height, left:left+width]`, but
    reads, checks and inflates only to the window's last row, and unfilters only to its last column.
    """
    header, bodies = _open(data)
    top, left, height, width = window or (0, 0, header.height, header.width)
    bottom, right = top + height, left + width
    if min(top, left) < 0 or min(height, width) < 1 or bottom > header.height or right > header.width:
        raise CodecError(f"PNG: window {window} is not inside the {header.height}x{header.width} picture")
    if header.interlace:
        picture = _decode_interlaced(header, bodies)
    else:
        pitch = 1 + header.row_bytes(header.width)
        filtered = _inflate(bodies, bottom * pitch, to_the_end=window is None)
        picture = _samples(filtered.reshape(bottom, pitch), header, right)
    return picture if window is None else np.ascontiguousarray(picture[top:bottom, left:right])


def encode_labels(labels: NDArray[np.uint8]) -> bytes:
    """Encode a label map (H, W) as 8-bit grey: filter Up, strategy Z_RLE, one IDAT.

    The bytes are promised: this strategy uses no match finder, so zlib and zlib-ng write the same ones.
    """
    return _encode(labels, GREY, zlib.Z_RLE)


def encode_image(image: NDArray[np.uint8]) -> bytes:
    """Encode an image (H, W, 3) as 8-bit RGB, without loss and quick to read; the bytes are promised too."""
    return _encode(image, RGB, zlib.Z_RLE)


def _open(data: bytes) -> tuple[Header, Iterator[memoryview]]:
    """Read the header; the IDAT bodies follow as they are asked for, each checked on the way."""
    if data[:8] != SIGNATURE:
        found = f"found {data[:8].hex(' ')}" if data else "the file is empty"
        raise CodecError(f"PNG: {found}, expected the signature {SIGNATURE.hex(' ')}")
    chunks = _chunks(memoryview(data))
    kind, body = next(chunks)
    if kind != b"IHDR" or len(body) != 13:
        raise CodecError(f"PNG: first chunk is {_name(kind)} of {len(body)} bytes, expected IHDR of 13")
    header = _parse_header(body)
    least = header.height * header.row_bytes(header.width)
    if least > MAX_RATIO * len(data):
        raise CodecError(
            f"PNG: {len(data)} bytes cannot hold the declared {header.width}x{header.height} pixels"
        )
    return header, _image_bodies(chunks, header)


def _parse_header(body: memoryview) -> Header:
    width, height, depth, color, method, filters, interlace = struct.unpack(">IIBBBBB", body)
    if not width or not height or width * height > MAX_PIXELS:
        raise CodecError(f"PNG: declared size {width}x{height}, expected 1 to {MAX_PIXELS} pixels")
    if depth not in DEPTHS.get(color, ()):
        raise CodecError(
            f"PNG: bit depth {depth} with colour type {color} is not a combination of the standard"
        )
    if method or filters or interlace > 1:
        raise CodecError(
            f"PNG: compression {method}, filter {filters}, interlace {interlace}; expected 0, 0, 0 or 1"
        )
    return Header(width, height, depth, color, interlace)


def _chunks(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Walk the chunks up to the end of the data, checking length, CRC-32 and that IEND is the last."""
    at = len(SIGNATURE)
    kind = b""
    while at < len(view):
        if kind == b"IEND":
            raise CodecError(f"PNG: {len(view) - at} bytes after IEND, expected none")
        if len(view) - at < 12:
            raise CodecError(
                f"PNG: truncated: {len(view) - at} bytes at {at}, expected a chunk of at least 12"
            )
        length, kind = struct.unpack_from(">I4s", view, at)
        if length > len(view) - at - 12:
            raise CodecError(f"PNG: truncated: chunk {_name(kind)} at {at} declares {length} bytes")
        (expected,) = struct.unpack_from(">I", view, at + 8 + length)
        found = inflate_zlib.crc32(view[at + 4 : at + 8 + length])
        if found != expected:
            raise CodecError(f"PNG: CRC-32 of {_name(kind)} at {at} is {found:08x}, expected {expected:08x}")
        yield kind, view[at + 8 : at + 8 + length]
        at += 12 + length
    if kind != b"IEND":
        raise CodecError(f"PNG: truncated: ends at {at} after chunk {_name(kind)}, expected IEND")


def _image_bodies(chunks: Iterator[tuple[bytes, memoryview]], header: Header) -> Iterator[memoryview]:
    """Pick the IDAT bodies, checking that they are there, in one run, behind the palette if one is due."""
    previous = b"IHDR"
    seen = {b"IHDR"}
    for kind, body in chunks:
        if kind == b"IDAT":
            if kind in seen and previous != kind:
                raise CodecError(f"PNG: chunk {_name(previous)} between two IDAT, expected them in one run")
            if header.color_type == PALETTE and b"PLTE" not in seen:
                raise CodecError("PNG: colour type 3 without a PLTE chunk before IDAT")
            yield body
        elif kind == b"IHDR" or (kind[0] & 32 == 0 and kind not in (b"PLTE", b"IEND")):
            raise CodecError(f"PNG: critical chunk {_name(kind)} where none is expected")
        seen.add(kind)
        previous = kind
    if b"IDAT" not in seen:
        raise CodecError("PNG: no IDAT chunk: there is no image data")


def _name(kind: bytes) -> str:
    return kind.decode("ascii") if kind.isalpha() else repr(kind)


def _inflate(bodies: Iterator[memoryview], size: int, *, to_the_end: bool) -> NDArray[np.uint8]:
    """Inflate `size` bytes. `to_the_end`: check also that the stream ends there and is whole (Adler-32)."""
    inflated = np.empty(size, np.uint8)
    stream = inflate_zlib.decompressobj()
    filled = 0
    try:
        for body in bodies:
            for at in range(0, len(body), PIECE):
                piece = stream.decompress(body[at : at + PIECE], size + to_the_end - filled)
                if filled + len(piece) > size:
                    raise CodecError(f"PNG: image data goes on after the expected {size} bytes")
                inflated[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
                filled += len(piece)
                if filled == size and not to_the_end:
                    return inflated
    except inflate_zlib.error as error:
        raise CodecError(f"PNG: image data is corrupt after {filled} of {size} bytes: {error}") from error
    if filled < size or not stream.eof:
        raise CodecError(f"PNG: image data ends after {filled} of {size} bytes")
    if stream.unused_data:
        raise CodecError(f"PNG: {len(stream.unused_data)} bytes after the end of the image data")
    return inflated


def _samples(filtered: NDArray[np.uint8], header: Header, width: int) -> Picture:
    """Undo the filters of (H, 1 + row bytes) and give the first `width` pixels of every row."""
    rows = np.empty((len(filtered), header.row_bytes(width)), np.uint8)
    wrong = unfilter(filtered, rows, header.step)
    if wrong >= 0:
        raise CodecError(f"PNG: row {wrong} has filter {filtered[wrong, 0]}, expected 0 to 4")
    picture: Picture = rows
    if header.bit_depth == 16:
        picture = rows.view(">u2").astype(np.uint16)
    elif header.bit_depth < 8:
        bits = np.unpackbits(rows, axis=1).reshape(len(rows), -1, header.bit_depth)
        picture = np.packbits(bits, axis=2)[:, :width, 0] >> (8 - header.bit_depth)
    return picture if header.channels == 1 else picture.reshape(len(rows), width, header.channels)


def _decode_interlaced(header: Header, bodies: Iterator[memoryview]) -> Picture:
    """Adam7: seven smaller pictures, each filtered by itself, woven together."""
    sizes = [(-(-(header.height - y) // dy), -(-(header.width - x) // dx)) for y, x, dy, dx in ADAM7]
    bytes_ = [h * (1 + header.row_bytes(w)) if h > 0 and w > 0 else 0 for h, w in sizes]
    filtered = np.split(_inflate(bodies, sum(bytes_), to_the_end=True), np.cumsum(bytes_)[:-1])
    kind = np.uint16 if header.bit_depth == 16 else np.uint8
    shape = (header.height, header.width, header.channels)[: 2 + (header.channels > 1)]
    picture: Picture = np.empty(shape, kind)
    for (y, x, dy, dx), (h, w), part in zip(ADAM7, sizes, filtered, strict=True):
        if part.size:
            picture[y::dy, x::dx] = _samples(part.reshape(h, -1), header, w)
    return picture


def _encode(picture: NDArray[np.uint8], color: int, strategy: int) -> bytes:
    shape = ("H", "W", str(CHANNELS[color]))[: 2 + (CHANNELS[color] > 1)]
    if picture.dtype != np.uint8 or picture.ndim != len(shape) or picture.shape[2:] not in ((), (3,)):
        raise CodecError(
            f"PNG: cannot encode {picture.dtype} {picture.shape}, expected uint8 ({', '.join(shape)})"
        )
    height, width = picture.shape[:2]
    stream = deflate_zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 8, strategy)
    body = stream.compress(apply_up(picture.reshape(height, -1))) + stream.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
