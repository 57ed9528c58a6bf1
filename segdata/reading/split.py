"""One split of a shard set, opened. Every byte that is used was checked.

dataset.json states its own fingerprint and the digest of SHA256SUMS, which lists the index, which holds a digest for
every sample. Where the bytes lie, in a folder (`local.py`) or in a store (`remote.py`), is those files' matter alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from segdata.errors import ShardError
from segdata.format.index import Index, open_index
from segdata.format.manifest import MAX_BYTES, MAX_COLUMN, SIDE, SUMS, Manifest, parse_sums
from segdata.format.pinned import PinnedFile
from segdata.stores.url import Place


class SplitFiles(ABC):
    """One version of it, whatever happens to its folder meanwhile. Any number of threads may read."""

    def __init__(self, place: Place, split: str, manifest: Manifest) -> None:
        """What `_pinned` needs must be there before."""
        if split not in manifest.splits:
            raise ShardError(f"{place}: no split {split!r}; it has {', '.join(manifest.splits)}.")
        self.place, self.split, self.manifest = place, split, manifest
        sums = self._pinned(SUMS, str(manifest.document["sha256sums"]), MAX_BYTES)
        self._sums = parse_sums(bytes(sums.map), place / SUMS)
        self._shards = manifest.shards(split)
        self._index = open_index(self.column, place, split, manifest.parts(split))
        if len(self._index) != manifest.samples(split):
            raise ShardError(f"{place}: the index of {split} has {len(self._index)} samples, dataset.json another.")

    @property
    def index(self) -> Index:
        """As it was opened. Raises ShardError when it is not any more."""
        self._index.check()
        return self._index

    def side(self, name: str, limit: int) -> bytes | None:
        """A file of at most `limit` bytes beside the shards ("taxonomy.yaml"), None where there is none."""
        return bytes(self._pinned(name, self._sums[name], limit).map) if name in self._sums else None

    def column(self, name: str) -> PinnedFile | None:
        """A column beside the index ("train.pixels.target1.png.npy"), None where there is none."""
        inner = f"{SIDE}/{name}"
        return self._pinned(inner, self._sums[inner], MAX_COLUMN) if inner in self._sums else None

    @abstractmethod
    def part(self, i: int, part: str) -> bytes:
        """The stored bytes of one part of sample i."""

    @abstractmethod
    def shard(self, number: int) -> bytes:
        """A whole shard of the split."""

    @abstractmethod
    def prefetch(self, wanted: Sequence[int]) -> None:
        """These samples will be read next."""

    @abstractmethod
    def _pinned(self, name: str, sha256: str, limit: int) -> PinnedFile:
        """A file that SHA256SUMS lists, or SHA256SUMS."""
