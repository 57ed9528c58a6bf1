"""Zips as people download them, read in place: on a disk, or in a store by ranges.

What a zip declares of itself is bounded before it is believed: its directory, and each member packed and unpacked.
"""

import bz2
import lzma
import stat
import struct
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePosixPath, PureWindowsPath
from typing import NamedTuple

from segdata.base.files import parsing
from segdata.base.zlibs import first_of
from segdata.errors import SourceError, TooLargeError
from segdata.raw.archives.zipdirectory import HEADER, MAX_32, Entry, Read, SeveralError, long_numbers, read_directory
from segdata.raw.storages.opening import storage_at
from segdata.stores.url import Place

INFLATE = first_of("isal.isal_zlib")
ENCRYPTED, DEFERRED = 1, 1 << 3  # bits of a member's flags; sizes and CRC-32 stand behind its bytes
PACKER_FLAGS = 0b1110  # how hard it was packed, and DEFERRED: these may differ from those in the directory
MAX_MEMBER_BYTES = 1 << 28  # 256 MiB: no picture of these datasets comes near; a bomb does
MAX_RATIO = 1100  # deflate cannot exceed 1032:1; a directory that claims more lies
MIN_WINDOW = 1 << 12  # bytes: liblzma's smallest
_SYMLINK = stat.S_IFLNK
_LOCAL = struct.Struct("<4s5H3L2H")
_SPARE = 256  # by how much name and extra field may be longer than in the directory before a second request is needed


class _Directory(NamedTuple):
    """The files that a zip lists, and its bytes."""

    entries: Mapping[str, Entry]
    size: int


def zip_entries(path: Place) -> Mapping[str, Entry]:
    """The zip's files by name ("a/b.png", also of "./a//b.png"); all refused if one is a link or tries to leave it.

    Old Windows tools separate folders by a backslash, which no file of a dataset has in its name: it is read as "/".
    """
    return _directory(path).entries


def read_zipped(path: Place, inner: str) -> bytes:
    """One member's bytes. Raises SourceError, and what the decompressors raise for damage."""
    zipped = _directory(path)
    entry = zipped.entries[inner]
    if entry.fault:
        raise SourceError(f"{path}:{inner}: {entry.fault}. Download the zip again.")
    if max(entry.size, entry.packed) > MAX_MEMBER_BYTES or entry.size > MAX_RATIO * max(entry.packed, 1):
        raise TooLargeError(
            f"{path}:{inner}: declares {entry.size} bytes packed in {entry.packed}, "
            "more than deflate or a picture can hold: a decompression bomb or a damaged zip."
        )
    if entry.flags & ENCRYPTED:
        raise SourceError(f"{path}:{inner}: is encrypted, expected a member without a password.")
    packed = _packed(storage_at(path).read_range, entry, zipped.size)
    data = _unpacked(packed, entry)
    if len(data) != entry.size or INFLATE.crc32(data) != entry.crc:
        raise SourceError(f"{path}:{inner}: its length or CRC-32 is not what the zip's directory says.")
    return data


def _unpacked(packed: bytes, entry: Entry) -> bytes:
    """The member, or of one that goes on after what is declared a byte more than that."""
    enough = entry.size + 1
    data: bytes
    match entry.method:
        case zipfile.ZIP_STORED:
            return packed
        case zipfile.ZIP_DEFLATED:
            stream = INFLATE.decompressobj(-15)
            data = stream.decompress(packed, enough)
        case zipfile.ZIP_BZIP2:
            stream = bz2.BZ2Decompressor()
            data = stream.decompress(packed, enough)
        case zipfile.ZIP_LZMA:
            return _lzma(packed, entry.size).decompress(packed[9:], enough)  # need not say where it ends
        case other:
            raise ValueError(f"packed by method {other}, expected stored, deflate, bzip2 or LZMA")
    if len(data) == entry.size and (not stream.eof or stream.unused_data):
        raise ValueError(f"{entry.packed} packed bytes, which do not end with the member")
    return data


def _lzma(packed: bytes, size: int) -> lzma.LZMADecompressor:
    """By the member's head (APPNOTE 5.8.8): version, length of the properties; these: literals and window.

    liblzma allocates the window that is declared, up to 4 GB, though none can be of use beyond the member's end.
    """
    length, coded, window = struct.unpack_from("<2xHBI", packed)
    if length != 5:
        raise ValueError(f"LZMA properties of {length} bytes, expected 5")
    rest, lc = divmod(coded, 9)
    pb, lp = divmod(rest, 5)
    properties = {"lc": lc, "lp": lp, "pb": pb, "dict_size": max(min(window, size), MIN_WINDOW)}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, **properties}])


def _packed(read: Read, entry: Entry, zip_size: int) -> bytes:
    """The member's bytes, in one request where that is enough: header, names and bytes lie together."""
    guessed = HEADER + len(entry.raw) + _SPARE + entry.packed
    data = read(entry.at, min(entry.at + guessed, zip_size))
    if data[:4] != b"PK\3\4" or len(data) < HEADER:
        raise ValueError(f"no member at byte {entry.at}")
    name, extra = struct.unpack_from("<HH", data, HEADER - 4)  # which may differ from those in the zip's directory
    start = HEADER + name + extra
    if len(data) < start + entry.packed:
        data += read(entry.at + len(data), entry.at + start + entry.packed)
    _check_header(data[:start], entry)
    return data[start : start + entry.packed]


def _check_header(data: bytes, entry: Entry) -> None:
    """The member's own header, name and extra field against what the zip's directory says of it."""
    _, _, flags, method, _, _, crc, *sizes, name, _ = _LOCAL.unpack_from(data)
    raw, extra = data[HEADER : HEADER + name], data[HEADER + name :]
    size, packed = long_numbers((sizes[1], sizes[0]), extra)
    said = {"name": raw, "flags": flags & ~PACKER_FLAGS, "method": method}
    due = {"name": entry.raw, "flags": entry.flags & ~PACKER_FLAGS, "method": entry.method}
    numbers = {"CRC-32": (crc, entry.crc), "packed bytes": (packed, entry.packed), "bytes": (size, entry.size)}
    for what, (mine, listed) in numbers.items():
        if not (flags & DEFERRED and mine in {0, MAX_32}):  # then it stands behind the member's bytes
            said[what], due[what] = mine, listed
    if wrong := [what for what in said if said[what] != due[what]]:
        found = ", ".join(f"{what} {said[what]!r}, {due[what]!r} in the directory" for what in wrong)
        raise ValueError(f"its own header and the zip's directory differ: {found}")


def _directory(path: Place) -> _Directory:
    return _read_directory(path, storage_at(path).version())


@lru_cache(maxsize=16)
def _read_directory(path: Place, version: int) -> _Directory:
    storage = storage_at(path)
    with parsing(path, SourceError, "Expected a complete zip. Download it again."):
        try:
            listed = read_directory(storage.read_range, size := storage.size())
        except SeveralError as error:
            raise SourceError(f"{path}: {error}.") from None
        entries: dict[str, Entry] = {}
        for entry in listed:
            _check_name(path, entry)
            if _is_folder(entry):
                continue
            name = str(PurePosixPath(entry.name.replace("\\", "/")))  # "./a//b.png" is a/b.png, as is "a\\b.png"
            other = entries.setdefault(name, entry._replace(name=name))
            if (other.size, other.crc) != (entry.size, entry.crc):
                raise SourceError(
                    f"{path}: {name} stands twice in it, with {other.size} and with {entry.size} bytes that are "
                    "not the same. Pack the zip again with the right one, or download it again."
                )
    return _Directory(entries, size)


def _is_folder(entry: Entry) -> bool:
    return entry.name.replace("\\", "/").rpartition("/")[2] in {"", "."}


def _check_name(path: Place, entry: Entry) -> None:
    """Refuse the whole zip for an entry that no tool writes: its maker wants to harm, or others are damaged too."""
    pure, windows = PurePosixPath(entry.name), PureWindowsPath(entry.name)
    if not entry.name or "\0" in entry.name or (_is_folder(entry) and entry.size):
        raise SourceError(
            f"{path}: a member without a name, so the zip's directory is damaged ({entry.name!r}). Download it again."
        )
    foreign = "\\" in entry.name
    if pure.is_absolute() or ".." in pure.parts or (foreign and (windows.anchor or ".." in windows.parts)):
        raise SourceError(f"{path}: member {entry.name!r} points outside the zip. Refused.")
    if stat.S_IFMT(entry.mode) == _SYMLINK:
        raise SourceError(
            f"{path}: member {entry.name!r} is a symlink, which is not followed out of an archive. Refused."
        )
