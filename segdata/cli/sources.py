"""`segdata init` and `segdata check`: source files of one's own datasets."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segdata.base.files import resolved
from segdata.base.ownership import check_file
from segdata.cli.command import Command
from segdata.cli.output import SARIF, ProgressBar, findings_told, report_findings, sarif_option, say, tell
from segdata.cli.parameters import ANY_PATH, COUNT
from segdata.cli.prepare import dataset_options, job_of
from segdata.errors import SegdataError
from segdata.stores.url import Place, Url, place

if TYPE_CHECKING:
    from segdata.drafting.draft import Draft
    from segdata.making.check import DryRun

SHOWN = 3
NOWHERE = "shards"  # a job needs a place for its set, where nothing is written
CORRECT = "Mend the source file or the files that are named, then check again."
LEAVE = " Or leave these frames out: `segdata prepare` does so with --on-error quarantine."


@click.command(cls=Command)
@click.argument("folder", type=place)
@click.option(
    "--out",
    type=place,
    help="The source file to write, which must be new. A single hyphen prints it instead. [default: a file in the "
    "current folder with the name of FOLDER and the suffix .yaml]",
)
def init(folder: Place, out: Place | None) -> None:
    """Look at FOLDER, a folder, a zip or a tar with images and labels, and draft its source file.

    Nothing in FOLDER is changed. What could not be found out is marked ??? in the file.
    """
    from segdata.drafting.draft import draft_source
    from segdata.drafting.text import source_text

    root, file = _here(folder), _here(out) if out else None
    if file:
        _check_place(file, root)
    draft = draft_source(root)
    file = file or Path(f"{draft.name}.yaml")
    _check_place(file, root)
    is_printed = str(file) == "-"
    lists = {} if is_printed else {split: f"{file.stem}_{split}.txt" for split in draft.lists}
    text = source_text(draft, str(root), "FILE" if is_printed else str(file), lists)
    if is_printed:
        tell(*text.splitlines())
    else:
        _write_all(file, text, {file.parent / lists[split]: keys for split, keys in draft.lists.items()})
    tell(*_summary(draft), err=is_printed)
    if lists:
        tell(f"{', '.join(lists.values())}: the frames of each split, beside the source file, which names them")
    tell(_next(draft, str(root), "FILE" if is_printed else str(file)), err=is_printed)


def _here(given: Place) -> Path:
    """Raises SegdataError for a URL."""
    if isinstance(given, Url):
        raise SegdataError(f"{given}: a URL, expected a path of this machine. Download the dataset, or a part of it.")
    return given


def _check_place(file: Path, folder: Path) -> None:
    """Raise SegdataError for a file in the folder that is looked at, and for one that is there already."""
    if str(file) != "-" and resolved(file).is_relative_to(resolved(folder)):
        raise SegdataError(f"{file} lies in {folder}, which is left as it is. Name a file elsewhere with --out.")
    _check_free(file)


def _check_free(file: Path) -> None:
    """Raise SegdataError where something is that would be written over."""
    if str(file) != "-" and (file.exists() or file.is_symlink()):
        raise SegdataError(
            f"{file} is there already, and is left as it is. Name another file with --out, or remove it."
        )


def _write_all(file: Path, text: str, lists: Mapping[Path, Sequence[str]]) -> None:
    """The source file last: where it is, its lists are."""
    from segdata.base.files import write_file
    from segdata.base.ownership import check_home

    check_home("--out", file)
    for path in (*lists, file):
        _check_free(path)
    for path, keys in lists.items():
        write_file(path, "".join(f"{key}\n" for key in keys).encode())
    write_file(file, text.encode("utf-8", "backslashreplace"))


# ---- what is told -------------------------------------------------------------------------------------------


def _summary(draft: "Draft") -> Iterator[str]:
    """What was found, and what was not understood."""
    from segdata.drafting.finding.looks import NAMES
    from segdata.drafting.text import elsewhere_of

    if draft.layout_of:
        root = draft.inventory.place
        yield (
            f"this is the layout of {draft.layout_of}: `segdata prepare {draft.layout_of} --root {root}` reads it "
            "without a source file"
        )
    yield f"images: {draft.layout.image}"
    yield f"labels: {draft.layout.annotation} ({NAMES[draft.annotation.kind]})"
    samples = ", ".join(f"{split or 'all'} {count}" for split, count in draft.samples.items())
    bare = f"; without labels: {', '.join(draft.layout.bare)}" if draft.layout.bare else ""
    yield f"pairs: {len(draft.layout.pairs)}; frames by split: {samples}{bare}"
    unknown = sum(not row.name for row in draft.rows)
    by = f", by {draft.known}" if draft.known else ""
    yield f"label table: {len(draft.rows)} rows, {unknown} without a name{by}"
    for what, paths in (
        ("images without labels", draft.unlabelled),
        ("labels without an image", draft.orphans),
        ("label files of another kind than the rest", draft.census.foreign),
        ("damaged files", draft.damaged),
        *(
            (f"files {suffix or 'without a suffix'} that were not understood", each)
            for suffix, each in draft.unread.items()
        ),
    ):
        if paths:
            yield f"{what}: {len(paths)} ({', '.join(paths[:SHOWN])}{', …' if len(paths) > SHOWN else ''})"
    if told := elsewhere_of(draft):
        yield told
    for each in draft.spare:
        yield f"other labels, not taken: {each.name} ({NAMES[each.kind]})"
    yield from draft.inventory.refused[:SHOWN]
    yield from draft.inventory.notes


def _next(draft: "Draft", folder: str, file: str) -> str:
    """The last line: where the draft is, and what to do."""
    return f"{file}: {len(draft.layout.pairs)} pairs. Fill in every ???, then: segdata check {file} --root {folder}"


# ---- check --------------------------------------------------------------------------------------------------


@click.command(cls=Command)
@click.argument("source")
@dataset_options
@click.option(
    "--files",
    type=COUNT,
    default=200,
    show_default=True,
    help="How many frames are opened, with their labels. They are spread over all splits.",
)
@click.option("--all", "is_all", is_flag=True, help="Open all frames.")
@click.option(
    "--lists",
    type=ANY_PATH,
    help="Write a list of the frames of each split into this folder, which `prepare --split-list` takes again.",
)
@sarif_option
def check(
    source: str, coarse: bool, files: int, is_all: bool, lists: Path | None, sarif: Path | None, **options: Any
) -> None:  # fmt: skip
    """Say what `prepare` would convert, and what is wrong with it, without writing shards.

    SOURCE is a dataset that `segdata list` shows, or your own source file (see `segdata init`). The exit status is 1 if
    something is wrong.
    """
    from segdata.making.check import check as run
    from segdata.splits.splitlist import write_lists

    check_file("--sarif", sarif, SARIF)
    with findings_told(sarif), ProgressBar("frames") as progress:
        found = run(job_of(source, coarse, {**options, "out": Path(NOWHERE)}), None if is_all else files, progress)
    for note in found.survey.notes:
        say(note)
    report_findings(found.findings, sarif)
    tell(*_checked(found))
    if lists:
        for path in write_lists(lists, found.survey.scenes):
            tell(f"{path}: a list of its frames")
    total = sum(map(len, found.survey.scenes.values()))
    if found.errors or found.survey.halves:
        do = CORRECT + LEAVE * (not found.survey.halves)
        count = f"{len(found.errors)} error{'s' * (len(found.errors) != 1)}"
        raise SegdataError(f"{found.job.source.name} in {found.job.root}: {count}. {do}")
    name, by = found.job.source.name, found.job.conversion.taxonomy.name
    tell(f"{name}: {total} frames can be prepared, {found.seen.opened} of them were opened; classes by {by}")


def _checked(found: "DryRun") -> Iterator[str]:
    """What would be prepared: splits, sizes, and a line for each label."""
    source, groups = found.job.source, found.groups
    for split, scenes in found.survey.scenes.items():
        count = groups[split]
        told = found.survey.divided is None  # else the origin tells it
        of = f" in {count} group{'s' * (count != 1)}" if source.group_rule and told else ""
        yield f"{split}: {len(scenes)} frames{of}; {found.survey.origins.get(split, '')}"
    sizes = ", ".join(f"{height}x{width} ({count})" for (height, width), count in found.seen.sizes.most_common(SHOWN))
    yield f"sizes of the opened frames (height x width): {sizes}{', …' if len(found.seen.sizes) > SHOWN else ''}"
    if found.seen.pixels.any():
        yield f"{'id':>4} {'label':22}{'pixels':>8}{'files':>7}  class"
        for label, share, files, name in found.rows():
            yield f"{label.id:4d} {label.name:22}{share:8.2%}{files:7d}  {name}"
