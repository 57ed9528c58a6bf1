"""JPEG (ITU-T T.81): every marker from the first to the last; entropy-coded data is searched for its end alone.

What was searched for and is not there makes a file damaged. What is there, but not every reader takes, is refused:
arithmetic coding, lossless and hierarchical pictures.
"""

import re
import struct
from collections.abc import Iterator

from segdata.errors import CodecError, SizeError, UnsupportedError
from segdata.pictures.ancillary import EXIF, turning
from segdata.pictures.containers.container import MAX_PIXELS, Container, Size

START = b"\xff\xd8"
RATIO = 512  # pixels a byte: an entropy-coded block of 8x8 has a bit at least (T.81, F.1.2, G.1.2; flat ones: 255)
FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # SOF0 to 2: Huffman, sequential or progressive. None else is in use
HUFFMAN, END, SCAN, QUANTISATION, NOTES, SEVERAL = 0xC4, 0xD9, 0xDA, 0xDB, 0xE1, 0xE2
SEGMENTS = frozenset({HUFFMAN, QUANTISATION, 0xDD, 0xFE, *range(0xE0, 0xF0)})  # and DRI, COM, APPn
REFUSED = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB, 0xCC), "arithmetic-coded"),
    **dict.fromkeys((0xC3, 0xF7), "lossless"),
    0xDC: "late-sized (DNL)",
}
COLORS = {1: "grey", 3: "RGB", 4: "CMYK"}  # by components: as readers give them, whatever is stored

MARKER = re.compile(rb"\xff+([^\x00\xff])")  # any number of fill bytes may stand before (B.1.1.2)
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # neither a stuffed byte nor a restart: 3 GB/s


def inspect_jpeg(data: bytes) -> Container:
    """Check that the file is whole. Raises CodecError: SizeError for a size that no such file has, UnsupportedError."""
    header, seen, several = None, set[int](), False
    exif = bytearray()  # of several segments, as Pillow takes it
    end = len(START)
    for kind, body, end in _segments(data):
        if kind in FRAMES:
            if header:
                raise CodecError("JPEG: two frame headers, expected one picture")
            header = _frame_header(data, body, end)
        elif kind == SCAN and (header is None or not {HUFFMAN, QUANTISATION} <= seen):
            raise CodecError("JPEG: a scan before the frame header and the tables that it needs (SOF, DQT, DHT)")
        elif kind == NOTES and data.startswith(EXIF, body):
            exif += data[body + len(EXIF) : end]
        seen.add(kind)
        several |= kind == SEVERAL and data.startswith(b"MPF\0", body)
    if header is None or SCAN not in seen:
        raise CodecError("JPEG: no frame header and scan before the end (EOI)")
    if not several and (more := len(data) - end) and data.count(0, end) < more:
        raise CodecError(f"JPEG: {more} bytes after its end (EOI), expected none")
    depth, size, components = header
    color = COLORS.get(components, f"{components}-channel")
    return Container("JPEG", size, depth, color, turning(data, "JPEG", bytes(exif)) if NOTES in seen else "")


def jpeg_size(data: bytes) -> Size:
    """(H, W) from the first frame header (T.81, B.2.2). Raises CodecError where none stands before the first scan."""
    try:
        for kind, body, end in _segments(data):
            if kind in FRAMES:
                return _frame_header(data, body, end)[1]
            if kind not in SEGMENTS:
                break
    except SizeError:
        raise
    except CodecError:  # what is wrong in front of the header is told by `inspect_jpeg`
        pass
    raise CodecError(f"{len(data)} bytes that begin as a JPEG does, expected the header of a Huffman-coded frame.")


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin of the body and end of each segment up to EOI, scans with all that is coded in them."""
    at = len(START)
    while True:
        found = MARKER.match(data, at)
        if not found:
            there = f"found {data[at : at + 2].hex(' ')} at byte {at}" if at < len(data) else f"truncated at byte {at}"
            raise CodecError(f"JPEG: {there}, expected a marker")
        kind, at = found[1][0], found.end()
        if kind == END:
            yield kind, at, at
            return
        if kind in REFUSED:
            raise UnsupportedError(
                f"{_article(REFUSED[kind])} JPEG. Save it with Huffman codes, as most tools do, or as PNG"
            )
        if kind not in SEGMENTS | FRAMES | {SCAN}:
            raise CodecError(f"JPEG: marker ff {kind:02x} at byte {at - 2}, which is none of a picture")
        length = int.from_bytes(data[at : at + 2])
        if length < 2 or at + length > len(data):
            raise CodecError(
                f"JPEG: truncated: segment ff {kind:02x} of {length} bytes at {at}, {len(data) - at} follow"
            )
        body, at = at + 2, at + length
        if kind == SCAN:
            coded = SCAN_END.search(data, at)
            if not coded:
                raise CodecError(f"JPEG: truncated: {len(data)} bytes, and no end (EOI)")
            at = coded.start()
        yield kind, body, at


def _frame_header(data: bytes, body: int, end: int) -> tuple[int, Size, int]:
    """Bits a sample, (H, W) and components, the size within its bounds."""
    if end - body < 6:
        raise CodecError(f"JPEG: a frame header of {end - body} bytes, expected 6 at least")
    depth, height, width, components = struct.unpack_from(">BHHB", data, body)
    most = min(MAX_PIXELS, RATIO * len(data))
    if not 0 < height * width <= most:
        raise SizeError(f"{len(data)} bytes that declare {width}x{height} pixels, expected 1 to {most}.")
    return depth, (height, width), components


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
