"""A dataset to a shard folder: the story in one function.

Finished shards survive a kill in the work folder, each with a receipt; the result appears by one rename.
"""

import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from segdata.build import Outcome, Unit, build, link
from segdata.convert import Conversion
from segdata.engines import run
from segdata.errors import MissingError, SegdataError, SourceError
from segdata.findings import ERROR, Finding, FindingsError
from segdata.interop import Shards
from segdata.lock import locked
from segdata.manifest import FILE, SIDE, read_manifest
from segdata.plan import PlannedShard, key_findings, plan_split, shard_name
from segdata.publish import Release, swap_in, write_side_files
from segdata.receipt import Receipt
from segdata.scene import Scene, SceneSource, uncommon
from segdata.taxonomy import LabelMap
from segdata.tree import Tree, open_tree
from segdata.url import Place

PAINTED = "segdata-synth.json"  # the marker that `segdata synth` leaves: official frame lists do not apply
SHOWN = 5
SECONDS_A_SAMPLE = 30.0  # a thousand times what one takes; slow stores and slow codecs stay far below
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # goes into file names, globs, brace urls and YAML


@dataclass(frozen=True)
class Job:
    """What `prepare` is asked to do. An empty `splits` means the source's usual ones, as far as they are there."""

    source: SceneSource
    root: Place
    out: Path  # where shards are made; `upload.publish` sends them on to a store
    conversion: Conversion
    name: str
    splits: tuple[str, ...] = ()
    samples_per_shard: int = 64
    seed: int = 0
    engine: str = "local"
    workers: int | None = 1  # None: all processors, of this machine or of the cluster at `address`
    address: str | None = None  # of a Ray cluster that runs
    timeout: float | None = None  # seconds that a shard may take; None: SECONDS_A_SAMPLE for each of its samples
    work_dir: Path | None = None
    quarantine: bool = False
    readers: tuple[str, ...] = ()  # loaders that want files of their own: "energon"

    @property
    def work(self) -> Path:
        return self.work_dir or self.out.with_name(f".{self.out.name}.work")


@dataclass(frozen=True)
class Result:
    """What was done: samples and shards now in the folder, how many shards stood already, and all findings."""

    samples: Mapping[str, int]
    shards: int
    reused: int
    changed: bool
    findings: tuple[Finding, ...]


@dataclass
class Survey:
    """The scenes of all splits, with what was found while looking for them."""

    scenes: dict[str, tuple[Scene, ...]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == ERROR]


Progress = Callable[[int, int], None]  # samples done, samples in all


def prepare(job: Job, progress: Progress = lambda done, total: None) -> Result:
    """Convert; raises FindingsError with every finding when one is an error and `quarantine` is off."""
    if not NAME.fullmatch(job.name):
        raise SegdataError(f"--name {job.name!r}: expected letters, digits, '_', '-' and '.', since shards bear it.")
    LabelMap.between(job.source.labels, job.conversion.taxonomy)  # a taxonomy that does not fit fails at once
    survey = look(job.source, open_tree(job.root), job.splits)
    _drop_bad_keys(survey)
    plan = [
        shard
        for split, scenes in survey.scenes.items()
        for shard in plan_split(job.name, split, scenes, job.samples_per_shard, job.seed)
    ]
    job.out.parent.mkdir(parents=True, exist_ok=True)
    job.work.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        work = f"segdata prepare {job.source.name} --out {job.out}"
        locks.enter_context(locked(job.out.with_name(f".{job.out.name}.lock"), work))
        locks.enter_context(locked(job.work / "lock", work))
        outcomes = _build_all(job, plan, progress)
        result = _publish(job, survey, plan, outcomes)
        shutil.rmtree(job.work)
    return result


# ---- 1. look ------------------------------------------------------------------------------------------------


def look(source: SceneSource, tree: Tree, splits: Sequence[str]) -> Survey:
    """All scenes of the splits. Raises SourceError where an asked split, or every usual one, is missing."""
    survey = Survey()
    for split in splits or source.default_splits:
        if split not in source.splits:
            raise SourceError(f"{source.name} has no split {split!r}; it has {', '.join(source.splits)}.")
        try:
            listing = source.listing(tree, split)
        except MissingError as error:
            if splits and not tree.faults:
                raise
            survey.findings.append(Finding("missing-split", split, str(error)))
            continue
        survey.scenes[split] = listing.scenes
        survey.findings += listing.findings
    survey.findings += sorted(set(tree.faults))
    if not any(survey.scenes.values()) and not survey.errors:
        raise SourceError(survey.findings[0].found if survey.findings else f"{tree.root}: no scenes at all.")
    survey.findings += key_findings([scene for scenes in survey.scenes.values() for scene in scenes])
    if not is_painted(tree.root):
        survey.findings += _official_findings(source, survey)
    return survey


def is_painted(root: Place) -> bool:
    if isinstance(root, Path):
        return (root / PAINTED).is_file()
    from segdata.stores import open_store

    return not root.name.endswith(".zip") and open_store(root).has(PAINTED)


def _official_findings(source: SceneSource, survey: Survey) -> list[Finding]:
    findings = []
    for split, scenes in survey.scenes.items():
        official = source.official.get(split)
        if official is None:
            continue
        missing, foreign = uncommon([scene.key for scene in scenes], official)
        if len(scenes) != official.count or missing or foreign:
            found = f"{len(scenes)} frames where the release has {official.count}"
            found += f"; missing {_some(missing)}" if missing else ""
            found += f"; not in the release {_some(foreign)}" if foreign else ""
            findings.append(Finding("split-count", f"{source.name} {split}", found))
    return findings


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest


def _drop_bad_keys(survey: Survey) -> None:
    """No shard can hold these scenes. The others are converted all the same, so that every finding is told."""
    bad_keys = {finding.where for finding in survey.errors if finding.code in {"bad-key", "duplicate-key"}}
    survey.scenes = {
        split: tuple(scene for scene in scenes if scene.image.path not in bad_keys)
        for split, scenes in survey.scenes.items()
    }


# ---- 2. build -----------------------------------------------------------------------------------------------


def _build_all(job: Job, plan: list[PlannedShard], progress: Progress) -> dict[str, Outcome]:
    shards, receipts = job.work / "shards", job.work / "receipts"
    for folder in (shards, receipts):
        folder.mkdir(exist_ok=True)
        for stale in folder.glob("*.tmp-*"):  # what a killed run was writing; the lock says nobody is
            stale.unlink()
    published = job.out if (job.out / FILE).is_file() else None
    units = [Unit(shard, job.conversion, shards, receipts, published, job.quarantine) for shard in plan]
    lengths = {shard.name: len(shard.scenes) for shard in plan}
    done, total = 0, sum(lengths.values())
    outcomes: dict[str, Outcome] = {}
    progress(done, total)
    for outcome in run(
        job.engine,
        build,
        units,
        job.workers,
        name=lambda unit: unit.planned.name,
        limit=lambda unit: job.timeout or SECONDS_A_SAMPLE * len(unit.planned.scenes),
        address=job.address,
    ):
        outcomes[outcome.name] = outcome
        done += lengths[outcome.name]
        progress(done, total)
    return outcomes


# ---- 3. publish ---------------------------------------------------------------------------------------------


def _publish(job: Job, survey: Survey, plan: list[PlannedShard], outcomes: Mapping[str, Outcome]) -> Result:
    findings = survey.findings + [finding for shard in plan for finding in outcomes[shard.name].findings]
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors and not job.quarantine:
        raise FindingsError(
            f"{job.source.name} in {job.root}: {len(errors)} findings, nothing was published. Mend the files, or "
            "leave these scenes out with --on-error quarantine.",
            findings,
        )
    receipts = [(shard, receipt) for shard in plan if (receipt := outcomes[shard.name].receipt)]
    findings += duplicate_findings([receipt for _, receipt in receipts])
    made = _assemble_folder(job)
    shards = _assemble(job, made, receipts)
    warnings = [finding for finding in findings if finding.severity != ERROR and finding.code != "missing-split"]
    dropped = survey.errors + [
        finding for _, receipt in receipts if not receipt.samples for finding in receipt.quarantined
    ]  # what no published shard can tell
    release = Release(
        name=job.name,
        conversion=job.conversion,
        licence=job.source.licence,
        painted=is_painted(job.root),
        samples_per_shard=job.samples_per_shard,
        seed=job.seed,
        warnings=(*warnings, *dropped),
        readers=job.readers,
    )
    write_side_files(made, release, shards)
    changed = not _same(made, job.out)
    if changed:
        swap_in(made, job.out, job.work / "old")
    return Result(
        samples={split: sum(len(r.samples) for _, r in entries) for split, entries in shards.items()},
        shards=sum(map(len, shards.values())),
        reused=sum(outcome.reused for outcome in outcomes.values()),
        changed=changed,
        findings=tuple(findings),
    )


def duplicate_findings(receipts: Sequence[Receipt]) -> list[Finding]:
    """The same image file in two splits, whatever its name: a leak from training into the score."""
    first: dict[str, tuple[str, str]] = {}
    findings = []
    for receipt in receipts:
        for row in receipt.samples:
            split, key = first.setdefault(row.sources["image"], (receipt.split, row.key))
            if split != receipt.split:
                found = f"the same image as {key} in {split}"
                findings.append(Finding("duplicate-frame", f"{receipt.split} {row.key}", found))
    return findings


def _assemble_folder(job: Job) -> Path:
    """Where the new version is put together: on the file system of --out, so that one rename publishes it."""
    same = job.work.stat().st_dev == job.out.parent.stat().st_dev
    made = job.work / "set" if same else job.out.with_name(f".{job.out.name}.incoming")
    shutil.rmtree(made, ignore_errors=True)
    (made / SIDE / "receipts").mkdir(parents=True)
    return made


def _assemble(job: Job, made: Path, finished: Sequence[tuple[PlannedShard, Receipt]]) -> Shards:
    """Link shards and receipts in, numbered without gaps: a shard whose samples were all left out is none."""
    shards: dict[str, list[tuple[str, Receipt]]] = defaultdict(list)
    for planned, receipt in finished:
        if not receipt.samples:
            continue
        name = shard_name(job.name, planned.split, len(shards[planned.split]))
        link(job.work / "shards" / planned.name, made / name)
        (made / SIDE / "receipts" / f"{Path(name).stem}.json").write_bytes(receipt.to_json())
        shards[planned.split].append((name, receipt))
    if not shards:
        raise SegdataError(f"{job.source.name} in {job.root}: every scene was left out, nothing to publish.")
    return shards


def _same(made: Path, out: Path) -> bool:
    """Whether --out already holds exactly this version, its shards unchanged (their digests were just compared)."""
    if not (out / FILE).is_file():
        return False
    try:
        if read_manifest(out).fingerprint != read_manifest(made).fingerprint:
            return False
    except SegdataError:
        return False
    names = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    return all((out / name).is_file() and _equal(made / name, out / name) for name in names)


def _equal(a: Path, b: Path) -> bool:
    return a.samefile(b) or (a.stat().st_size == b.stat().st_size and a.read_bytes() == b.read_bytes())
