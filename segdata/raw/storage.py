"""Where a dataset's files lie, on a disk or in a store: what there is, and its bytes. Only here this room asks which.

A disk is walked folder by folder, and its links are followed within the root alone. A store or a web server is listed
once, whole, and has no links; each file of it is fetched when it is read.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

from segdata.base.files import read_file
from segdata.errors import AbsentError, RangeError, SourceError, TooLargeError
from segdata.findings import Finding
from segdata.stores.opening import local_store, open_store
from segdata.stores.url import Place, Url

LITTER = frozenset(  # that systems and programs leave beside files; hidden names besides
    {"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
)


Paths = Iterable[tuple[str, str]]  # path from a folder on, why the file must not be read or ""


class Storage(Protocol):
    """One place: a folder, or a single file. Paths below it are relative and POSIX; hidden ones are left out.

    `faults` gathers, while folders are listed, the links to folders that were not followed, each with the path that the
    dataset gives to what is missed.
    """

    @property
    def place(self) -> Place: ...
    @property
    def faults(self) -> list[tuple[str, Finding]]: ...
    def zips(self) -> Sequence[Place]:
        """Those that lie directly here; the place itself where it is one."""
        ...

    def files(self, folders: Collection[str]) -> Iterator[tuple[str, str, Paths]]:
        """(what stands above, folder, files) for each of the folders that is here, or in a folder here."""
        ...

    def others(self, skipped: Callable[[str], bool]) -> Iterator[str]:
        """Every other file, after `files`. No folder is listed whose path ("disparity/") is skipped."""
        ...

    def description(self) -> str:
        """What lies here, for error messages."""
        ...

    def read(self, path: str, limit: int) -> bytes:
        """All bytes of a file of at most `limit`. Raises SourceError, TooLargeError."""
        ...

    def read_range(self, start: int, stop: int) -> bytes:
        """Of the file that is the place itself: the bytes from `start` to before `stop`."""
        ...

    def size(self) -> int:
        """Bytes of that file. Raises SourceError where a server does not say."""
        ...

    def version(self) -> int:
        """Changes when that file does; 0 where this is not looked up."""
        ...


def storage_at(place: Place) -> Storage:
    return Bucket(place) if isinstance(place, Url) else Disk(place)


# ---- paths --------------------------------------------------------------------------------------------------


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is no part of any dataset."""
    return name.startswith(".") or name in LITTER


def split_path(path: str, folders: Collection[str]) -> tuple[str, str, str] | None:
    """(what stands above, folder, path from the folder on) of a file in one of the folders; None of others.

    The folders stand at the top, or one level down.
    """
    parts = path.split("/")
    for skip in (0, 1):
        for length in (1, 2):
            folder = "/".join(parts[skip : skip + length])
            if len(parts) > skip + length and folder in folders:
                above = "/".join(parts[:skip])
                return above, folder, path.removeprefix(f"{above}/") if above else path
    return None


def abridged(names: Iterable[str]) -> str:
    """The first few of a folder's names."""
    listed = sorted(names)
    return ", ".join(listed[:8]) + (", …" if len(listed) > 8 else "") or "an empty folder"


# ---- a disk -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disk:
    """A Storage on this machine."""

    place: Path
    faults: list[tuple[str, Finding]] = field(default_factory=list, compare=False)
    _reached: set[str] = field(default_factory=set, compare=False)  # where links lead that were followed

    def zips(self) -> list[Path]:
        if self.place.is_dir():
            return sorted(path for path in self.place.glob("*.zip") if path.is_file() and not is_hidden(path.name))
        return [self.place] if self.place.suffix == ".zip" and self.place.is_file() else []

    def files(self, folders: Collection[str]) -> Iterator[tuple[str, str, Paths]]:
        if not self.place.is_dir():
            return
        inner = (entry for entry in self.place.iterdir() if not is_hidden(entry.name) and entry.name not in folders)
        for above in ["", *sorted(entry.name for entry in inner if entry.is_dir())]:
            for folder in folders:
                if (self.place / above / folder).is_dir():
                    yield above, folder, self._walk(self.place / above, folder)

    def others(self, skipped: Callable[[str], bool]) -> Iterator[str]:
        """No link is followed: what one to a folder within the root leads to has a path of its own."""
        home = self.place.resolve()
        linked = {fault.where for _, fault in self.faults}  # findings already
        pending = [""] if self.place.is_dir() else []
        while pending:
            listed = pending.pop()
            try:
                entries = sorted(os.scandir(self.place / listed), key=lambda entry: entry.name)
            except PermissionError:  # nothing of it is asked for
                yield f"{listed}/"
                continue
            for entry in entries:
                inner = f"{listed}/{entry.name}" if listed else entry.name
                if is_hidden(entry.name) or str(home / inner) in self._reached:
                    continue
                is_folder = entry.is_dir() if not entry.is_symlink() else (self.place / inner).is_dir()
                path = f"{inner}/" if is_folder else inner
                if skipped(path):
                    continue
                if is_folder and not entry.is_symlink():
                    pending.append(inner)
                elif not is_folder or (inner not in linked and _outside((home / inner).resolve(), home)):
                    yield path

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

    def _walk(self, base: Path, folder: str) -> Iterator[tuple[str, str]]:
        """Every file under base/folder. A symlink may point anywhere inside the root, but neither out nor back."""
        home = self.place.resolve()
        entered = [(base / folder).resolve()]  # and the targets of links to folders
        pending = [folder]
        if link := self._link_out(base / folder):
            self._add_fault(link, folder, _outside(link.resolve(), home))
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
                    self._add_fault(base / inner, inner, fault)
                elif fault or not entry.is_dir():
                    yield inner, fault
                else:
                    pending.append(inner)

    def _link_out(self, folder: Path) -> Path | None:
        """The link that leads to the folder, or to one above it, from within the root to outside."""
        home = self.place.resolve()
        steps = [each for each in (folder, *folder.parents) if each != self.place and each.is_relative_to(self.place)]
        return next((each for each in reversed(steps) if not each.resolve().is_relative_to(home)), None)

    def _add_fault(self, link: Path, missed: str, fault: str) -> None:
        self.faults.append((missed, Finding("bad-link", link.relative_to(self.place).as_posix(), fault)))


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


# ---- a store ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bucket:
    """A Storage behind a URL. A web server must list its folders."""

    place: Url
    faults: list[tuple[str, Finding]] = field(default_factory=list, compare=False)  # stores have no links

    def zips(self) -> list[Url]:
        if self._is_zip:
            return [self.place]
        return [self.place / path for path in self._paths if path.endswith(".zip") and "/" not in path]

    def files(self, folders: Collection[str]) -> Iterator[tuple[str, str, Paths]]:
        found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for path in self._paths:
            if where := split_path(path, folders):
                above, folder, inner = where
                found.setdefault((above, folder), []).append((inner, ""))
        for (above, folder), files in sorted(found.items()):
            yield above, folder, files

    def others(self, skipped: Callable[[str], bool]) -> Iterator[str]:
        return (path for path in self._paths if not skipped(path))

    def description(self) -> str:
        return abridged({path.split("/")[0] for path in self._paths}) if self._paths else "nothing that can be listed"

    def read(self, path: str, limit: int) -> bytes:
        try:
            return local_store(self.place, os.getpid()).read(path, limit=limit)
        except AbsentError as error:
            raise SourceError(str(error)) from None
        except RangeError as error:
            raise TooLargeError(str(error)) from None

    def read_range(self, start: int, stop: int) -> bytes:
        return local_store(self.place, os.getpid()).read("", start, stop)

    def size(self) -> int:
        size = local_store(self.place, os.getpid()).size("")
        if size is None:
            raise SourceError(f"{self.place}: the server does not say how long it is. Download it, and give its path.")
        return size

    def version(self) -> int:
        return 0

    @cached_property
    def _paths(self) -> tuple[str, ...]:
        if self._is_zip:
            return ()
        try:
            listed = open_store(self.place).files()
        except AbsentError:
            return ()
        return tuple(path for path in listed if not any(map(is_hidden, PurePosixPath(path).parts)))  # ".." is hidden

    @property
    def _is_zip(self) -> bool:
        return self.place.name.endswith(".zip")
