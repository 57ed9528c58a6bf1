"""Where painted files go: a tree as people unpack it, or the archives as they download them."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from segdata.base.files import parsing, read_file, temporary_of, write_file
from segdata.errors import SegdataError
from segdata.synth.frames import Member

MARKER = "segdata-synth.json"
FILE, FOLDER = 0o100644 << 16, (0o40755 << 16) | 0x10  # Unix mode bits of archive members
LOCK = f".{MARKER}.lock"
Facts = dict[str, Any]
Names = Callable[[Facts], set[str]]  # the paths, below its root, of all files of a painting


def check(out: Path, names: Names, facts: Facts, *, replace: bool) -> set[str]:
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
    before = _painted(out)
    if not replace and (changes := _changes(before, facts)):
        raise SegdataError(
            f"synth: {out} was painted with other options: {', '.join(changes)}. Choose another folder, or give "
            "--replace to paint over it."
        )
    with parsing(f"synth: {out / MARKER}", SegdataError, "Choose an empty or new folder."):
        old = names(before)
    old |= {f".{name}.tmp" for name in old if name.endswith(".zip")}  # of a run that was killed
    there = {path for top in {name.partition("/")[0] for name in old | names(facts)} for path in _below(out, top)}
    if strange := sorted(there - old):
        raise SegdataError(
            f"synth: {out} holds {strange[0]} among its painted files, where it would be lost. Move it elsewhere."
        )
    return there


def claim(out: Path, names: Names, facts: Facts, *, replace: bool) -> None:
    """Remove what `check` names, and mark the folder from the first moment, so that a run that was killed can be told
    from a user's own data; `complete` turns true at the end."""
    for name in check(out, names, facts, replace=replace):
        (out / name).unlink()
        for folder in (out / name).parents:
            if folder == out or any(folder.iterdir()):
                break
            folder.rmdir()
    write_marker(out, facts | {"complete": False})


def _below(out: Path, top: str) -> Iterator[str]:
    """Paths, from `out`, of the files at or below one name; a link counts as a file."""
    if (out / top).is_symlink() or (out / top).is_file():
        yield top
        return
    for home, folders, names in os.walk(out / top):
        links = [name for name in folders if Path(home, name).is_symlink()]
        yield from (Path(home, name).relative_to(out).as_posix() for name in (*names, *links))


def _painted(out: Path) -> Facts:
    """What the marker says. Raises SegdataError."""
    with parsing(f"synth: {out / MARKER}", SegdataError, "Choose an empty or new folder."):
        facts = dict(json.loads(read_file(out / MARKER)))
        facts.pop("complete")
    return facts


def _changes(before: Facts, after: Facts) -> list[str]:
    before, after = ({**facts, **facts["counts"]} for facts in (before, after))
    return [
        f"{name} is {_word(before.get(name))} there, {_word(after.get(name))} here"
        for name in after
        if name != "counts" and before.get(name) != after[name]
    ]


def _word(value: object) -> str:
    return json.dumps(value, sort_keys=True).strip('"')


def write_marker(out: Path, facts: Facts) -> None:
    """`segdata-synth.json` as canonical JSON: by it painted data can be told from real data."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    write_file(out / MARKER, f"{text}\n".encode("ascii"))


class Tree:
    """Files below a folder; `nested` keeps each archive's own folder as the top level."""

    def __init__(self, out: Path, nested: bool) -> None:
        self.out, self.nested = out, nested

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def write(self, member: Member) -> None:
        path = (self.out / member.archive if self.nested else self.out) / member.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(member.data)


class Archives:
    """The official archives, with fixed dates and modes and entries for folders as the real ones have."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._open: dict[str, ZipFile] = {}
        self._folders: set[tuple[str, str]] = set()
        self._stack = ExitStack()

    def __enter__(self) -> "Archives":
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()
        for name in self._open if failure[0] is None else ():
            (self.out / f".{name}.zip.tmp").replace(self.out / f"{name}.zip")

    def write(self, member: Member) -> None:
        if member.archive not in self._open:
            file = ZipFile(self.out / f".{member.archive}.zip.tmp", "w", ZIP_DEFLATED)
            self._open[member.archive] = self._stack.enter_context(file)
        archive = self._open[member.archive]
        for parent in reversed(PurePosixPath(member.path).parents[:-1]):
            if (member.archive, str(parent)) not in self._folders:
                self._folders.add((member.archive, str(parent)))
                archive.writestr(_info(f"{parent}/", FOLDER), b"")
        archive.writestr(_info(member.path, FILE), member.data, ZIP_DEFLATED)


def _info(name: str, attributes: int) -> ZipInfo:
    info = ZipInfo(name)  # 1 January 1980: no clock
    info.create_system, info.external_attr = 3, attributes
    return info
