"""The PNG codec: reads what is asked for and no more, and writes bytes that are the same everywhere.

Every PNG of the standard is read, its samples as they are stored: a palette image gives its indices, 16 bits
stay 16 bits, nothing is scaled, and ancillary chunks (tRNS, gAMA, ...) change nothing. The figures behind
the choices are CPU milliseconds of benchmarks/data/codecs.py, for a painted frame of 2048x1024 and its label map.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.base.arrays import Window
from segdata.base.zlibs import first_of
from segdata.errors import CodecError
from segdata.pictures import bands
from segdata.pictures.chunks import GREY, PICTURE, SIGNATURE, Chunk, Data, Header, assemble, open_chunks, open_png
from segdata.pictures.filters import apply_up, unfilter

__all__ = ["SIGNATURE", "Header", "Window", "decode", "encode_image", "encode_labels", "inspect"]


# isal is quickest on literals (images: 13 against zlib-ng's 17 and zlib's 23), zlib-ng on long runs (label maps:
# 0.2 against isal's 0.6 and zlib's 3.3).
INFLATE_IMAGE = first_of("isal.isal_zlib", "zlib_ng.zlib_ng")
INFLATE_LABELS = first_of("zlib_ng.zlib_ng", "isal.isal_zlib")
DEFLATE = first_of("zlib_ng.zlib_ng")
MEM_LEVEL = 9  # the largest deflate blocks, so the fewest Huffman tables

AT_ONCE = 1 << 16  # compressed bytes that are inflated in one call, after the first

# Adam7: first row, first column, row stride and column stride of each pass (section 8 of the standard).
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))

Bytes = NDArray[np.uint8]
Picture = NDArray[Any]  # uint8, or uint16 from a PNG of 16 bits


def inspect(data: Data) -> tuple[Header, tuple[Chunk, ...]]:
    """Check the container without inflating it: order and CRC-32 of every chunk, nothing missing.

    Gives the chunks that stand beside the picture. Raises CodecError: one line that says what was found and what was
    expected.
    """
    header, chunks = open_chunks(data)  # the walk checks
    return header, tuple([(kind, bytes(body)) for kind, body in chunks if kind not in PICTURE])


def decode(data: Data, *, window: Window | None = None) -> Picture:
    """Decode to (H, W) if a pixel has one sample, else (H, W, C): uint16 from 16 bits, else uint8.

    `window` (top, left, height, width) gives `decode(data)[top : top + height, left : left + width]`, but
    reads, checks and inflates only up to its last row, or if `encode_image` wrote the PNG, little more than the
    window: damage elsewhere goes unnoticed. Raises CodecError.
    """
    header, bodies = open_png(data)
    top, left, height, width = window or (0, 0, header.height, header.width)
    bottom, right = top + height, left + width
    if min(top, left) < 0 or min(height, width) < 1 or bottom > header.height or right > header.width:
        raise CodecError(f"PNG: window {window} is not inside {header.height} rows of {header.width} pixels")
    if window and (picture := bands.decode_window(memoryview(data), header, window)) is not None:
        return picture
    if header.interlace:
        picture = _decode_interlaced(header, bodies)
    else:
        size, share = bottom * (1 + header.row_bytes(header.width)), len(data) * bottom // header.height
        filtered = _inflate_start(bodies, size, header, share) if window else _inflate(bodies, size, header)
        picture = _samples(filtered.reshape(bottom, -1), header, right)
    return np.ascontiguousarray(picture[top:bottom, left:right]) if window else picture


def encode_labels(labels: Bytes) -> bytes:
    """Encode a label map (H, W) as 8-bit grey: filter Up, strategy Z_RLE, one IDAT.

    The smallest (14 kB; Pillow 16), among the quickest to write (1.0) and read (0.4), and promised: this strategy
    needs no match finder, so that zlib and zlib-ng write the same bytes; a test compares them.
    """
    if labels.dtype != np.uint8 or labels.ndim != 2 or not labels.size:
        raise CodecError(f"PNG: cannot encode {labels.dtype} {labels.shape}, expected uint8 (H, W)")
    stream = DEFLATE.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, MEM_LEVEL, zlib.Z_RLE)
    body = stream.compress(apply_up(labels)) + stream.flush()
    return assemble(labels.shape[1], labels.shape[0], GREY, [(b"IDAT", body)])


def encode_image(image: Bytes) -> bytes:
    """Encode an image (H, W, 3) as 8-bit RGB, without loss, so that a window is read without the rest: `bands`.

    The quickest to read: 9, and a window of a quarter in 1.5 (isal's level 1 with filter Up: 12 and 9, a file of
    Pillow's: 10 and 8), written in 17 (isal: 15, Pillow: 690), for two fifths more bytes than Pillow's. The bytes are
    promised: no library makes them.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise CodecError(f"PNG: cannot encode {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
    return bands.encode(image)


def _inflater(header: Header) -> tuple[Any, type[Exception]]:
    module = INFLATE_LABELS if header.step == 1 else INFLATE_IMAGE
    return module.decompressobj(), module.error


def _inflate(bodies: Iterator[memoryview], size: int, header: Header) -> Bytes:
    """Inflate the whole stream, which must hold exactly `size` bytes and end with their Adler-32."""
    stream, error_kind = _inflater(header)
    try:
        inflated = stream.decompress(b"".join(bodies), size + 1)
    except error_kind as error:
        raise CodecError(f"PNG: image data cannot be inflated: {error}") from error
    if len(inflated) > size or stream.unused_data:
        raise CodecError(f"PNG: image data goes on after the expected {size} bytes")
    if len(inflated) < size or not stream.eof:
        raise CodecError(f"PNG: image data ends early: {len(inflated)} of {size} bytes and the Adler-32")
    return np.frombuffer(inflated, np.uint8)


def _inflate_start(bodies: Iterator[memoryview], size: int, header: Header, guess: int) -> Bytes:
    """Inflate the first `size` bytes, which are in about `guess` of the compressed ones; touch few behind them."""
    stream, error_kind = _inflater(header)
    pieces: list[bytes] = []
    missing = size
    try:
        while missing:
            pieces.append(stream.decompress(_some(bodies, AT_ONCE if pieces else guess), missing))
            missing -= len(pieces[-1])
    except error_kind as error:
        raise CodecError(f"PNG: image data cannot be inflated: {error}") from error
    except StopIteration:
        raise CodecError(f"PNG: image data ends early: {size - missing} of {size} bytes") from None
    return np.frombuffer(pieces[0] if len(pieces) == 1 else b"".join(pieces), np.uint8)


def _some(bodies: Iterator[memoryview], enough: int) -> memoryview | bytes:
    """The next chunks, together: a call of the inflater for each would cost a tenth more. Raises StopIteration."""
    taken = [next(bodies)]
    size = len(taken[0])
    while size < enough and (body := next(bodies, None)) is not None:
        taken.append(body)
        size += len(body)
    return taken[0] if len(taken) == 1 else b"".join(taken)


def _samples(filtered: Bytes, header: Header, width: int) -> Picture:
    """Undo the filters of (H, 1 + row bytes), and unpack the first `width` pixels of every row."""
    rows = np.empty((len(filtered), header.row_bytes(width)), np.uint8)
    wrong = unfilter(filtered, rows, header.step)
    if wrong >= 0:
        raise CodecError(f"PNG: row {wrong} has filter {filtered[wrong, 0]}, expected 0 to 4")
    picture: Picture = rows
    if header.bit_depth == 16:
        picture = rows.view(">u2").astype(np.uint16)
    elif header.bit_depth < 8:
        picture = rows[:, :, None] >> np.arange(8 - header.bit_depth, -1, -header.bit_depth, dtype=np.uint8)
        picture &= (1 << header.bit_depth) - 1
        picture = np.ascontiguousarray(picture.reshape(len(rows), -1)[:, :width])
    return picture if header.channels == 1 else picture.reshape(len(rows), width, header.channels)


def _decode_interlaced(header: Header, bodies: Iterator[memoryview]) -> Picture:
    """Seven smaller pictures, each filtered by itself, woven together."""
    sizes = [(len(range(y, header.height, dy)), len(range(x, header.width, dx))) for y, x, dy, dx in ADAM7]
    lengths = [h * (1 + header.row_bytes(w)) if w else 0 for h, w in sizes]
    passes = np.split(_inflate(bodies, sum(lengths), header), np.cumsum(lengths)[:-1])
    shape = (header.height, header.width, header.channels)[: 2 + (header.channels > 1)]
    picture = np.empty(shape, np.uint16 if header.bit_depth == 16 else np.uint8)
    for (y, x, dy, dx), (h, w), filtered in zip(ADAM7, sizes, passes, strict=True):
        if filtered.size:
            picture[y::dy, x::dx] = _samples(filtered.reshape(h, -1), header, w)
    return picture
