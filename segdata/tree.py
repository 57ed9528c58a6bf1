"""A dataset's files, read alike from folders and from the zips people download.

A root may be an unpacked tree, a folder that holds the zips, a folder with one level more
(`gtFine_trainvaltest/gtFine/...`), or one zip. Nothing is unpacked.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from segdata.errors import AbsentError, LinkError, RangeError, SourceError, TooLargeError
from segdata.files import parsing, read_file
from segdata.findings import Finding
from segdata.stores import local_store
from segdata.url import Place, Url
from segdata.zips import MAX_MEMBER_BYTES, read_zipped, zip_entries


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


class Tree(Protocol):
    """The files under one root, found by the path that the dataset gives them.

    `faults` gathers, while folders are listed, the links to folders that were not followed.
    """

    @property
    def root(self) -> Place: ...
    @property
    def faults(self) -> list[Finding]: ...

    def files(self, folder: str) -> list[Member]:
        """All files under `folder` ("leftImg8bit/train"), sorted by path; empty when there is none.

        An unpacked folder wins over a zip that holds the same one. Several zips may each hold a part.
        """
        ...

    def has(self, folder: str) -> bool:
        """Whether the folder is there, in the tree or in a zip."""
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
    faults: list[Finding] = field(default_factory=list, compare=False)

    def files(self, folder: str) -> list[Member]:
        for base in self._bases():
            if (base / folder).is_dir():
                return sorted(_walk(base, folder, self.root.resolve(), self.faults), key=lambda member: member.path)
        return sorted(member for zip_path in self._zips() for member in zip_members(zip_path, folder))

    def has(self, folder: str) -> bool:
        return any((base / folder).is_dir() for base in self._bases()) or any(
            any(True for _ in zip_members(zip_path, folder)) for zip_path in self._zips()
        )

    def found(self) -> str:
        if not self.root.exists():
            return "no such folder"
        if not self.root.is_dir():
            return f"a file: {self.root.name}"
        return some(entry.name for entry in self.root.iterdir())

    def _bases(self) -> list[Path]:
        """The root, and each folder in it: the extra `*_trainvaltest/` or `tas500v1.1/` level."""
        if not self.root.is_dir():
            return []
        return [self.root, *sorted(entry for entry in self.root.iterdir() if entry.is_dir())]

    def _zips(self) -> list[Path]:
        if self.root.is_dir():
            return sorted(path for path in self.root.glob("*.zip") if path.is_file())
        return [self.root] if self.root.suffix == ".zip" and self.root.is_file() else []


def _walk(base: Path, folder: str, home: Path, faults: list[Finding]) -> Iterator[Member]:
    """Every file under base/folder. A symlink may point anywhere inside the root, but neither out nor back."""
    entered = [(base / folder).resolve()]  # and the targets of links to folders
    pending = [folder]
    if fault := _outside(entered[0], home):
        faults.append(Finding("bad-link", folder, fault))
        return
    while pending:
        listed = pending.pop()
        for entry in sorted(os.scandir(base / listed), key=lambda entry: entry.name):
            inner = f"{listed}/{entry.name}"
            fault = _link_fault(base / inner, home, entered) if entry.is_symlink() else ""
            if fault and not Path(inner).suffix:  # a folder's name: files that it may hold go missing with it
                faults.append(Finding("bad-link", inner, fault))
            elif fault or not entry.is_dir():
                yield Member(inner, base, inner, fault=fault)
            else:
                pending.append(inner)


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
    return f"a symlink out of the dataset's root, to {real}. Point --root at the folder that really holds the files."


def some(names: Iterable[str]) -> str:
    """The first few of a folder's names."""
    listed = sorted(names)
    return ", ".join(listed[:8]) + (", …" if len(listed) > 8 else "") or "an empty folder"


def zip_members(path: Place, folder: str) -> Iterator[Member]:
    """The members under `folder`, which stands at the zip's top or one level below it."""
    wanted = PurePosixPath(folder).parts
    for name in zip_entries(path):
        parts = PurePosixPath(name).parts
        for skip in (0, 1):
            if parts[skip : skip + len(wanted)] == wanted and len(parts) > skip + len(wanted):
                yield Member("/".join(parts[skip:]), path, name, zipped=True)
                break
