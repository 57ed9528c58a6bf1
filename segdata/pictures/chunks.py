"""The PNG container: signature, chunks and the header, every one of them checked.

Layout, order and names are those of the standard: PNG, third edition, https://www.w3.org/TR/png-3/.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from segdata.errors import CodecError, SizeError

try:
    from isal.isal_zlib import crc32
except ImportError:  # no wheel for this processor: the same sums, five times slower
    from zlib import crc32

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 2**28  # 16384 x 16384; a header that declares more is taken for a decompression bomb
MAX_ROW_BYTES = 3 * MAX_PIXELS  # of 8-bit RGB; deeper pictures have fewer pixels
MAX_RATIO = 1032  # deflate's best: 258 bytes from two bits
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}

CHUNK_HEAD, CHECKSUM = struct.Struct(">I4s"), struct.Struct(">I")
Data = bytes | memoryview
Chunk = tuple[bytes, bytes]  # type, body
PICTURE = frozenset({b"IHDR", b"IDAT", b"IEND"})  # all others stand beside it


@dataclass(frozen=True)
class Header:
    """What IHDR declares: sizes in pixels, `bit_depth` of a sample."""

    width: int
    height: int
    bit_depth: int
    color_type: int
    interlace: int

    @property
    def channels(self) -> int:
        """Samples of a pixel."""
        return CHANNELS[self.color_type]

    @property
    def step(self) -> int:
        """Bytes from a pixel to its left neighbour, as the filters count them: at least 1."""
        return max(1, self.channels * self.bit_depth // 8)

    def row_bytes(self, width: int) -> int:
        """Bytes of a row of `width` pixels, without its filter code."""
        return (width * self.channels * self.bit_depth + 7) // 8


def open_png(data: Data) -> tuple[Header, Iterator[memoryview]]:
    """Read the header; the IDAT bodies follow as they are asked for, each checked on the way.

    Whoever takes all of them has checked the whole file. Raises CodecError.
    """
    header, chunks = open_chunks(data)
    return header, (body for kind, body in chunks if kind == b"IDAT")


def open_chunks(data: Data) -> tuple[Header, Iterator[tuple[bytes, memoryview]]]:
    """The same with the types and bodies of all chunks behind the header."""
    view = memoryview(data)
    if view[: len(SIGNATURE)] != SIGNATURE:
        found = f"found {bytes(view[:8])!r}" if view else "the file is empty"
        raise CodecError(f"PNG: {found}, expected the signature {SIGNATURE!r}")
    chunks = ((kind, checked(view, kind, at, length)) for kind, at, length in chunks_of(view))
    kind, body = next(chunks)
    if kind != b"IHDR" or len(body) != 13:
        raise CodecError(f"PNG: first chunk is {name_of(kind)} of {len(body)} bytes, expected IHDR of 13")
    header = _parse_header(body)
    size = header.height * header.row_bytes(header.width)
    if size > MAX_ROW_BYTES:
        raise SizeError(f"PNG: declared size {header.width}x{header.height} of {size} bytes, at most {MAX_ROW_BYTES}")
    if size > MAX_RATIO * len(view):
        raise CodecError(f"PNG: {len(view)} bytes cannot hold {header.width}x{header.height} pixels")
    return header, _ordered(chunks, header)


def _parse_header(body: memoryview) -> Header:
    width, height, depth, color, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
    if not width or not height or width * height > MAX_PIXELS:
        raise SizeError(f"PNG: declared size {width}x{height}, expected 1 to {MAX_PIXELS} pixels")
    if depth not in DEPTHS.get(color, ()):
        raise CodecError(f"PNG: colour type {color} with {depth} bits a sample does not exist")
    if compression or filtering or interlace > 1:
        found = f"compression {compression}, filter {filtering}, interlace {interlace}"
        raise CodecError(f"PNG: {found}; expected 0, 0 and 0 or 1")
    return Header(width, height, depth, color, interlace)


def chunks_of(view: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, place and length of each chunk's body, checking that they fit and that IEND comes last."""
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        rest = len(view) - at - 12  # length, type and CRC-32 take 4 bytes each
        if rest < 0:
            after = f"chunk {name_of(kind)}" if kind else "the signature"
            raise CodecError(f"PNG: truncated: {rest + 12} bytes after {after}, expected another chunk")
        length, kind = CHUNK_HEAD.unpack_from(view, at)
        if length > rest:
            raise CodecError(f"PNG: truncated: chunk {name_of(kind)} of {length} bytes at {at}, {rest} follow")
        yield kind, at + 8, length
        at += 12 + length
    if at < len(view):
        raise CodecError(f"PNG: {len(view) - at} bytes after IEND, expected none")


def checked(view: memoryview, kind: bytes, at: int, length: int) -> memoryview:
    """The body of a chunk, after its CRC-32 is found right."""
    found = crc32(view[at - 4 : at + length])
    (expected,) = CHECKSUM.unpack_from(view, at + length)
    if found != expected:
        raise CodecError(f"PNG: CRC-32 of {name_of(kind)} at {at - 8} is {found:08x}, expected {expected:08x}")
    return view[at : at + length]


def _ordered(chunks: Iterator[tuple[bytes, memoryview]], header: Header) -> Iterator[tuple[bytes, memoryview]]:
    """Pass the chunks on: there must be an IDAT, all in one run, behind the palette if one is due."""
    seen, previous = {b"IHDR"}, b"IHDR"
    for kind, body in chunks:
        if kind == b"IDAT":
            if kind in seen and kind != previous:
                raise CodecError(f"PNG: chunk {name_of(previous)} between two IDAT, expected them in one run")
            if header.color_type == PALETTE and b"PLTE" not in seen:
                raise CodecError("PNG: no PLTE chunk before IDAT, colour type 3 needs one")
        elif kind == b"IHDR" or (kind[0] & 32 == 0 and kind not in (b"PLTE", b"IEND")):
            raise CodecError(f"PNG: chunk {name_of(kind)} is critical and unknown here: not a PNG of the standard")
        yield kind, body
        seen.add(kind)
        previous = kind
    if b"IDAT" not in seen:
        raise CodecError("PNG: no IDAT chunk before IEND: there is no image data")


def name_of(kind: bytes) -> str:
    return kind.decode("ascii") if kind.isalpha() else repr(kind)


def assemble(width: int, height: int, color_type: int, chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Put together an 8-bit PNG, not interlaced: IHDR, these chunks of (type, body), IEND."""
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    framed = [SIGNATURE]
    for kind, body in [(b"IHDR", header), *chunks, (b"IEND", b"")]:
        framed += [CHUNK_HEAD.pack(len(body), kind), body, CHECKSUM.pack(crc32(body, crc32(kind)))]
    return b"".join(framed)
