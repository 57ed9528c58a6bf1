"""A dataset's files, read alike from folders, stores and the archives people download.

A root may be an unpacked tree, a folder that holds the archives, a folder with one level more
(`gtFine_trainvaltest/gtFine/...`), or one archive, in which more levels may stand above. Nothing is unpacked. Every
file below it is either among the contents of the folders that are asked for, or among the unused files.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from segdata.errors import SourceError
from segdata.findings import Finding
from segdata.raw.archives.archive import archive_names
from segdata.raw.archives.kinds import is_archive
from segdata.raw.member import Member
from segdata.raw.storages.opening import storage_at
from segdata.raw.storages.storage import LEVELS, Storage, is_hidden, split_path
from segdata.stores.url import Place

DEEPEST = 4  # folders above those of the dataset in an archive
Fits = Callable[[str], bool]  # whether a file at this path, from the dataset's top folder on, is used
Known = Callable[[str], bool]  # whether a path from the dataset's top folder on ("disparity/" for a folder) is known


@dataclass(frozen=True)
class Contents:
    """The files of one folder of the dataset at one place, sorted by path."""

    place: Place  # the folder itself, or the archive
    zipped: bool
    members: list[Member]


@dataclass(frozen=True)
class Tree:
    """The files under one root, found by the path that the dataset gives them.

    `faults` are the links to folders that were not followed, each with the path that the dataset gives to what is
    missed; `refused` the archives that cannot be read, and why; `above` how many folders stand above those of the
    dataset's own folder that are used, by place. All are complete after `contents`; the links that led out of the root,
    and the leftovers, after `unused`.
    """

    storage: Storage
    refused: dict[str, SourceError] = field(default_factory=dict, compare=False)
    above: dict[Place, int] = field(default_factory=dict, compare=False)

    @property
    def root(self) -> Place:
        return self.storage.place

    @property
    def faults(self) -> list[tuple[str, Finding]]:
        return self.storage.faults

    def contents(self, folders: Sequence[str], fits: Fits = lambda path: False) -> dict[str, list[Contents]]:
        """For each folder ("leftImg8bit/train") every place that has files of it: unpacked ones before archives.

        Of the folder "", which is the dataset's own, `fits` says which files are used: these tell how many folders
        stand above it.
        """
        found: dict[str, list[Contents]] = {}
        for above, folder, files in self.storage.files(folders):
            base = self.root / above if above else self.root
            members = [Member(path, base, path, fault=fault) for path, fault in files]
            if members:
                if not folder:
                    members = self._lifted(self.root, members, LEVELS, fits)
                members.sort(key=attrgetter("path"))
                found.setdefault(folder, []).append(Contents(base / folder, False, members))
        for place in self.storage.archives():
            try:
                names = self._visible(archive_names(place), count=True)
            except SourceError as error:
                self.refused[place.name] = error
                continue
            for folder, members in _archived(place, names, folders).items():
                used = members if folder else self._lifted(place, members, DEEPEST, fits)
                found.setdefault(folder, []).append(Contents(place, True, sorted(used)))
        return found

    def unused(
        self, folders: Collection[str], known: Known, fits: Fits = lambda path: False
    ) -> Iterator[tuple[str, str]]:
        """(first name below the root, path below that) of every other file, but for known and hidden ones.

        Asked for after `contents`, with all folders of the dataset; `fits` says which files of its own folder are used.
        The path is "" of a file at the root itself.
        """

        def expected(path: str, place: Place, levels: int = LEVELS) -> bool:
            """Whether it is in a folder of the dataset, or known: at the top, or at most so many levels down."""
            parts = path.split("/")
            at = {self.above[place]} if place in self.above else range(levels + 1)  # where `contents` took its files
            return (
                bool(split_path(path, folders, levels))
                or any(known("/".join(parts[skip:])) for skip in range(min(levels + 1, len(parts))))
                or any(fits("/".join(parts[skip:])) for skip in at)
            )

        archives = {place.name: place for place in self.storage.archives()}
        for path in self.storage.others(lambda path: path in archives or expected(path, self.root)):
            top, _, below = path.partition("/")
            yield (top, below) if below else (path, "")
        for name, place in archives.items():
            if name not in self.refused:
                names = self._visible(archive_names(place))
                levels = _levels(names, folders)
                yield from ((name, path) for path in names if not expected(path, place, levels))

    def notes(self) -> list[str]:
        """What is out of the ordinary and no fault, in words: files outside the root, and leftovers."""
        found = []
        if self.storage.outside:
            link, target = next(iter(self.storage.outside.items()))
            count = len(self.storage.outside)
            links = f"{count} links of {self.root} were" if count > 1 else f"a link of {self.root} was"
            found.append(f"{links} followed to files outside it ({link} to {target}{', …' * (count > 1)})")
        return [*found, str(self.storage.leftovers)] if self.storage.leftovers else found

    def misplaced(self, folders: Collection[str]) -> str:
        """What to do where none of the folders is where it is looked for, but something lies deeper; "" otherwise."""
        if where := self.storage.deeper(folders):
            return f"point --root at {where}"
        for place in self.storage.archives():
            names = self._visible(archive_names(place)) if place.name not in self.refused else []
            if inner := next(filter(is_archive, names), ""):
                return f"unpack {place}: it holds another archive ({inner}), which is then read as it is"
        return ""

    def _lifted(self, place: Place, members: list[Member], levels: int, fits: Fits) -> list[Member]:
        """The files of the dataset's own folder, by their paths below the folders that stand above those that are
        used."""
        for skip in range(levels + 1):
            lifted = [(member, member.path.split("/", skip)) for member in members]
            below = [(member, parts[skip]) for member, parts in lifted if len(parts) > skip]
            if above := list(dict.fromkeys(_above(member.path, skip) for member, path in below if fits(path))):
                if len(above) > 1:
                    raise SourceError(
                        f"{place}: files of the dataset lie below {above[0]} and below {above[1]}: which of them "
                        "is meant cannot be known. Point --root at the one that is meant, or say with a field or **/ "
                        "in the templates that both are."
                    )
                self.above[place] = skip
                return [replace(member, path=path) for member, path in below]
        return members

    def _visible(self, names: Iterable[str], *, count: bool = False) -> list[str]:
        """The files of an archive that may be a dataset's; with `count` the others are counted."""
        found = []
        for name in names:
            if not any(map(is_hidden, name.split("/"))):
                found.append(name)
            elif count and not self.storage.leftovers.take(name):
                self.storage.leftovers.count("", name.rpartition("/")[2])
        return found


def _above(path: str, skip: int) -> str:
    return "/".join(path.split("/")[:skip])


def open_tree(root: Place) -> Tree:
    """The files at a path, or in a store."""
    return Tree(storage_at(root))


def _archived(place: Place, names: Sequence[str], folders: Sequence[str]) -> dict[str, list[Member]]:
    """The files of an archive by folder."""
    found: dict[str, list[Member]] = {}
    levels = _levels(names, folders)
    for name in names:
        for _, folder, path in split_path(name, folders, levels):
            found.setdefault(folder, []).append(Member(path, place, name, zipped=True))
    return found


def _levels(names: Sequence[str], folders: Collection[str]) -> int:
    """How many folders may stand above those of the dataset in an archive: as many as do, where none is higher up.

    Nobody can point --root into an archive, as into a folder, and GitHub's has the repository's name on top.
    """
    for levels in range(LEVELS, DEEPEST + 1):
        if any(split_path(name, folders, levels) for name in names):
            return levels
    return LEVELS
