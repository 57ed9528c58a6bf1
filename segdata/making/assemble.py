"""From finished shards and receipts to the published folder: index, side files, the manifest last."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.base.canonical import digest_bytes, digest_file, pretty_json
from segdata.base.files import exchange, sync_folder, sync_tree
from segdata.findings import Finding
from segdata.format.counts import ClassCounts, ImageSums
from segdata.format.finished import Finished, Shards
from segdata.format.index import IndexWriter
from segdata.format.manifest import CARD, FILE, SIDE, SOURCE, SUMS, manifest_bytes
from segdata.format.receipt import FORMAT, Receipt
from segdata.making.interop import card, wids, write_dali, write_energon, write_energon_index
from segdata.making.job import Conversion
from segdata.splits.divided import Divided
from segdata.version import __version__


@dataclass(frozen=True)
class Release:
    """What the manifest says besides the shards."""

    name: str
    conversion: Conversion
    licence: str
    painted: bool
    options: Mapping[str, object]
    warnings: tuple[Finding, ...]
    dropped: tuple[Finding, ...]  # scenes of which no shard can tell
    readers: tuple[str, ...] = ()  # whose own files are wanted beside the shards: "energon"
    divided: Divided | None = None  # what made the splits, where these are not the official ones
    cautions: Mapping[str, str] = field(default_factory=dict)  # split -> what its scores do not show
    source_file: bytes = b""  # of a source that does not ship, and what it says of itself
    about: str = ""
    group: Callable[[str], str] | None = None  # of such a source: which frames belong together, by their keys

    @property
    def notes(self) -> str:
        """What the dataset card says of the dataset, where it does not ship, and of the splits."""
        about = f"{self.about}\n\n" if self.about else ""
        if self.divided:
            return f"{about}{self.divided.card()}\n"
        rows = "".join(f"* {split}: {caution}.\n" for split, caution in self.cautions.items())
        hidden = f"What the official splits of {self.conversion.source} do not show:\n\n{rows}\n" if rows else ""
        return about + hidden


class Duplicates:
    """The same image file in two splits, whatever its name: a leak from training into the score.

    Gathers the samples' source digests, 32 bytes each; `findings` names those that stand in two splits.
    """

    def __init__(self) -> None:
        self._digests = bytearray()
        self._keys: list[NDArray[np.bytes_]] = []  # of each receipt
        self._splits: list[str] = []  # of each receipt

    def add(self, receipt: Receipt) -> None:
        """The receipts come in the order of the set: of two equal images the later one is the finding."""
        self._digests += bytes.fromhex("".join(row.sources["image"] for row in receipt.samples))
        self._keys.append(np.array([row.key.encode() for row in receipt.samples]))
        self._splits.append(receipt.split)

    def findings(self) -> list[Finding]:
        if len(set(self._splits)) < 2:
            return []
        keys = np.concatenate(self._keys)
        splits = np.repeat(self._splits, [len(part) for part in self._keys])
        _, firsts, of_row = np.unique(np.frombuffer(self._digests, "S32"), return_index=True, return_inverse=True)
        first = firsts[of_row]  # for every row the first one with its image
        return [
            Finding(
                "duplicate-frame",
                f"{splits[row]} {keys[row].decode()}",
                f"the same image as {keys[first[row]].decode()} in {splits[first[row]]}",
            )
            for row in np.flatnonzero(splits != splits[first])
        ]


def write_side_files(folder: Path, release: Release, shards: Shards) -> list[Finding]:
    """Everything beside the shards; `folder` already holds these and the receipts. Deterministic bytes.

    Every receipt is read once. Returns the frames that were found in two splits.
    """
    side, conversion, duplicates = folder / SIDE, release.conversion, Duplicates()
    splits = {split: _split(folder, split, finished, release, duplicates) for split, finished in shards.items()}
    (folder / "taxonomy.yaml").write_text(conversion.taxonomy.yaml(), encoding="ascii")
    if release.source_file:
        (folder / SOURCE).write_bytes(release.source_file)
    (folder / CARD).write_text(
        card(release.name, conversion, release.licence, release.painted, splits, release.notes), encoding="utf-8"
    )
    write_energon(folder / ".nv-meta", shards)
    for split, finished in shards.items():
        (side / f"{split}.wids.json").write_bytes(pretty_json(wids(release.name, split, finished)))
    known = {shard.entry.name: shard.entry.sha256 for finished in shards.values() for shard in finished}
    sums = _sums(folder, known)
    (folder / SUMS).write_bytes(sums)
    found = duplicates.findings()
    warnings = [*release.warnings, *found, *release.dropped]
    (folder / FILE).write_bytes(manifest_bytes(_manifest(release, splits, warnings, digest_bytes(sums))))
    return found


def swap_in(made: Path, out: Path, old: Path) -> None:
    """Let the finished folder take the place of `out` in one step; the version before it is then at `made` or `old`.

    All of it is durable before. Where the file system has no such step, the older version stands at `old` and nothing
    in its place for a moment: `roll_back` is for a kill in it.
    """
    sync_tree(made)
    mode = out.stat().st_mode & 0o7777 if out.exists() else None
    if not out.exists() or not any(out.iterdir()):
        made.rename(out)  # also over an empty folder, in one step
    elif not exchange(made, out):
        out.rename(old)
        try:
            made.rename(out)
        except BaseException:
            old.rename(out)
            raise
    if mode is not None:
        out.chmod(mode)  # a folder that its group shares goes on to be one
    sync_folder(out.parent)


def roll_back(out: Path, old: Path) -> bool:
    """Give a version that was set aside its place again, where a kill kept the new one from it; whether it did."""
    if not old.exists() or (out.exists() and any(out.iterdir())):
        return False
    old.rename(out)  # also over an empty folder, which somebody made meanwhile
    sync_folder(out.parent)
    return True


def _split(
    folder: Path, split: str, shards: Sequence[Finished], release: Release, duplicates: Duplicates
) -> dict[str, Any]:
    """What the manifest says of a split; on the way its index, and each shard's side files."""
    side, sizes = folder / SIDE, set[tuple[int, int]]()
    quarantined: list[Finding] = []
    counts: list[ClassCounts] = []
    sums: list[ImageSums | None] = []
    with IndexWriter(side, split, sum(shard.entry.samples for shard in shards), release.group) as index:
        for shard in shards:
            receipt = shard.read()
            index.add(receipt)
            duplicates.add(receipt)
            write_dali(side / "dali", shard.entry.name, receipt)
            if "energon" in release.readers:
                write_energon_index(folder, shard.entry.name, receipt)
            sizes.update(row.size for row in receipt.samples)
            quarantined += receipt.quarantined
            counts += [receipt.counts] if receipt.counts else []
            sums.append(receipt.sums)
    document: dict[str, Any] = {
        "samples": index.samples,
        "parts": index.parts,
        "sizes": sorted([height, width] for height, width in sizes),
        "shards": [
            {"name": row.name, "sha256": row.sha256, "bytes": row.size, "samples": row.samples}
            for row in (shard.entry for shard in shards)
        ],
        "quarantined": [_finding(finding) for finding in quarantined],
    }
    if counts:
        total = ClassCounts.total(counts, len(release.conversion.taxonomy.classes))
        document["classes"] = total.document()
    if all(sums):
        document["image"] = ImageSums.total([part for part in sums if part]).document()
    return document


def _manifest(release: Release, splits: Mapping[str, Any], warnings: Sequence[Finding], sums: str) -> dict[str, Any]:
    conversion = release.conversion
    return {
        "format": FORMAT,
        "generator": f"segdata {__version__}",
        "name": release.name,
        "source": {"name": conversion.source, "licence": release.licence, "painted": release.painted},
        "taxonomy": {"name": conversion.taxonomy.name, "digest": conversion.taxonomy.digest},
        "options": dict(release.options),
        "splits": splits,
        **({"split_lists": release.divided.document()} if release.divided else {}),
        "warnings": [_finding(finding) for finding in warnings],
        "sha256sums": sums,
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {"code": finding.code, "file": finding.where, "found": finding.found}


def _sums(folder: Path, known: Mapping[str, str]) -> bytes:
    """`sha256sum -c SHA256SUMS` checks every file but itself and dataset.json, which states its digest."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{known.get(path) or digest_file(folder / path)}  {path}\n" for path in paths if path not in {SUMS, FILE}]
    return "".join(lines).encode("ascii")
