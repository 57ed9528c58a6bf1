"""The tags of a TIFF, and of Exif, which is one: read without trusting what they declare.

Readers copy the value of each tag. Where thousands of tags all name the whole file as their value, that takes more
memory than any machine has: such files are found here before a reader sees them.
"""

import struct
from collections.abc import Mapping

from segdata.base.files import parsing
from segdata.errors import CodecError, SizeError

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # both byte orders; the last two with places of 8 bytes (BigTIFF)
BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # of a value, by type; else 1
WHOLE = {1: "B", 3: "H", 4: "I", 16: "Q"}  # types of whole numbers from 0 on
SHORT = 16  # values of a tag that is read here
OVERLAP = 4  # how often a byte may be in the value of a tag on average: once, where nobody does harm

Tags = Mapping[int, tuple[int, ...]]


def read_tags(data: bytes) -> tuple[Tags, bool]:
    """Short values of whole numbers by their tags, of the first page; and whether there is another page.

    Raises CodecError where the tags are not all there: SizeError where they name more bytes than the file can hold.
    """
    with parsing("tags", CodecError):
        if not data.startswith(STARTS):
            raise CodecError(f"tags that begin with {data[:4]!r}, expected {' or '.join(map(repr, STARTS[:2]))}")
        order, wide = "<" if data.startswith(b"II") else ">", data[2:4] in {b"+\0", b"\0+"}
        count, entry, place = (
            struct.Struct(order + form) for form in (("Q", "HHQ", "Q") if wide else ("H", "HHI", "I"))
        )
        (at,) = place.unpack_from(data, place.size)
        (entries,) = count.unpack_from(data, at)
        at += count.size
        tags: dict[int, tuple[int, ...]] = {}
        named = 0
        for _ in range(entries):  # one that is not there ends it
            tag, kind, number = entry.unpack_from(data, at)
            size, value = BYTES.get(kind, 1) * number, at + entry.size
            if size > place.size:
                (value,) = place.unpack_from(data, value)
            if value + size <= len(data):
                named += size
                if kind in WHOLE and 0 < number <= SHORT:
                    tags[tag] = struct.unpack_from(f"{order}{number}{WHOLE[kind]}", data, value)
            at += entry.size + place.size
        if named > OVERLAP * len(data):
            raise SizeError(f"tags of {len(data)} bytes whose values take {named}")
        return tags, bool(place.unpack_from(data, at)[0])
