"""Read a shard set, in a folder or a store: random access through the index, decoding no more than is asked for.

Needs neither webdataset nor cityscapesScripts nor torch.
"""

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segdata.base.arrays import U8, Window
from segdata.errors import CodecError, ShardError
from segdata.format.counts import ClassCounts, ImageSums
from segdata.format.index import Index, parsed_digests, parsed_groups
from segdata.format.manifest import MAX_SOURCE_BYTES, SOURCE, SUMS, Manifest
from segdata.format.pinned import replaced
from segdata.labels.taxonomy import MAX_YAML_BYTES, Taxonomy, read_taxonomy
from segdata.pictures.codecs import decode_image, decode_map, decode_meta, decode_planes
from segdata.reading.local import LocalFiles
from segdata.reading.order import Permutation
from segdata.reading.split import SplitFiles
from segdata.stores.url import Place, place

if TYPE_CHECKING:
    from segdata.stores.cache import Cache


@dataclass(frozen=True)
class Record:
    """One sample as arrays: image (H, W, 3) uint8; targets scale -> (H/S, W/S) ids, or (K+1, H/S, W/S) counts."""

    key: str
    image: U8
    targets: dict[int, U8]
    meta: dict[str, Any]


class ShardSet:
    """One split of a shard folder, or of a set at a URL. Cheap to make, to pickle (files open again) and to fork.

    It stays the version that was opened: every byte that is read has a checked digest, and what is found to be
    replaced raises ShardError. `version` is the digest that the set must have, where it was opened before.
    `cache` keeps what comes from a store; by default SEGDATA_CACHE and SEGDATA_CACHE_SIZE say where and how much.
    """

    def __init__(self, path: str | Place, split: str, cache: "Cache | None" = None, version: str | None = None) -> None:
        self.path, self.split, self._cache = place(path), split, cache
        self._files = _open(self.path, split, cache)
        self.manifest: Manifest = self._files.manifest
        if version not in {None, self.digest}:
            raise replaced(self.path)
        self.parts = self.manifest.parts(split)

    @property
    def _index(self) -> Index:
        return self._files.index

    # ---- what is there ----

    def __len__(self) -> int:
        return len(self._index)

    @property
    def keys(self) -> list[str]:
        """All keys in stored order; position = index."""
        return [str(key, "ascii", "backslashreplace") for key in self._index.keys.tolist()]

    def key(self, i: int) -> str:
        return str(self._index.keys[i], "ascii", "backslashreplace")

    def order(self, seed: int, epoch: int) -> Permutation:
        """The shuffled order of this split's indices: a pure function of (seed, epoch, len)."""
        return Permutation(len(self), seed, epoch)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        name, data = self.path / "taxonomy.yaml", self._files.side("taxonomy.yaml", MAX_YAML_BYTES)
        if data is None:
            raise ShardError(f"{name}: {SUMS} does not list it. Run prepare again.")
        taxonomy = read_taxonomy(data, str(name))
        if taxonomy.digest != self.manifest.document["taxonomy"]["digest"]:
            raise ShardError(f"{name}: not the taxonomy that the shards were made with.")
        return taxonomy

    @cached_property
    def source_file(self) -> bytes | None:
        """The source file of the dataset, None of one that ships with segdata."""
        return self._files.side(SOURCE, MAX_SOURCE_BYTES)

    @property
    def statistics(self) -> tuple[ClassCounts | None, ImageSums | None]:
        """(counts per class, None in an unlabelled split; image sums, None where images were not decoded)."""
        entry = self.manifest.document["splits"][self.split]
        counts = ClassCounts.parse(entry["classes"]) if "classes" in entry else None
        if counts and len(counts.pixels) != len(self.taxonomy.classes) + 1:
            raise ShardError(
                f"{self.path}: {len(counts.pixels) - 1} classes are counted in {self.split}, not those "
                "of the taxonomy. Run `segdata verify`."
            )
        return counts, ImageSums.parse(entry["image"]) if "image" in entry else None

    @property
    def groups(self) -> list[str] | None:
        """Which frames belong together, by name, in stored order; None where the source's name says it."""
        column = self._files.column(f"{self.split}.groups.npy")
        return None if column is None else parsed_groups(column, len(self))

    @property
    def digest(self) -> str:
        """Digest of the whole folder: equal digests mean equal bytes of everything in it."""
        return self.manifest.fingerprint

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W) when all images have one size, else None: then `size_of(i)` tells."""
        sizes = self.manifest.document["splits"][self.split]["sizes"]
        return (sizes[0][0], sizes[0][1]) if len(sizes) == 1 else None

    def size_of(self, i: int) -> tuple[int, int]:
        row = self._index.places[i]
        return int(row["height"]), int(row["width"])

    @property
    def rule(self) -> str:
        """How targets follow from x1: majority, stride or coverage."""
        return str(self.manifest.document["options"]["rule"])

    @cached_property
    def scales(self) -> tuple[int, ...]:
        """The scales of the stored targets; empty in an unlabelled split."""
        return tuple(sorted(self._target_parts))

    # ---- reading ----

    def read(self, i: int, window: Window | None = None, scales: Sequence[int] | None = None) -> Record:
        """Sample i, or the window (top, left, height, width) of it in x1 pixels, with targets at `scales`.

        A window must lie in the image, and on the grid of every scale that is read. All scales by default.
        """
        return self.decode(i, lambda part: self.bytes(i, part), window, scales)

    def decode(
        self,
        i: int,
        part: Callable[[str], builtins.bytes],
        window: Window | None = None,
        scales: Sequence[int] | None = None,
    ) -> Record:
        """As `read`, of a sample whose stored bytes came another way: `part("target8.png")` gives them."""
        if not 0 <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)} in {self.split}")
        wanted = self.scales if scales is None else scales
        if missing := [scale for scale in wanted if scale not in self._target_parts]:
            have = ", ".join(f"x{scale}" for scale in self.scales) or "none"
            raise ShardError(f"{self.path}: no targets x{missing[0]} in {self.split} (it has {have}).")
        size = self.size_of(i)
        self._check_window(i, size, window, wanted)
        try:
            image = self._picture(self._image_part, part, size, window)
            targets = {scale: self._picture(self._target_parts[scale], part, size, window) for scale in wanted}
            meta = decode_meta(part("json"))
        except CodecError as error:
            raise self._damaged(i, error) from error
        return Record(self.key(i), image, targets, meta)

    def picture(self, i: int, part: str) -> U8:
        """One part of sample i: the image (H, W, 3), ids (H/S, W/S) or counts (K+1, H/S, W/S)."""
        try:
            return self._picture(part, lambda name: self.bytes(i, name), self.size_of(i), None)
        except CodecError as error:
            raise self._damaged(i, error) from error

    def meta(self, i: int) -> dict[str, Any]:
        """The metadata of sample i."""
        try:
            return decode_meta(self.bytes(i, "json"))
        except CodecError as error:
            raise self._damaged(i, error) from error

    def bytes(self, i: int, part: str) -> bytes:
        """The stored bytes of one part ("image.png", "target8.png", "json")."""
        return self._files.part(i, part)

    def shard(self, number: int) -> builtins.bytes:
        """A whole shard of the split, checked against its digest; 0 is the first."""
        return self._files.shard(number)

    def prefetch(self, wanted: Sequence[int]) -> None:
        """A hint that these samples will be read next: what is in a store is fetched meanwhile."""
        self._files.prefetch(wanted)

    def pixel_digests(self, part: str) -> NDArray[np.uint8] | None:
        """(N, 32) BLAKE3 of a part's decoded pixels, None where they were not taken."""
        column = self._files.column(f"{self.split}.pixels.{part}.npy")
        return None if column is None else parsed_digests(column)

    def __getstate__(self) -> "tuple[Place, str, Cache | None, str]":
        return self.path, self.split, self._cache, self.digest

    def __setstate__(self, state: "tuple[Place, str, Cache | None, str]") -> None:
        self.__init__(*state)  # type: ignore[misc]  # a worker opens the same version for itself

    def _picture(
        self, name: str, part: Callable[[str], builtins.bytes], image: tuple[int, int], window: Window | None
    ) -> U8:
        data, (height, width) = part(name), image
        if name.startswith("image."):
            return decode_image(data, window, (height, width))
        scale = _scale(name)
        size = height // scale, width // scale
        if window is not None:
            window = (window[0] // scale, window[1] // scale, window[2] // scale, window[3] // scale)
        if name.startswith("coverage"):
            return decode_planes(data, len(self.taxonomy.classes) + 1, window, size)
        return decode_map(data, window, size)

    def _damaged(self, i: int, error: CodecError) -> ShardError:
        found = str(error).rstrip(".")
        return ShardError(f"{self.path}: {self.key(i)} in {self.split} is damaged: {found}. Run `segdata verify`.")

    def _check_window(self, i: int, size: tuple[int, int], window: Window | None, scales: Sequence[int]) -> None:
        if window is None:
            return
        height, width = size
        top, left, rows, columns = window
        if min(top, left) < 0 or min(rows, columns) < 1 or top + rows > height or left + columns > width:
            raise ShardError(f"window {window} (top, left, height, width) leaves {self.key(i)} of {height}x{width}.")
        for scale in scales:
            if any(value % scale for value in window):
                raise ShardError(f"window {window} is not on the grid of x{scale}: {scale} must divide all four.")

    @cached_property
    def _image_part(self) -> str:
        return next(part for part in self.parts if part.startswith("image."))

    @cached_property
    def _target_parts(self) -> Mapping[int, str]:
        names = [part for part in self.parts if part.startswith(("target", "coverage"))]
        return {_scale(name): name for name in names}


def _scale(part: str) -> int:
    return int("".join(filter(str.isdigit, part)))


def _open(path: Place, split: str, cache: "Cache | None") -> SplitFiles:
    """The one place that chooses between the two readers."""
    if isinstance(path, Path):
        return LocalFiles(path, split)
    from segdata.reading.remote import RemoteFiles

    return RemoteFiles(path, split, cache)
