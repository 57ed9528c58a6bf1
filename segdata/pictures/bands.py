"""PNG that is read from the middle: to any reader a plain one; to ours, a window costs what lies in the window.

A PNG is one stream over all its rows, so whoever wants the last row inflates everything. Here the stream is of
Huffman codes only, without matches, and nothing refers back over the edges of bands of 32 rows: the first row of
each has filter Sub, the others Up, and the codes stand at the band's head. So reading can start at any pixel whose
place among the bits is known; a private chunk, which others skip, tells it of every 512th. The chunks:

    IHDR   8-bit RGB, not interlaced
    seEK   ancillary, private, not to be copied when the image changes. Big-endian 16-bit numbers: rows of a band,
           pixels of a segment; then row by row, segment by segment, how many bits it has
    IDAT   the two bytes that begin a zlib stream
    IDAT   for each band: a block of deflate (see `bits.py`), and an empty one that ends with a whole byte
    IDAT   an empty last block, and the Adler-32 of everything
    IEND

All this costs one percent of the bytes.
"""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from segdata.base.arrays import Window
from segdata.errors import CodecError
from segdata.pictures.bits import BAND, CHECKSUM, DATA_AT, SEGMENT, STEP, TAIL, Segments, read_band, write_band
from segdata.pictures.chunks import RGB, Header, assemble, checked, chunks_of, name_of
from segdata.pictures.filters import SUB, apply_up
from segdata.pictures.huffman import LIMIT

try:
    from isal.isal_zlib import adler32
except ImportError:  # no wheel for this processor
    from zlib import adler32

KIND = b"seEK"
LAYOUT = struct.pack(">HH", BAND, SEGMENT)
BEGIN, LAST = b"\x78\x01", b"\x03\x00"  # window of 32 kB, quickest; last block, fixed codes, its end

Bytes = NDArray[np.uint8]


def encode(image: Bytes) -> bytes:
    """Encode (H, W, 3)."""
    height, width = image.shape[:2]
    rows = image.reshape(height, -1)
    segments = np.empty((height, -(-width // SEGMENT)), np.uint16)
    words = np.empty((DATA_AT + LIMIT * (BAND * (1 + rows.shape[1]) + 1)) // 32 + 3, np.uint32)
    adler, bodies = 1, [BEGIN]
    for top in range(0, height, BAND):
        filtered = _filtered(rows[top : top + BAND])
        size = write_band(filtered, words, segments[top : top + BAND])
        bodies.append(words.view(np.uint8)[:size].tobytes() + TAIL)  # numba knows only little-endian processors
        adler = adler32(filtered, adler)
    bodies.append(LAST + struct.pack(">I", adler))
    places = LAYOUT + segments.astype(">u2").tobytes()
    return assemble(width, height, RGB, [(KIND, places), *((b"IDAT", body) for body in bodies)])


def _filtered(rows: Bytes) -> Bytes:
    """(n, 1 + N): the first row by Sub, the others by Up."""
    filtered = apply_up(rows)
    filtered[0, 0] = SUB
    filtered[0, 1 + STEP :] -= rows[0, :-STEP]
    return filtered


def decode_window(view: memoryview, header: Header, window: Window) -> Bytes | None:
    """The window (height, width, 3), or None if the PNG is not one of these.

    Checks the chunk of places and the bands that it reads, no other chunk. Raises CodecError.
    """
    chunks = chunks_of(view)
    next(chunks)  # IHDR
    kind, at, length = next(chunks)
    segments_shape = header.height, -(-header.width // SEGMENT)
    if kind != KIND or length != len(LAYOUT) + 2 * segments_shape[0] * segments_shape[1]:
        return None
    places = checked(view, kind, at, length)
    if places[: len(LAYOUT)] != LAYOUT or header.interlace or (header.color_type, header.bit_depth) != (RGB, 8):
        return None
    segments = np.frombuffer(places[len(LAYOUT) :], ">u2").reshape(segments_shape).astype(np.uint16)
    return _read(view, chunks, segments, header.width, window)


def _read(
    view: memoryview, chunks: Iterator[tuple[bytes, int, int]], segments: Segments, columns: int, window: Window
) -> Bytes:
    top, left, height, width = window
    rows = np.empty((height, STEP * width), np.uint8)
    data = np.frombuffer(view, np.uint8)
    for number, (kind, at, length) in enumerate(chunks):
        band = BAND * (number - 1)  # its first row; before the first band there is BEGIN
        if band >= top + height:
            break
        if kind != b"IDAT":
            raise CodecError(f"PNG: chunk {name_of(kind)} at {at - 8}, expected the IDAT of the rows from {band} on")
        if number == 0 or band + BAND <= top:
            continue
        checked(view, kind, at, length)
        block = data[at : at + length + CHECKSUM]
        wanted = rows[max(band - top, 0) : band + BAND - top]
        within = segments[band : band + BAND]
        if not read_band(block, within, columns, max(top - band, 0), left, wanted):
            raise CodecError(f"PNG: the IDAT at {at - 8} and the chunk seEK are not of each other")
    return rows.reshape(height, width, STEP)
