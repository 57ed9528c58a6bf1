"""What a zip says of itself, at its end: how many members it has, where each begins, and what each holds.

Everything that is said twice is compared, so that no damaged byte hides members: count, length and place of the
directory with its entries, the 64-bit records with the short ones, the members' places with each other. Layout and
names are those of PKWARE's APPNOTE 6.3.10. A zip may follow a program that unpacks it, and nothing else; nothing
follows its own comment.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_DIRECTORY_BYTES = 1 << 25  # 32 MiB: room for 200,000 files, ten times those of the largest of these zips
NEWEST = 63  # version of the format, 6.3: all that any tool asks for
UTF_8 = 1 << 11  # bit of a member's flags: how its name is encoded
ZIP64 = 1  # kind of an extra field
MAX_16, MAX_32 = 0xFFFF, 0xFFFFFFFF  # "see the 64-bit number"

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_NEAR = 1 << 12  # bytes at the end of the file, in which all end records lie where there is no long comment
_FAR = _END.size + MAX_16 + _LOCATOR.size + _END_64.size  # where there is the longest one
HEADER = 30  # bytes of a member's own header, before its name and extra field
_JOIN = "Join all parts (zip -s 0 PART.zip --out WHOLE.zip) and place the whole one there in their stead"
PROGRAMS = (b"MZ", b"\x7fELF", b"#!")  # how they begin: of Windows, of Linux, scripts
SPANNING = (b"PK\7\x08", b"PK00")  # what was written in parts begins with one of these (8.5.3, 8.5.4)

Read = Callable[[int, int], bytes]  # the bytes from the first to before the second


class SeveralError(ValueError):
    """Not one whole zip, but a part of one, or several; says what to do."""


class Entry(NamedTuple):
    """A member as the directory lists it; `fault` says why its bytes cannot be where it says."""

    name: str
    raw: bytes  # the name as it stands in the zip
    flags: int
    method: int
    crc: int
    packed: int  # bytes in the zip
    size: int  # bytes unpacked
    at: int  # of its own header, in the file
    mode: int  # of Unix, 0 where none is noted
    fault: str = ""


class _End(NamedTuple):
    """The end record: `stop` is where the directory ends."""

    stop: int
    entries: int
    size: int  # bytes of the directory
    offset: int  # of the directory, from where the zip begins


def read_directory(read: Read, size: int) -> list[Entry]:
    """All entries of a zip of `size` bytes, in their order.

    Raises ValueError for what contradicts itself, and SeveralError for what is not one zip.
    """
    tail = read(tail_at := max(0, size - _NEAR), size)
    if _find_end(tail) is None:  # a longer comment
        tail = read(tail_at := max(0, size - _FAR), size)
    end = _read_end(read, tail, tail_at)
    if end.size > MAX_DIRECTORY_BYTES:
        raise ValueError(f"a directory of {end.size} bytes, expected at most {MAX_DIRECTORY_BYTES}")
    start = end.stop - end.size
    before = start - end.offset  # bytes that do not belong to the zip
    if start < 0 or before < 0:
        raise ValueError(f"a directory of {end.size} bytes from byte {end.offset} on, which ends at byte {end.stop}")
    data = tail[start - tail_at : end.stop - tail_at] if start >= tail_at else (
        read(start, min(tail_at, end.stop)) + tail[: max(0, end.stop - tail_at)]
    )  # fmt: skip
    entries = [_entry(*found, before) for found in _split(data, start)]
    _check_before(read, min((entry.at for entry in entries), default=start))
    if len(entries) != end.entries:
        raise ValueError(f"{len(entries)} members in its directory, {end.entries} by its end record")
    if before and entries and read(first := min(entry.at for entry in entries), first + 4) != b"PK\3\4":
        raise ValueError(f"a directory at byte {start}, by its end record at byte {end.offset}")
    return _placed(entries, start)


def _check_before(read: Read, first: int) -> None:
    """Refuse bytes before the first member that no directory would ever list: those of another zip, above all."""
    if not first or ((begin := read(0, min(first, 4))) in SPANNING and first == 4):
        return
    if begin[:2] == b"PK" or _find_end(read(max(0, first - _FAR), first)) is not None:
        raise SeveralError(
            f"{first} bytes of another zip before it, whose files would be lost: several zips were joined into one "
            "file. Place each of them there as it was, or unpack them one by one"
        )
    if not begin.startswith(PROGRAMS):
        raise ValueError(f"{first} bytes before its first member, expected none, or a program that unpacks it")


# ---- the end record -----------------------------------------------------------------------------------------


def _read_end(read: Read, tail: bytes, tail_at: int) -> _End:
    at = _find_end(tail)
    if at is None:
        raise ValueError(_missing_end(tail))
    _, *numbers, _ = _END.unpack_from(tail, at)
    stop = tail_at + at
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size : at][:4] == b"PK\6\7":
        stop, offset, numbers = _read_end_64(read, tail, tail_at, at - _LOCATOR.size, numbers)
        if offset != numbers[4] + numbers[5]:  # both from where the zip begins
            raise ValueError(f"a 64-bit end record at byte {numbers[4] + numbers[5]}, by its locator at byte {offset}")
    disk, first, here, entries, size, offset = numbers
    if disk or first or here != entries:
        raise SeveralError(f"part {disk + 1} of a zip in several parts. {_JOIN}")
    return _End(stop, entries, size, offset)


def _find_end(tail: bytes) -> int | None:
    """Where the end record begins: the last one whose comment reaches to the end of the file."""
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        if at + _END.size <= len(tail) == at + _END.size + _END.unpack_from(tail, at)[-1]:
            return at
        at = tail.rfind(b"PK\5\6", 0, at)
    return None


def _missing_end(tail: bytes) -> str:
    at = tail.rfind(b"PK\5\6")
    if at < 0 or at + _END.size > len(tail):
        return "no end record, so that it is cut off, or no zip"
    over = len(tail) - at - _END.size - _END.unpack_from(tail, at)[-1]
    return f"{over} bytes after its end, expected none" if over > 0 else "cut off in its comment"


def _read_end_64(read: Read, tail: bytes, tail_at: int, at: int, short: list[int]) -> tuple[int, int, list[int]]:
    """(place, place by its locator, numbers) of the 64-bit end record, which the short one must not contradict."""
    _, disk, offset, disks = _LOCATOR.unpack_from(tail, at)
    place = tail_at + at - _END_64.size
    data = tail[at - _END_64.size : at] if at >= _END_64.size else b""
    if data[:4] != b"PK\6\6" and offset < place:  # a longer one, as version 2 of it may be
        place, data = offset, read(offset, offset + _END_64.size)
    if data[:4] != b"PK\6\6" or len(data) < _END_64.size:
        raise ValueError(f"no 64-bit end record at byte {offset}, where its locator says")
    _, length, _, _, *numbers = _END_64.unpack(data)
    if disk or disks > 1:
        raise SeveralError(f"part {disks} of a zip in several parts. {_JOIN}")
    if length + 12 != tail_at + at - place:
        raise ValueError("a 64-bit end record of another length than its locator says")
    limits = (MAX_16, MAX_16, MAX_16, MAX_16, MAX_32, MAX_32)
    for few, many, limit in zip(short, numbers, limits, strict=True):
        if few not in {many, limit}:
            raise ValueError(f"end records that differ: {few} in the short one, {many} in the 64-bit one")
    return place, offset, numbers


# ---- the entries --------------------------------------------------------------------------------------------


def _split(data: bytes, start: int) -> Iterator[tuple[tuple[int, ...], bytes, bytes]]:
    """Numbers, name and extra field of each entry; together they must fill the directory."""
    at = 0
    while at < len(data):
        if data[at : at + 4] != b"PK\1\2" or at + _ENTRY.size > len(data):
            raise ValueError(f"no member in its directory at byte {start + at}")
        _, *numbers = _ENTRY.unpack_from(data, at)
        name, extra, comment = numbers[9:12]
        names = at + _ENTRY.size
        at = names + name + extra + comment
        if at > len(data):
            raise ValueError(f"a member whose entry goes on after the directory's end at byte {start + len(data)}")
        yield tuple(numbers), data[names : names + name], data[names + name : names + name + extra]


def _entry(numbers: tuple[int, ...], raw: bytes, extra: bytes, before: int) -> Entry:
    _, version, flags, method, _, _, crc, packed, size, _, _, _, disk, _, attributes, at = numbers
    if version & 0xFF > NEWEST:
        raise ValueError(f"a member that needs version {(version & 0xFF) / 10} of the format")
    size, packed, at = long_numbers((size, packed, at), extra)
    if disk not in {0, MAX_16}:
        raise SeveralError(f"a member in part {disk + 1} of a zip in several parts. {_JOIN}")
    name = raw.decode("utf-8" if flags & UTF_8 else "cp437")
    return Entry(name, raw, flags, method, crc, packed, size, before + at, attributes >> 16)


def long_numbers(short: tuple[int, ...], extra: bytes) -> list[int]:
    """The numbers, those that stand in the extra field for 64-bit ones replaced (4.5.3)."""
    long = _extra(extra, ZIP64) if MAX_32 in short else b""
    numbers = iter(struct.unpack(f"<{len(long) // 8}Q", long[: len(long) // 8 * 8]))
    return [next(numbers, number) if number == MAX_32 else number for number in short]


def _extra(extra: bytes, wanted: int) -> bytes:
    """One field of an extra field, b"" where it has none."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == wanted:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def _placed(entries: list[Entry], start: int) -> list[Entry]:
    """The entries, with a fault where one lies within another, or not before the directory at `start`."""
    faults, end, last = dict[int, str](), 0, ""
    for i in sorted(range(len(entries)), key=lambda i: entries[i].at):
        entry = entries[i]
        stop = entry.at + HEADER + len(entry.raw) + entry.packed
        if stop > start:
            faults[i] = f"lies at bytes {entry.at} to {stop}, the zip's members at 0 to {start}"
        elif entry.at < end:
            faults[i] = f"begins at byte {entry.at}, within {last}"
        else:
            end, last = stop, entry.name
    return [entry._replace(fault=faults[i]) if i in faults else entry for i, entry in enumerate(entries)]
