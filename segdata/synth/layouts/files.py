"""Where painted files go: a tree as people unpack it, or the archives as they download them. What was painted before is
known by its marker."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from segdata.base.files import parsing, read_file, temporary_of, write_file
from segdata.documents.json import load_json
from segdata.errors import SegdataError
from segdata.synth.layouts.datasets import LAYOUTS
from segdata.synth.layouts.frames import PaintedFile

MARKER = "segdata-synth.json"
FILE, FOLDER = 0o100644 << 16, (0o40755 << 16) | 0x10  # Unix mode bits of archive members
LOCK = f".{MARKER}.lock"
Facts = dict[str, Any]
Write = Callable[[PaintedFile], None]
MOST_FRAMES = 100_000


def check(out: Path, facts: Facts, *, replace: bool) -> set[str]:
    """The files of an earlier painting, which go before the new one. Raises SegdataError.

    `out` is a new or empty folder, or one painted before. A file of somebody else's at a place that the old or the
    new painting has, or among their files, stays, and so does the painting.
    """
    if out.exists() and not out.is_dir():
        raise SegdataError(f"synth: {out} is a file. Choose an empty or new folder.")
    own = {LOCK, temporary_of(out / MARKER).name}
    found = {path.name for path in out.iterdir()} - own if out.exists() else set()
    if not found:
        return set()
    if MARKER not in found:
        raise SegdataError(
            f"synth: {out} holds {', '.join(sorted(found)[:3])} and no {MARKER}: not painted by this command. "
            "Choose an empty or new folder."
        )
    before = _read_marker(out)
    if not replace and (changes := list(_changes(before, facts))):
        raise SegdataError(
            f"synth: {out} was painted with other options: {', '.join(changes)}. Choose another folder, or give "
            "--replace to paint over it."
        )
    with parsing(f"synth: {out / MARKER}", SegdataError, "Choose an empty or new folder."):
        old = paths(before)
    old |= {f".{name}.tmp" for name in old if name.endswith(".zip")}  # of a run that was killed
    there = {path for top in {name.partition("/")[0] for name in old | paths(facts)} for path in _below(out, top)}
    if strange := sorted(there - old):
        raise SegdataError(
            f"synth: {out} holds {strange[0]} among its painted files, where it would be lost. Move it elsewhere."
        )
    return there


def claim(out: Path, facts: Facts, *, replace: bool) -> None:
    """Remove what `check` names, and mark the folder from the first moment, so that a run that was killed can be told
    from a user's own data; `complete` turns true at the end."""
    for name in check(out, facts, replace=replace):
        (out / name).unlink()
        for folder in (out / name).parents:
            if folder == out or any(folder.iterdir()):
                break
            folder.rmdir()
    write_marker(out, facts | {"complete": False})


def paths(facts: Facts) -> set[str]:
    """Of a painting with these facts, below its root. Raises ValueError for more frames than are painted."""
    layout, counts = LAYOUTS[facts["source"]], facts["counts"]
    if not all(type(count) is int for count in counts.values()) or sum(counts.values()) > MOST_FRAMES:
        raise ValueError(f"{counts} frames")
    frames = ((split, number) for split, count in counts.items() for number in range(count))
    names = {name for split, number in frames for name in layout.names(split, number, facts["coarse"])}
    if facts["layout"] == "zip":
        return {f"{archive}.zip" for archive, _ in names}
    return {f"{archive}/{path}" if facts["layout"] == "nested" else path for archive, path in names}


def _below(out: Path, top: str) -> Iterator[str]:
    """Paths, from `out`, of the files at or below one name; a link counts as a file."""
    if (out / top).is_symlink() or (out / top).is_file():
        yield top
        return
    for home, subfolders, names in os.walk(out / top):
        links = [name for name in subfolders if Path(home, name).is_symlink()]
        yield from (Path(home, name).relative_to(out).as_posix() for name in (*names, *links))


def _read_marker(out: Path) -> Facts:
    """What the marker says. Raises SegdataError."""
    with parsing(f"synth: {out / MARKER}", SegdataError, "Choose an empty or new folder."):
        facts = dict(load_json(read_file(out / MARKER)))
        facts.pop("complete")
    return facts


def _changes(before: Facts, after: Facts) -> Iterator[str]:
    """What differs, as a reader would say it."""
    before, after = ({**facts, **facts["counts"]} for facts in (before, after))
    for name in after:
        if name != "counts" and before.get(name) != after[name]:
            there, here = (json.dumps(facts.get(name), sort_keys=True).strip('"') for facts in (before, after))
            yield f"{name} is {there} there, {here} here"


def write_marker(out: Path, facts: Facts) -> None:
    """`segdata-synth.json` as canonical JSON: by it painted data can be told from real data."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    write_file(out / MARKER, f"{text}\n".encode("ascii"))


@contextmanager
def folders(out: Path, nested: bool) -> Iterator[Write]:
    """Files below a folder; `nested` keeps each archive's own folder as the top level."""

    def write(file: PaintedFile) -> None:
        path = (out / file.archive if nested else out) / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)

    yield write


@contextmanager
def archives(out: Path) -> Iterator[Write]:
    """The official archives, with fixed dates and modes and entries for folders as the real ones have. They get their
    names when all is written."""
    zips: dict[str, ZipFile] = {}
    parents: set[tuple[str, str]] = set()

    def put(archive: str, name: str, attributes: int, data: bytes) -> None:
        info = ZipInfo(name)  # 1 January 1980: no clock
        info.create_system, info.external_attr = 3, attributes
        zips[archive].writestr(info, data, ZIP_DEFLATED if data else None)

    def write(file: PaintedFile) -> None:
        if file.archive not in zips:
            zips[file.archive] = stack.enter_context(ZipFile(out / f".{file.archive}.zip.tmp", "w", ZIP_DEFLATED))
        for parent in reversed(PurePosixPath(file.path).parents[:-1]):
            if (file.archive, str(parent)) not in parents:
                parents.add((file.archive, str(parent)))
                put(file.archive, f"{parent}/", FOLDER, b"")
        put(file.archive, file.path, FILE, file.data)

    with ExitStack() as stack:
        yield write
    for name in zips:
        (out / f".{name}.zip.tmp").replace(out / f"{name}.zip")
