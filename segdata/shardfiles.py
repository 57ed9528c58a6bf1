"""Where the bytes of a split come from: the folder here, or a store (`remote.py`)."""

import os
from collections.abc import Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Protocol

from segdata.canonical import digest_bytes
from segdata.errors import ShardError
from segdata.index import Index, read_index
from segdata.manifest import SIDE, Manifest, read_manifest
from segdata.url import Place


class SplitFiles(Protocol):
    """One split of a shard set, opened."""

    @property
    def manifest(self) -> Manifest: ...
    @property
    def index(self) -> Index: ...
    def part(self, i: int, part: str) -> bytes:
        """The stored bytes of one part of sample i."""
        ...

    def shard(self, number: int) -> bytes:
        """A whole shard of the split, checked against its digest."""
        ...

    def side(self, name: str) -> Path | None:
        """A file beside the shards ("taxonomy.yaml"), None where there is none."""
        ...

    def prefetch(self, wanted: Sequence[int]) -> None:
        """These samples will be read next."""
        ...


class LocalFiles:
    """A folder: shards are mapped when they are first read, and again after a fork."""

    def __init__(self, path: Path, split: str) -> None:
        self.path = path
        self.manifest = read_manifest(path)
        check_split(path, self.manifest, split)
        self.index = read_index(path / SIDE, split, self.manifest.parts(split))
        check_length(path, self.manifest, split, self.index)
        self._split = split
        self._shards = self.manifest.shards(split)
        self._maps: dict[int, mmap] = {}
        self._pid = os.getpid()

    def part(self, i: int, part: str) -> bytes:
        shard, offset, size = self.index.place(i, part)
        if shard >= len(self._shards):
            raise ShardError(f"{self.path}: the index of {self._split} names shard {shard} of {len(self._shards)}.")
        data = self._map(shard)
        if offset + size > len(data):
            raise ShardError(f"{self.path}: the index of {self._split} leads behind the end of shard {shard}.")
        return data[offset : offset + size]

    def shard(self, number: int) -> bytes:
        row = self._shards[number]
        data = bytes(self._map(number))
        if digest_bytes(data) != row.sha256:
            raise ShardError(f"{self.path / row.name}: not the bytes that dataset.json lists. Run `segdata verify`.")
        return data

    def side(self, name: str) -> Path | None:
        path = self.path / name
        return path if path.is_file() else None

    def prefetch(self, wanted: Sequence[int]) -> None:
        """Nothing: the system reads ahead."""

    def _map(self, shard: int) -> mmap:
        if self._pid != os.getpid():  # after a fork: share no file position or close with the parent
            self._maps, self._pid = {}, os.getpid()
        if shard not in self._maps:
            self._maps[shard] = _open(self.path / self._shards[shard].name, self._shards[shard].size)
        return self._maps[shard]


def check_split(path: Place, manifest: Manifest, split: str) -> None:
    if split not in manifest.splits:
        raise ShardError(f"{path}: no split {split!r}; it has {', '.join(manifest.splits)}.")


def check_length(path: Place, manifest: Manifest, split: str, index: Index) -> None:
    if len(index) != manifest.samples(split):
        raise ShardError(f"{path}: the index of {split} has {len(index)} samples, dataset.json another.")


def _open(path: Path, size: int) -> mmap:
    if not path.is_file():  # to open a pipe would wait for ever
        raise ShardError(f"{path}: no such file. Run `segdata verify`.")
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise ShardError(f"{path}: {found} bytes, dataset.json says {size}. Run `segdata verify`.")
            return mmap(file.fileno(), 0, access=ACCESS_READ)
    except OSError as error:
        raise ShardError(f"{path}: cannot be opened ({error.strerror}). Run `segdata verify`.") from error
