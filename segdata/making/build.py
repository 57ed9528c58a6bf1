"""The work unit of `prepare`: one planned shard to one finished file with its receipt."""

import os
import secrets
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from segdata.base.canonical import digest_file, digest_source
from segdata.base.files import sync
from segdata.base.refusal import placed
from segdata.errors import SegdataError, SourceError
from segdata.findings import Finding, SampleError
from segdata.format.counts import ClassCounts, ImageSums
from segdata.format.manifest import FILE, SIDE, ShardEntry, read_manifest, read_sums
from segdata.format.receipt import Receipt, SampleReceipt, inputs_digest, read_receipt, receipt_path
from segdata.format.shard import ShardWriter
from segdata.labels.coding import NOTHING, RULES, Tally
from segdata.making.convert import Converter
from segdata.making.job import Conversion
from segdata.making.plan import PlannedShard
from segdata.raw.scene import Scene


@dataclass(frozen=True)
class Unit:
    """Everything a worker needs, on this machine or another: no state beside it."""

    planned: PlannedShard
    conversion: Conversion
    work: Path  # of all runs: finished shards and their receipts; absolute, as all paths here
    run: Path  # of this run alone: what workers make, until the driver takes it over
    published: Path | None  # an older version of the set, whose unchanged shards can stand again
    quarantine: bool


@dataclass(frozen=True)
class Outcome:
    """What became of a shard. `shard` is None when findings kept it from being written. `tally` is of its labels."""

    name: str
    shard: ShardEntry | None
    made: str = ""  # what it is called in the unit's `run`; "" where nothing has to be taken over
    findings: tuple[Finding, ...] = ()
    reused: bool = False
    tally: Tally = NOTHING


def build(unit: Unit) -> Outcome:
    """Make the shard, or keep the one that is there when it was made of exactly the same things."""
    _check_shared(unit)
    if kept := _kept(unit):
        return kept
    made_as = _attempt(unit)
    converter = Converter(unit.conversion)
    made: list[SampleReceipt] = []
    counts: list[ClassCounts] = []
    sums: list[ImageSums] = []
    tally = Tally()
    findings: list[Finding] = []
    with ShardWriter(shard_path(unit.run, made_as)) as writer:
        for scene in unit.planned.scenes:
            try:
                sample = converter.convert(scene)
            except SampleError as error:
                findings.append(error.finding)
                continue
            if findings and not unit.quarantine:
                continue  # nothing of this shard will be kept: only look for further findings
            places = writer.add(sample.key, sample.parts)
            made.append(SampleReceipt(sample.key, sample.size, places, sample.pixels, sample.sources, sample.digest))
            counts += [sample.counts] if sample.counts else []
            sums += [sample.sums] if sample.sums else []
            tally += sample.tally
        if findings and not unit.quarantine:
            return Outcome(unit.planned.name, None, findings=tuple(findings))
        sha256, size = writer.close()
    receipt = Receipt(
        inputs=_inputs_digest(unit, [(row.key, row.sources) for row in made]),
        split=unit.planned.split,
        sha256=sha256,
        size=size,
        samples=tuple(made),
        quarantined=tuple(findings),
        counts=ClassCounts.total(counts, len(unit.conversion.taxonomy.classes)) if counts else None,
        sums=ImageSums.total(sums) if sums else None,
        tally=tally,
        rules=RULES,
    )
    _write_receipt(receipt_path(unit.run, made_as), receipt)
    return Outcome(unit.planned.name, _entry(unit, receipt), made_as, tuple(findings), tally=tally)


def take_over(work: Path, run: Path, outcome: Outcome) -> None:
    """Give what a worker made its name. Only the driver does, who holds the lock: a worker that was given up, or
    whose driver was killed, can go on writing and harm nobody."""
    if outcome.made:
        for path in (shard_path, receipt_path):  # the receipt last: one without its shard never exists
            path(run, outcome.made).rename(path(work, outcome.name))


def shard_path(folder: Path, name: str) -> Path:
    return folder / "shards" / name


def _attempt(unit: Unit) -> str:
    """A name that no other worker has, on any machine."""
    return f"{unit.planned.name.removesuffix('.tar')}-{secrets.token_hex(8)}.tar"


def _check_shared(unit: Unit) -> None:
    """Raise SegdataError on a machine that has other disks than the driver."""
    homes = [unit.run, *(scene.image.container for scene in unit.planned.scenes[:1])]
    for home in homes:
        if isinstance(home, Path) and not home.exists():
            raise SegdataError(
                f"{home} is not there on {socket.gethostname()}. The machines of a cluster need one file system for "
                "--root, --out and --work-dir."
            )


def _entry(unit: Unit, receipt: Receipt) -> ShardEntry:
    return ShardEntry(unit.planned.name, receipt.sha256, receipt.size, len(receipt.samples))


def _is_listed(published: Path | None, noted: Path) -> bool:
    """Whether a published receipt has the bytes that SHA256SUMS lists: what it counts goes into the new version."""
    if published is None:
        return False
    sums = _sums(published, (published / FILE).stat().st_mtime_ns)
    return digest_file(noted) == sums.get(noted.relative_to(published).as_posix())


@lru_cache(maxsize=1)
def _sums(published: Path, mtime_ns: int) -> Mapping[str, str]:
    """path -> sha256 of the set's files; nothing where the list is damaged."""
    with suppress(SegdataError):
        return read_sums(published, read_manifest(published))
    return {}


def _inputs_digest(unit: Unit, scenes: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    return inputs_digest(unit.conversion.document(), unit.planned.split, scenes)


def _write_receipt(path: Path, receipt: Receipt) -> None:
    with placed(path), path.open("wb") as file:
        file.write(receipt.to_json())
        file.flush()
        sync(file.fileno())


# ---- keeping finished work ----------------------------------------------------------------------------------


def _kept(unit: Unit) -> Outcome | None:
    """The shard of an unfinished run, else the published one (linked in), if its receipt holds.

    Where another version made it, what it was made of must be without findings to this one.
    """
    name = unit.planned.name
    homes = [(shard_path(unit.work, name), receipt_path(unit.work, name))]
    if unit.published:
        homes.append((unit.published / name, receipt_path(unit.published / SIDE, name)))
    reviewed: _Reviewed | None = None
    digests: list[tuple[str, Mapping[str, str]]] = []
    for shard, noted in homes:
        receipt = read_receipt(noted)
        if receipt is None or receipt.quarantined or not (shard == homes[0][0] or _is_listed(unit.published, noted)):
            continue
        if receipt.rules == RULES:
            digests = digests or [(scene.key, _source_digests(scene)) for scene in unit.planned.scenes]
            tally = receipt.tally
        else:
            reviewed = reviewed or _reviewed(unit)
            if reviewed is None:
                return None
            before = receipt.tally  # which files are blank, no stricter rule changes
            digests, tally = reviewed.digests, replace(reviewed.tally, blank=before.blank, blanks=before.blanks)
            receipt = replace(receipt, rules=RULES, tally=tally)
        if receipt.inputs != _inputs_digest(unit, digests):
            continue
        if not shard.is_file() or digest_file(shard) != receipt.sha256:
            continue
        made_as = ""
        if shard != homes[0][0]:
            made_as = _attempt(unit)
            link(shard, shard_path(unit.run, made_as))
            _write_receipt(receipt_path(unit.run, made_as), receipt)
        return Outcome(name, _entry(unit, receipt), made_as, reused=True, tally=tally)
    return None


def _source_digests(scene: Scene) -> dict[str, str]:
    """What `convert` notes as the scene's sources; an unreadable file has no digest and matches nothing."""
    members = {"image": scene.image, "labels": scene.labels or scene.colors}
    try:
        return {role: digest_source(member.read()) for role, member in members.items() if member}
    except SourceError:
        return {}


class _Reviewed(NamedTuple):
    """Each scene's key and source digests, and what is counted of all label files."""

    digests: list[tuple[str, Mapping[str, str]]]
    tally: Tally


def _reviewed(unit: Unit) -> _Reviewed | None:
    """By today's rules; None where a scene is a finding: `build` tells."""
    converter, found = Converter(unit.conversion), _Reviewed([], Tally())
    for scene in unit.planned.scenes:
        try:
            sources, held = converter.review(scene)
        except SampleError:
            return None
        found.digests.append((scene.key, sources))
        found = found._replace(tally=found.tally + held)
    return found


def link(source: Path, target: Path) -> None:
    """A hard link where the file system has them (a shard is never changed in place), else a copy."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
