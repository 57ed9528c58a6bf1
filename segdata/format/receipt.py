"""Receipts: what is in a finished shard, keyed by a digest of exactly what it was made of."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from segdata.base.canonical import canonical_json, digest_bytes
from segdata.base.files import read_file
from segdata.documents.json import load_json
from segdata.errors import SegdataError
from segdata.findings import Finding
from segdata.format.counts import ClassCounts, ImageSums
from segdata.format.shard import MAX_NAME
from segdata.labels.coding import NOTHING, Tally

FORMAT = 1  # revision of the shard folder; raised when the same inputs and options give other bytes
PART = re.compile(r"json|image\.(png|jpg|webp)|target[1248]\.png|coverage[248]\.png")
HEX = re.compile(r"[0-9a-f]{64}")
KEY = re.compile(rf"[!-~]{{1,{MAX_NAME}}}")  # printable ASCII, so that an index of keys is no longer than its receipts


@dataclass(frozen=True)
class SampleReceipt:
    """One sample in its shard: where its parts are, and the digests of what it came from and decodes to."""

    key: str
    size: tuple[int, int]
    places: Mapping[str, tuple[int, int]]  # part -> (offset, bytes)
    pixels: Mapping[str, str]  # part -> BLAKE3 of the decoded pixels
    sources: Mapping[str, str]  # "image", "labels" -> BLAKE3 of the source file
    digest: str  # of all parts' bytes: see canonical.digest_sample


@dataclass(frozen=True)
class Receipt:
    """A finished shard. `inputs` decides whether it can stand for a planned one."""

    inputs: str
    split: str
    sha256: str
    size: int  # bytes of the shard
    samples: tuple[SampleReceipt, ...]
    quarantined: tuple[Finding, ...]
    counts: ClassCounts | None
    sums: ImageSums | None
    tally: Tally = NOTHING  # of its label files
    rules: int = 0  # by which these were checked

    def to_json(self) -> bytes:
        document = asdict(replace(self, tally=Tally())) | {"tally": self.tally.document()}
        if self.counts:
            document["counts"] = self.counts.document()
        if self.sums:
            document["sums"] = self.sums.document()
        return canonical_json({key: value for key, value in document.items() if value is not None})


def read_receipt(path: Path) -> Receipt | None:
    """The receipt, or None where there is none that can be read: then the shard is made again."""
    try:
        return parse_receipt(read_file(path))
    except (OSError, SegdataError):
        return None


def parse_receipt(data: bytes) -> Receipt | None:
    """The receipt of these bytes, None where they are none."""
    try:
        return _receipt(load_json(data))
    except Exception:
        return None


def _receipt(document: dict[str, Any]) -> Receipt:
    """Of anything but what `to_json` gives, an exception."""
    counts, sums = document.get("counts"), document.get("sums")
    return Receipt(
        inputs=_text(document["inputs"], HEX),
        split=_text(document["split"]),
        sha256=_text(document["sha256"], HEX),
        size=_number(document["size"], 63),
        samples=tuple(map(_sample, document["samples"])),
        quarantined=tuple(map(_finding, document["quarantined"])),
        counts=ClassCounts.parse(counts) if counts else None,
        sums=ImageSums.parse(sums) if sums else None,
        tally=Tally.parse(document["tally"]) if "tally" in document else Tally(),
        rules=_number(document.get("rules", 0), 31),
    )


def _sample(row: dict[str, Any]) -> SampleReceipt:
    height, width = row["size"]
    return SampleReceipt(
        key=_text(row["key"], KEY),
        size=(_number(height, 32), _number(width, 32)),
        places={_text(part, PART): (_number(at, 63), _number(size, 32)) for part, (at, size) in row["places"].items()},
        pixels={_text(part, PART): _text(digest, HEX) for part, digest in row["pixels"].items()},
        sources={_text(role): _text(digest, HEX) for role, digest in row["sources"].items()},
        digest=_text(row["digest"], HEX),
    )


def _finding(row: dict[str, Any]) -> Finding:
    return Finding(**{name: _text(text) for name, text in row.items()})


def _text(value: Any, pattern: re.Pattern[str] = re.compile(r"(?s).*")) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(f"not a text of {pattern.pattern}")
    return str(value)


def _number(value: Any, bits: int) -> int:
    """As the index holds it."""
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise ValueError(f"not a number of {bits} bits")
    return value


def inputs_digest(conversion: Mapping[str, object], split: str, scenes: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    """Digest of what a shard is made of: format, options, and each scene's key and source digests, in order."""
    return digest_bytes(
        canonical_json(
            {
                "format": FORMAT,
                "conversion": conversion,
                "split": split,
                "scenes": [[key, dict(sources)] for key, sources in scenes],
            }
        )
    )


def receipt_path(folder: Path, name: str) -> Path:
    return folder / "receipts" / f"{name.removesuffix('.tar')}.json"
