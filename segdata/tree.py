"""A dataset's files, read alike from folders and from the zips people download.

A root may be an unpacked tree, a folder that holds the zips, a folder with one level more
(`gtFine_trainvaltest/gtFine/...`), or one zip. Nothing is unpacked. Every file below it is either held by one of the
folders that are asked for, or told by `rest`.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from segdata.errors import AbsentError, LinkError, RangeError, SourceError, TooLargeError
from segdata.files import parsing, read_file
from segdata.findings import Finding
from segdata.stores import local_store
from segdata.url import Place, Url
from segdata.zips import INFLATE, MAX_MEMBER_BYTES, read_zipped, zip_entries

LITTER = frozenset(  # that systems and programs leave beside files; hidden names besides
    {"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
)


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One file of a tree: `path` names it in messages and metadata, the rest says where its bytes are."""

    path: str  # "leftImg8bit/train/aachen/….png": from the dataset's own top folder on, POSIX
    container: Place  # the folder, or the zip
    inner: str  # path inside the container
    zipped: bool = False
    fault: str = ""  # why it must not be read: a link that leads nowhere or out of the root

    def read(self) -> bytes:
        """The file's bytes. Raises SourceError when it cannot be read or is far too large."""
        if self.fault:
            raise LinkError(f"{self.where}: {self.fault}")
        with parsing(self.where, SourceError):
            if self.zipped:
                return read_zipped(self.container, self.inner)
            if isinstance(self.container, Url):
                return _read_stored(self.container, self.inner)
            return _read_file(self.container / self.inner)

    @property
    def where(self) -> str:
        """For people: the path on disk, or the zip and the member in it."""
        return f"{self.container}:{self.inner}" if self.zipped else str(self.container / self.inner)


@dataclass(frozen=True, slots=True, order=True)
class Twin(Member):
    """A member that lies in a zip as well, where it must have the same bytes."""

    packed: Member | None = None

    def read(self) -> bytes:
        data = Member.read(self)
        if self.packed and INFLATE.crc32(data) != zip_entries(self.packed.container)[self.packed.inner].crc:
            raise SourceError(f"{self.where}: other bytes than {self.packed.where}. Move the wrong one away.")
        return data


def _read_file(path: Path) -> bytes:
    if (size := path.stat().st_size) > MAX_MEMBER_BYTES:
        raise TooLargeError(f"{path}: {size} bytes where a picture of at most {MAX_MEMBER_BYTES} is due.")
    return read_file(path, MAX_MEMBER_BYTES, SourceError)


def _read_stored(url: Url, inner: str) -> bytes:
    try:
        return local_store(url, os.getpid()).read(inner, limit=MAX_MEMBER_BYTES)
    except AbsentError as error:
        raise SourceError(str(error)) from None
    except RangeError as error:
        raise TooLargeError(str(error)) from None


@dataclass(frozen=True)
class Held:
    """The files of one folder of the dataset at one place, sorted by path."""

    place: Place  # the folder itself, or the zip
    zipped: bool
    members: list[Member]


Known = Callable[[str], bool]  # whether a path from the dataset's top folder on ("disparity/" for a folder) is known


class Tree(Protocol):
    """The files under one root, found by the path that the dataset gives them.

    `faults` gathers, while folders are listed, the links to folders that were not followed, each with the path that the
    dataset gives to what is missed; `refused` the zips that cannot be read, and why.
    """

    @property
    def root(self) -> Place: ...
    @property
    def faults(self) -> list[tuple[str, Finding]]: ...
    @property
    def refused(self) -> dict[str, SourceError]: ...

    def held(self, folders: Sequence[str]) -> dict[str, list[Held]]:
        """For each folder ("leftImg8bit/train") every place that has files of it: unpacked ones first, then zips."""
        ...

    def rest(self, folders: Collection[str], known: Known) -> Iterator[tuple[str, str]]:
        """(first name below the root, path below that) of every other file, but for known and hidden ones.

        Asked for after `held`, with all folders of the dataset. The path is "" of a file at the root itself.
        """
        ...

    def found(self) -> str:
        """What lies at the root, for error messages."""
        ...


def open_tree(root: Place) -> Tree:
    """The files at a path, or in a store."""
    if isinstance(root, Path):
        return FolderTree(root)
    from segdata.storetree import StoreTree

    return StoreTree(root)


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


# ---- paths --------------------------------------------------------------------------------------------------


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is no part of any dataset."""
    return name.startswith(".") or name in LITTER


def split_path(path: str, folders: Collection[str]) -> tuple[str, str] | None:
    """(what stands above, folder) of a path in one of the folders, at the top or one level down; None of others."""
    parts = path.split("/")
    for skip in (0, 1):
        for length in (1, 2):
            folder = "/".join(parts[skip : skip + length])
            if len(parts) > skip + length and folder in folders:
                return "/".join(parts[:skip]), folder
    return None


def is_told(path: str, folders: Collection[str], known: Known) -> bool:
    """Whether a path from the root on is in a folder of the dataset, or known: at the top, or one level down."""
    return split_path(path, folders) is not None or known(path) or known(path.partition("/")[2])


def add_held(found: dict[str, list[Held]], folder: str, held: Held) -> None:
    if held.members:
        found.setdefault(folder, []).append(held)


def some(names: Iterable[str]) -> str:
    """The first few of a folder's names."""
    listed = sorted(names)
    return ", ".join(listed[:8]) + (", …" if len(listed) > 8 else "") or "an empty folder"


# ---- zips ---------------------------------------------------------------------------------------------------


def add_zipped(
    found: dict[str, list[Held]], path: Place, folders: Sequence[str], refused: dict[str, SourceError]
) -> None:
    """What a zip holds of the folders, which stand at its top or one level below it."""
    members = dict[str, list[Member]]()
    try:
        names = zip_entries(path)
    except SourceError as error:
        refused[path.name] = error
        return
    for name in names:
        if (where := split_path(name, folders)) and not any(map(is_hidden, name.split("/"))):
            above, folder = where
            inner = name.removeprefix(f"{above}/") if above else name
            members.setdefault(folder, []).append(Member(inner, path, name, zipped=True))
    for folder, listed in members.items():
        add_held(found, folder, Held(path, True, sorted(listed)))


def zipped_rest(path: Place, folders: Collection[str], known: Known) -> Iterator[tuple[str, str]]:
    """Every other file of a zip, as `Tree.rest` tells them."""
    for name in zip_entries(path):
        if not any(map(is_hidden, name.split("/"))) and not is_told(name, folders, known):
            yield path.name, name
