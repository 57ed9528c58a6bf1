"""A dataset's files, read alike from folders, stores and the zips people download.

A root may be an unpacked tree, a folder that holds the zips, a folder with one level more
(`gtFine_trainvaltest/gtFine/...`), or one zip. Nothing is unpacked. Every file below it is either among the contents of
the folders that are asked for, or among the unused files.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from segdata.errors import SourceError
from segdata.findings import Finding
from segdata.raw.member import Member
from segdata.raw.storage import Storage, is_hidden, split_path, storage_at
from segdata.raw.zips import zip_entries
from segdata.stores.url import Place

Known = Callable[[str], bool]  # whether a path from the dataset's top folder on ("disparity/" for a folder) is known


@dataclass(frozen=True)
class Contents:
    """The files of one folder of the dataset at one place, sorted by path."""

    place: Place  # the folder itself, or the zip
    zipped: bool
    members: list[Member]


@dataclass(frozen=True)
class Tree:
    """The files under one root, found by the path that the dataset gives them.

    `faults` are the links to folders that were not followed, each with the path that the dataset gives to what is
    missed; `refused` the zips that cannot be read, and why. Both are complete after `contents`.
    """

    storage: Storage
    refused: dict[str, SourceError] = field(default_factory=dict, compare=False)

    @property
    def root(self) -> Place:
        return self.storage.place

    @property
    def faults(self) -> list[tuple[str, Finding]]:
        return self.storage.faults

    def contents(self, folders: Sequence[str]) -> dict[str, list[Contents]]:
        """For each folder ("leftImg8bit/train") every place that has files of it: unpacked ones first, then zips."""
        found: dict[str, list[Contents]] = {}
        for above, folder, files in self.storage.files(folders):
            base = self.root / above if above else self.root
            members = [Member(path, base, path, fault=fault) for path, fault in files]
            if members:
                members.sort(key=attrgetter("path"))
                found.setdefault(folder, []).append(Contents(base / folder, False, members))
        for zipped in self.storage.zips():
            try:
                names = zip_entries(zipped)
            except SourceError as error:
                self.refused[zipped.name] = error
                continue
            for folder, members in _zipped(zipped, names, folders).items():
                found.setdefault(folder, []).append(Contents(zipped, True, members))
        return found

    def unused(self, folders: Collection[str], known: Known) -> Iterator[tuple[str, str]]:
        """(first name below the root, path below that) of every other file, but for known and hidden ones.

        Asked for after `contents`, with all folders of the dataset. The path is "" of a file at the root itself.
        """

        def expected(path: str) -> bool:
            """Whether it is in a folder of the dataset, or known: at the top, or one level down."""
            return split_path(path, folders) is not None or known(path) or known(path.partition("/")[2])

        zips = {zipped.name: zipped for zipped in self.storage.zips()}
        for path in self.storage.others(lambda path: path in zips or expected(path)):
            top, _, below = path.partition("/")
            yield (top, below) if below else (path, "")
        for name, zipped in zips.items():
            if name not in self.refused:
                yield from ((name, path) for path in _visible(zip_entries(zipped)) if not expected(path))


def open_tree(root: Place) -> Tree:
    """The files at a path, or in a store."""
    return Tree(storage_at(root))


def _zipped(place: Place, names: Iterable[str], folders: Sequence[str]) -> dict[str, list[Member]]:
    """The files of a zip by folder; these stand at its top, or one level below it."""
    found: dict[str, list[Member]] = {}
    for name in _visible(names):
        if where := split_path(name, folders):
            _, folder, path = where
            found.setdefault(folder, []).append(Member(path, place, name, zipped=True))
    return {folder: sorted(members) for folder, members in found.items()}


def _visible(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if not any(map(is_hidden, name.split("/"))))
