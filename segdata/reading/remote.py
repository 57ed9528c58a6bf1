"""A split in a store: its index comes once, its samples one by one, each checked and kept in the cache.

Only dataset.json is fetched anew each time. A digest says nothing of length, and whoever made the set may mean harm:
what is fetched has a bound before it is asked for.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from segdata.base.canonical import digest_bytes
from segdata.base.files import LIMIT, open_regular
from segdata.errors import AbsentError, RangeError, ShardError
from segdata.format.manifest import FILE, MAX_SHARD, fetch_manifest, side_limit
from segdata.format.pinned import Opened, PinnedFile
from segdata.format.published import find_home
from segdata.reading.prefetch import Prefetch
from segdata.reading.split import SplitFiles
from segdata.stores.cache import Cache, default_cache
from segdata.stores.opening import open_store
from segdata.stores.url import Url

MAX_SAMPLE = 1 << 30  # its image, targets and json; a picture alone has at most MAX_MEMBER_BYTES before it is packed


class _Sample(NamedTuple):
    """What a thread read last: its parts are asked for one after the other."""

    i: int
    start: int  # of `data`, in the shard
    data: bytes


class RemoteFiles(SplitFiles):
    """From a server without range requests a sample comes with its whole shard, all of which is kept in the cache."""

    def __init__(self, url: Url, split: str, cache: Cache | None = None) -> None:
        self.url, self.cache = url, cache or default_cache()
        self._store = open_store(url)
        manifest = fetch_manifest(self._store)
        self._home = find_home(self._store, manifest)
        self._pieces = manifest.fingerprint[:32]  # the folder of its pieces in the cache
        self._side_limit = side_limit(manifest)
        self._has_ranges = True  # as long as the server does not show otherwise
        super().__init__(url, split, manifest)
        self._start()

    def part(self, i: int, part: str) -> bytes:
        self._check_fork()
        last: _Sample | None = getattr(self._mine, "last", None)
        if last is None or last.i != i:
            last = self._mine.last = _Sample(i, self._range(i)[1], self._ahead.take(i))
        _, offset, size = self.index.place(i, part)
        return last.data[offset - last.start : offset - last.start + size]

    def shard(self, number: int) -> bytes:
        self._check_fork()
        row = self._shards[number]
        data = self._read(row.name, limit=min(row.size, MAX_SHARD))
        if digest_bytes(data) != row.sha256:
            raise changed(self.url / (self._home + row.name))
        return data

    def prefetch(self, wanted: Sequence[int]) -> None:
        if self._pid == os.getpid():
            self._ahead.announce(wanted)

    def _pinned(self, name: str, sha256: str, limit: int) -> PinnedFile:
        """The copy in the cache, which others may evict before it is open, where there is hardly room for it."""

        def is_good(data: bytes) -> bool:
            return digest_bytes(data) == sha256

        def fetch() -> bytes:
            data = self._read(name, limit=self._side_limit)
            if not is_good(data):
                raise changed(self.url / (self._home + name))
            return data

        for _ in range(2):
            copy = self.cache.file(f"{self._pieces}/{name}", is_good, fetch)
            with suppress(FileNotFoundError):
                return PinnedFile(copy, Opened(open_regular(copy, limit, ShardError)), sha256)
        raise ShardError(f"cache {self.cache.folder}: {name} was evicted twice. Set SEGDATA_CACHE_SIZE to more.")

    def _read(self, name: str, start: int = 0, stop: int | None = None, limit: int = LIMIT) -> bytes:
        """A file that must be there, or a part of it."""
        path = self._home + name
        try:
            return self._store.read(path, start, stop, limit)
        except AbsentError:
            raise ShardError(
                f"{self.url / path}: no such file, though {FILE} lists it: the set is incomplete. Publish it again."
            ) from None

    def _check_fork(self) -> None:
        """After a fork, connections and threads stayed with the parent."""
        if self._pid != os.getpid():
            self._store = open_store(self.url)
            self._start()

    def _start(self) -> None:
        self._pid, self._mine, self._ahead = os.getpid(), threading.local(), Prefetch(self._sample)
        self._whole = threading.Lock()  # held while a whole shard is fetched: others wait for its samples

    def _range(self, i: int) -> tuple[int, int, int]:
        """(shard, first byte, end) of sample i: from its first part to its last. Raises ShardError for none."""
        row = self.index.places[i]
        ends = row["offsets"] + row["sizes"]
        shard, start, stop = int(row["shard"]), int(row["offsets"].min()), int(ends.max())
        size = self._shards[shard].size if shard < len(self._shards) else 0
        if not start < stop <= min(size, start + MAX_SAMPLE):
            raise ShardError(
                f"{self.url}: the index of {self.split} places sample {i} at bytes {start} to {stop} of shard "
                f"{shard}, which has {size}. Publish the set again."
            )
        return shard, start, stop

    def _sample(self, i: int) -> bytes:
        """The bytes of sample i from the cache, or else from the store."""
        data = self._cached(i)
        if data is None and self._has_ranges:
            try:
                return self._fetch(i)
            except RangeError:
                self._has_ranges = False
        return self._fetch_with_shard(i) if data is None else data

    def _cached(self, i: int) -> bytes | None:
        data = self.cache.get(self._name(i), MAX_SAMPLE)
        if data is None or self._is_good(i, data):
            return data
        self.cache.drop(self._name(i))
        return None

    def _fetch(self, i: int) -> bytes:
        shard, start, stop = self._range(i)
        name = self._shards[shard].name
        data = self._read(name, start, stop)
        if not self._is_good(i, data):
            raise changed(self.url / (self._home + name))
        self.cache.put(self._name(i), data)
        return data

    def _fetch_with_shard(self, i: int) -> bytes:
        with self._whole:
            if (data := self._cached(i)) is not None:
                return data
            number, start, stop = self._range(i)
            shard = self.shard(number)
            for other in self._neighbours(i):
                _, first, end = self._range(other)
                self.cache.put(self._name(other), shard[first:end])
            return shard[start:stop]

    def _neighbours(self, i: int) -> Iterator[int]:
        """The samples of i's shard: they are stored one after the other."""
        shards = self.index.places["shard"]
        yield from range(*map(int, np.searchsorted(shards, [shards[i], shards[i] + 1])))

    def _name(self, i: int) -> str:
        """Of the piece in the cache."""
        return f"{self._pieces}/{self.split}/{i // 1000}/{i}"

    def _is_good(self, i: int, data: bytes) -> bool:
        start = self._range(i)[1]
        return self.index.is_sample(i, (data[at - start : at - start + size] for at, size in self.index.spans(i)))


def changed(where: Url) -> ShardError:
    return ShardError(
        f"{where}: not the bytes that {FILE} lists: it was changed after {FILE} was read, or is damaged. "
        "Open the set again; if that does not help, publish it again."
    )
