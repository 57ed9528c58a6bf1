"""Receipts: what is in a finished shard, keyed by a digest of exactly what it was made of."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segdata.canonical import canonical_json, digest_bytes
from segdata.findings import Finding
from segdata.statistics import ClassCounts, ImageSums

FORMAT = 1  # revision of the shard folder; raised when the same inputs and options give other bytes


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

    def to_json(self) -> bytes:
        document = asdict(self)
        if self.counts:
            document["counts"] = {
                "pixels": self.counts.pixels.tolist(),
                "images": self.counts.images.tolist(),
                "samples": self.counts.samples,
            }
        if self.sums:
            document["sums"] = {
                "pixels": self.sums.pixels,
                "values": self.sums.values.tolist(),
                "squares": self.sums.squares.tolist(),
            }
        return canonical_json({key: value for key, value in document.items() if value is not None})


def read_receipt(path: Path) -> Receipt | None:
    """The receipt, or None where there is none that can be read: then the shard is made again."""
    if not path.is_file():
        return None
    try:
        return _receipt(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError):
        return None


def _receipt(document: dict[str, Any]) -> Receipt:
    counts, sums = document.get("counts"), document.get("sums")
    return Receipt(
        inputs=document["inputs"],
        split=document["split"],
        sha256=document["sha256"],
        size=document["size"],
        samples=tuple(
            SampleReceipt(
                str(row["key"]),
                (int(row["size"][0]), int(row["size"][1])),
                {part: (int(place[0]), int(place[1])) for part, place in row["places"].items()},
                dict(row["pixels"]),
                dict(row["sources"]),
                str(row["digest"]),
            )
            for row in document["samples"]
        ),
        quarantined=tuple(Finding(**row) for row in document["quarantined"]),
        counts=ClassCounts(np.array(counts["pixels"]), np.array(counts["images"]), counts["samples"])
        if counts
        else None,
        sums=ImageSums(sums["pixels"], np.array(sums["values"]), np.array(sums["squares"])) if sums else None,
    )


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
