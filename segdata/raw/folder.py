"""A dataset's files on a disk: folders, links that stay within the root, and zips."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segdata.errors import SourceError
from segdata.findings import Finding
from segdata.raw.member import Member
from segdata.raw.tree import Held, Known, add_held, add_zipped, is_hidden, is_told, some, zipped_rest


@dataclass(frozen=True)
class FolderTree:
    """A Tree on a disk."""

    root: Path
    faults: list[tuple[str, Finding]] = field(default_factory=list, compare=False)
    refused: dict[str, SourceError] = field(default_factory=dict, compare=False)
    _reached: set[str] = field(default_factory=set, compare=False)  # where links lead that were followed

    def held(self, folders: Sequence[str]) -> dict[str, list[Held]]:
        found = dict[str, list[Held]]()
        for base in self._bases(folders):
            for folder in folders:
                if (base / folder).is_dir():
                    members = sorted(self._walk(base, folder), key=lambda each: each.path)
                    add_held(found, folder, Held(base / folder, False, members))
        for path in self._zips():
            add_zipped(found, path, folders, self.refused)
        return found

    def rest(self, folders: Collection[str], known: Known) -> Iterator[tuple[str, str]]:
        yield from self._unpacked_rest(folders, known)
        for path in self._zips():
            if path.name not in self.refused:
                yield from zipped_rest(path, folders, known)

    def _unpacked_rest(self, folders: Collection[str], known: Known) -> Iterator[tuple[str, str]]:
        """No folder is listed that was, or that holds nothing to tell; no link is followed.

        What a link to a folder within the root leads to is told under its own path.
        """
        home, zips = self.root.resolve(), {path.name for path in self._zips()}
        linked = {fault.where for _, fault in self.faults}  # told already
        pending = [""] if self.root.is_dir() else []
        while pending:
            listed = pending.pop()
            try:
                entries = sorted(os.scandir(self.root / listed), key=lambda entry: entry.name)
            except PermissionError:  # nothing of it is asked for
                yield listed.partition("/")[0], f"{listed.partition('/')[2]}/"
                continue
            for entry in entries:
                inner = f"{listed}/{entry.name}" if listed else entry.name
                if is_hidden(entry.name) or str(home / inner) in self._reached or (not listed and entry.name in zips):
                    continue
                path = f"{inner}/" if entry.is_dir() else inner
                if is_told(path, folders, known):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(inner)
                elif not entry.is_dir() or (inner not in linked and _outside((home / inner).resolve(), home)):
                    top, _, below = path.partition("/")
                    yield (top, below) if below else (path, "")

    def found(self) -> str:
        if not self.root.exists():
            return "no such folder"
        if not self.root.is_dir():
            return f"a file: {self.root.name}"
        return some(entry.name for entry in self.root.iterdir())

    def _bases(self, folders: Collection[str]) -> list[Path]:
        """The root, and each folder in it: the extra `*_trainvaltest/` or `tas500v1.1/` level."""
        if not self.root.is_dir():
            return []
        inner = (entry for entry in self.root.iterdir() if not is_hidden(entry.name) and entry.name not in folders)
        return [self.root, *sorted(entry for entry in inner if entry.is_dir())]

    def _zips(self) -> list[Path]:
        if self.root.is_dir():
            return sorted(path for path in self.root.glob("*.zip") if path.is_file() and not is_hidden(path.name))
        return [self.root] if self.root.suffix == ".zip" and self.root.is_file() else []

    def _walk(self, base: Path, folder: str) -> Iterator[Member]:
        """Every file under base/folder. A symlink may point anywhere inside the root, but neither out nor back."""
        home = self.root.resolve()
        entered = [(base / folder).resolve()]  # and the targets of links to folders
        pending = [folder]
        if link := self._link_out(base / folder):
            self._tell(link, folder, _outside(link.resolve(), home))
            return
        self._reached.add(str(entered[0]))
        while pending:
            listed = pending.pop()
            for entry in sorted(os.scandir(base / listed), key=lambda entry: entry.name):
                if is_hidden(entry.name):
                    continue
                inner = f"{listed}/{entry.name}"
                fault = _link_fault(base / inner, home, entered) if entry.is_symlink() else ""
                if entry.is_symlink() and not fault:
                    self._reached.add(str((base / inner).resolve()))
                if fault and not Path(inner).suffix:  # a folder's name: files that it may hold go missing with it
                    self._tell(base / inner, inner, fault)
                elif fault or not entry.is_dir():
                    yield Member(inner, base, inner, fault=fault)
                else:
                    pending.append(inner)

    def _link_out(self, folder: Path) -> Path | None:
        """The link that leads to the folder, or to one above it, from within the root to outside."""
        home = self.root.resolve()
        steps = [each for each in (folder, *folder.parents) if each != self.root and each.is_relative_to(self.root)]
        return next((each for each in reversed(steps) if not each.resolve().is_relative_to(home)), None)

    def _tell(self, link: Path, missed: str, fault: str) -> None:
        self.faults.append((missed, Finding("bad-link", link.relative_to(self.root).as_posix(), fault)))


def _link_fault(path: Path, home: Path, entered: list[Path]) -> str:
    """Why a symlink is not followed, or ""; a link to a folder that is followed joins `entered`."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return "a symlink that leads nowhere or in a circle. Remove it."
    if (fault := _outside(real, home)) or not real.is_dir():
        return fault
    if any(real.is_relative_to(other) or other.is_relative_to(real) for other in entered):
        return f"a symlink back to {real.relative_to(home)}, which is read anyway: a loop. Remove it."
    entered.append(real)
    return ""


def _outside(real: Path, home: Path) -> str:
    if real.is_relative_to(home):
        return ""
    return f"a symlink out of the dataset's root, to {real}. Remove it, or point --root at what really holds the files."
