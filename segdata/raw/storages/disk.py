"""A dataset on this machine: walked folder by folder, its links followed wherever the user may read.

A link is the user's own choice of where files lie: DVC links its cache in, and one folder joins two disks. What led out
of the root is told, links that lead nowhere or in a circle are findings, and no folder is read by two ways.
"""

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from segdata.base.files import read_file
from segdata.base.refusal import refusal
from segdata.errors import SourceError, TooLargeError
from segdata.findings import Finding
from segdata.raw.archives.kinds import is_archive
from segdata.raw.leftovers import HUGGING_FACE, Leftovers
from segdata.raw.storages.storage import LEVELS, Paths, abridged, is_hidden

DEEPEST = 4  # folders below the root in which misplaced ones are looked for
MOST = 2000  # of these


@dataclass(frozen=True)
class Disk:
    """A Storage on this machine."""

    place: Path
    faults: list[tuple[str, Finding]] = field(default_factory=list, compare=False)
    outside: dict[str, str] = field(default_factory=dict, compare=False)
    leftovers: Leftovers = field(default_factory=Leftovers, compare=False)
    _reached: set[Path] = field(default_factory=set, compare=False)  # folders that were read, and where links led

    def archives(self) -> list[Path]:
        if not self.place.is_dir():
            return [self.place] if is_archive(self.place.name) and self.place.is_file() else []
        found = dict[Path, Path]()  # one that has two names, by a link, is one archive
        for path in sorted(self.place.iterdir()):
            if is_archive(path.name) and not is_hidden(path.name) and path.is_file():
                found.setdefault(path.resolve(), path)
        return list(found.values())

    def files(self, folders: Collection[str]) -> Iterator[tuple[str, str, Paths]]:
        if not self.place.is_dir():
            return
        inner = (entry for entry in self.place.iterdir() if not is_hidden(entry.name) and entry.name not in folders)
        seen = set[Path]()  # one that has two names, by a link, is one folder
        for above in ["", *sorted(entry.name for entry in inner if entry.is_dir())]:
            for folder in folders:
                if not folder and above:
                    continue  # the dataset's own folder is the root
                path = self.place / above / folder
                if path.is_dir() and (real := path.resolve()) not in seen:
                    seen.add(real)
                    yield above, folder, self._walk(self.place / above, folder, () if folder else folders)
                if folder:
                    self._note_dead(path, folder)

    def others(self, skipped: Callable[[str], bool]) -> Iterator[str]:
        """A link is followed only out of the root, to a folder of which something was read; what other links within
        the root lead to has a path of its own."""
        home = self.place.resolve()
        linked = {fault.where for _, fault in self.faults}  # findings already
        pending, seen = [("", home)] if self.place.is_dir() else [], {home}
        while pending:
            listed, above = pending.pop()
            try:
                entries = sorted(os.scandir(self.place / listed), key=lambda entry: entry.name)
            except PermissionError:  # nothing of it is asked for
                yield f"{listed}/"
                continue
            for entry in entries:
                inner = f"{listed}/{entry.name}" if listed else entry.name
                if self._is_hidden(inner):
                    continue
                is_link = entry.is_symlink()
                real = Path(os.path.realpath(entry.path)) if is_link else above / entry.name
                is_folder = real.is_dir() if is_link else entry.is_dir()
                path = f"{inner}/" if is_folder else inner
                if real in self._reached or skipped(path):
                    continue
                is_out = is_link and not real.is_relative_to(home)
                if is_folder and (not is_link or (is_out and self._leads_to_read(real, home) and real not in seen)):
                    seen.add(real)
                    pending.append((inner, real))
                elif not is_folder or (is_out and inner not in linked and real not in seen):
                    yield path

    def deeper(self, folders: Collection[str]) -> str:
        """Looked for from the top down, as far as a person would look."""
        pending = [(self.place, 0)]
        for path, level in pending:
            if level > LEVELS and any((path / folder).is_dir() for folder in folders):
                return str(path)
            try:
                entries = sorted(os.scandir(path), key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                if level and is_archive(entry.name) and entry.is_file():
                    return entry.path
                if level < DEEPEST and len(pending) < MOST and entry.is_dir(follow_symlinks=False):
                    pending.append((Path(entry.path), level + 1))
        return ""

    def description(self) -> str:
        if not self.place.exists():
            return "no such folder"
        if not self.place.is_dir():
            return f"a file: {self.place.name}"
        return abridged(entry.name for entry in self.place.iterdir())

    def read(self, path: str, limit: int) -> bytes:
        file = self.place / path
        if (size := file.stat().st_size) > limit:
            raise TooLargeError(f"{file}: {size} bytes where a picture of at most {limit} is due.")
        return read_file(file, limit, SourceError)

    def read_range(self, start: int, stop: int) -> bytes:
        with self.place.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def size(self) -> int:
        return self.place.stat().st_size

    def version(self) -> int:
        return self.place.stat().st_mtime_ns

    # ---- the walk -------------------------------------------------------------------------------------------

    def _walk(self, base: Path, folder: str, skipped: Collection[str]) -> Iterator[tuple[str, str]]:
        """Every file under base/folder, and why a link is not read; "" for what is. No `skipped` folder is entered."""
        entered = [(base / folder).resolve()]  # and the targets of links to folders
        self._note(base / folder, entered[0])
        pending = [folder]
        while pending:
            listed = pending.pop()
            for entry in _listed(base / listed):
                inner = f"{listed}/{entry.name}" if listed else entry.name
                if self._is_hidden(inner):
                    continue
                fault = self._follow(base / inner, entered) if entry.is_symlink() else ""
                if fault and not Path(inner).suffix:  # a folder's name: files that it may hold go missing with it
                    self.faults.append((inner, Finding("bad-link", self._path_of(base / inner), fault)))
                elif fault or not entry.is_dir():
                    yield inner, fault
                elif inner not in skipped:
                    pending.append(inner)

    def _follow(self, link: Path, entered: list[Path]) -> str:
        """Why the link is not followed, or ""; the folder to which one leads that is followed joins `entered`."""
        try:
            real = link.resolve(strict=True)
        except (OSError, RuntimeError):
            return _why_dead(link)
        if real.is_dir():
            if any(real.is_relative_to(other) or other.is_relative_to(real) for other in entered):
                return f"a symlink back to {real}, which is read anyway: a loop. Remove it."
            entered.append(real)
        self._note(link, real)
        return ""

    def _note_dead(self, path: Path, folder: str) -> None:
        """A link to nowhere in the place of a folder of the dataset, or of the one above it."""
        for link in (path.parent, path):
            if link.is_symlink() and not os.path.exists(link):  # noqa: PTH110  (False where it may not be looked up)
                finding = Finding("bad-link", self._path_of(link), _why_dead(link))
                self.faults.append((folder, finding))
                return

    def _note(self, path: Path, real: Path) -> None:
        """That what lies at `real` is read by this path."""
        self._reached.add(real)
        if not real.is_relative_to(self.place.resolve()):
            self.outside.setdefault(self._path_of(path), str(real))

    def _path_of(self, path: Path) -> str:
        return path.relative_to(self.place).as_posix()

    def _is_hidden(self, path: str) -> bool:
        """Whether the path's last name is no part of any dataset; these are counted."""
        name = path.rpartition("/")[2]
        if not is_hidden(name):
            return False
        is_theirs = name == HUGGING_FACE[0] and (self.place / path / HUGGING_FACE[1]).is_dir()
        if not self.leftovers.take("/".join(HUGGING_FACE) if is_theirs else name):
            self.leftovers.count("", name)
        return True

    def _leads_to_read(self, real: Path, home: Path) -> bool:
        """Whether something below a folder outside was read, and the folder does not hold the root itself."""
        return not home.is_relative_to(real) and any(reached.is_relative_to(real) for reached in self._reached)


def _why_dead(link: Path) -> str:
    target = link.readlink()
    try:
        link.stat()
    except FileNotFoundError:
        return f"a symlink to {target}, where nothing is. Bring that file back (as by `dvc pull`), or remove the link."
    except PermissionError:
        return f"a symlink to {target}, which this user may not read. Ask its owner, or put a copy in its place."
    except (OSError, RuntimeError):
        pass
    return f"a symlink to {target}, which leads in a circle. Remove it."


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    """In the order of names. Raises SourceError."""
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(refusal(error, folder)) from None
