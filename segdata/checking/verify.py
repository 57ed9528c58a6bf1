"""Check a shard folder: the bytes of every file against its digests and, on request, every pixel.

A damaged or forged folder gives findings, not a crash. What is trusted, in this order: dataset.json by its own
fingerprint, SHA256SUMS by the digest in dataset.json, every other file by its digest in SHA256SUMS.
"""

import filecmp
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from segdata.base.canonical import digest_file
from segdata.base.files import parsing, read_file
from segdata.checking.content import Checked, ShardCheck, check_shard
from segdata.engines import run
from segdata.errors import SegdataError, ShardError, TaxonomyError
from segdata.findings import Finding
from segdata.format.counts import ClassCounts, ImageSums
from segdata.format.finished import Finished
from segdata.format.index import write_index
from segdata.format.manifest import (
    CARD,
    FILE,
    MAX_BYTES,
    SIDE,
    SUMS,
    Manifest,
    ShardEntry,
    content_digest,
    parse_sums,
    read_manifest,
)
from segdata.format.receipt import Receipt, read_receipt
from segdata.labels.targets import RULES
from segdata.labels.taxonomy import MAX_YAML_BYTES, Taxonomy, read_taxonomy
from segdata.making.interop import stated_content, write_loader_files
from segdata.stores.url import Place, Url

Progress = Callable[[int, int], None]


@dataclass
class _Folder:
    """The folder under check, and what is known of it so far."""

    path: Path
    manifest: Manifest
    findings: list[Finding] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)  # files that are missing, unreadable or have other bytes

    def found(self, code: str, where: str, found: str) -> None:
        self.findings.append(Finding(code, where, found))

    def shards(self) -> Iterator[tuple[str, ShardEntry]]:
        return ((split, row) for split in self.manifest.splits for row in self.manifest.shards(split))


def verify(folder: Place, pixels: bool = False, progress: Progress | None = None, workers: int = 1) -> list[Finding]:
    """What is wrong with a shard folder, sorted; empty when it is as `prepare` wrote it.

    Of a shard whose bytes changed the findings name key and part, and say when its pixels are still the same.
    `pixels` decodes every part of every shard; progress then counts samples, else files. Raises ShardError
    where there is no dataset.json at all.
    """
    progress = progress or (lambda done, total: None)
    if isinstance(folder, Url):
        if pixels:
            raise ShardError(f"{folder}: pixels are checked in a folder only. Copy the set here, or check its bytes.")
        from segdata.checking.store import verify_store

        return verify_store(folder, progress)
    if not os.path.lexists(folder / FILE):
        read_manifest(folder)  # raises, and says so
    try:
        checked = _Folder(folder, read_manifest(folder))
    except ShardError as error:
        return [Finding("bad-manifest", FILE, str(error).removeprefix(f"{folder / FILE}: "))]
    _check_bytes(checked, (lambda done, total: None) if pixels else progress)
    _check_content(checked, pixels, progress if pixels else lambda done, total: None, workers)
    return sorted(set(checked.findings))


# ---- 1. bytes -----------------------------------------------------------------------------------------------


def _check_bytes(folder: _Folder, progress: Progress) -> None:
    """Every file against its digest; missing and extra files."""
    listed = _read_sums(folder)
    if listed is None:  # without SHA256SUMS only the shards have digests
        listed = {}
    else:
        for path in sorted(_files(folder.path) - set(listed) - {FILE, SUMS} - {row.name for _, row in folder.shards()}):
            folder.found("extra-file", path, "not listed in SHA256SUMS")
    listed |= {row.name: row.sha256 for _, row in folder.shards()}
    for done, (path, sha256) in enumerate(sorted(listed.items())):
        progress(done, len(listed))
        _check_file(folder, path, sha256)
    progress(len(listed), len(listed))
    if CARD in listed and CARD not in folder.wrong:
        _check_card(folder)


def _read_sums(folder: _Folder) -> dict[str, str] | None:
    """path -> sha256 of SHA256SUMS, None when it cannot serve."""
    _check_file(folder, SUMS, folder.manifest.document["sha256sums"])
    if SUMS in folder.wrong:
        return None
    try:
        sums = parse_sums(read_file(folder.path / SUMS, MAX_BYTES, ShardError), folder.path / SUMS)
    except ShardError as error:
        folder.found("bad-manifest", SUMS, str(error).removeprefix(f"{folder.path / SUMS}: "))
        return None
    for _, row in folder.shards():
        if sums.get(row.name) != row.sha256:
            folder.found("bad-manifest", SUMS, f"does not list {row.name} as dataset.json does")
    return sums


def _check_file(folder: _Folder, path: str, sha256: str) -> None:
    """A symlink is followed (DVC may link its cache in): what counts is that the bytes are those listed."""
    try:
        if not stat.S_ISREG((folder.path / path).stat().st_mode):
            raise OSError("not a regular file")
        found = digest_file(folder.path / path)
    except FileNotFoundError:
        folder.found("missing-file", path, "no such file")
    except OSError as error:
        folder.found("unreadable", path, error.strerror or str(error))
    else:
        if found == sha256:
            return
        folder.found("changed-bytes", path, f"sha256 {found[:12]}…, listed is {sha256[:12]}…")
    folder.wrong.add(path)


def _check_card(folder: _Folder) -> None:
    """The content that the card states, by which Hugging Face's `datasets` tells sets apart."""
    due = content_digest(folder.manifest.document["splits"])
    try:
        stated = stated_content(read_file(folder.path / CARD).decode("utf-8", "replace"))
    except SegdataError as error:
        folder.found("unreadable", CARD, str(error).removeprefix(f"{folder.path / CARD}: "))
        return
    if stated not in {None, due}:
        folder.found("bad-manifest", CARD, f"states the content {stated[:12]}…, that of the shards is {due[:12]}…")


def _files(folder: Path) -> set[str]:
    """Paths of all that is no folder. Links to folders are not followed."""
    found, pending = set(), [folder]
    while pending:
        for entry in os.scandir(pending.pop()):
            if entry.is_dir(follow_symlinks=False):
                pending.append(Path(entry.path))
            else:
                found.add(Path(entry.path).relative_to(folder).as_posix())
    return found


# ---- 2. content ---------------------------------------------------------------------------------------------


def _check_content(folder: _Folder, pixels: bool, progress: Progress, workers: int) -> None:
    """The parts of all shards, or of those whose bytes changed, against what their receipts noted."""
    receipts = {row.name: _receipt(folder, split, row) for split, row in folder.shards()}
    taxonomy, rule = _taxonomy(folder), folder.manifest.document["options"]["rule"]
    if rule not in RULES:
        folder.found("bad-manifest", FILE, f"rule {rule!r}, expected one of {', '.join(RULES)}")
    if taxonomy is None or rule not in RULES:
        return
    units = [
        ShardCheck(folder.path, row.name, receipt, taxonomy, rule, row.name in folder.wrong)
        for split, row in folder.shards()
        if (pixels or row.name in folder.wrong) and (receipt := receipts[row.name]) and _is_file(folder.path / row.name)
    ]
    checked = _checked(units, progress, workers)
    _note(folder, checked)
    if pixels:
        _check_keys(folder, receipts)
        if all(receipts.values()):
            _check_loader_files(folder, {name: receipt for name, receipt in receipts.items() if receipt})
        for split in folder.manifest.splits:
            names = [row.name for row in folder.manifest.shards(split)]
            if all(receipts[name] for name in names):
                _check_index(folder, split, [receipt for name in names if (receipt := receipts[name])])
            if all(name in checked and not checked[name].findings for name in names):
                _check_split(folder, split, [checked[name] for name in names], taxonomy)


def _checked(units: list[ShardCheck], progress: Progress, workers: int) -> dict[str, Checked]:
    done, total = 0, sum(len(unit.receipt.samples) for unit in units)
    progress(done, total)
    checked: dict[str, Checked] = {}
    for outcome in run("local" if workers > 1 else "serial", check_shard, units, workers, name=lambda unit: unit.name):
        checked[outcome.name] = outcome
        done += outcome.samples
        progress(done, total)
    return checked


def _is_file(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _receipt(folder: _Folder, split: str, row: ShardEntry) -> Receipt | None:
    """What was noted when the shard was written, if the note itself is unharmed."""
    path = f"{SIDE}/receipts/{row.name.removesuffix('.tar')}.json"
    if path in folder.wrong:
        return None
    receipt = read_receipt(folder.path / path)
    if receipt is None:
        folder.found("bad-manifest", path, "no receipt that can be read")
    elif (receipt.split, receipt.sha256, receipt.size, len(receipt.samples)) != (
        split, row.sha256, row.size, row.samples,
    ):  # fmt: skip
        folder.found("bad-manifest", path, f"not the receipt of the shard that {FILE} lists")
        return None
    return receipt


def _taxonomy(folder: _Folder) -> Taxonomy | None:
    if "taxonomy.yaml" in folder.wrong:
        return None
    if not _is_file(folder.path / "taxonomy.yaml"):
        folder.found("missing-file", "taxonomy.yaml", "no such file")
        return None
    try:
        data = read_file(folder.path / "taxonomy.yaml", MAX_YAML_BYTES, TaxonomyError)
        taxonomy = read_taxonomy(data, "taxonomy.yaml")
    except TaxonomyError as error:
        folder.found("bad-manifest", "taxonomy.yaml", str(error))
        return None
    if taxonomy.digest != folder.manifest.document["taxonomy"]["digest"]:
        folder.found("bad-manifest", "taxonomy.yaml", f"not the taxonomy that {FILE} names")
        return None
    return taxonomy


def _note(folder: _Folder, checked: Mapping[str, Checked]) -> None:
    """Take over what the shards' checks found, and say of a changed shard what its change comes to."""
    for finding in list(folder.findings):
        outcome = checked.get(finding.where)
        if finding.code == "changed-bytes" and outcome:
            folder.findings.remove(finding)
            folder.found(finding.code, finding.where, f"{finding.found}; {outcome.verdict}")
    folder.findings += [finding for outcome in checked.values() for finding in outcome.findings]


def _check_keys(folder: _Folder, receipts: Mapping[str, Receipt | None]) -> None:
    first: dict[str, str] = {}
    for name, receipt in receipts.items():
        for row in receipt.samples if receipt else ():
            if (other := first.setdefault(row.key, name)) != name:
                folder.found("duplicate-key", name, f"{row.key} also stands in {other}")


def _check_index(folder: _Folder, split: str, receipts: list[Receipt]) -> None:
    """The index must be what the receipts (and so the shards) give: made anew, and compared."""
    with TemporaryDirectory() as made:
        try:
            parts = write_index(Path(made), split, receipts)
        except ShardError as error:
            folder.found("bad-member", f"{SIDE}/receipts", f"no index of {split} follows from them ({error})")
            return
        if parts != folder.manifest.parts(split):
            folder.found("bad-manifest", FILE, f"{split} has the parts {', '.join(parts)}")
        for path in sorted(Path(made).iterdir()):
            name = f"{SIDE}/{path.name}"
            stored = folder.path / name
            if name not in folder.wrong and not (stored.is_file() and filecmp.cmp(stored, path, shallow=False)):
                folder.found("bad-member", name, f"does not say where the parts of {split} lie and what they hold")


def _check_loader_files(folder: _Folder, receipts: Mapping[str, Receipt]) -> None:
    """What other loaders read must be what the receipts give as well, as far as the set has such files."""
    listed = folder.path / ".nv-meta/split.yaml"
    text = read_file(listed, MAX_YAML_BYTES, ShardError).decode("utf-8", "replace") if _is_file(listed) else ""
    order = sorted(folder.manifest.splits, key=lambda split: text.find(f"  {split}:\n"))  # as they were asked for
    shards = {
        split: [Finished(row, Path(f"{SIDE}/receipts")) for row in folder.manifest.shards(split)] for split in order
    }
    with TemporaryDirectory() as made:
        try:
            with parsing(f"{SIDE}/receipts", ShardError):
                write_loader_files(Path(made), folder.manifest.name, shards, receipts)
        except ShardError as error:
            folder.found("bad-member", f"{SIDE}/receipts", f"no files for other loaders follow from them ({error})")
            return
        for name in sorted(_files(Path(made)) - folder.wrong):
            stored = folder.path / name
            if stored.is_file() and not filecmp.cmp(stored, Path(made, name), shallow=False):
                folder.found("bad-member", name, "does not say what the shards hold")


def _check_split(folder: _Folder, split: str, checked: list[Checked], taxonomy: Taxonomy) -> None:
    """Sizes and statistics of dataset.json against what was just decoded."""
    entry = folder.manifest.document["splits"][split]
    sizes = sorted({size for shard in checked for size in shard.sizes})
    if entry["sizes"] != [list(size) for size in sizes]:
        folder.found("bad-manifest", FILE, f"the images of {split} have the sizes {sizes}, listed are {entry['sizes']}")
    counts = ClassCounts.total([shard.counts for shard in checked if shard.counts], len(taxonomy.classes))
    if counts.samples and entry.get("classes") != {
        "pixels": counts.pixels.tolist(), "images": counts.images.tolist(), "samples": counts.samples,
    }:  # fmt: skip
        folder.found("bad-manifest", FILE, f"the classes of {split} are not those counted, {counts.pixels.tolist()}")
    sums = ImageSums.total([shard.sums for shard in checked])
    if "image" in entry and entry["image"] != {
        "pixels": sums.pixels, "values": sums.values.tolist(), "squares": sums.squares.tolist(),
    }:  # fmt: skip
        folder.found("bad-manifest", FILE, f"the image sums of {split} are not those of its {sums.pixels} pixels")
