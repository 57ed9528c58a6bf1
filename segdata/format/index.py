"""The index of one split: which shard holds a sample, where in it each part lies, and what its bytes are known by.

Plain .npy columns that are mapped: opening a set of a million frames takes a tenth of a second, for their digests.
`.segdata/<split>.keys.npy` (N,) ASCII · `<split>.places.npy` (N,) shard, size, per part offset and bytes ·
`<split>.pixels.<part>.npy` (N, 32) BLAKE3 of the decoded pixels, where it is known for every sample ·
`<split>.samples.npy` (N, 32) digest of each sample's bytes, by which every sample is checked that is read ·
`<split>.groups.npy` (N,) UTF-8, which frames belong together, where a source says so that does not ship.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.base.canonical import digest_sample, digest_source
from segdata.base.files import parsing
from segdata.base.refusal import placed
from segdata.errors import ShardError
from segdata.format.manifest import SIDE, SUMS
from segdata.format.pinned import PinnedFile
from segdata.format.receipt import Receipt, SampleReceipt
from segdata.stores.url import Place

NPY = b"\x93NUMPY\x01\x00"


@dataclass(frozen=True)
class Index:
    """keys (N,) bytes; places (N,) structured: shard, height, width, offsets (P,), sizes (P,) in order of `parts`;
    digests (N, 32) of the samples."""

    parts: tuple[str, ...]
    keys: NDArray[np.bytes_]
    places: NDArray[Any]
    digests: NDArray[np.uint8]
    files: tuple[PinnedFile, ...]  # of the columns

    def __len__(self) -> int:
        return len(self.keys)

    def place(self, i: int, part: str) -> tuple[int, int, int]:
        """(number of the shard, offset, bytes) of one part of sample i."""
        row, column = self.places[i], self.parts.index(part)
        return int(row["shard"]), int(row["offsets"][column]), int(row["sizes"][column])

    def spans(self, i: int) -> list[tuple[int, int]]:
        """(offset, bytes) of each part of sample i in its shard, in order of `parts`."""
        row = self.places[i]
        return list(zip(row["offsets"].tolist(), row["sizes"].tolist(), strict=True))

    def is_sample(self, i: int, parts: Iterable[bytes]) -> bool:
        """Whether these are the bytes of sample i, in order of `parts`."""
        return digest_sample(map(digest_source, parts)) == bytes(self.digests[i]).hex()

    def check(self) -> None:
        """Raise ShardError if a column is not as it was opened."""
        for file in self.files:
            file.check()


def write_index(folder: Path, split: str, receipts: Sequence[Receipt]) -> tuple[str, ...]:
    """Write the columns; returns the parts that every sample of the split has."""
    with IndexWriter(folder, split, sum(len(receipt.samples) for receipt in receipts)) as writer:
        for receipt in receipts:
            writer.add(receipt)
    return writer.parts


class IndexWriter:
    """Writes the columns of a split of so many samples, one shard's receipt after the other. A context manager."""

    def __init__(
        self, folder: Path, split: str, samples: int, group: Callable[[str], str] | None = None
    ) -> None:  # fmt: skip
        """group: the group of a key, None where no column of these is wanted."""
        self.folder, self.split, self.samples, self._group = folder, split, samples, group
        self.parts: tuple[str, ...] = ()
        self._shard = 0
        self._keys: list[NDArray[np.bytes_]] = []  # written last: their width is that of the longest
        self._columns: dict[str, _Column] = {}

    def add(self, receipt: Receipt) -> None:
        """The next shard. Raises ShardError where it has no samples, or they have other parts than those before."""
        rows = receipt.samples
        if not rows:
            raise ShardError(f"{self.split}: a receipt of a shard without samples, expected at least one.")
        self.parts = self.parts or tuple(sorted(rows[0].places))
        places = np.zeros(len(rows), _dtype(len(self.parts)))
        for i, row in enumerate(rows):
            if tuple(sorted(row.places)) != self.parts:
                raise ShardError(f"{self.split}: {row.key} has the parts {sorted(row.places)}, others {self.parts}.")
            at = [row.places[part] for part in self.parts]
            places[i] = (self._shard, *row.size, [offset for offset, _ in at], [size for _, size in at])
        self._write("places", places)
        self._write("samples", _digests([row.digest for row in rows]))
        for part in self.parts:
            self._write_pixels(part, rows)
        self._keys.append(np.array([row.key.encode() for row in rows]))
        self._shard += 1

    def __enter__(self) -> "IndexWriter":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            width = max(keys.dtype.itemsize for keys in self._keys)
            for keys in self._keys:
                self._write("keys", keys.astype(f"S{width}"))
            if self._group:
                names = [self._group(key.decode()).encode() for keys in self._keys for key in keys.tolist()]
                self._write("groups", np.array(names))
        for column in self._columns.values():
            column.close()

    def _write(self, name: str, rows: NDArray[Any]) -> None:
        if name not in self._columns:
            self._columns[name] = _Column(self.folder / f"{self.split}.{name}.npy", self.samples, rows)
        self._columns[name].write(rows)

    def _write_pixels(self, part: str, rows: Sequence[SampleReceipt]) -> None:
        """A column of pixel digests, unless they are missing somewhere."""
        name = f"pixels.{part}"
        digests = [digest for row in rows if (digest := row.pixels.get(part))]
        if len(digests) == len(rows) and (name in self._columns or not self._shard):
            self._write(name, _digests(digests))
        elif name in self._columns:
            self._columns.pop(name).remove()


class _Column:
    """A .npy file of so many rows that is written piece by piece: the bytes that np.save would write."""

    def __init__(self, path: Path, rows: int, like: NDArray[Any]) -> None:
        self.path = path
        self._file = path.open("wb")
        npy: Any = np.lib.format  # untyped
        header = npy.header_data_from_array_1_0(like)
        npy.write_array_header_1_0(self._file, header | {"shape": (rows, *like.shape[1:])})

    def write(self, rows: NDArray[Any]) -> None:
        with placed(self.path):
            self._file.write(rows.tobytes())

    def close(self) -> None:
        with placed(self.path):
            self._file.close()

    def remove(self) -> None:
        self._file.close()
        self.path.unlink()


def _digests(hexadecimal: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex("".join(hexadecimal)), np.uint8).reshape(-1, 32)


def open_index(find: Callable[[str], PinnedFile | None], where: Place, split: str, parts: Sequence[str]) -> Index:
    """A split's columns, which `find` opens by their names, each before the next one is asked for.

    Raises ShardError when they are not what `prepare` writes.
    """
    files = []
    for name in (f"{split}.{column}.npy" for column in ("keys", "places", "samples")):
        if (file := find(name)) is None:
            raise ShardError(f"{where}: {SUMS} lists no {SIDE}/{name}. Run prepare again.")
        files.append(file)
    keys, places, digests = _parsed(files[0]), _parsed(files[1]), parsed_digests(files[2])
    fits = keys.dtype.kind == "S" and places.dtype == _dtype(len(parts)) and keys.ndim == places.ndim == 1
    if not fits or not len(keys) == len(places) == len(digests):
        raise ShardError(f"{where}: the index of {split} does not fit dataset.json. Run prepare again.")
    return Index(tuple(parts), keys, places, digests, tuple(files))


def parsed_digests(file: PinnedFile) -> NDArray[np.uint8]:
    """(N, 32): a digest a row."""
    digests = _parsed(file)
    if digests.dtype != np.uint8 or digests.ndim != 2 or digests.shape[1] != 32:
        raise ShardError(f"{file.where}: {digests.dtype} {digests.shape}, expected 32 bytes a row. Run prepare again.")
    return digests


def parsed_groups(file: PinnedFile, samples: int) -> list[str]:
    """The group of each sample. Raises ShardError."""
    column = _parsed(file)
    if column.dtype.kind != "S" or column.shape != (samples,):
        raise ShardError(f"{file.where}: {column.dtype} {column.shape}, expected {samples} names. Run prepare again.")
    return [str(name, "utf-8", "backslashreplace") for name in column.tolist()]


def _parsed(file: PinnedFile) -> NDArray[Any]:
    """A view of the map, of all of it: its header is read as text, and nothing of it is unpickled."""
    npy: Any = np.lib.format  # untyped
    with parsing(file.where, ShardError, "Expected a part of the index. Run prepare again."):
        if bytes(file.map[: len(NPY)]) != NPY:  # numpy would read a header of any length that another version declares
            raise ValueError("no .npy file of version 1.0")
        start = len(NPY) + 2 + int.from_bytes(file.map[len(NPY) : len(NPY) + 2], "little")
        head = BytesIO(file.map[:start])
        head.seek(len(NPY))
        shape, fortran, dtype = npy.read_array_header_1_0(head)
        if fortran or dtype.hasobject or min(shape, default=0) < 0:
            raise ValueError(f"{dtype} {shape}, expected rows of numbers")
        array: NDArray[Any] = np.frombuffer(file.map, dtype, offset=start).reshape(shape)
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
