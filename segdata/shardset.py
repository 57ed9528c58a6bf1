"""Read a shard folder: random access through the index, decoding no more than is asked for.

Needs neither webdataset nor cityscapesScripts nor torch.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np

from segdata.codecs import Window, decode_image, decode_map, decode_planes
from segdata.errors import CodecError, ShardError
from segdata.index import read_index
from segdata.manifest import SIDE, Manifest, read_manifest
from segdata.order import Permutation
from segdata.scene import U8
from segdata.statistics import ClassCounts, ImageSums
from segdata.taxonomy import Taxonomy, read_taxonomy


@dataclass(frozen=True)
class Record:
    """One sample as arrays: image (H, W, 3) uint8; targets scale -> (H/S, W/S) ids, or (K+1, H/S, W/S) counts."""

    key: str
    image: U8
    targets: dict[int, U8]
    meta: dict[str, Any]


class ShardSet:
    """One split of a shard folder. Cheap to make, to pickle (files open again on use) and to fork."""

    def __init__(self, path: str | Path, split: str) -> None:
        self.path = Path(path)
        self.split = split
        self.manifest: Manifest = read_manifest(self.path)
        if split not in self.manifest.splits:
            raise ShardError(f"{self.path}: no split {split!r}; it has {', '.join(self.manifest.splits)}.")
        self._shards = self.manifest.shards(split)
        self.parts = self.manifest.parts(split)
        self._index = read_index(self.path / SIDE, split, self.parts)
        if len(self._index) != self.manifest.samples(split):
            raise ShardError(f"{self.path}: the index of {split} has {len(self._index)} samples, dataset.json another.")
        self._maps: dict[int, mmap] = {}
        self._pid = os.getpid()

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
        path = self.path / "taxonomy.yaml"
        if not path.is_file():
            raise ShardError(f"{path}: no such file. Run prepare again.")
        taxonomy = read_taxonomy(path.read_bytes(), str(path))
        if taxonomy.digest != self.manifest.document["taxonomy"]["digest"]:
            raise ShardError(f"{path}: not the taxonomy that the shards were made with.")
        return taxonomy

    @property
    def statistics(self) -> tuple[ClassCounts | None, ImageSums | None]:
        """(counts per class, None in an unlabelled split; image sums, None where images were not decoded)."""
        entry = self.manifest.document["splits"][self.split]
        counts, sums = entry.get("classes"), entry.get("image")
        return (
            ClassCounts(np.array(counts["pixels"]), np.array(counts["images"]), counts["samples"]) if counts else None,
            ImageSums(sums["pixels"], np.array(sums["values"]), np.array(sums["squares"])) if sums else None,
        )

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
        if not 0 <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)} in {self.split}")
        wanted = self.scales if scales is None else scales
        if missing := [scale for scale in wanted if scale not in self._target_parts]:
            have = ", ".join(f"x{scale}" for scale in self.scales) or "none"
            raise ShardError(f"{self.path}: no targets x{missing[0]} in {self.split} (it has {have}).")
        self._check_window(i, window, wanted)
        try:
            image = decode_image(self.bytes(i, self._image_part), window)
            targets = {scale: self._target(i, scale, window) for scale in wanted}
            meta = json.loads(self.bytes(i, "json"))
        except (CodecError, ValueError) as error:
            raise ShardError(f"{self.path}: {self.key(i)} in {self.split} is damaged: {error}") from error
        return Record(self.key(i), image, targets, meta)

    def bytes(self, i: int, part: str) -> bytes:
        """The stored bytes of one part ("image.png", "target8.png", "json")."""
        shard, offset, size = self._index.place(i, part)
        if shard >= len(self._shards):
            raise ShardError(f"{self.path}: the index of {self.split} names shard {shard} of {len(self._shards)}.")
        return self._map(shard)[offset : offset + size]

    def __getstate__(self) -> tuple[Path, str]:
        return self.path, self.split

    def __setstate__(self, state: tuple[Path, str]) -> None:
        self.__init__(*state)  # type: ignore[misc]  # a worker opens the folder for itself

    def _target(self, i: int, scale: int, window: Window | None) -> U8:
        part = self._target_parts[scale]
        data = self.bytes(i, part)
        if window is not None:
            window = (window[0] // scale, window[1] // scale, window[2] // scale, window[3] // scale)
        if part.startswith("coverage"):
            return decode_planes(data, len(self.taxonomy.classes) + 1, window)
        return decode_map(data, window)

    def _check_window(self, i: int, window: Window | None, scales: Sequence[int]) -> None:
        if window is None:
            return
        height, width = self.size_of(i)
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
        return {int("".join(filter(str.isdigit, name))): name for name in names}

    def _map(self, shard: int) -> mmap:
        if self._pid != os.getpid():  # after a fork: share no file position or close with the parent
            self._maps, self._pid = {}, os.getpid()
        if shard not in self._maps:
            self._maps[shard] = self._open(self.path / self._shards[shard].name, self._shards[shard].size)
        return self._maps[shard]

    def _open(self, path: Path, size: int) -> mmap:
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
