"""A dataset to a shard folder: the story in one function.

Finished shards survive a kill in the work folder, each with a receipt; the result appears in one step. Nothing is
written over that was not shown to be an earlier version of the same set.
"""

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segdata.base.files import discard, resolved
from segdata.base.lock import locked
from segdata.base.ownership import check_home
from segdata.base.refusal import placed
from segdata.engines import run
from segdata.errors import SegdataError
from segdata.findings import ERROR, OF_OPTIONS, Finding, FindingsError, advice
from segdata.format.finished import Finished, Shards
from segdata.format.manifest import FILE, SIDE, ShardEntry, read_manifest
from segdata.format.receipt import receipt_path
from segdata.labels.coding import Tally, blank_finding, coding_finding
from segdata.labels.taxonomy import LabelMap
from segdata.making.assemble import Release, roll_back, swap_in, write_side_files
from segdata.making.build import Outcome, Unit, build, link, shard_path, take_over
from segdata.making.job import Job
from segdata.making.plan import PlannedShard, plan_split, shard_name
from segdata.making.survey import Survey, drop_bad_keys, look
from segdata.output.place import check_apart, check_replaceable
from segdata.output.standing import Standing, bring_back, described_change, standing
from segdata.output.workfolder import work_folders
from segdata.raw.tree import open_tree
from segdata.sources.file import NAME

SECONDS_A_SAMPLE = 30.0  # a thousand times what one takes; slow stores and slow codecs stay far below
AROUND = frozenset({"missing-split", "unused-file"})  # what these tell is not in the set


@dataclass(frozen=True)
class Prepared:
    """What was done: samples and shards now in the folder, how many shards stood already, and all findings.

    `change` says how the set differs from the version before it, "" where there was none; `left_out` counts scenes that
    were read and are not in the set; `origins` says, by split, which images and labels lie where.
    """

    samples: Mapping[str, int]
    shards: int
    reused: int
    changed: bool
    change: str
    left_out: int
    findings: tuple[Finding, ...]
    origins: Mapping[str, str]


OF_A_FRAME = {"missing-label", "missing-image", "bad-key", "duplicate-key"}  # by which a survey gives up a frame
Outcomes = dict[str, Outcome]  # by shard
Tallies = dict[str, Tally]  # by split
Progress = Callable[[int, int], None]  # samples done, samples in all
Say = Callable[[str], None]  # a line for people, of what is out of the ordinary


def prepare(job: Job, progress: Progress = lambda done, total: None, say: Say = lambda line: None) -> Prepared:
    """Convert; raises FindingsError with every finding when one is an error and `quarantine` is off.

    Raises SegdataError, before anything is written, where `out` may not be replaced.
    """
    if not NAME.fullmatch(job.name):
        raise SegdataError(
            f"--name {job.name!r}: expected letters, digits, '_', '-' and '.', since shards bear it. It is the "
            "taxonomy's name where you give no other."
        )
    job = _placed(job)
    standing(job.out)
    LabelMap.between(job.source.labels, job.conversion.taxonomy)  # a taxonomy that does not fit fails at once
    survey = look(job.source, open_tree(job.root), job.splits, job.division)
    for note in survey.notes:
        say(note)
    drop_bad_keys(survey)
    if survey.halves:
        raise _split_lost(job, survey.halves, survey.findings)
    job = job.settled(scene.image.path for scenes in survey.scenes.values() for scene in scenes)
    plan = [
        shard
        for split, scenes in survey.scenes.items()
        for shard in plan_split(job.name, split, scenes, job.samples_per_shard, job.seed)
    ]
    _may_replace(job, survey)
    job.out.parent.mkdir(parents=True, exist_ok=True)
    with locked(job.out.with_name(f".{job.out.name}.lock"), f"segdata prepare {job.source.name} --out {job.out}"):
        folders = job.folders
        folders.claim(job.out)
        if roll_back(job.out, folders.old):
            say(f"{job.out}: the version before is back in its place; an earlier run was ended while it was replaced")
            _may_replace(job, survey)
        try:
            with placed(job.out.parent):
                result = _publish(job, survey, plan, *_build_all(job, plan, progress))
        except BaseException:
            folders.remove_empty()
            raise
        for left in folders.remove():
            say(f"{left} could not be removed, and is not needed any more")
    return result


# ---- where --------------------------------------------------------------------------------------------------


def _placed(job: Job) -> Job:
    """The job with paths that mean the same to every worker, links followed. Raises SegdataError where they meet."""
    out = resolved(job.out)
    root = job.root.absolute() if isinstance(job.root, Path) else job.root
    work_dir = resolved(job.work_dir) if job.work_dir else None
    check_replaceable(out)
    folders = work_folders(out, work_dir)
    if work_dir and work_dir.is_relative_to(folders.beside):
        raise SegdataError(f"--work-dir {work_dir} is what prepare itself makes beside --out. Name another, or none.")
    work = folders.made if work_dir else None  # what is really used, not the folder that holds it
    check_apart({"--out": out, "--root": resolved(root) if isinstance(root, Path) else None, "--work-dir": work})
    check_home("--out", out)
    return replace(job, out=out, root=root, work_dir=work_dir)


def _may_replace(job: Job, survey: Survey) -> Standing | None:
    """What stands at --out. Raises SegdataError where it is not to be replaced by this job's set."""
    found = standing(job.out)
    if found:
        found.check(job.identity(survey.scenes, painted=survey.painted), survey.scenes, replace=job.replace)
    return found


# ---- build ------------------------------------------------------------------------------------------------


def _build_all(job: Job, plan: Sequence[PlannedShard], progress: Progress) -> tuple[Outcomes, Tallies]:
    run_folder = _run_folder(job)
    published = job.out if (job.out / FILE).is_file() else None
    work = job.folders.made
    begun = any((work / "shards").iterdir())  # then perhaps nothing is left to convert
    units = (Unit(shard, job.conversion, work, run_folder, published, job.quarantine) for shard in plan)
    lengths = {shard.name: len(shard.scenes) for shard in plan}
    split_of = {shard.name: shard.split for shard in plan}
    done, total = 0, sum(lengths.values())
    outcomes: Outcomes = {}
    tallies: Tallies = defaultdict(Tally)
    progress(done, total)
    for outcome in run(
        job.engine,
        build,
        units,
        job.workers,
        name=lambda unit: unit.planned.name,
        limit=lambda unit: job.timeout or SECONDS_A_SAMPLE * len(unit.planned.scenes),
        address=job.address,
        kernels=not (published or begun),
    ):
        take_over(work, run_folder, outcome)
        tallies[split_of[outcome.name]] += outcome.tally
        outcomes[outcome.name] = replace(outcome, tally=Tally())  # those of a million shards take gigabytes
        done += lengths[outcome.name]
        progress(done, total)
    return outcomes, tallies


def _run_folder(job: Job) -> Path:
    """Where this run's workers write; those of killed runs lose theirs."""
    work = job.folders.made
    for stale in work.glob("run-*"):
        discard(stale)  # one that still writes there finds its folder gone
    made = work / f"run-{secrets.token_hex(4)}"
    for folder in (work, made):
        for kind in ("shards", "receipts"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
    return made


# ---- publish ----------------------------------------------------------------------------------------------


def _publish(job: Job, survey: Survey, plan: Sequence[PlannedShard], outcomes: Outcomes, tallies: Tallies) -> Prepared:
    misread = {split: found for split, held in tallies.items() if (found := coding_finding(job.source, split, held))}
    evaluated = [row.name for row in job.conversion.taxonomy.classes if row.evaluated]
    blank = [
        blank_finding(job.source, split, held, evaluated) for split in survey.scenes if (held := tallies.get(split))
    ]
    whole = [*survey.findings, *misread.values(), *filter(None, blank)]
    findings = whole + [finding for shard in plan for finding in outcomes[shard.name].findings]
    if misread:
        raise _split_lost(job, list(misread), findings)
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors and not job.quarantine:
        raise FindingsError(
            f"{job.source.name} in {job.root}: {len(errors)} finding{'s' * (len(errors) > 1)}, nothing was published. "
            f"{advice(errors)}",
            findings,
        )
    made = job.folders.assembly
    discard(made)
    if made.exists():
        raise SegdataError(f"{made} is left of an earlier run and cannot be removed. Remove it, and run this again.")
    (made / SIDE / "receipts").mkdir(parents=True)
    built = [(planned.split, entry) for planned in plan if (entry := outcomes[planned.name].shard)]
    left_out = {entry.name for _, entry in built if not entry.samples}
    kept = {split for split, entry in built if entry.name not in left_out}
    if lost := [split for split in survey.scenes if split not in kept]:
        raise _split_lost(job, lost, findings)
    shards = _assemble(job, made, ((split, entry) for split, entry in built if entry.name not in left_out))
    release = Release(
        name=job.name,
        conversion=job.conversion,
        options=job.options,
        licence=job.source.licence or "not stated in its source file",
        painted=survey.painted,
        warnings=tuple(finding for finding in findings if finding.severity != ERROR and finding.code not in AROUND),
        dropped=(
            *(finding for finding in whole if finding.severity == ERROR),
            *(finding for shard in plan if shard.name in left_out for finding in outcomes[shard.name].findings),
        ),
        readers=job.readers,
        divided=survey.divided,
        source_file=job.source.text,
        about="" if job.source.ships else job.source.about,
        group=job.source.group if job.source.group_rule and not job.source.ships else None,
        cautions={} if survey.divided or survey.painted else job.source.cautions(shards),
    )
    findings += write_side_files(made, release, shards)
    before = _may_replace(job, survey)  # once more: hours may have passed
    changed = not _same(made, job.out)
    change = ""
    if changed:
        if before and before.manifest:
            change = described_change(before.manifest, read_manifest(made))
        swap_in(made, job.out, job.folders.old)
        for old in (made, job.folders.old):
            bring_back(old, job.out)
    return Prepared(
        samples={split: sum(shard.entry.samples for shard in finished) for split, finished in shards.items()},
        shards=sum(map(len, shards.values())),
        reused=sum(outcome.reused for outcome in outcomes.values()),
        changed=changed,
        change=change,
        left_out=len({each.where for each in survey.errors if each.code in OF_A_FRAME})  # of these no shard was planned
        + sum(map(len, survey.scenes.values()))
        - sum(entry.samples for _, entry in built),
        findings=tuple(findings),
        origins=survey.origins,
    )


def _split_lost(job: Job, splits: Sequence[str], findings: Sequence[Finding]) -> FindingsError:
    do = advice(finding for finding in findings if finding.code in OF_OPTIONS)
    return FindingsError(
        f"{job.source.name} in {job.root}: nothing of {' and '.join(splits)} can be used, and a whole split is never "
        "left out unasked: nothing was published. "
        + (do or "Mend the files, or name the splits that you want with --split."),
        list(findings),
    )


def _assemble(job: Job, made: Path, built: Iterable[tuple[str, ShardEntry]]) -> Shards:
    """Link shards and receipts in, numbered without gaps."""
    shards: dict[str, list[Finished]] = defaultdict(list)
    work = job.folders.made
    for split, entry in built:
        name = shard_name(job.name, split, len(shards[split]))
        link(shard_path(work, entry.name), made / name)
        link(receipt_path(work, entry.name), receipt_path(made / SIDE, name))
        shards[split].append(Finished(replace(entry, name=name), receipt_path(made / SIDE, name)))
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
