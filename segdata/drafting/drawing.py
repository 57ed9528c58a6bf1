"""Templates from pairs: what is the same in all folders is text, what varies is a field.

A field that varies alike on both sides joins image and annotation. Folders of splits become {split}. What the templates
match beside the pairs is kept out by regular expressions for the fields.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from segdata.drafting.finding.batches import Batch
from segdata.drafting.finding.pairing import Annotation, Match, Rule
from segdata.drafting.finding.roles import Role
from segdata.drafting.finding.words import SPLITS, split_of
from segdata.drafting.keys import name_frames
from segdata.drafting.layout import Layout, Pair
from segdata.drafting.narrow import keep_out
from segdata.raw.template import FIELD

MANY = 40  # folders in the place of splits, at most
Values = tuple[str, ...]


def find_layout(annotation: Annotation, images: Sequence[Role], paths: Sequence[str]) -> Layout:
    """Of the matches whose folders lie equally deep; `paths` are all files there are."""
    shapes: dict[tuple[int, ...], list[Match]] = defaultdict(list)
    for match in annotation.matches:
        image, label = match.image.batch, match.label.batch
        shapes[(len(image.parts), len(label.parts))].append(match)
    chosen = max(shapes.values(), key=lambda several: sum(len(match.pairs) for match in several))
    layout = _drawn(chosen)
    kept = {id(match) for match in chosen}
    layout.left = [image.path for match in annotation.matches if id(match) not in kept for _, image, _ in match.pairs]
    _name_splits(layout)
    _add_bare(layout, images)
    keep_out(layout, images, paths)
    name_frames(layout)
    return layout


# ---- folders ------------------------------------------------------------------------------------------------


def _drawn(matches: Sequence[Match]) -> Layout:
    """Templates of the folders, with {name} for what varies in names."""
    columns = _Columns([match.image.batch.parts for match in matches], [match.label.batch.parts for match in matches])
    rule = matches[0].rule
    image, label = (matches[0].image.batch, matches[0].label.batch)
    suffixes = tuple(sorted({suffix for match in matches for suffix in match.image.batch.suffixes}))
    names = [[_name_of(core, rule) for core, _, _ in match.pairs] for match in matches]
    prefix = columns.repeated(names)
    mine, theirs = (_name_template(batch, rule, side, prefix) for batch, side in ((image, 0), (label, 1)))
    pairs = []
    for i, match in enumerate(matches):
        given = columns.values(i)
        cut = len(given[prefix]) + 1 if prefix else 0
        for (_, one, other), name in zip(match.pairs, names[i], strict=True):
            fields = {**given, "name": name[0][cut:]} | ({"rest": name[1]} if rule.place == "middle" else {})
            pairs.append(Pair(one.path, other.path, fields.pop("split", ""), fields))
    return Layout(
        "/".join([*columns.images, f"{mine}.{_choice(suffixes)}"]),
        "/".join([*columns.labels, f"{theirs}.{_choice(label.suffixes)}"]),
        pairs,
    )


class _Columns:
    """The names at each level of the folders of images and labels, over all matches: text, {split} or another field."""

    def __init__(self, images: Sequence[Values], labels: Sequence[Values]) -> None:
        self._named: dict[Values, str] = {}
        ours, theirs = (set(zip(*side, strict=True)) for side in (images, labels))
        self._cores = {_stripped(each)[1] for each in ours} & {_stripped(each)[1] for each in theirs}
        self._equal = ours & theirs
        self.images = [self._column(column, i) for i, column in enumerate(zip(*images, strict=True), start=1)]
        self.labels = [self._column(column, i) for i, column in enumerate(zip(*labels, strict=True), start=1)]

    def values(self, row: int) -> dict[str, str]:
        """The fields of one match."""
        return {name: column[row] for column, name in self._named.items()}

    def repeated(self, names: Sequence[Sequence[tuple[str, str]]]) -> str:
        """The field of a folder with which all names in it begin: aachen/aachen_000001.png; "" where there is none."""
        for column, name in self._named.items():
            if name != "split" and all(
                core.startswith(f"{value}_") and len(core) > len(value) + 1
                for value, several in zip(column, names, strict=True)
                for core, _ in several
            ):
                return name
        return ""

    def _column(self, column: Values, level: int) -> str:
        if split := self._split(column):
            return split
        if len(set(column)) == 1:
            return _literal(column[0])
        start, inner, end = _stripped(column)
        if column in self._equal or inner not in self._cores:
            start, inner, end = "", column, ""
        if inner not in self._named:
            self._named[inner] = self._free(_field_name(column) or f"folder{level}")
        return f"{start}{{{self._named[inner]}}}{end}"

    def _split(self, column: Values) -> str:
        """ "{split}annot" for the names of splits; "" for other names, and for a second column of them."""
        found = [split_of(value) for value in column]
        told = [each for each in found if each]
        around = {(each[0], each[2]) for each in told}
        if len(told) == len(column) and len(around) == 1:
            before, after = around.pop()
            words = tuple(each[1] for each in told)
        elif 2 * len(told) > len(column) and around == {("", "")} and len(set(column)) <= MANY:
            before, after, words = "", "", column
        else:
            return ""
        known = next((values for values, name in self._named.items() if name == "split"), words)
        if known != words:
            return ""
        self._named[words] = "split"
        return f"{before}{{split}}{after}"

    def _free(self, name: str) -> str:
        """The name, or with a number where it is taken."""
        taken = {*self._named.values(), "name", "rest", "split", "frame"}
        return name if name not in taken else next(f"{name}{i}" for i in range(2, 99) if f"{name}{i}" not in taken)


def _stripped(column: Values) -> tuple[str, Values, str]:
    """(start, what varies, end) of names that begin and end with the same words: drive_1_images, drive_2_images."""
    start = _whole_words(_common_start(column))
    end = _whole_words(_common_start([value[len(start) :][::-1] for value in column]))[::-1]
    inner = tuple(value[len(start) : len(value) - len(end)] for value in column)
    return (start, inner, end) if all(inner) else ("", column, "")


def _field_name(values: Values) -> str:
    """ "drive" of drive_01, drive_02; "" where the names do not say it."""
    words = {re.sub(r"[^a-z]+$", "", re.sub(r"\d.*", "", value.lower())) for value in values}
    word = words.pop() if len(words) == 1 else ""
    return word if FIELD.fullmatch(word) and len(word) > 1 else ""


def _common_start(values: Sequence[str]) -> str:
    """What all begin with."""
    first, last = min(values), max(values)
    same = next((i for i, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:same]


def _whole_words(text: str) -> str:
    """The text up to its last separator."""
    return re.sub(r"[^_\-. ]*$", "", text)


# ---- names --------------------------------------------------------------------------------------------------


def _name_of(core: str, rule: Rule) -> tuple[str, str]:
    """What varies in a label's name, before and after the middle of its rule."""
    if rule.place == "middle":
        before, _, after = core.partition(rule.label)
        return before, after
    return (core[len(rule.label) :] if rule.place == "start" else core[: len(core) - len(rule.label)]), ""


def _name_template(batch: Batch, rule: Rule, side: int, prefix: str) -> str:
    """The name without its suffix, of an image (side 0) or label (1)."""
    own = _literal((rule.image, rule.label)[side])
    name = f"{{{prefix}}}_{{name}}" if prefix else "{name}"
    inner = {"start": f"{own}{name}", "end": f"{name}{own}", "middle": f"{name}{own}{{rest}}"}[rule.place]
    return f"{_literal(batch.head)}{inner}{_literal(batch.tail)}"


def _literal(text: str) -> str:
    """The text as a template has it: anything in the place of characters that mean something there."""
    return re.sub(r"[{}*]", "*", text)


def _choice(suffixes: Values) -> str:
    return suffixes[0] if len(suffixes) == 1 else "{" + ",".join(suffixes) + "}"


# ---- splits -------------------------------------------------------------------------------------------------


def _name_splits(layout: Layout) -> None:
    """The usual names of splits for their folders; the folders' own where two would have one name."""
    folders = list(dict.fromkeys(pair.split for pair in layout.pairs))
    if folders == [""]:
        layout.splits = {"": ""}
        return
    usual = {folder: SPLITS.get(folder.lower(), _plain(folder)) for folder in folders}
    names = usual if len(set(usual.values())) == len(folders) else {folder: _plain(folder) for folder in folders}
    order = {"train": 0, "val": 1, "test": 2}
    layout.splits = {
        names[folder]: folder for folder in sorted(folders, key=lambda each: (order.get(names[each], 3), each))
    }


def _plain(folder: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", folder).strip("_-") or "all"


def _add_bare(layout: Layout, images: Sequence[Role]) -> None:
    """Splits whose images lie as those of the others do, and that have no labels."""
    if "{split}" not in layout.image:
        return
    paired = {pair.image for pair in layout.pairs}
    free = [
        path for role in images for path in (member.path for member in role.batch.files.values()) if path not in paired
    ]
    for word in SPLITS:
        for folder in {word, word.capitalize()} - set(layout.splits.values()):
            name = SPLITS[word] if SPLITS[word] not in layout.splits else word
            tried = replace(layout, splits={**layout.splits, name: folder})
            if found := tried.matched("image", name, free):
                layout.splits[name] = folder
                layout.bare[name] = sorted(found)
