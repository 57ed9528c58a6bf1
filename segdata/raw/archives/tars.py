"""Tars without compression, read in place on a disk: one pass over the headers says where each file lies.

A link in a tar is refused with the whole tar, as in a zip: where it leads is its maker's choice and not the user's.
What a header declares is bounded before it is believed.
"""

import io
import tarfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from segdata.base.files import open_regular, parsing
from segdata.errors import SourceError, TooLargeError
from segdata.raw.archives.zips import MAX_MEMBER_BYTES
from segdata.raw.storages.opening import storage_at
from segdata.stores.url import Place, Url

MAX_HEADER_BYTES = 1 << 20  # 1 MiB: a long name or a table of attributes; tarfile reads it in one piece
MAX_FILES = 1 << 22  # 4 million: forty times the files of the largest of these datasets
NO_LIMIT = 1 << 62


class Tarred(NamedTuple):
    """Where a file's bytes lie in the tar."""

    at: int
    size: int


def tar_entries(path: Place) -> Mapping[str, Tarred]:
    """The tar's files by name; all refused if one is a link, a device, or tries to leave it."""
    if isinstance(path, Url):
        raise SourceError(f"{path}: a tar is read in place on a disk only. Download it, and give its path.")
    return _read_entries(path, storage_at(path).version())


def read_tarred(path: Place, inner: str) -> bytes:
    """One file's bytes. Raises SourceError."""
    entry = tar_entries(path)[inner]
    if entry.size > MAX_MEMBER_BYTES:
        raise TooLargeError(f"{path}:{inner}: {entry.size} bytes where a picture is due.")
    data = storage_at(path).read_range(entry.at, entry.at + entry.size)
    if len(data) != entry.size:
        raise SourceError(f"{path}:{inner}: the tar ends before it does. Download the tar again.")
    return data


@lru_cache(maxsize=16)
def _read_entries(path: Path, version: int) -> Mapping[str, Tarred]:
    entries: dict[str, Tarred] = {}
    hint = "Expected a complete tar without compression. Download it again, or unpack it."
    with parsing(path, SourceError, hint), _Bounded(open_regular(path, NO_LIMIT, SourceError), "rb") as file:
        for info in _headers(file):
            _check(path, info)
            if info.isreg():
                name = str(PurePosixPath(info.name))  # "./a//b.png" is a/b.png
                if entries.setdefault(name, entry := Tarred(info.offset_data, info.size)) is not entry:
                    raise SourceError(f"{path}: {name} stands twice in it. Unpack it, and point --root at the folder.")
                if len(entries) > MAX_FILES:
                    raise SourceError(
                        f"{path}: more than {MAX_FILES} files. Unpack it, and point --root at the folder."
                    )
    return entries


class _Bounded(io.FileIO):
    """A file of which no header of more than its bound is read."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise ValueError(f"a header of {size} bytes, expected at most {MAX_HEADER_BYTES}")
        return super().read(size) or b""


def _headers(file: _Bounded) -> Iterator[tarfile.TarInfo]:
    """Of all members up to the mark of the end, which tarfile itself does not miss."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while info := tar.next():
            yield info
            vars(tar)["members"].clear()  # of a million files, memory counts
        file.seek(tar.offset)
        rest = file.read(MAX_HEADER_BYTES)
        if len(rest) < tarfile.BLOCKSIZE or any(rest[: tarfile.BLOCKSIZE]):
            raise ValueError("no mark of the end, so that it is cut off, or damaged")
        if any(rest) or len(rest) == MAX_HEADER_BYTES:
            raise ValueError("more bytes after its end, expected none: several tars were joined into one file")


def _check(path: Path, info: tarfile.TarInfo) -> None:
    pure = PurePosixPath(info.name)
    if pure.is_absolute() or ".." in pure.parts or not info.name:
        raise SourceError(f"{path}: member {info.name!r} points outside the tar. Refused.")
    if info.issym() or info.islnk():
        raise SourceError(
            f"{path}: member {info.name!r} is a link to {info.linkname!r}, which is not followed out of an archive. "
            "Pack the files themselves (`tar --dereference --hard-dereference`), or unpack the tar yourself."
        )
    if info.issparse() or not (info.isreg() or info.isdir()):
        raise SourceError(f"{path}: member {info.name!r} is neither a plain file nor a folder. Refused.")
