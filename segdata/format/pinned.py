"""A folder that stays the version that was opened, and files whose bytes are checked again once they may be others.

`prepare` puts a new version in the place of the old one by one rename: whoever holds the old folder by its descriptor
goes on in it. Files that somebody writes over where they lie are noticed by what the system says of them.
"""

import hashlib
import os
import resource
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple
from weakref import finalize

from segdata.base.files import LIMIT, open_regular
from segdata.base.refusal import unread
from segdata.errors import ShardError

OTHER_BYTES = "not the bytes that SHA256SUMS lists: it is damaged"
LEAST_OPEN = 32


class Identity(NamedTuple):
    """Of an open file, so that its place on the disk is known already."""

    size: int
    written: int  # ns
    changed: int  # ns: name, rights, or bytes


class Opened:
    """A descriptor that is closed when the last one who uses it lets go."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        finalize(self, os.close, descriptor)

    def identity(self) -> Identity:
        """What the system says of the file now: once it says something else, other bytes may lie there."""
        status = os.fstat(self.descriptor)
        return Identity(status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def read(self, size: int, offset: int) -> bytes:
        """Bytes of a file; fewer at its end. Moves no position that others share."""
        return os.pread(self.descriptor, size, offset)


class PinnedFolder:
    """A folder by its descriptor. Threads share it, and so does a process that was forked. Raises ShardError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._opened = Opened(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ShardError(f"{path}: {unread(error)}.") from None

    def open(self, name: str, limit: int = LIMIT) -> Opened:
        """A file of the folder. Raises as `read_file` does."""
        try:
            return Opened(open_regular(Path(name), limit, ShardError, folder=self._opened.descriptor))
        except ShardError as error:
            raise ShardError(f"{self.path}/{error}") from None

    def read(self, name: str, limit: int = LIMIT) -> bytes:
        """All bytes of a file of at most `limit` bytes. Raises as `read_file` does."""
        file = self.open(name, limit)
        try:
            return file.read(file.identity().size, 0)
        except OSError as error:
            raise ShardError(f"{self.path / name}: {unread(error)}.") from None


class PinnedFile:
    """A file that is mapped and has the bytes of a digest, as long as `check` does not raise."""

    def __init__(self, where: object, file: Opened, sha256: str) -> None:
        self.where, self._file, self._sha256 = where, file, sha256
        self._known = file.identity()
        self.map = mmap(file.descriptor, 0, access=ACCESS_READ) if self._known.size else b""
        if self._digest() != sha256:
            raise damaged(where, OTHER_BYTES)

    def check(self) -> None:
        """Raise ShardError if the file was changed since it was checked last."""
        found = self._file.identity()
        if found != self._known:
            if found.size != self._known.size or self._digest() != self._sha256:  # shorter: its map must not be touched
                raise replaced(self.where)
            self._known = found

    def _digest(self) -> str:
        return hashlib.sha256(self.map).hexdigest()


def damaged(where: object, found: str) -> ShardError:
    return ShardError(f"{where}: {found}. Run `segdata verify`.")


def replaced(where: object) -> ShardError:
    return ShardError(
        f"{where}: replaced while open, by other bytes than those of the set that was opened. Open it again."
    )


def most_open() -> int:
    """How many files of a folder may be open and mapped: with two descriptors each, an eighth of what a process has."""
    return max(LEAST_OPEN, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 16)
