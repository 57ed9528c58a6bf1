"""A split in a folder of this machine: its shards are mapped, and held open."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from segdata.base.canonical import digest_bytes
from segdata.base.refusal import unread
from segdata.errors import SegdataError, ShardError
from segdata.format.manifest import FILE, MAX_BYTES, MAX_SHARD, no_manifest, parse_manifest, read_manifest
from segdata.format.pinned import OTHER_BYTES, Identity, Opened, PinnedFile, PinnedFolder, damaged, most_open, replaced
from segdata.format.published import find_home
from segdata.reading.split import SplitFiles
from segdata.stores.folder import Folder


class _Shard(NamedTuple):
    """A shard that is held open, and so there when its name is gone."""

    file: Opened
    map: mmap  # half the time of reading
    known: Identity
    checked: set[int]  # samples whose bytes were right since

    def is_as_it_was(self) -> bool:
        """Asked before its map is touched, for one that is shorter now cannot be, and after, for what was written."""
        return self.file.identity() == self.known


class LocalFiles(SplitFiles):
    """Threads may read, and processes that were forked.

    A sample is checked when a process reads it first, and again once the shard is another or was written to: to
    digest every read would slow down the faster codecs (docs/speed.md).
    """

    def __init__(self, path: Path, split: str) -> None:
        self.path = path
        self._open = OrderedDict[int, _Shard]()
        self._most_open = most_open()
        try:
            self._folder = PinnedFolder(path)
            manifest = parse_manifest(self._folder.read(FILE, MAX_BYTES), path / FILE)
            if home := find_home(Folder(path), manifest):  # a copy of what `publish` laid out in a store
                self._folder = PinnedFolder(path / home)
        except FileNotFoundError:
            raise no_manifest(path) from None
        super().__init__(path, split, manifest)

    def part(self, i: int, part: str) -> bytes:
        number, at, size = self.index.place(i, part)
        with self._reading(number) as shard:
            if i in shard.checked and shard.is_as_it_was():
                data = shard.map[at : at + size]
                if shard.is_as_it_was():
                    return data
            return self._sample(i, number, shard)[self.index.parts.index(part)]

    def shard(self, number: int) -> bytes:
        with self._reading(number) as shard:
            data = self._as_it_is(number, shard).map[:]
        if digest_bytes(data) != self._shards[number].sha256:
            raise self._wrong(self._shards[number].name, OTHER_BYTES)
        return data

    def prefetch(self, wanted: Sequence[int]) -> None:
        """Nothing: the system reads ahead."""

    @contextmanager
    def _reading(self, number: int) -> Iterator[_Shard]:
        """A shard, open. Whatever the system says of it meanwhile becomes a ShardError."""
        if number >= len(self._shards):
            raise ShardError(f"{self.path}: the index of {self.split} names shard {number} of {len(self._shards)}.")
        name = self._shards[number].name
        try:
            yield self._open.get(number) or self._reopened(number, self._folder.open(name, MAX_SHARD))
        except FileNotFoundError:
            raise self._wrong(name, "no such file") from None
        except OSError as error:
            raise damaged(self._folder.path / name, unread(error)) from error

    def _as_it_is(self, number: int, shard: _Shard) -> _Shard:
        return shard if shard.is_as_it_was() else self._reopened(number, shard.file)

    def _reopened(self, number: int, file: Opened) -> _Shard:
        """As it is now, with nothing checked. A thread that reads the one before lets go of it by itself."""
        known, row = file.identity(), self._shards[number]
        if known.size != row.size:
            raise self._wrong(row.name, f"{known.size} bytes, {FILE} says {row.size}")
        shard = self._open[number] = _Shard(file, mmap(file.descriptor, known.size, access=ACCESS_READ), known, set())
        while len(self._open) > self._most_open:
            self._open.popitem(last=False)
        return shard

    def _sample(self, i: int, number: int, shard: _Shard) -> list[bytes]:
        """All parts of sample i, checked."""
        shard = self._as_it_is(number, shard)
        row, spans = self._shards[number], self.index.spans(i)
        if max(at + size for at, size in spans) > row.size:
            raise ShardError(f"{self.path}: the index of {self.split} leads behind the end of shard {number}.")
        pieces = [shard.map[at : at + size] for at, size in spans]
        if not self.index.is_sample(i, pieces):
            raise self._wrong(row.name, OTHER_BYTES)
        shard.checked.add(i)
        return pieces

    def _pinned(self, name: str, sha256: str, limit: int) -> PinnedFile:
        try:
            file = self._folder.open(name, limit)
        except FileNotFoundError:
            raise self._wrong(name, "no such file") from None
        try:
            return PinnedFile(self._folder.path / name, file, sha256)
        except ShardError:
            raise self._wrong(name, OTHER_BYTES) from None

    def _wrong(self, name: str, found: str) -> ShardError:
        return replaced(self._folder.path / name) if self._is_replaced() else damaged(self._folder.path / name, found)

    def _is_replaced(self) -> bool:
        """Whether another version, or none, stands now where this one was opened."""
        try:
            return read_manifest(self.path).fingerprint != self.manifest.fingerprint
        except SegdataError:
            return True
