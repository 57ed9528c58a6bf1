"""Zips as people download them, read in place: on a disk, or in a store by ranges.

What a zip declares of itself is bounded before it is believed: its directory, and each member packed and unpacked.
"""

import bz2
import io
import lzma
import os
import stat
import struct
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from segdata.errors import SourceError, TooLargeError
from segdata.files import parsing
from segdata.url import Place, Url
from segdata.zlibs import first_of

INFLATE = first_of("isal.isal_zlib")
ENCRYPTED = 1  # bit of a member's flags
MAX_MEMBER_BYTES = 1 << 28  # 256 MiB: no picture of these datasets comes near; a bomb does
MAX_RATIO = 1100  # deflate cannot exceed 1032:1; a directory that claims more lies
MAX_DIRECTORY_BYTES = 1 << 25  # 32 MiB: room for 200,000 files, ten times those of the largest of these zips
MIN_WINDOW = 1 << 12  # bytes: liblzma's smallest
_SYMLINK = stat.S_IFLNK
_HEADER = 30  # bytes of a member's own header, before its name and extra field
_SPARE = 256  # by how much these may be longer than in the zip's directory before a second request is needed


class _Directory(NamedTuple):
    """The files that a zip lists. A name may stand twice, and is then read as it stands last."""

    names: tuple[str, ...]
    infos: Mapping[str, zipfile.ZipInfo]


class _Bounded(io.BufferedReader):
    """A zip as zipfile reads its directory: in one piece, as long as the zip says that it is."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise ValueError(f"a directory of {size} bytes, expected at most {MAX_DIRECTORY_BYTES}")
        return super().read(size)


def safe_names(path: Place) -> tuple[str, ...]:
    """The zip's file names, all of them refused if one tries to leave the archive or is a link."""
    return _directory(path).names


def read_zipped(path: Place, inner: str) -> bytes:
    """One member's bytes. Raises SourceError, and what the decompressors raise for damage."""
    info = _directory(path).infos[inner]
    if (
        max(info.file_size, info.compress_size) > MAX_MEMBER_BYTES
        or info.file_size > MAX_RATIO * max(info.compress_size, 1)
    ):  # fmt: skip
        raise TooLargeError(
            f"{path}:{inner}: declares {info.file_size} bytes packed in {info.compress_size}, "
            "more than deflate or a picture can hold: a decompression bomb or a damaged zip."
        )
    if info.flag_bits & ENCRYPTED:
        raise SourceError(f"{path}:{inner}: is encrypted, expected a member without a password.")
    data = _unpacked(_packed_here(path, info) if isinstance(path, Path) else _packed_there(path, info), info)
    if len(data) != info.file_size or INFLATE.crc32(data) != info.CRC:
        raise SourceError(f"{path}:{inner}: its length or CRC-32 is not what the zip's directory says.")
    return data


def _unpacked(packed: bytes, info: zipfile.ZipInfo) -> bytes:
    """The member, or of one that goes on after what is declared a byte more than that."""
    enough = info.file_size + 1
    data: bytes
    match info.compress_type:
        case zipfile.ZIP_STORED:
            data = packed
        case zipfile.ZIP_DEFLATED:
            data = INFLATE.decompressobj(-15).decompress(packed, enough)
        case zipfile.ZIP_BZIP2:
            data = bz2.BZ2Decompressor().decompress(packed, enough)
        case zipfile.ZIP_LZMA:
            data = _lzma(packed, info.file_size).decompress(packed[9:], enough)
        case other:
            raise ValueError(f"packed by method {other}, expected stored, deflate, bzip2 or LZMA")
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


def _packed_here(path: Path, info: zipfile.ZipInfo) -> bytes:
    with path.open("rb") as file:
        file.seek(info.header_offset)
        file.seek(_names_length(file.read(_HEADER), info), os.SEEK_CUR)
        return file.read(info.compress_size)


def _packed_there(url: Url, info: zipfile.ZipInfo) -> bytes:
    """In one request: header, names and bytes lie together."""
    from segdata.storefile import local_store

    store = local_store(url, os.getpid())
    guessed = _HEADER + len(info.filename.encode()) + len(info.extra) + _SPARE + info.compress_size
    data = store.read("", info.header_offset, min(info.header_offset + guessed, store.size("") or 0))
    start = _HEADER + _names_length(data[:_HEADER], info)
    if len(data) < start + info.compress_size:
        start += info.header_offset
        return store.read("", start, start + info.compress_size)
    return data[start : start + info.compress_size]


def _names_length(header: bytes, info: zipfile.ZipInfo) -> int:
    """Of the member's name and extra field, which may differ from those in the zip's directory."""
    if header[:4] != b"PK\3\4" or len(header) < _HEADER:
        raise ValueError(f"no member at byte {info.header_offset}")
    return sum(struct.unpack("<HH", header[26:]))


def _directory(path: Place) -> _Directory:
    return _read_directory(path, path.stat().st_mtime_ns if isinstance(path, Path) else 0)


@lru_cache(maxsize=16)
def _read_directory(path: Place, mtime_ns: int) -> _Directory:
    with parsing(path, SourceError, "Expected a complete zip. Download it again."), _open(path) as file:
        files = [info for info in zipfile.ZipFile(file).infolist() if not _checked(path, info).is_dir()]
    return _Directory(tuple(info.filename for info in files), {info.filename: info for info in files})


def _open(path: Place) -> _Bounded:
    if isinstance(path, Path):
        return _Bounded(io.FileIO(path))
    from segdata.storefile import StoreFile, local_store

    return _Bounded(StoreFile(local_store(path, os.getpid()), ""), 1 << 20)


def _checked(path: Place, info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Refuse the whole zip for an entry that no tool writes: its maker wants to harm, or others are damaged too."""
    pure = PurePosixPath(info.filename)
    if not info.filename:
        raise SourceError(f"{path}: a member without a name, so the zip's directory is damaged. Download it again.")
    if pure.is_absolute() or ".." in pure.parts or "\\" in info.filename or "\0" in info.filename:
        raise SourceError(f"{path}: member {info.filename!r} points outside the zip. Refused.")
    if stat.S_IFMT(info.external_attr >> 16) == _SYMLINK:
        raise SourceError(f"{path}: member {info.filename!r} is a symlink. Refused.")
    return info
