"""WebP (RFC 9649): every chunk of its RIFF container, and the header of the one picture in it."""

import struct
from collections.abc import Iterator

from segdata.errors import CodecError, SizeError
from segdata.pictures.ancillary import ANIMATED, turning
from segdata.pictures.containers.container import MAX_PIXELS, Container, Size

HEAD = 12  # "RIFF", the length of what follows, "WEBP"
LOSSY, LOSSLESS, EXTENDED = b"VP8 ", b"VP8L", b"VP8X"
HEADERS = {LOSSY: 10, LOSSLESS: 5, EXTENDED: 10}  # bytes of a chunk that are read here
MOST = 1 << 16  # chunks: a picture has half a dozen, a film two a frame
ALPHA, ANIMATION = 0x10, 0x02  # of the flags of VP8X (2.7.1)
MARK = b"\x9d\x01\x2a"  # of a key frame (RFC 6386, 9.1)


def inspect_webp(data: bytes) -> Container:
    """Check that the file is whole. Raises CodecError: SizeError for a size that no such file has."""
    chunks = list(_chunks(data))
    size = webp_size(data)
    kinds = [kind for kind, _, _ in chunks]
    flags = data[HEAD + 8] if kinds[0] == EXTENDED else 0
    if flags & ANIMATION or b"ANIM" in kinds:
        return Container("WebP", size, 8, "RGB", ANIMATED)
    pictures = [(kind, at, length) for kind, at, length in chunks if kind in {LOSSY, LOSSLESS}]
    if len(pictures) != 1:
        raise CodecError(f"WebP: {len(pictures)} pictures, expected one")
    kind, at, length = pictures[0]
    if (drawn := _size(data, kind, at, length)) != size:
        raise CodecError(f"WebP: a picture of {drawn[1]}x{drawn[0]} on a canvas of {size[1]}x{size[0]}")
    if kind == LOSSY:
        _check_frame(data, at, length)
    alpha = flags & ALPHA or b"ALPH" in kinds or (kind == LOSSLESS and data[at + 4] & 0x10)
    notes = {kind: data[at : at + length] for kind, at, length in chunks if kind in {b"EXIF", b"XMP "}}
    dispute = turning(data, "WEBP", notes.get(b"EXIF", b"")) if notes else ""
    return Container("WebP", size, 8, "RGBA" if alpha else "RGB", dispute)


def webp_size(data: bytes) -> Size:
    """(H, W) from the first chunk, within its bounds: of one colour, 40 bytes are enough for any."""
    head = data[: HEAD + 18]
    size = _size(head, head[HEAD : HEAD + 4], HEAD + 8, len(head) - HEAD - 8)
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise SizeError(f"{len(data)} bytes that declare {size[1]}x{size[0]} pixels, expected 1 to {MAX_PIXELS}.")
    return size


def _size(data: bytes, kind: bytes, at: int, length: int) -> Size:
    """By a chunk: lossy (RFC 6386, 9.1), lossless (RFC 9649, 3.4), or one that says what follows (2.7)."""
    if length >= HEADERS.get(kind, length + 1):
        if kind == LOSSY and data[at + 3 : at + 6] == MARK:
            width, height = struct.unpack_from("<HH", data, at + 6)
            return height & 0x3FFF, width & 0x3FFF
        if kind == LOSSLESS and data[at] == 0x2F:
            (bits,) = struct.unpack_from("<I", data, at + 1)
            return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
        if kind == EXTENDED:
            return int.from_bytes(data[at + 7 : at + 10], "little") + 1, int.from_bytes(
                data[at + 4 : at + 7], "little"
            ) + 1
    raise CodecError(f"{len(data)} bytes that begin as a WebP does, expected the header of a picture.")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, place and length of the body of each chunk, all within the length that the file declares."""
    length = 8 + int.from_bytes(data[4:8], "little")
    if data[:4] != b"RIFF" or data[8:HEAD] != b"WEBP":
        raise CodecError(f"WebP: found {data[:HEAD]!r}, expected RIFF and WEBP")
    if length != len(data):
        damage = "truncated" if length > len(data) else "bytes after its end"
        raise CodecError(f"WebP: {damage}: {len(data)} bytes, it declares {length}")
    at = HEAD
    for _ in range(MOST + 1):
        if at >= len(data):
            break
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            raise CodecError(f"WebP: truncated: chunk {kind!r} of {size} bytes at {at}, {len(data) - at - 8} follow")
        yield kind, at + 8, size
        at += 8 + size + size % 2
    else:
        raise CodecError(f"WebP: more than {MOST} chunks, expected a picture and what is said of it")
    if at == HEAD:
        raise CodecError("WebP: no chunk, expected a picture")


def _check_frame(data: bytes, at: int, length: int) -> None:
    """A lossy picture is a key frame to be shown, whose first partition fits (RFC 6386, 9.1)."""
    tag = int.from_bytes(data[at : at + 3], "little")
    if tag & 1 or not tag & 0x10 or (tag >> 5) > length - HEADERS[LOSSY]:
        raise CodecError(f"WebP: a frame of {length} bytes whose header {tag:06x} is not that of a whole picture")
