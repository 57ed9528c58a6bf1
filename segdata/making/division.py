"""Which frames stand in which split, where lists say so and not the publisher: `segdata prepare --split-list`.

A list is a text file with one frame a line. The frames come from all official splits of the source; what no list names
is left out. A set is known by the keys of its lists, whatever the files are called and however they are ordered.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from segdata.base.canonical import digest_bytes
from segdata.base.files import read_file
from segdata.errors import OptionError, SourceError
from segdata.raw.scene import Folder, Listing, Scene, SceneSource
from segdata.sources.divisions import DIVISIONS, SPLITS, shipped_lists
from segdata.stores.url import Place

COMMENT = re.compile(r"(^|\s)#.*")
LONGEST = 80  # characters of a line that a message shows


@dataclass(frozen=True)
class SplitList:
    """The frames of one split: key -> the number of its line in the file `name`."""

    split: str
    name: str
    lines: Mapping[str, int]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the sorted keys, a line each: what `LC_ALL=C sort FILE | sha256sum` prints of a list of keys."""
        return digest_bytes("".join(f"{key}\n" for key in sorted(self.lines)).encode())

    def line(self, key: str) -> str:
        """Where the key stands, for a message."""
        return f"{self.name} line {self.lines[key]}"


@dataclass(frozen=True)
class Division:
    """The lists of all splits, in the order of the splits; `name` is that of a division that ships, or ""."""

    lists: tuple[SplitList, ...]
    name: str = ""

    @property
    def options(self) -> list[str]:
        """What goes into a set's options, and so into its identity: a split and the digest of its list each."""
        return [f"{each.split} {each.digest[:16]}" for each in self.lists]


@dataclass(frozen=True)
class Divided:
    """What a division makes of a source: the scenes of each split, and from which official splits they come."""

    division: Division
    scenes: Mapping[str, tuple[Scene, ...]]
    drawn: frozenset[str]  # official splits in which listed frames lie
    taken: Mapping[str, Mapping[str, int]]  # split -> official split -> frames
    left_out: Mapping[str, int]  # official split -> frames that no list names

    def document(self) -> dict[str, Any]:
        """What dataset.json says of it."""
        splits = {
            each.split: {"sha256": each.digest, "official": dict(self.taken[each.split])}
            for each in self.division.lists
        }
        return {"division": self.division.name, "splits": splits, "left_out": dict(self.left_out)}

    def origins(self) -> dict[str, str]:
        """split -> how many frames of it came from which official split, in words."""
        return {
            each.split: f"{len(self.scenes[each.split])} frames of {each.name}, from the official "
            f"{_counted(self.taken[each.split])}"
            for each in self.division.lists
        }

    def note(self) -> str:
        """How many frames no list names, "" where there are none."""
        count = sum(self.left_out.values())
        return f"{count} frames stand in no split list and are left out ({_counted(self.left_out)})" if count else ""

    def card(self) -> str:
        """A paragraph of the dataset card."""
        rows = "".join(
            f"| {each.split} | {_counted(self.taken[each.split])} | `{each.digest}` |\n" for each in self.division.lists
        )
        of = f" (division `{self.division.name}`, which ships with segdata)" if self.division.name else ""
        left = f" {note[0].upper()}{note[1:]}." if (note := self.note()) else ""
        return (
            f"These splits are not the official ones. They were made from lists of frames{of}: do not compare scores on "
            f"them with scores on official splits.{left}\n\n"
            f"| split | frames listed, by official split | SHA-256 of the sorted keys |\n|---|---|---|\n{rows}"
        )


def _counted(frames: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {count}" for split, count in frames.items() if count)


# ---- the lists ----------------------------------------------------------------------------------------------


def read_division(source: SceneSource, given: Sequence[str]) -> Division | None:
    """The division that the option's values ask for: SPLIT=FILE each, or the name of one that ships; None of none.

    Raises OptionError for a value that is neither, and SourceError for a file that is no list.
    """
    if isinstance(given, str):
        raise OptionError(f"--split-list {given!r}: expected a list of values.")
    if not given:
        return None
    texts = dict(_texts(source, given))
    order = dict.fromkeys((*source.splits, *SPLITS))
    lists = [_parsed(source, split, *texts[split]) for split in order if split in texts]
    first: dict[str, SplitList] = {}
    for each in lists:
        for key in each.lines:
            if (other := first.setdefault(key, each)) is not each:
                raise SourceError(
                    f"{each.line(key)}: {key} also stands in {other.line(key)}. A frame belongs to one split: take it "
                    "out of one of the lists."
                )
    return Division(tuple(lists), _name(source, lists))


def _texts(source: SceneSource, given: Sequence[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """(split, (name of its list, text)) of each list."""
    expected = f"expected SPLIT=FILE, such as train=train.txt{_shipped(source)}"
    names = tuple(dict.fromkeys((*source.splits, *SPLITS)))
    seen = set[str]()
    for value in given:
        split, sign, path = value.partition("=")
        if not sign and split in DIVISIONS.get(source.name, {}):
            if len(given) > 1:
                raise OptionError(f"--split-list {split} has the lists of all its splits: give it alone.")
            yield from shipped_lists(source.name, split).items()
            continue
        if not sign or not path:
            raise OptionError(f"--split-list {value!r}: {expected}.")
        if split not in names:
            raise OptionError(
                f"--split-list {value!r}: {source.name} has no split {split!r}; it has {', '.join(names)}."
            )
        if split in seen:
            raise OptionError(
                f"--split-list {value!r}: {split} has a list already. Write all its frames into one file."
            )
        seen.add(split)
        yield split, (path, _read(Path(path)))


def _shipped(source: SceneSource) -> str:
    names = ", ".join(DIVISIONS.get(source.name, {}))
    return f", or a division of {source.name} that ships with segdata ({names})" if names else ""


def _read(path: Path) -> str:
    try:
        return read_file(path, error=SourceError).decode("utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"--split-list: no {path}. Name a text file with one frame a line.") from None
    except UnicodeDecodeError:
        raise SourceError(f"--split-list: {path} is no text file. Name one with one frame a line.") from None


def _parsed(source: SceneSource, split: str, name: str, text: str) -> SplitList:
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not (words := COMMENT.sub("", line).split()):
            continue
        keys = {_key(source.folders, word) for word in words}
        key = keys.pop() if len(keys) == 1 else " ".join(words)  # no frame's, and told as such
        if (first := lines.setdefault(key, number)) != number:
            raise SourceError(f"{name} line {number}: {_short(key)} stands in line {first} too. Take one of them out.")
    if not lines:
        raise SourceError(f"{name}: no frame in it, expected one a line. Leave the list out, or name its frames.")
    return SplitList(split, name, lines)


def _key(folders: Sequence[Folder], word: str) -> str:
    """The key of a frame that is named by it, or by the name or path of its image or label file."""
    name = word.rpartition("/")[2]
    return next((match[1] for folder in folders if (match := folder.name.fullmatch(name))), word)


def _name(source: SceneSource, lists: Sequence[SplitList]) -> str:
    """The division that ships and has these lists, "" where there is none: the same frames are the same set."""
    found = {each.split: each.digest for each in lists}
    for name in DIVISIONS.get(source.name, {}):
        due = {split: _parsed(source, split, *list_) for split, list_ in shipped_lists(source.name, name).items()}
        if found == {split: each.digest for split, each in due.items()}:
            return name
    return ""


def _short(text: str) -> str:
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


# ---- the frames ---------------------------------------------------------------------------------------------


def divide(division: Division, source: SceneSource, root: Place, listings: Mapping[str, Listing]) -> Divided:
    """The frames of every list, from the official splits that are there (`listings`).

    Raises SourceError for a listed frame that is not there, or that has no label where it needs one.
    """
    lists = {key: each for each in division.lists for key in each.lines}
    told = {key: split for split, listing in listings.items() for key in _told(source.folders, listing)}
    found: dict[str, list[Scene]] = {each.split: [] for each in division.lists}
    taken: dict[str, Counter[str]] = {each.split: Counter() for each in division.lists}
    left_out = Counter[str]()
    for split, listing in listings.items():
        for scene in listing.scenes:
            if each := lists.get(scene.key):
                found[each.split].append(scene)
                taken[each.split][split] += 1
            else:
                left_out[split] += 1
    there = {scene.key for scenes in found.values() for scene in scenes}
    if any(listing.scenes for listing in listings.values()):  # else the survey says what is missing
        _check_there(lists, there | told.keys(), source, root, listings)
    for each in division.lists:
        _check_labelled(each, found[each.split], source)
    drawn = {split for counts in taken.values() for split in counts} | {told[key] for key in told.keys() & lists.keys()}
    scenes = {
        split: tuple(replace(scene, split=split) for scene in sorted(scenes, key=lambda scene: scene.key))
        for split, scenes in found.items()
    }
    return Divided(division, scenes, frozenset(drawn or listings), taken, left_out)


def _told(folders: Sequence[Folder], listing: Listing) -> Iterator[str]:
    """The keys of files of which a finding says why they are no frames."""
    for finding in listing.findings:
        if (key := _key(folders, finding.where)) != finding.where:
            yield key


def _check_there(
    lists: Mapping[str, SplitList], known: Set[str], source: SceneSource, root: Place, listings: Mapping[str, Listing]
) -> None:
    missing = [key for key in lists if key not in known]
    if not missing:
        return
    key, more = missing[0], f" ({len(missing) - 1} more listed frames are not either)" * (len(missing) > 1)
    example = next(scene.key for listing in listings.values() for scene in listing.scenes)
    halves = "".join(f" {each.absent.found}" for each in listings.values() if each.absent)
    raise SourceError(
        f"{lists[key].line(key)}: {_short(key)} is no frame of {source.name} in {root}{more}. A line names one frame, "
        f"such as {example}.{halves}"
    )


def _check_labelled(each: SplitList, scenes: Sequence[Scene], source: SceneSource) -> None:
    """Frames without labels are no frames to train on, nor to score: they form a split of their own, or none."""
    bare = [scene for scene in scenes if not (scene.labels or scene.colors)]
    if not bare or (each.split in source.unlabelled_splits and len(bare) == len(scenes)):
        return
    key, split = bare[0].key, bare[0].split
    homes = " or ".join(sorted(source.unlabelled_splits))
    raise SourceError(
        f"{each.line(key)}: {key} is of the official split {split} of {source.name}, which has no labels"
        f"{f' ({len(bare)} of the {len(scenes)} frames are)' if len(bare) > 1 else ''}. Take it out: frames without "
        f"labels can only stand in a list of {homes}, and only among themselves."
    )
