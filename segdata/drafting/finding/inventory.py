"""Every file at a place: a folder with what is below it, and what lies in archives there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segdata.errors import SourceError
from segdata.raw.archives.archive import archive_names
from segdata.raw.archives.kinds import is_archive
from segdata.raw.member import Member
from segdata.raw.storages.storage import is_hidden
from segdata.raw.tree import Tree, open_tree


@dataclass(frozen=True)
class Inventory:
    """The files by path, in order; of a path that lies there twice, the unpacked one.

    refused: archives that cannot be read, and links that lead nowhere, each in one line. notes: what was skipped.
    """

    place: Path
    members: dict[str, Member]
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def take_inventory(place: Path) -> Inventory:
    """Raises SourceError where there is nothing to look at, in one line."""
    if not place.exists():  # nor a URL: a sample of its files would be many requests
        raise SourceError(f"{place}: there is no such folder. Expected a folder, a zip or a tar.")
    if not place.is_dir() and not is_archive(place.name):
        raise SourceError(f"{place}: a single file, expected a folder, a zip or a tar. Give the folder that holds it.")
    tree = open_tree(place)
    unpacked = {member.path: member for member in _unpacked(place, tree)}
    packed, refused = dict[str, Member](), list[str]()
    for archive in tree.storage.archives():
        try:
            names = [name for name in archive_names(archive) if not any(map(is_hidden, name.split("/")))]
        except SourceError as error:
            refused.append(str(error))
            continue
        packed |= {name: Member(name, archive, name, zipped=True) for name in names}
    if refused and not unpacked and not packed:
        raise SourceError(refused[0])
    refused += [f"{member.where}: {member.fault}" for member in unpacked.values() if member.fault]
    refused += [str(finding) for _, finding in tree.faults]
    found = {path: member for path, member in (packed | unpacked).items() if not member.fault}
    return Inventory(place, dict(sorted(found.items())), tuple(refused), tuple(tree.notes()))


def _unpacked(place: Path, tree: Tree) -> Iterator[Member]:
    """Files in folders. Raises SourceError for a folder that cannot be read."""
    if not place.is_dir():
        return
    try:
        entries = [entry for entry in sorted(place.iterdir()) if not is_hidden(entry.name)]
    except OSError as error:
        raise SourceError(
            f"{place}: cannot be read ({error.strerror}). Ask its owner, or name another folder."
        ) from None
    for entry in entries:
        if not entry.is_dir() and not is_archive(entry.name):
            fault = "" if entry.exists() else "a symlink that leads nowhere. Bring that file back, or remove the link."
            yield Member(entry.name, place, entry.name, fault=fault)
    tops = [entry.name for entry in entries if entry.is_dir()]
    for above, _, files in tree.storage.files(tops):
        if not above:
            yield from (Member(path, place, path, fault=fault) for path, fault in files)
