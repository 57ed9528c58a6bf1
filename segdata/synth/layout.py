"""Where painted files go: a tree as people unpack it, or the archives as they download them."""

import json
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from segdata.errors import SegdataError
from segdata.synth.frames import Member

MARKER = "segdata-synth.json"
TEMPORARY = f".{MARKER}.tmp"
FILE, FOLDER = 0o100644 << 16, (0o40755 << 16) | 0x10  # Unix mode bits of archive members


def claim(out: Path, owned: Iterable[str], facts: dict[str, object]) -> None:
    """Take an empty folder, or one painted before, whose old frames go; anything else is an error.

    The marker is there from the first moment, so that a run that was killed can be told from a user's
    own data; `complete` turns true at the end."""
    out.mkdir(parents=True, exist_ok=True)
    found = sorted(path.name for path in out.iterdir() if path.name != TEMPORARY)
    if found and MARKER not in found:
        raise SegdataError(
            f"synth: {out} holds {', '.join(found[:3])} and no {MARKER}: not painted by this command. "
            "Choose an empty or new folder."
        )
    for name in owned:
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    write_marker(out, facts | {"complete": False})


def write_marker(out: Path, facts: dict[str, object]) -> None:
    """`segdata-synth.json` as canonical JSON: by it painted data can be told from real data."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    temporary = out / TEMPORARY
    temporary.write_text(text + "\n", encoding="ascii")
    temporary.replace(out / MARKER)


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
