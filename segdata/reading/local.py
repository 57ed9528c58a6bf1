"""Where the bytes of a split come from: the folder here, or a store (`remote.py`). Every byte that is used was checked.

dataset.json states its own fingerprint and the digest of SHA256SUMS, which lists the index, which holds a digest for
every sample.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple, Protocol

from segdata.base.canonical import digest_bytes
from segdata.base.pinned import OTHER_BYTES, Identity, Opened, PinnedFile, PinnedFolder, damaged, most_open, replaced
from segdata.errors import ShardError
from segdata.format.index import Index, open_index
from segdata.format.manifest import (
    FILE,
    MAX_BYTES,
    SIDE,
    SUMS,
    Manifest,
    no_manifest,
    parse_manifest,
    parse_sums,
    read_manifest,
)
from segdata.stores.url import Place

MAX_SHARD = 1 << 34  # 16 GiB: a shard that is read whole is held in memory
MAX_COLUMN = 1 << 32  # 4 GiB: places of forty million samples


class SplitFiles(Protocol):
    """One split of a shard set, opened: one version of it, whatever happens to its folder meanwhile."""

    @property
    def manifest(self) -> Manifest: ...
    @property
    def index(self) -> Index:
        """As it was opened. Raises ShardError when it is not any more."""
        ...

    def part(self, i: int, part: str) -> bytes:
        """The stored bytes of one part of sample i."""
        ...

    def shard(self, number: int) -> bytes:
        """A whole shard of the split."""
        ...

    def side(self, name: str, limit: int) -> bytes | None:
        """A file of at most `limit` bytes beside the shards ("taxonomy.yaml"), None where there is none."""
        ...

    def column(self, name: str) -> PinnedFile | None:
        """A column beside the index ("train.pixels.target1.png.npy"), None where there is none."""
        ...

    def prefetch(self, wanted: Sequence[int]) -> None:
        """These samples will be read next."""
        ...


class _Shard(NamedTuple):
    """A shard that is held open, and so there when its name is gone."""

    file: Opened
    map: mmap  # half the time of reading
    known: Identity
    checked: set[int]  # samples whose bytes were right since

    def is_as_it_was(self) -> bool:
        """Asked before its map is touched, for one that is shorter now cannot be, and after, for what was written."""
        return self.file.identity() == self.known


class LocalFiles:
    """A folder. Any number of threads may read, and processes that were forked.

    A sample is checked when a process reads it first, and again once the shard is another or was written to: to
    digest every read would slow down the faster codecs (docs/speed.md).
    """

    def __init__(self, path: Path, split: str) -> None:
        self.path, self._split = path, split
        try:
            self._folder = PinnedFolder(path)
            self.manifest = parse_manifest(self._folder.read(FILE, MAX_BYTES), path / FILE)
        except FileNotFoundError:
            raise no_manifest(path) from None
        check_split(path, self.manifest, split)
        sums = self._read(SUMS, str(self.manifest.document["sha256sums"]), MAX_BYTES)
        self._sums = parse_sums(sums, path / SUMS)
        self._index = open_index(self.column, path, split, self.manifest.parts(split))
        check_length(path, self.manifest, split, self._index)
        self._shards = self.manifest.shards(split)
        self._open = OrderedDict[int, _Shard]()
        self._most_open = most_open()

    @property
    def index(self) -> Index:
        self._index.check()
        return self._index

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

    def side(self, name: str, limit: int) -> bytes | None:
        return self._read(name, self._sums[name], limit) if name in self._sums else None

    def prefetch(self, wanted: Sequence[int]) -> None:
        """Nothing: the system reads ahead."""

    @contextmanager
    def _reading(self, number: int) -> Iterator[_Shard]:
        """A shard, open. Whatever the system says of it meanwhile becomes a ShardError."""
        if number >= len(self._shards):
            raise ShardError(f"{self.path}: the index of {self._split} names shard {number} of {len(self._shards)}.")
        name = self._shards[number].name
        try:
            yield self._open.get(number) or self._reopened(number, self._folder.open(name, MAX_SHARD))
        except FileNotFoundError:
            raise self._wrong(name, "no such file") from None
        except OSError as error:
            raise damaged(self.path / name, f"cannot be read ({error.strerror})") from error

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
            raise ShardError(f"{self.path}: the index of {self._split} leads behind the end of shard {number}.")
        pieces = [shard.map[at : at + size] for at, size in spans]
        if not self.index.is_sample(i, pieces):
            raise self._wrong(row.name, OTHER_BYTES)
        shard.checked.add(i)
        return pieces

    def column(self, name: str) -> PinnedFile | None:
        inner = f"{SIDE}/{name}"
        if inner not in self._sums:
            return None
        try:
            return PinnedFile(self.path / inner, self._folder.open(inner, MAX_COLUMN), self._sums[inner])
        except FileNotFoundError:
            raise self._wrong(inner, "no such file") from None

    def _read(self, name: str, sha256: str, limit: int) -> bytes:
        try:
            data = self._folder.read(name, limit)
        except FileNotFoundError:
            raise self._wrong(name, "no such file") from None
        if digest_bytes(data) != sha256:
            raise self._wrong(name, OTHER_BYTES)
        return data

    def _wrong(self, name: str, found: str) -> ShardError:
        return replaced(self.path / name) if self._is_replaced() else damaged(self.path / name, found)

    def _is_replaced(self) -> bool:
        """Whether another version, or none, stands now where this one was opened."""
        try:
            return read_manifest(self.path).fingerprint != self.manifest.fingerprint
        except ShardError:
            return True


def check_split(path: Place, manifest: Manifest, split: str) -> None:
    if split not in manifest.splits:
        raise ShardError(f"{path}: no split {split!r}; it has {', '.join(manifest.splits)}.")


def check_length(path: Place, manifest: Manifest, split: str, index: Index) -> None:
    if len(index) != manifest.samples(split):
        raise ShardError(f"{path}: the index of {split} has {len(index)} samples, dataset.json another.")
