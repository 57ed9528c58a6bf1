"""A dataset to a shard folder: the story in one function.

Finished shards survive a kill in the work folder, each with a receipt; the result appears by one rename.
"""

import re
import secrets
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from segdata.build import Outcome, Unit, build, link, receipt_path, shard_path, take_over
from segdata.convert import Conversion
from segdata.engines import run
from segdata.errors import SegdataError
from segdata.findings import ERROR, Finding, FindingsError
from segdata.finished import Finished, Shards
from segdata.lock import locked
from segdata.manifest import FILE, SIDE, ShardEntry, read_manifest
from segdata.plan import PlannedShard, plan_split, shard_name
from segdata.publish import Release, swap_in, write_side_files
from segdata.scene import SceneSource
from segdata.survey import Survey, drop_bad_keys, is_painted, look
from segdata.taxonomy import LabelMap
from segdata.tree import open_tree
from segdata.url import Place

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


Progress = Callable[[int, int], None]  # samples done, samples in all


def prepare(job: Job, progress: Progress = lambda done, total: None) -> Result:
    """Convert; raises FindingsError with every finding when one is an error and `quarantine` is off."""
    if not NAME.fullmatch(job.name):
        raise SegdataError(f"--name {job.name!r}: expected letters, digits, '_', '-' and '.', since shards bear it.")
    LabelMap.between(job.source.labels, job.conversion.taxonomy)  # a taxonomy that does not fit fails at once
    survey = look(job.source, open_tree(job.root), job.splits)
    drop_bad_keys(survey)
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


# ---- build ------------------------------------------------------------------------------------------------


def _build_all(job: Job, plan: Sequence[PlannedShard], progress: Progress) -> dict[str, Outcome]:
    run_folder = _run_folder(job)
    published = job.out if (job.out / FILE).is_file() else None
    units = (Unit(shard, job.conversion, job.work, run_folder, published, job.quarantine) for shard in plan)
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
        take_over(job.work, run_folder, outcome)
        outcomes[outcome.name] = outcome
        done += lengths[outcome.name]
        progress(done, total)
    return outcomes


def _run_folder(job: Job) -> Path:
    """Where this run's workers write; those of killed runs lose theirs."""
    for stale in job.work.glob("run-*"):
        shutil.rmtree(stale, ignore_errors=True)  # one that still writes there finds its folder gone
    made = job.work / f"run-{secrets.token_hex(4)}"
    for folder in (job.work, made):
        for kind in ("shards", "receipts"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
    return made


# ---- publish ----------------------------------------------------------------------------------------------


def _publish(job: Job, survey: Survey, plan: Sequence[PlannedShard], outcomes: Mapping[str, Outcome]) -> Result:
    findings = survey.findings + [finding for shard in plan for finding in outcomes[shard.name].findings]
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors and not job.quarantine:
        raise FindingsError(
            f"{job.source.name} in {job.root}: {len(errors)} findings, nothing was published. Mend the files, or "
            "leave these scenes out with --on-error quarantine.",
            findings,
        )
    made = _assemble_folder(job)
    built = [(planned.split, entry) for planned in plan if (entry := outcomes[planned.name].shard)]
    shards = _assemble(job, made, built)
    release = Release(
        name=job.name,
        conversion=job.conversion,
        licence=job.source.licence,
        painted=is_painted(job.root),
        samples_per_shard=job.samples_per_shard,
        seed=job.seed,
        warnings=tuple(
            finding for finding in findings if finding.severity != ERROR and finding.code != "missing-split"
        ),
        dropped=(
            *survey.errors,
            *(finding for _, entry in built if not entry.samples for finding in outcomes[entry.name].findings),
        ),
        readers=job.readers,
    )
    findings += write_side_files(made, release, shards)
    changed = not _same(made, job.out)
    if changed:
        swap_in(made, job.out, job.work / "old")
    return Result(
        samples={split: sum(shard.entry.samples for shard in finished) for split, finished in shards.items()},
        shards=sum(map(len, shards.values())),
        reused=sum(outcome.reused for outcome in outcomes.values()),
        changed=changed,
        findings=tuple(findings),
    )


def _assemble_folder(job: Job) -> Path:
    """Where the new version is put together: on the file system of --out, so that one rename publishes it."""
    same = job.work.stat().st_dev == job.out.parent.stat().st_dev
    made = job.work / "set" if same else job.out.with_name(f".{job.out.name}.incoming")
    shutil.rmtree(made, ignore_errors=True)
    (made / SIDE / "receipts").mkdir(parents=True)
    return made


def _assemble(job: Job, made: Path, built: Iterable[tuple[str, ShardEntry]]) -> Shards:
    """Link shards and receipts in, numbered without gaps: a shard whose samples were all left out is none."""
    shards: dict[str, list[Finished]] = defaultdict(list)
    for split, entry in built:
        if not entry.samples:
            continue
        name = shard_name(job.name, split, len(shards[split]))
        link(shard_path(job.work, entry.name), made / name)
        link(receipt_path(job.work, entry.name), receipt_path(made / SIDE, name))
        shards[split].append(Finished(replace(entry, name=name), receipt_path(made / SIDE, name)))
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
