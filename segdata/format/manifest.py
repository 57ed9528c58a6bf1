"""dataset.json: what a shard folder holds, with digests; written last, so its presence means completeness."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from segdata.base.canonical import canonical_json, digest_bytes, pretty_json
from segdata.base.files import LIMIT, parsing, read_file
from segdata.documents.json import load_json
from segdata.errors import AbsentError, ShardError
from segdata.format.counts import ClassCounts, ImageSums
from segdata.format.receipt import FORMAT, HEX, PART
from segdata.stores.opening import open_files
from segdata.stores.store import Files
from segdata.stores.url import Place

FILE = "dataset.json"
CARD = "README.md"
SUMS = "SHA256SUMS"
SIDE = ".segdata"
SOURCE = "source.yaml"
MAX_SOURCE_BYTES = 1 << 20  # as much as `sources` reads of a source file
BESIDE = re.compile(
    r"README\.md|(taxonomy|source)\.yaml|SHA256SUMS|dataset\.json|(\.segdata|\.nv-meta)/.+"
)  # the shards
NAMES = re.compile(rf"{BESIDE.pattern}|[^/]+-\d{{6}}\.tar(\.idx)?")  # by their kinds: which ones, SHA256SUMS says
MAX_BYTES = 1 << 26  # about 200 bytes a shard: room for 300,000 of them

MAX_SHARD = 1 << 34  # 16 GiB: a shard that is read whole is held in memory
MAX_COLUMN = 1 << 32  # 4 GiB of the index: places of forty million samples
ROW = 512  # bytes of a sample in a column of the index: a name of at most 255, or some 100 of numbers


@dataclass(frozen=True)
class ShardEntry:
    """One shard as the manifest lists it."""

    name: str
    sha256: str
    size: int  # bytes
    samples: int


@dataclass(frozen=True)
class Manifest:
    """The parsed dataset.json; `document` is all of it."""

    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def fingerprint(self) -> str:
        """Digest of everything in the folder (dataset.json lists the digest of SHA256SUMS)."""
        return str(self.document["fingerprint"])

    @property
    def splits(self) -> tuple[str, ...]:
        """In the order people expect: training first, test last (the file's keys are sorted)."""
        names = self.document["splits"]
        return tuple(sorted(names, key=lambda name: (not name.startswith("train"), name == "test", name)))

    def shards(self, split: str) -> tuple[ShardEntry, ...]:
        rows = self.document["splits"][split]["shards"]
        return tuple(ShardEntry(row["name"], row["sha256"], row["bytes"], row["samples"]) for row in rows)

    def parts(self, split: str) -> tuple[str, ...]:
        return tuple(self.document["splits"][split]["parts"])

    def samples(self, split: str) -> int:
        return int(self.document["splits"][split]["samples"])


def content_digest(splits: Mapping[str, Any]) -> str:
    """What the samples are, whatever lies beside the shards: sha256 over the sha256 of every split's shards, in order.

    `splits` as in dataset.json. It names the content where the fingerprint cannot, in a file that this one covers.
    """
    shards = {split: [row["sha256"] for row in entry["shards"]] for split, entry in splits.items()}
    return digest_bytes(canonical_json(shards))


def manifest_bytes(document: Mapping[str, Any]) -> bytes:
    """The file's bytes, the fingerprint of everything else added."""
    return pretty_json({**document, "fingerprint": _fingerprint(document)})


def read_manifest(place: Place) -> Manifest:
    """dataset.json of the set at a place, as it is now.

    Raises ShardError that says why this is no complete shard set, StoreError where it cannot be read.
    """
    return fetch_manifest(open_files(place))


def fetch_manifest(files: Files) -> Manifest:
    try:
        return parse_manifest(files.read(FILE, limit=MAX_BYTES), files.place / FILE)
    except AbsentError:
        raise no_manifest(files.place) from None


def read_sums(folder: Path, manifest: Manifest) -> dict[str, str]:
    """path -> sha256 of SHA256SUMS. Raises ShardError where it is not the one that dataset.json states."""
    path = folder / SUMS
    data = read_file(path, MAX_BYTES, ShardError) if path.is_file() else b""
    if digest_bytes(data) != manifest.document["sha256sums"]:
        raise ShardError(f"{path}: not the one that {FILE} states. Run `segdata verify {folder}`.")
    return parse_sums(data, path)


def parse_sums(data: bytes, where: Place) -> dict[str, str]:
    """path -> sha256 of SHA256SUMS at `where`. Raises ShardError for one twice or out of the folder."""
    rows = [line.partition("  ")[::2] for line in data.decode("utf-8", "replace").splitlines()]
    for digest, name in rows:
        pure = PurePosixPath(name)
        if not HEX.fullmatch(digest) or not pure.parts or pure.is_absolute() or ".." in pure.parts or "\0" in name:
            raise ShardError(f"{where}: the line of {name[:200]!r} is no digest of a file in the folder. Refused.")
    found = {name: digest for digest, name in rows}
    if len(found) != len(rows):
        raise ShardError(f"{where}: {len(rows)} lines for {len(found)} files, expected one a file. Refused.")
    return found


def shard_limit(row: ShardEntry) -> int:
    """Bytes that are read of a shard at most to check it: what another tool encoded anew may be longer than listed."""
    return min(2 * row.size + (1 << 20), MAX_SHARD)


def side_limit(manifest: Manifest) -> int:
    """Bytes of a file beside the shards: of the largest column of the index, or of a small set's documents."""
    return min(LIMIT + ROW * sum(map(manifest.samples, manifest.splits)), MAX_COLUMN)


def no_manifest(folder: Place) -> ShardError:
    return ShardError(f"{folder}: no {FILE}, so this is no finished shard set. Point at `prepare`'s --out.")


def parse_manifest(data: bytes, path: Place) -> Manifest:
    """The manifest of these bytes, checked; `path` is for messages."""
    with parsing(path, ShardError, "Expected a manifest. Run prepare again, with --replace."):
        document = load_json(data)
        _check(path, document)
    return Manifest(document)


def _check(path: Place, document: dict[str, Any]) -> None:
    if document["format"] != FORMAT:
        found = document["format"]
        raise ShardError(
            f"{path}: format {found}; this release reads format {FORMAT}. Run prepare again, with --replace."
        )
    if not document["splits"]:
        raise ValueError("no splits")
    for split, entry in document["splits"].items():
        for name in [split, *(row["name"] for row in entry["shards"])]:
            name.encode()  # JSON can hold halves of characters, which no file name does
            if len(PurePosixPath(name).parts) != 1 or name in {".", ".."} or "\\" in name or "\0" in name:
                raise ShardError(f"{path}: {name[:200]!r} points outside the folder. Refused.")
        _check_split(split, entry)
    texts = [document["name"], document["source"]["name"], document["taxonomy"]["name"], document["options"]["rule"]]
    digests = [document["taxonomy"]["digest"], document["sha256sums"]]
    if not all(isinstance(text, str) for text in texts) or not all(map(HEX.fullmatch, digests)):
        raise ValueError(f"names {texts} and digests {digests}, expected texts and 64 hexadecimal digits each")
    stated = document["fingerprint"]
    if stated != _fingerprint({key: value for key, value in document.items() if key != "fingerprint"}):
        raise ShardError(f"{path}: its content does not have the fingerprint that it states: it was changed.")


def _check_split(split: str, entry: dict[str, Any]) -> None:
    """What readers rely on: parts of known names, shards that add up to the samples, statistics that are numbers."""
    parts, rows = entry["parts"], entry["shards"]
    images = sum(part.startswith("image.") for part in parts)
    if not all(map(PART.fullmatch, parts)) or images != 1 or "json" not in parts or sorted(set(parts)) != parts:
        raise ValueError(f"parts {parts} of {split}, expected one image, json and targets")
    for row in rows:
        if not HEX.fullmatch(row["sha256"]) or not _counts(row["bytes"], row["samples"]):
            raise ValueError(f"shard {row['name']!r} needs a sha256, bytes and samples, each at least 1")
    if not _counts(entry["samples"]) or entry["samples"] != sum(row["samples"] for row in rows):
        raise ValueError(f"{entry['samples']} samples in {split}, its shards hold another number")
    if not all(_counts(*size) and len(size) == 2 for size in entry["sizes"]):
        raise ValueError(f"sizes {entry['sizes']} of {split}, expected [height, width] each")
    if "classes" in entry:
        ClassCounts.parse(entry["classes"])
    if "image" in entry:
        ImageSums.parse(entry["image"])


def _counts(*values: object) -> bool:
    return all(type(value) is int and value > 0 for value in values)


def _fingerprint(document: Mapping[str, Any]) -> str:
    return digest_bytes(canonical_json(document))
