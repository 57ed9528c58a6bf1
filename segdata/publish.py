"""From finished shards and receipts to the published folder: index, side files, the manifest last."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segdata import __version__
from segdata.canonical import digest_bytes, digest_file, pretty_json
from segdata.convert import Conversion
from segdata.findings import Finding
from segdata.index import write_index
from segdata.interop import Shards, card, wids, write_dali, write_energon, write_energon_index
from segdata.manifest import FILE, SIDE, SUMS, manifest_bytes
from segdata.receipt import FORMAT, Receipt
from segdata.statistics import ClassCounts, ImageSums


@dataclass(frozen=True)
class Release:
    """What the manifest says besides the shards."""

    name: str
    conversion: Conversion
    licence: str
    painted: bool
    samples_per_shard: int
    seed: int
    warnings: tuple[Finding, ...]
    readers: tuple[str, ...] = ()  # whose own files are wanted beside the shards: "energon"


def write_side_files(folder: Path, release: Release, shards: Shards) -> None:
    """Everything beside the shards; `folder` already holds these and the receipts. Deterministic bytes."""
    side, conversion = folder / SIDE, release.conversion
    splits = {split: _split(side, split, entries, release) for split, entries in shards.items()}
    (folder / "taxonomy.yaml").write_text(conversion.taxonomy.yaml(), encoding="ascii")
    (folder / "README.md").write_text(
        card(release.name, conversion, release.licence, release.painted, splits), encoding="utf-8"
    )
    write_energon(folder / ".nv-meta", shards)
    if "energon" in release.readers:
        write_energon_index(folder, shards)
    for split, entries in shards.items():
        (side / f"{split}.wids.json").write_bytes(pretty_json(wids(release.name, split, entries)))
        for name, receipt in entries:
            write_dali(side / "dali", name, receipt)
    known = {name: receipt.sha256 for entries in shards.values() for name, receipt in entries}
    sums = _sums(folder, known)
    (folder / SUMS).write_bytes(sums)
    (folder / FILE).write_bytes(manifest_bytes(_manifest(release, splits, digest_bytes(sums))))


def swap_in(made: Path, out: Path, old: Path) -> None:
    """Give the finished folder its name; an older version steps aside first and is removed after."""
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    made.rename(out)
    _sync(out.parent)
    shutil.rmtree(old, ignore_errors=True)


def _split(side: Path, split: str, entries: Sequence[tuple[str, Receipt]], release: Release) -> dict[str, Any]:
    receipts = [receipt for _, receipt in entries]
    parts = write_index(side, split, receipts)
    sizes = {row.size for receipt in receipts for row in receipt.samples}
    document: dict[str, Any] = {
        "samples": sum(len(receipt.samples) for receipt in receipts),
        "parts": parts,
        "sizes": sorted([height, width] for height, width in sizes),
        "shards": [
            {"name": name, "sha256": row.sha256, "bytes": row.size, "samples": len(row.samples)}
            for name, row in entries
        ],
        "quarantined": [_finding(f) for row in receipts for f in row.quarantined],
    }
    if counts := [receipt.counts for receipt in receipts if receipt.counts]:
        total = ClassCounts.total(counts, len(release.conversion.taxonomy.classes))
        document["classes"] = {
            "pixels": total.pixels.tolist(),
            "images": total.images.tolist(),
            "samples": total.samples,
        }
    sums = [receipt.sums for receipt in receipts]
    if all(sums):
        whole = ImageSums.total([part for part in sums if part])
        document["image"] = {
            "pixels": whole.pixels,
            "values": whole.values.tolist(),
            "squares": whole.squares.tolist(),
        }
    return document


def _manifest(release: Release, splits: Mapping[str, Any], sums: str) -> dict[str, Any]:
    conversion = release.conversion
    return {
        "format": FORMAT,
        "generator": f"segdata {__version__}",
        "name": release.name,
        "source": {"name": conversion.source, "licence": release.licence, "painted": release.painted},
        "taxonomy": {"name": conversion.taxonomy.name, "digest": conversion.taxonomy.digest},
        "options": {
            **conversion.document(),
            "samples_per_shard": release.samples_per_shard,
            "seed": release.seed,
        },
        "splits": splits,
        "warnings": [_finding(finding) for finding in release.warnings],
        "sha256sums": sums,
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {"code": finding.code, "file": finding.where, "found": finding.found}


def _sums(folder: Path, known: Mapping[str, str]) -> bytes:
    """`sha256sum -c SHA256SUMS` checks every file but itself and dataset.json, which states its digest."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{known.get(path) or digest_file(folder / path)}  {path}\n" for path in paths if path not in {SUMS, FILE}]
    return "".join(lines).encode("ascii")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
