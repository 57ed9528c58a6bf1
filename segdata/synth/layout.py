"""Where painted files go: a tree as people unpack it, or the archives as they download them."""

import json
import os
from collections.abc import Callable, Container
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from segdata.errors import SegdataError
from segdata.files import parsing, read_file, temporary_of, write_file
from segdata.synth.frames import Member

MARKER = "segdata-synth.json"
FILE, FOLDER = 0o100644 << 16, (0o40755 << 16) | 0x10  # Unix mode bits of archive members


Facts = dict[str, Any]
Names = Callable[[Facts], tuple[Container[str], Container[str]]]


def claim(out: Path, names: Names, facts: Facts, *, replace: bool) -> None:
    """Take an empty folder, or one painted before, whose old frames go; anything else is an error.

    `names` says, of the facts of a painting, which names at its root are its own and which stems its frames have:
    with any other file the painting stays. The marker is there from the first moment, so that a run that was killed
    can be told from a user's own data; `complete` turns true at the end."""
    if out.exists() and not out.is_dir():
        raise SegdataError(f"synth: {out} is a file. Choose an empty or new folder.")
    out.mkdir(parents=True, exist_ok=True)
    found = sorted(path.name for path in out.iterdir() if path.name != temporary_of(out / MARKER).name)
    if found and MARKER not in found:
        raise SegdataError(
            f"synth: {out} holds {', '.join(found[:3])} and no {MARKER}: not painted by this command. "
            "Choose an empty or new folder."
        )
    if found:
        before = _painted(out)
        if not replace and (changes := _changes(before, facts)):
            raise SegdataError(
                f"synth: {out} was painted with other options ({', '.join(changes)}). Choose another folder, or give "
                "--replace to paint over it."
            )
        with parsing(f"synth: {out / MARKER}", SegdataError, "Choose an empty or new folder."):
            own = names(before)
        _remove(out, *own)
    write_marker(out, facts | {"complete": False})


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


def _remove(out: Path, tops: Container[str], stems: Container[str]) -> None:
    """The painting at `out`. Raises SegdataError, and removes nothing, where something else lies among it."""
    archives, files, folders = list[Path](), list[Path](), list[Path]()
    for top in sorted(path for path in out.iterdir() if path.name in tops):
        if top.is_symlink() or not top.is_dir():
            archives.append(top)
            continue
        for home, below, names in os.walk(top, topdown=False):
            folders += [Path(home, name) for name in below]
            files += [Path(home, name) for name in names]
        folders.append(top)
    strange = [path for path in files if not _is_frame(path.name, stems)]
    if strange or any(folder.is_symlink() for folder in folders):
        raise SegdataError(
            f"synth: {out} holds {(strange or folders)[0].relative_to(out)} among its painted frames, which would be "
            "lost with them. Move it to another folder."
        )
    for file in (*archives, *files):
        file.unlink()
    for folder in folders:
        folder.rmdir()


def _is_frame(name: str, stems: Container[str]) -> bool:
    """Whether it is a file of a painted frame: the stem, then what kind of file it is."""
    pieces = name.partition(".")[0].split("_")
    return any("_".join(pieces[:length]) in stems for length in range(1, len(pieces) + 1))


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
