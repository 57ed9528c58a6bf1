"""A dataset's files, read alike from folders and from the zips people download.

A root may be an unpacked tree, a folder that holds the zips, a folder with one level more
(`gtFine_trainvaltest/gtFine/...`), or one zip. Nothing is unpacked. Every file below it is either held by one of the
folders that are asked for, or told by `rest`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from segdata.errors import SourceError
from segdata.findings import Finding
from segdata.raw.member import Member
from segdata.raw.zips import zip_entries
from segdata.stores.url import Place

LITTER = frozenset(  # that systems and programs leave beside files; hidden names besides
    {"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
)


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
