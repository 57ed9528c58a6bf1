"""Where the bytes of a split come from: the folder here, or a store (`remote.py`). Every byte that is used was checked.

dataset.json states its own fingerprint and the digest of SHA256SUMS, which lists the index, which holds a digest for
every sample.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from segdata.canonical import digest_bytes
from segdata.errors import ShardError
from segdata.index import Index, open_index
from segdata.manifest import (
    FILE,
    MAX_BYTES,
    SIDE,
    SUMS,
    Manifest,
    ShardEntry,
    no_manifest,
    parse_manifest,
    parse_sums,
    read_manifest,
)
from segdata.pinned import OTHER_BYTES, PinnedFile, PinnedFolder, damaged, replaced
from segdata.url import Place

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


class _Sample(NamedTuple):
    """What a thread read last: its parts are asked for one after the other."""

    i: int
    parts: dict[str, bytes]


class LocalFiles:
    """A folder. Any number of threads may read, and processes that were forked."""

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
        self._mine = threading.local()

    @property
    def index(self) -> Index:
        self._index.check()
        return self._index

    def part(self, i: int, part: str) -> bytes:
        last: _Sample | None = getattr(self._mine, "last", None)
        if last is None or last.i != i:
            last = self._mine.last = _Sample(i, self._sample(i))
        return last.parts[part]

    def shard(self, number: int) -> bytes:
        row = self._shards[number]
        data = self._pieces(row, [(0, row.size)])[0]
        if digest_bytes(data) != row.sha256:
            raise self._wrong(row.name, OTHER_BYTES)
        return data

    def side(self, name: str, limit: int) -> bytes | None:
        return self._read(name, self._sums[name], limit) if name in self._sums else None

    def prefetch(self, wanted: Sequence[int]) -> None:
        """Nothing: the system reads ahead."""

    def _sample(self, i: int) -> dict[str, bytes]:
        index = self.index
        shard = int(index.places[i]["shard"])
        if shard >= len(self._shards):
            raise ShardError(f"{self.path}: the index of {self._split} names shard {shard} of {len(self._shards)}.")
        row, spans = self._shards[shard], index.spans(i)
        if max(at + size for at, size in spans) > row.size:
            raise ShardError(f"{self.path}: the index of {self._split} leads behind the end of shard {shard}.")
        pieces = self._pieces(row, spans)
        if not index.is_sample(i, pieces):
            raise self._wrong(row.name, OTHER_BYTES)
        return dict(zip(index.parts, pieces, strict=True))

    def _pieces(self, row: ShardEntry, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """(offset, bytes) of a shard, unchecked."""
        try:
            file = self._folder.held(row.name, MAX_SHARD)
            if (found := file.size) != row.size:
                raise self._wrong(row.name, f"{found} bytes, {FILE} says {row.size}")
            return [file.read(size, at) for at, size in spans]
        except FileNotFoundError:
            raise self._wrong(row.name, "no such file") from None
        except OSError as error:
            raise damaged(self.path / row.name, f"cannot be read ({error.strerror})") from error

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
