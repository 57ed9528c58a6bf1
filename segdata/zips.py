"""Zips as people download them, read in place: on a disk, or in a store by ranges."""

import io
import os
import stat
import struct
import zipfile
from functools import lru_cache
from pathlib import Path, PurePosixPath

from segdata.errors import SourceError, TooLargeError
from segdata.url import Place, Url
from segdata.zlibs import first_of

INFLATE = first_of("isal.isal_zlib")
ENCRYPTED = 1  # bit of a member's flags
MAX_MEMBER_BYTES = 1 << 28  # 256 MiB: no picture of these datasets comes near; a bomb does
MAX_RATIO = 1100  # deflate cannot exceed 1032:1; a directory that claims more lies
_SYMLINK = stat.S_IFLNK
_HEADER = 30  # bytes of a member's own header, before its name and extra field
_SPARE = 256  # by how much these may be longer than in the zip's directory before a second request is needed


def safe_names(path: Place) -> tuple[str, ...]:
    """The zip's file names, all of them refused if one tries to leave the archive or is a link."""
    return _safe_names(path, path.stat().st_mtime_ns if isinstance(path, Path) else 0)


def read_zipped(path: Place, inner: str) -> bytes:
    """One member's bytes. Raises SourceError, and what zipfile and zlib raise for damage."""
    archive = _archive(path, os.getpid())
    info = archive.getinfo(inner)
    if info.file_size > MAX_MEMBER_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise TooLargeError(
            f"{path}:{inner}: declares {info.file_size} bytes packed in {info.compress_size}, "
            "more than deflate or a picture can hold: a decompression bomb or a damaged zip."
        )
    if info.compress_type != zipfile.ZIP_DEFLATED or info.flag_bits & ENCRYPTED:
        return archive.read(info)
    return _inflated(path, info)


def _inflated(path: Place, info: zipfile.ZipInfo) -> bytes:
    """zipfile's `read` with a faster inflate and CRC: these two are nearly all of reading a picture from a zip."""
    packed = _packed_here(path, info) if isinstance(path, Path) else _packed_there(path, info)
    stream = INFLATE.decompressobj(-15)
    data: bytes = stream.decompress(packed, info.file_size + 1)
    if len(data) != info.file_size or INFLATE.crc32(data) != info.CRC:
        raise zipfile.BadZipFile("its length or CRC-32 is not what the zip's directory says")
    return data


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
        raise zipfile.BadZipFile(f"no member at byte {info.header_offset}")
    return sum(struct.unpack("<HH", header[26:]))


@lru_cache(maxsize=16)
def _archive(path: Place, pid: int) -> zipfile.ZipFile:
    """The open zip of this process (`pid` keeps a forked worker from sharing its parent's file offset)."""
    try:
        if isinstance(path, Path):
            return zipfile.ZipFile(path)
        from segdata.storefile import StoreFile, local_store

        return zipfile.ZipFile(io.BufferedReader(StoreFile(local_store(path, pid), ""), 1 << 20))
    except zipfile.BadZipFile as error:
        raise SourceError(f"{path}: not a complete zip ({error}). Download it again.") from error


@lru_cache(maxsize=16)
def _safe_names(path: Place, mtime_ns: int) -> tuple[str, ...]:
    names = []
    for info in _archive(path, os.getpid()).infolist():
        pure = PurePosixPath(info.filename)
        if pure.is_absolute() or ".." in pure.parts or "\\" in info.filename or "\0" in info.filename:
            raise SourceError(f"{path}: member {info.filename!r} points outside the zip. Refused.")
        if stat.S_IFMT(info.external_attr >> 16) == _SYMLINK:
            raise SourceError(f"{path}: member {info.filename!r} is a symlink. Refused.")
        if not info.is_dir():
            names.append(info.filename)
    return tuple(names)
