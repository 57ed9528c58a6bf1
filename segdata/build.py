"""The work unit of `prepare`: one planned shard to one finished file with its receipt."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segdata.canonical import digest_file, digest_source
from segdata.convert import Conversion, Converted, Converter
from segdata.errors import SourceError
from segdata.findings import Finding, SampleError
from segdata.plan import PlannedShard
from segdata.receipt import Receipt, SampleReceipt, inputs_digest, read_receipt
from segdata.scene import Scene
from segdata.shards import ShardWriter
from segdata.statistics import ClassCounts, ImageSums


@dataclass(frozen=True)
class Unit:
    """Everything a worker needs, on this machine or another: no state beside it."""

    planned: PlannedShard
    conversion: Conversion
    shards: Path  # where finished shards go
    receipts: Path
    published: Path | None  # an older version of the set, whose unchanged shards can stand again
    quarantine: bool


@dataclass(frozen=True)
class Outcome:
    """receipt is None when findings kept the shard from being written."""

    name: str
    receipt: Receipt | None
    findings: tuple[Finding, ...] = ()
    reused: bool = False


def build(unit: Unit) -> Outcome:
    """Make the shard, or keep the one that is there when it was made of exactly the same things."""
    if kept := _kept(unit):
        return Outcome(unit.planned.name, kept, reused=True)
    converter = Converter(unit.conversion)
    made: list[SampleReceipt] = []
    counts: list[ClassCounts] = []
    sums: list[ImageSums] = []
    findings: list[Finding] = []
    with ShardWriter(unit.shards / unit.planned.name) as writer:
        for scene in unit.planned.scenes:
            try:
                sample = converter.convert(scene)
            except SampleError as error:
                findings.append(error.finding)
                continue
            if findings and not unit.quarantine:
                continue  # nothing of this shard will be kept: only look for further findings
            made.append(_written(writer, sample))
            counts += [sample.counts] if sample.counts else []
            sums += [sample.sums] if sample.sums else []
        if findings and not unit.quarantine:
            return Outcome(unit.planned.name, None, tuple(findings))
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
    )
    _write_receipt(_receipt_path(unit.receipts, unit.planned.name), receipt)
    return Outcome(unit.planned.name, receipt, tuple(findings))


def _written(writer: ShardWriter, sample: Converted) -> SampleReceipt:
    places = writer.add(sample.key, sample.parts)
    return SampleReceipt(sample.key, sample.size, places, sample.pixels, sample.sources, sample.digest)


def _inputs_digest(unit: Unit, scenes: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    return inputs_digest(unit.conversion.document(), unit.planned.split, scenes)


def _receipt_path(folder: Path, name: str) -> Path:
    return folder / f"{name.removesuffix('.tar')}.json"


def _write_receipt(path: Path, receipt: Receipt) -> None:
    """After the shard has its name: a receipt without its shard never exists."""
    tmp = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    with tmp.open("wb") as file:
        file.write(receipt.to_json())
        file.flush()
        os.fsync(file.fileno())
    tmp.rename(path)


# ---- keeping finished work ----------------------------------------------------------------------------------


def _kept(unit: Unit) -> Receipt | None:
    """The receipt of an unfinished run's shard, else of the published one (linked in), if it holds."""
    name = unit.planned.name
    homes = [(unit.shards, unit.receipts)]
    if unit.published:
        homes.append((unit.published, unit.published / ".segdata" / "receipts"))
    digests: list[tuple[str, dict[str, str]]] = []
    for shards, receipts in homes:
        receipt = read_receipt(_receipt_path(receipts, name))
        if receipt is None or receipt.quarantined:
            continue
        digests = digests or [(scene.key, _source_digests(scene)) for scene in unit.planned.scenes]
        if receipt.inputs != _inputs_digest(unit, digests):
            continue
        if not (shards / name).is_file() or digest_file(shards / name) != receipt.sha256:
            continue
        if shards != unit.shards:
            link(shards / name, unit.shards / name)
            _write_receipt(_receipt_path(unit.receipts, name), receipt)
        return receipt
    return None


def _source_digests(scene: Scene) -> dict[str, str]:
    """What `convert` notes as the scene's sources; an unreadable file has no digest and matches nothing."""
    members = {"image": scene.image, "labels": scene.labels or scene.colors}
    try:
        return {role: digest_source(member.read()) for role, member in members.items() if member}
    except SourceError:
        return {}


def link(source: Path, target: Path) -> None:
    """A hard link where the file system has them (a shard is never changed in place), else a copy."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        tmp = target.with_name(f"{target.name}.tmp-{os.getpid()}")
        tmp.write_bytes(source.read_bytes())
        tmp.rename(target)
