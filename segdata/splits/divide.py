"""The frames of every split of a division, out of the official splits: those of lists first, the others by shares."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from segdata.errors import SourceError
from segdata.findings import WARNING, FindingsError
from segdata.raw.scene import Listing, Scene
from segdata.raw.tree import Tree
from segdata.sources.source import Source
from segdata.splits.divided import Divided, Shared
from segdata.splits.division import Division, split_names
from segdata.splits.shares import LEFT_OUT, Shares, share_out
from segdata.splits.splitlist import SplitList
from segdata.splits.unknown import no_frame, told, unknown_frames

Chosen = dict[str, list[Scene]]  # by split


def divide(division: Division, source: Source, tree: Tree, listings: Mapping[str, Listing]) -> Divided:
    """The frames of every split, from the official splits that are there (`listings`).

    Raises FindingsError for listed frames that are not there, and SourceError for one that has no label where it needs
    one, and where there are not groups enough for the shares.
    """
    lists = {key: each for each in division.lists for key in each.lines}
    chosen, drawn = _listed(division, lists, source, tree, listings)
    shared = None
    if division.shares and any(listing.scenes for listing in listings.values()):  # else the survey says what is missing
        more, shared = _shared_out(division.shares, source, listings, lists.keys())
        chosen, drawn = chosen | more, drawn | _labelled(source, listings)
    chosen = {split: chosen[split] for split in split_names(source) if split in chosen}
    taken = {split: Counter(scene.split for scene in scenes) for split, scenes in chosen.items()}
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
        shared,
    )


# ---- by lists -----------------------------------------------------------------------------------------------


def _listed(
    division: Division,
    lists: Mapping[str, SplitList],
    source: Source,
    tree: Tree,
    listings: Mapping[str, Listing],
) -> tuple[Chosen, set[str]]:
    """The frames of every list, and the official splits in which listed frames lie."""
    chosen: Chosen = {each.split: [] for each in division.lists}
    for listing in listings.values():
        for scene in listing.scenes:
            if each := lists.get(scene.key):
                chosen[each.split].append(scene)
    faulty = {
        key: split
        for split, listing in listings.items()
        for key in told(source.folders, listing.findings)
        if key in lists
    }
    if any(listing.scenes for listing in listings.values()):  # else the survey says what is missing
        there = {scene.key for scenes in chosen.values() for scene in scenes}
        _check_there([key for key in lists if key not in there and key not in faulty], lists, tree, listings)
    for each in division.lists:
        _check_labelled(each, chosen[each.split], source)
    return chosen, {*faulty.values(), *(scene.split for scenes in chosen.values() for scene in scenes)}


def _check_there(
    missing: Sequence[str], lists: Mapping[str, SplitList], tree: Tree, listings: Mapping[str, Listing]
) -> None:
    """Raise FindingsError where frames are missing, with what hides other frames."""
    if not missing:
        return
    known = [scene.key for listing in listings.values() for scene in listing.scenes]
    hidden = [f"Nothing was found of {listing.absent.where}" for listing in listings.values() if listing.absent]
    hidden += [f"{fault.where} is {fault.found.rstrip('.')}" for _, fault in tree.faults[:1]]
    message = no_frame(missing, lists, str(tree.root), known) + "".join(f" {each}." for each in hidden)
    raise FindingsError(message, unknown_frames(missing, lists, known))


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


# ---- by shares ----------------------------------------------------------------------------------------------


def _shared_out(
    shares: Shares, source: Source, listings: Mapping[str, Listing], listed: Collection[str]
) -> tuple[Chosen, Shared]:
    """The frames of each share: of all labelled frames that no list names."""
    groups: dict[str, list[Scene]] = defaultdict(list)
    for listing in listings.values():
        for scene in listing.scenes:
            if (scene.labels or scene.colors) and scene.key not in listed:
                groups[source.split_group(scene.key)].append(scene)
    # What resembles a listed frame stays out, or it would stand on both sides of the lists.
    kept_out = sum(len(groups.pop(group, ())) for group in {source.split_group(key) for key in listed})
    sizes = {group: len(scenes) for group, scenes in groups.items()}
    split_of = share_out(shares, sizes)
    chosen: Chosen = {split: [] for split in shares.of}
    for group, split in split_of.items():
        if split != LEFT_OUT:
            chosen[split] += groups[group]
    counts = Counter(split_of.values())
    largest = max(sizes, key=lambda group: (sizes[group], group))
    shared = Shared(
        sum(sizes.values()), {split: counts[split] for split in shares.of}, (largest, sizes[largest]), kept_out
    )
    return chosen, shared


def _labelled(source: Source, listings: Mapping[str, Listing]) -> set[str]:
    """The official splits with labels; of those that are not there at all, the usual ones, which are then missed."""
    usual = {*source.default_splits}
    return {
        split
        for split, listing in listings.items()
        if split not in source.unlabelled_splits
        and (split in usual or listing.absent is None or listing.absent.severity != WARNING)
    }
