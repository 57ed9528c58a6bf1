"""Pieces of remote sets on the local disk: bounded, shared by any number of processes, safe to kill.

A piece is a file of its own that appears by a rename, whole. Its reader checks its digest whenever it reads it, so
that nothing here needs to be trusted. What was read longest ago goes first. `usage`, the lock of all that changes
the sum, holds the bytes that the pieces take; it may say too much after a kill, never too little.
"""

import fcntl
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from segdata.base.files import discard, flock, read_file
from segdata.errors import SegdataError

BLOCK = 4096  # what a file takes at least
ROOM = 0.9  # evicting goes on down to this share of the limit, so that it is seldom done
LIMIT = 64 << 30
LARGEST = 1 << 32  # bytes of a piece: the largest is a column of the index
OURS = re.compile(r"[0-9a-f]{32}")  # the folder of a set's pieces, by its fingerprint; what else lies here stays
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
PARTIAL = ".partial-"
DEAD = 3600.0  # seconds after which a partial file is a dead process's, where there are no locks to tell


class _Piece(NamedTuple):
    read: int  # ns: when it was last read
    path: Path
    cost: int


@dataclass(frozen=True)
class Cache:
    """A folder of at most `limit` bytes."""

    folder: Path
    limit: int

    def get(self, name: str, limit: int = LARGEST) -> bytes | None:
        """The piece, None where none of at most `limit` bytes is there. The caller checks its digest."""
        path = self.folder / name
        try:
            data = read_file(path, limit)
            os.utime(path)
        except (OSError, SegdataError):
            return None
        return data

    def put(self, name: str, data: bytes) -> None:
        """Keep a piece, if it is no larger than the whole cache and the disk takes it."""
        path, cost = self.folder / name, _cost(len(data))
        if cost > self.limit or path.exists():
            return
        with suppress(OSError):  # a folder that cannot be written, a full disk: it goes on without
            self._write(path, data, cost)

    def drop(self, name: str) -> None:
        """Forget a piece that turned out to be damaged."""
        with suppress(OSError):  # not there, or not ours to write
            (self.folder / name).unlink()

    def file(self, name: str, good: Callable[[bytes], bool], fetch: Callable[[], bytes]) -> Path:
        """The path of a piece that is to be mapped: the one that is there if it is `good`, else fetched.

        Raises SegdataError where the folder cannot hold it.
        """
        if not self._has(name, good):
            self.drop(name)
            self.put(name, fetch())
            if not self._has(name, good):
                raise SegdataError(
                    f"cache {self.folder}: no room for {name} within {self.limit} bytes, or on its disk. "
                    "Set SEGDATA_CACHE to another folder, or SEGDATA_CACHE_SIZE to more."
                )
        return self.folder / name

    def _has(self, name: str, good: Callable[[bytes], bool]) -> bool:
        data = self.get(name)
        return data is not None and good(data)

    def _write(self, path: Path, data: bytes, cost: int) -> None:
        """The piece, counted before it is there; whatever fails, nothing is left open, lying about or counted."""
        partial = path.with_name(f"{path.name}{PARTIAL}{os.getpid()}-{os.urandom(4).hex()}")
        with ExitStack() as stack:
            with self._usage() as usage:
                path.parent.mkdir(parents=True, exist_ok=True)
                used = _read_number(usage)
                if used is None or used + cost > self.limit:
                    used = self._evict(int(self.limit * ROOM) - cost)
                descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
                stack.callback(discard, partial)
                file = stack.enter_context(open(descriptor, "r+b"))  # noqa: PTH123  (it has no path: it is open)
                flock(descriptor, fcntl.LOCK_EX)  # without this lock, a partial file is a dead process's
                os.ftruncate(descriptor, len(data))
                _write_number(usage, used + cost)
            try:
                file.write(data)
                file.flush()
                partial.rename(path)
            except BaseException:
                with suppress(OSError):
                    self._uncount(cost)
                raise

    def _uncount(self, cost: int) -> None:
        with self._usage() as usage:
            if (used := _read_number(usage)) is not None:
                _write_number(usage, max(0, used - cost))

    def _evict(self, room: int) -> int:
        """Remove what was read longest ago until the pieces take no more than `room`; what they take then."""
        pieces = sorted({piece.path: piece for piece in self._pieces()}.values())
        used = sum(piece.cost for piece in pieces)
        for piece in pieces:
            if used <= room:
                break
            if PARTIAL not in piece.path.name:
                piece.path.unlink(missing_ok=True)
                used -= piece.cost
        return used

    def _pieces(self) -> Iterator[_Piece]:
        """All pieces, and partial files whose writers live; those of dead ones are removed. A piece may come twice."""
        homes = [path for path in self.folder.iterdir() if OURS.fullmatch(path.name)]
        for folder, _, names in (walked for home in homes for walked in os.walk(home)):
            for name in names:
                path, piece = Path(folder, name), Path(folder, name.partition(PARTIAL)[0])
                # A writer may rename its partial file after the names were listed: then this is where the piece is met.
                for each in (path, piece) if path == piece or not _remove_dead(path) else (piece,):
                    with suppress(FileNotFoundError):
                        status = each.stat()
                        yield _Piece(status.st_mtime_ns, each, _cost(status.st_size))
                        break

    @contextmanager
    def _usage(self) -> Iterator[int]:
        """The open file `usage`, locked: threads and processes come one after the other."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # In this order: `usage` is made before anything else, so that another writer's first piece is no stranger.
        if any(self.folder.iterdir()) and not (self.folder / "usage").exists():
            raise SegdataError(
                f"cache {self.folder}: a folder with other things, which would be removed for want of room. Set "
                "SEGDATA_CACHE to another folder."
            )
        descriptor = os.open(self.folder / "usage", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            flock(descriptor, fcntl.LOCK_EX)  # where there are no locks, the sum is a guess
            yield descriptor
        finally:
            os.close(descriptor)


def default_cache() -> Cache:
    """As SEGDATA_CACHE (a folder) and SEGDATA_CACHE_SIZE ("200G") say; else 64G in the platform's cache folder."""
    size = os.environ.get("SEGDATA_CACHE_SIZE")
    return Cache(cache_folder() / "pieces", parse_bytes(size) if size else LIMIT)


def cache_folder() -> Path:
    """SEGDATA_CACHE, or the platform's place for such things."""
    folder = os.environ.get("SEGDATA_CACHE")
    return Path(folder) if folder else _platform_folder()


def parse_bytes(text: str) -> int:
    """`200G`, `512M` or a number of bytes. Raises SegdataError."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if not number.isdecimal() or unit not in UNITS:
        raise SegdataError(f"SEGDATA_CACHE_SIZE is {text!r}, expected a number of bytes, or such as 512M, 200G, 2T.")
    return int(number) * UNITS[unit]


def _platform_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "segdata"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "segdata"


def _cost(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _remove_dead(partial: Path) -> bool:
    """Whether the partial file's writer is gone, done or not; then so is the file."""
    try:
        descriptor = os.open(partial, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        if not flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB) and time.time() - os.fstat(descriptor).st_mtime < DEAD:
            return False
    except BlockingIOError:
        return False
    else:
        discard(partial)
        return True
    finally:
        os.close(descriptor)


def _read_number(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0)
    return int(text) if text.isdigit() else None


def _write_number(descriptor: int, number: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d" % number, 0)
