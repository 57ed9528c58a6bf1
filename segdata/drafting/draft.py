"""`segdata init`: from a place to the draft of its source file, in the order of events."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from segdata.drafting.census import Census, take_census
from segdata.drafting.drawing import find_layout
from segdata.drafting.finding.batches import make_batches
from segdata.drafting.finding.inventory import Inventory, take_inventory
from segdata.drafting.finding.legends import read_legends
from segdata.drafting.finding.looks import NAMES
from segdata.drafting.finding.pairing import RANKS, Annotation, find_annotations
from segdata.drafting.finding.roles import Roles, find_roles
from segdata.drafting.known import Known, Row, find_known, rows_of
from segdata.drafting.layout import Layout, Pair
from segdata.drafting.legend import better, find_legend
from segdata.drafting.lists import find_lists
from segdata.drafting.strays import endings_of, folders_apart, strays_of
from segdata.errors import SourceError
from segdata.raw.scene import Folder
from segdata.sources import SOURCES
from segdata.sources.source import Source

SHOWN = 3
TRIED, MOSTLY = 200, 0.95  # pairs by which a known layout is told, and share of them that lie so


@dataclass(frozen=True)
class Draft:
    """All that was found.

    annotation: the labels that are taken; spare: labels of other kinds, the best first. lists: split -> its frames by
    key, from a list file at `list_paths`. layout_of: a source that ships and has this layout. unlabelled: images in no
    pair; orphans: labels of the chosen kind without an image. damaged: paths. unread: files that were not understood,
    by suffix. endings: how files end that lie beside the labels, and their kind. strays: files among the pairs that are
    neither. elsewhere: images of pairs that lie in other folders, and that the draft lacks.
    """

    inventory: Inventory
    annotation: Annotation
    spare: Sequence[Annotation]
    layout: Layout
    census: Census
    known: Known | None
    rows: Sequence[Row]
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    list_paths: Mapping[str, str] = field(default_factory=dict)
    layout_of: str = ""
    unlabelled: Sequence[str] = ()
    orphans: Sequence[str] = ()
    damaged: Sequence[str] = ()
    unread: Mapping[str, Sequence[str]] = field(default_factory=dict)
    endings: Mapping[str, str] = field(default_factory=dict)
    strays: Sequence[str] = ()
    elsewhere: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Of the set, after the folder or archive."""
        place = self.inventory.place.resolve()
        stem = place.name if place.is_dir() else place.name.partition(".")[0]
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._").lower() or "dataset"
        return f"my-{name}" if name in SOURCES else name

    @property
    def dummies(self) -> dict[str, list[object]]:
        """Splits whose label files all hold the same few values, as those of Cityscapes' test do: these values."""
        split_of = {pair.label: pair.split for pair in self.layout.pairs}
        found: dict[str, list[frozenset[object]]] = {}
        for path, values in self.census.seen.items():
            found.setdefault(split_of[path], []).append(values)
        names = {folder: name for name, folder in self.layout.splits.items()}
        return {
            names[folder]: sorted(each[0], key=str)
            for folder, each in found.items()
            if len(each) > 1 and len(set(each)) == 1 and 2 * len(each[0]) < len(self.census.values) and len(found) > 1
        }

    @property
    def samples(self) -> dict[str, int]:
        """Pairs by split; of splits without labels, images."""
        if self.lists:
            return {split: len(keys) for split, keys in self.lists.items()}
        folders = Counter(pair.split for pair in self.layout.pairs)
        found = {split: folders[folder] for split, folder in self.layout.splits.items()}
        return found | {split: len(paths) for split, paths in self.layout.bare.items()}


def draft_source(place: Path) -> Draft:
    """Look at a folder or an archive. Raises SourceError, in one line, where it holds no images with labels."""
    inventory = take_inventory(place)
    roles = find_roles(make_batches(inventory.members))
    annotations = find_annotations(roles)
    if not annotations:
        raise _nothing(inventory, roles)
    best, *spare = annotations
    layout = find_layout(best, roles.of("image"), list(inventory.members))
    members = inventory.members
    census = take_census(best.kind, [(members[pair.image], members[pair.label]) for pair in layout.pairs])
    if not census.files:
        raise SourceError(
            f"{place}: the labels {best.name} cannot be read ({len(census.damaged)} were tried). Mend them."
        )
    if best.kind == "ids" and census.kinds["palette"]:
        best = replace(best, kind="palette")
    elsewhere = _elsewhere(spare, layout)
    far = tuple(f"{folder}/" for folder in folders_apart(layout, elsewhere))
    near = {path: member for path, member in members.items() if not path.startswith(far)}
    known = find_known(best.kind, census, [inventory.place.resolve().name, *_folders(inventory)], _written(best))
    known = better(best.kind, census, known, find_legend(best.kind, census, read_legends(near)))
    rows = rows_of(best.kind, census, known)
    lists, list_paths = ({}, {}) if layout.splits != {"": ""} else find_lists(near, layout)
    endings = endings_of(best, roles.all)
    told = {path for each in spare for match in each.matches for path in match.label.batch.paths}  # by `others`
    told |= {known.path} if known and known.path else set()
    paired = {path for pair in layout.pairs for path in (pair.image, pair.label)}
    images = {member.path for role in roles.of("image") for member in role.batch.files.values()}
    bare = {path for paths in layout.bare.values() for path in paths}
    labels = {member.path for match in best.matches for member in match.label.batch.files.values()}
    return Draft(
        inventory=inventory,
        annotation=best,
        spare=spare,
        layout=layout,
        census=census,
        known=known,
        rows=rows,
        lists=lists,
        list_paths=list_paths,
        layout_of=_layout_of(layout),
        unlabelled=sorted(images - paired - bare - set(elsewhere)),
        orphans=sorted(labels - paired),
        damaged=sorted({*roles.damaged, *census.damaged}),
        unread=_unread(inventory, roles, {*list_paths.values(), known.path if known else ""}),
        endings=endings,
        strays=strays_of(layout, endings, [path for path in members if path not in told]),
        elsewhere=elsewhere,
    )


def _nothing(inventory: Inventory, roles: Roles) -> SourceError:
    """That there are no pairs, and what there is instead."""
    images, labels = roles.of("image"), roles.of(*RANKS)
    place = inventory.place
    why = f" ({len(roles.damaged)} files could not be read, such as {roles.damaged[0]})" if roles.damaged else ""
    if inventory.refused:
        why += f" ({inventory.refused[0]})"
    if not inventory.members:
        return SourceError(f"{place}: no files{why}. Expected a folder or archive with images and their labels.")
    if not images:
        there = ", ".join(
            f"{len(found)} {suffix or 'without a suffix'}" for suffix, found in _suffixes(inventory).items()
        )
        what = f"; {labels[0].batch.name} are {NAMES[labels[0].kind]}" if labels else ""
        return SourceError(
            f"{place}: no images among {len(inventory.members)} files ({there}){what}{why}. Expected frames."
        )
    example = next(iter(images[0].batch.files.values())).path
    if not labels:
        count = sum(len(role.batch.files) for role in images)
        return SourceError(
            f"{place}: {count} images, such as {example}, and no labels{why}. Expected also pictures of ids or of few "
            "colours, palette pictures, or polygons of Cityscapes or LabelMe."
        )
    other = next(iter(labels[0].batch.files.values())).path
    return SourceError(
        f"{place}: no labels belong to images by their names, such as the image {example} and the labels {other}{why}. "
        "Expected names that are equal but for a word, such as a.png and a_mask.png."
    )


def _folders(inventory: Inventory) -> set[str]:
    return {part for path in inventory.members for part in path.split("/")[:2]}


def _written(annotation: Annotation) -> str:
    """The names of the labels and of their folders, which may say what their ids are."""
    return " ".join(sorted({part for match in annotation.matches for part in (*match.label.batch.parts, *match.words)}))


def _elsewhere(spare: Sequence[Annotation], layout: Layout) -> list[str]:
    """Images with labels of which the draft has neither."""
    drafted = {path for pair in layout.pairs for path in (pair.image, pair.label)} | set(layout.alone)
    drafted |= {path for paths in (*layout.bare.values(), *layout.dropped.values()) for path in paths}
    paired = {image.path for each in spare for match in each.matches for _, image, _ in match.pairs}
    return sorted((paired | set(layout.left)) - drafted)


def _suffixes(inventory: Inventory, skipped: Collection[str] = ()) -> dict[str, list[str]]:
    """Suffix -> paths, the most frequent first."""
    found: dict[str, list[str]] = {}
    for path in inventory.members:
        if path not in skipped:
            found.setdefault(PurePosixPath(path).suffix.lower(), []).append(path)
    return dict(sorted(found.items(), key=lambda each: -len(each[1])))


def _unread(inventory: Inventory, roles: Roles, lists: set[str]) -> dict[str, list[str]]:
    """Files that are neither images nor labels of any kind, nor lists of splits."""
    known = {member.path for role in roles.all if role.kind != "other" for member in role.batch.files.values()}
    return _suffixes(inventory, known | lists)


# ---- what the draft is like ---------------------------------------------------------------------------------


def _layout_of(layout: Layout) -> str:
    """The source that ships under whose templates all pairs lie, or nearly all; "" for none."""
    pairs = sorted(layout.pairs, key=lambda pair: pair.image)
    tried = pairs[:: max(1, len(pairs) // TRIED)]
    for name, source in SOURCES.items():
        if sum(_lies_as(source, pair) for pair in tried) >= MOSTLY * len(tried):
            return name
    return ""


def _lies_as(source: Source, pair: Pair) -> bool:
    """Whether image and labels are where the source has them; of a split without labels, the image."""
    image, split = _key(pair.image, [folder for folder in source.folders if folder.role == "image"])
    label, _ = _key(pair.label, [folder for folder in source.folders if folder.role == "labels"])
    return bool(image) and (label == image or (not label and split in source.unlabelled_splits))


def _key(path: str, folders: Sequence[Folder]) -> tuple[str, str]:
    """(key, split) of a file in one of the folders, which stand at the top or below one more; ("", "") of others."""
    for each in (path, path.partition("/")[2]):
        for folder in folders:
            if each and (key := folder.key(each)) is not None:
                return key, folder.pool
    return "", ""
