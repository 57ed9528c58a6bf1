"""Which files of a folder are used, from where, and what becomes of all others.

A file that lies twice, in two folders or zips, is used only where it does not matter which of them is meant.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import PurePosixPath

from segdata.errors import SourceError
from segdata.findings import Finding
from segdata.raw.member import Member, Twin
from segdata.raw.scene import NEVER, Folder
from segdata.raw.tree import Contents
from segdata.stores.url import Place

DOCUMENT = re.compile(  # what may lie beside pictures anywhere
    r"(readme|licen[cs]e|copying|citation|terms|changelog|notice|version)([\w-]*\.(txt|md|rst|pdf|html?|docx?))?|"
    r".+\.(txt|md|rst|pdf|html?|bib|csv|ya?ml|md5|sha\d+)|(md5|sha\d+)sums?",
    re.IGNORECASE,
)
SUFFIX = re.compile(r"\.\w{1,8}")
NOUNS = {"image": "images", "labels": "labels", "colors": "colour-coded labels"}


@dataclass(frozen=True)
class Used:
    """What is used of a folder: (key, member) in the order of paths, the places where they lie, findings of others."""

    folder: Folder
    keyed: Sequence[tuple[str, Member]]
    places: tuple[Place, ...]
    findings: tuple[Finding, ...]
    beside: Mapping[str, int] = field(default_factory=dict)  # kind -> files of the release that are not used

    def __str__(self) -> str:
        places = " and ".join(map(str, self.places))
        return f"{len(self.keyed)} {NOUNS[self.folder.role]}" + f" in {places}" * bool(places)


@dataclass
class Shelf:
    """What lies in the folders of a dataset, and who uses it: of all `folders`, `wanted` will be asked for.

    The contents of a folder are given away with the last request for them: of a million files, memory counts.
    """

    contents: dict[str, list[Contents]]
    wanted: Sequence[Folder]
    folders: Sequence[Folder]
    others: re.Pattern[str] = NEVER  # what begins the paths of files that lie there too and are not used

    def __post_init__(self) -> None:
        self._left = Counter(folder.path for folder in self.wanted)

    def take(self, folder: Folder) -> list[Contents]:
        self._left[folder.path] -= 1
        return self.contents.get(folder.path, []) if self._left[folder.path] else self.contents.pop(folder.path, [])

    def rivals(self, folder: Folder) -> tuple[Folder, ...]:
        """Those that may use files of the same folder too."""
        return tuple(each for each in self.folders if each is not folder and _overlap(each.path, folder.path))


def use(folder: Folder, contents: Sequence[Contents], rivals: Sequence[Folder], others: re.Pattern[str]) -> Used:
    unpacked, zipped = _chosen(folder, contents)
    keyed, strays, beside = list[tuple[str, Member]](), dict[str, list[str]](), Counter[str]()
    findings = []
    for member in chain(unpacked, zipped):
        name = member.path.rpartition("/")[2]
        key = folder.key(member.path)
        users = [rival for rival in rivals if rival.key(member.path) is not None]
        if key is not None and (same := [each for each in users if each.template.letters == folder.template.letters]):
            found = f"matches {folder.template.text} ({_role(folder)}) and {same[0].template.text} ({_role(same[0])})"
            findings.append(Finding("ambiguous-file", member.path, found))
        elif key is not None and all(each.template.letters < folder.template.letters for each in users):
            keyed.append((key, member))
        elif users:
            continue  # another folder's, whose template says more of its name
        elif match := folder.beside.fullmatch(name):
            beside.update([match["its_ending"]])
        elif (
            not DOCUMENT.fullmatch(name) and not others.match(member.path) and folder.path
        ):  # the dataset's own folder may hold anything
            strays.setdefault(suffix_of(name), []).append(member.path)
    used = {member.container for _, member in keyed}
    places = [each.place for each in contents if any(member.container in used for member in each.members)]
    for suffix, paths in sorted(strays.items()):
        where, found = paths[0], f"not {folder.rule}"
        if len(paths) > 1:
            where = folder.path
            found = f"{len(paths)} files {suffix or 'without a suffix'} (such as {paths[0]}), {found}"
        findings.append(Finding("unexpected-name", where, found))
    return Used(folder, keyed, tuple(places), tuple(findings), beside)


def _chosen(folder: Folder, contents: Sequence[Contents]) -> tuple[list[Member], list[Member]]:
    """The members that count, unpacked and zipped ones; what lies unpacked and in zips is read unpacked."""
    unpacked, zips = ([each for each in contents if each.zipped is zipped] for zipped in (False, True))
    if len(unpacked) > 1:
        raise _ambiguous(folder.path, str(unpacked[0].place), str(unpacked[1].place))
    packed: dict[str, Member] = {}
    others: list[Member] = []
    for member in (member for each in zips for member in each.members):
        if not _is_used(folder, member):
            others.append(member)
        elif (other := packed.setdefault(member.path, member)) is not member:
            raise _ambiguous(member.path, other.where, member.where)
    members = unpacked[0].members if unpacked else []
    both = {member.path for member in members if packed and _is_used(folder, member)}
    if not both:
        return members, sorted([*packed.values(), *others])
    if differing := sorted(both ^ packed.keys()):
        few = f"{len(both - packed.keys())} files only in the first and {len(packed.keys() - both)} only in the other"
        there = next(each.place for each in zips if any(_is_used(folder, member) for member in each.members))
        raise _ambiguous(folder.path, str(unpacked[0].place), str(there), f", {few} ({differing[0]})")
    members = [
        Twin(one.path, one.container, one.inner, fault=one.fault, packed=packed[one.path]) if one.path in both else one
        for one in members
    ]
    return members, others


def _is_used(folder: Folder, member: Member) -> bool:
    return folder.key(member.path) is not None


def _role(folder: Folder) -> str:
    return f"{NOUNS[folder.role]} of {folder.pool}"


def _overlap(one: str, other: str) -> bool:
    """Whether a file can be in both folders."""
    return one == other or not one or not other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _ambiguous(what: str, first: str, second: str, more: str = "") -> SourceError:
    return SourceError(
        f"{what} lies in {first} and in {second}{more}: which of them is meant cannot be known. "
        "Move one of them away, or point --root at the one that is meant."
    )


def suffix_of(name: str) -> str:
    """By which files of one sort are told together: ".PNG"; "" where there is none."""
    suffix = PurePosixPath(name).suffix
    return suffix if SUFFIX.fullmatch(suffix) else ""
