"""The index of one split: which shard holds a sample, and where in it each part lies.

Plain .npy columns that are mapped, not read: opening a set of a million frames costs nothing.
`.segdata/<split>.keys.npy` (N,) ASCII · `<split>.places.npy` (N,) shard, size, per part offset and bytes ·
`<split>.pixels.<part>.npy` (N, 32) BLAKE3 of the decoded pixels, where it is known for every sample ·
`<split>.samples.npy` (N, 32) digest of each sample's bytes, by which one that was fetched alone is checked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.errors import ShardError
from segdata.receipt import Receipt, SampleReceipt


@dataclass(frozen=True)
class Index:
    """keys (N,) bytes; places (N,) structured: shard, height, width, offsets (P,), sizes (P,) in order of `parts`."""

    parts: tuple[str, ...]
    keys: NDArray[np.bytes_]
    places: NDArray[Any]

    def __len__(self) -> int:
        return len(self.keys)

    def place(self, i: int, part: str) -> tuple[int, int, int]:
        """(number of the shard, offset, bytes) of one part of sample i."""
        row, column = self.places[i], self.parts.index(part)
        return int(row["shard"]), int(row["offsets"][column]), int(row["sizes"][column])


def write_index(folder: Path, split: str, receipts: Sequence[Receipt]) -> tuple[str, ...]:
    """Write the columns; returns the parts that every sample of the split has."""
    rows = [(shard, row) for shard, receipt in enumerate(receipts) for row in receipt.samples]
    parts = tuple(sorted(rows[0][1].places))
    places = np.zeros(len(rows), _dtype(len(parts)))
    for i, (shard, row) in enumerate(rows):
        if tuple(sorted(row.places)) != parts:
            raise ShardError(f"{split}: {row.key} has the parts {sorted(row.places)}, others {list(parts)}.")
        at = [row.places[part] for part in parts]
        places[i] = (shard, *row.size, [offset for offset, _ in at], [size for _, size in at])
    np.save(folder / f"{split}.keys.npy", np.array([row.key.encode() for _, row in rows]))
    np.save(folder / f"{split}.places.npy", places)
    _write_digests(folder / f"{split}.samples.npy", [row.digest for _, row in rows])
    for part in parts:
        _write_pixels(folder / f"{split}.pixels.{part}.npy", part, [row for _, row in rows])
    return parts


def _write_pixels(path: Path, part: str, rows: Sequence[SampleReceipt]) -> None:
    digests = [row.pixels.get(part) for row in rows]
    if all(digests):
        _write_digests(path, [digest for digest in digests if digest])


def _write_digests(path: Path, digests: Sequence[str]) -> None:
    np.save(path, np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32))


def read_index(folder: Path, split: str, parts: Sequence[str]) -> Index:
    """Map a split's columns; raises ShardError when they are not what `prepare` writes."""
    return find_index(lambda name: folder / name, split, parts)


def find_index(find: Callable[[str], Path], split: str, parts: Sequence[str]) -> Index:
    """The same of columns that `find` fetches by their names, each mapped before the next one is asked for."""
    path = find(f"{split}.keys.npy")
    keys, places = _load(path), _load(find(f"{split}.places.npy"))
    fits = keys.dtype.kind == "S" and places.dtype == _dtype(len(parts)) and keys.ndim == places.ndim == 1
    if not fits or len(keys) != len(places):
        raise ShardError(f"{path.parent}: the index of {split} does not fit dataset.json. Run prepare again.")
    return Index(tuple(parts), keys, places)


def read_digests(path: Path) -> NDArray[np.uint8]:
    """(N, 32): a digest a row."""
    digests = _load(path)
    if digests.dtype != np.uint8 or digests.ndim != 2 or digests.shape[1] != 32:
        raise ShardError(f"{path}: {digests.dtype} {digests.shape}, expected 32 bytes a row. Run prepare again.")
    return digests


def _load(path: Path) -> NDArray[Any]:
    try:
        if not path.is_file():  # to open a pipe would wait for ever
            raise FileNotFoundError("no such file")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):  # np.load opens zips too
            raise ValueError("not a .npy file")
    except (OSError, ValueError, EOFError, TypeError, SyntaxError, OverflowError) as error:
        raise ShardError(f"{path}: this part of the index cannot be read ({error}). Run prepare again.") from error
    return array


def _dtype(parts: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("shard", "<u4"),
            ("height", "<u4"),
            ("width", "<u4"),
            ("offsets", "<u8", (parts,)),
            ("sizes", "<u4", (parts,)),
        ]
    )
