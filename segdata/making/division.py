"""Which frames stand in which split, where lists say so and not the publisher: `segdata prepare --split-list`.

The frames come from all official splits of the source; what no list names is left out. A set is known by the keys of
its lists, whatever the files are called and however they are ordered.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from segdata.errors import OptionError, SourceError
from segdata.making.splitlist import SplitList, key_of, parse_list, read_list, shortened
from segdata.raw.scene import Folder, Listing, Scene
from segdata.raw.tree import Tree
from segdata.sources.source import Source

SPLITS = ("train", "val", "test")


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
        what = (
            "1 frame stands in no split list and is" if count == 1 else f"{count} frames stand in no split list and are"
        )
        return f"{what} left out ({_counted(self.left_out)})" if count else ""

    def card(self) -> str:
        """A paragraph of the dataset card."""
        rows = "".join(
            f"| {each.split} | {_counted(self.taken[each.split])} | `{each.digest}` |\n" for each in self.division.lists
        )
        of = f" (division `{self.division.name}`, which ships with segdata)" if self.division.name else ""
        left = f" {note[0].upper()}{note[1:]}." if (note := self.note()) else ""
        return (
            f"These splits are not the official ones. They were made from lists of frames{of}: do not compare scores "
            f"on them with scores on official splits.{left}\n\n"
            f"| split | frames listed, by official split | SHA-256 of the sorted keys |\n|---|---|---|\n{rows}"
        )


def _counted(frames: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {count}" for split, count in frames.items() if count)


# ---- the lists ----------------------------------------------------------------------------------------------


def read_division(source: Source, given: Sequence[str]) -> Division | None:
    """The division that the option's values ask for: SPLIT=FILE each, or the name of one that ships; None of none.

    Raises OptionError for a value that is neither, and SourceError for lists that are none, or that share a frame.
    """
    if isinstance(given, str):
        raise OptionError(f"--split-list {given!r}: expected a list of values.")
    if not given:
        return None
    if len(given) == 1 and given[0] in source.divisions:
        lists = _shipped(source, given[0])
    else:
        paths = _paths(source, given)
        lists = [parse_list(split, path, read_list(path), source.folders) for split, path in paths.items()]
    first: dict[str, SplitList] = {}
    for each in lists:
        for key in each.lines:
            if (other := first.setdefault(key, each)) is not each:
                raise SourceError(
                    f"{each.line(key)}: {shortened(key)} also stands in {other.line(key)}. A frame belongs to one "
                    "split: take it out of one of the lists."
                )
    return Division(tuple(lists), _name(source, lists))


def _paths(source: Source, given: Sequence[str]) -> dict[str, str]:
    """split -> file, in the order of the splits. Raises OptionError."""
    names = tuple(dict.fromkeys((*source.splits, *SPLITS)))
    paths: dict[str, str] = {}
    for value in given:
        split, _, path = value.partition("=")
        if value in source.divisions:
            raise OptionError(f"--split-list {value} has the lists of all its splits: give it alone, and once.")
        if not path:
            known = ", ".join(source.divisions)
            or_name = f", or a division of {source.name} that ships with segdata: {known}" if known else ""
            raise OptionError(f"--split-list {value!r}: expected SPLIT=FILE, such as train=train.txt{or_name}.")
        if split not in names:
            raise OptionError(f"--split-list {value!r}: no split {split!r}; expected one of {', '.join(names)}.")
        if split in paths:
            raise OptionError(f"--split-list {value!r}: {split} has a list already. Write its frames into one file.")
        paths[split] = path
    return {split: paths[split] for split in names if split in paths}


def _shipped(source: Source, name: str) -> list[SplitList]:
    texts = source.divisions[name].lists
    return [parse_list(split, file, text, source.folders) for split, (file, text) in texts.items()]


def _name(source: Source, lists: Sequence[SplitList]) -> str:
    """The division that ships and has these lists, "" where there is none: the same frames are the same set."""
    digests = {each.split: each.digest for each in lists}
    for name in source.divisions:
        if digests == {each.split: each.digest for each in _shipped(source, name)}:
            return name
    return ""


# ---- the frames ---------------------------------------------------------------------------------------------


def divide(division: Division, source: Source, tree: Tree, listings: Mapping[str, Listing]) -> Divided:
    """The frames of every list, from the official splits that are there (`listings`).

    Raises SourceError for a listed frame that is not there, or that has no label where it needs one.
    """
    lists = {key: each for each in division.lists for key in each.lines}
    chosen: dict[str, list[Scene]] = {each.split: [] for each in division.lists}
    for listing in listings.values():
        for scene in listing.scenes:
            if each := lists.get(scene.key):
                chosen[each.split].append(scene)
    told = {key: split for split, listing in listings.items() for key in _told(source.folders, listing) if key in lists}
    if any(listing.scenes for listing in listings.values()):  # else the survey says what is missing
        there = {scene.key for scenes in chosen.values() for scene in scenes}
        _check_there([key for key in lists if key not in there and key not in told], lists, tree, listings)
    for each in division.lists:
        _check_labelled(each, chosen[each.split], source)
    taken = {split: Counter(scene.split for scene in scenes) for split, scenes in chosen.items()}
    drawn = {*told.values(), *(official for counts in taken.values() for official in counts)}
    left = {each: len(listings[each].scenes) - sum(counts[each] for counts in taken.values()) for each in listings}
    return Divided(
        division,
        {
            split: tuple(sorted((replace(scene, split=split) for scene in scenes), key=lambda scene: scene.key))
            for split, scenes in chosen.items()
        },
        frozenset(drawn or listings),
        taken,
        {official: count for official, count in left.items() if count},
    )


def _told(folders: Sequence[Folder], listing: Listing) -> Iterator[str]:
    """The keys of files of which a finding says why they are no frames."""
    keys = ((key_of(finding.where, folders), finding.where) for finding in listing.findings)
    return (key for key, path in keys if key != path)


def _check_there(
    missing: Sequence[str], lists: Mapping[str, SplitList], tree: Tree, listings: Mapping[str, Listing]
) -> None:
    """Raise SourceError where a frame is missing, with what hides other frames."""
    if not missing:
        return
    key, more = missing[0], f" (nor {len(missing) - 1} more of the listed frames)" if len(missing) > 1 else ""
    example = next(scene.key for listing in listings.values() for scene in listing.scenes)
    hidden = [f"Nothing was found of {listing.absent.where}" for listing in listings.values() if listing.absent]
    hidden += [f"{fault.where} is {fault.found.rstrip('.')}" for _, fault in tree.faults[:1]]
    raise SourceError(
        f"{lists[key].line(key)}: there is no frame {shortened(key)} in {tree.root}{more}. A line names one frame of "
        f"the dataset, such as {example}.{''.join(f' {each}.' for each in hidden)}"
    )


def _check_labelled(each: SplitList, scenes: Sequence[Scene], source: Source) -> None:
    """Frames without labels are no frames to train on, nor to score: they form a split of their own, or none."""
    bare = [scene for scene in scenes if not (scene.labels or scene.colors)]
    if not bare or (each.split in source.unlabelled_splits and len(bare) == len(scenes)):
        return
    key, homes = bare[0].key, " or ".join(sorted(source.unlabelled_splits))
    more = f" (as do {len(bare) - 1} more)" if len(bare) > 1 else ""
    raise SourceError(
        f"{each.line(key)}: {key} has no label{more}, for the official split {bare[0].split} has none. Take it out: "
        f"such frames can only stand in a list of {homes}, and only among themselves."
    )
