"""A folder that stays the version that was opened, and files whose bytes are checked again once they may be others.

`prepare` puts a new version in the place of the old one by one rename: whoever holds the old folder by its descriptor
goes on in it. Files that somebody writes over where they lie are noticed by what the system says of them.
"""

import hashlib
import os
import resource
from collections import OrderedDict
from mmap import ACCESS_READ, mmap
from pathlib import Path
from weakref import finalize

from segdata.errors import ShardError
from segdata.files import LIMIT, open_regular

OTHER_BYTES = "not the bytes that SHA256SUMS lists: it is damaged"
LEAST_OPEN = 32  # files of a folder that are held open at least, whatever the system allows


class Opened:
    """A descriptor that is closed when the last one who uses it lets go."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        finalize(self, os.close, descriptor)

    @property
    def size(self) -> int:
        """Bytes of a file, as it is now."""
        return os.fstat(self.descriptor).st_size

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
            raise ShardError(f"{path}: cannot be opened ({error.strerror}).") from None
        self._held = OrderedDict[str, Opened]()
        self._most = max(LEAST_OPEN, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8)

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
            return file.read(file.size, 0)
        except OSError as error:
            raise ShardError(f"{self.path / name}: cannot be read ({error.strerror}).") from None

    def held(self, name: str, limit: int) -> Opened:
        """The same, open from its first use on as long as there is room: it is there when its name is gone."""
        if (file := self._held.get(name)) is None:
            file = self._held[name] = self.open(name, limit)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        return file


class PinnedFile:
    """A file that is mapped and has the bytes of a digest, as long as `check` does not raise."""

    def __init__(self, where: object, file: Opened, sha256: str) -> None:
        self.where, self._file, self._sha256 = where, file, sha256
        self._known = _identity(file)
        self.map = mmap(file.descriptor, 0, access=ACCESS_READ) if self._known[2] else b""
        if self._digest() != sha256:
            raise damaged(where, OTHER_BYTES)

    def check(self) -> None:
        """Raise ShardError if the file was changed since it was checked last."""
        found = _identity(self._file)
        if found != self._known:
            if found[2] != self._known[2] or self._digest() != self._sha256:  # shorter: its map must not be touched
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


def _identity(file: Opened) -> tuple[int, ...]:
    status = os.fstat(file.descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
