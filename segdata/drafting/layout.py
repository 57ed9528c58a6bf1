"""Templates from pairs: what is the same in all folders is text, what varies is a field.

A field that varies alike on both sides joins image and annotation. Folders of splits become {split}. What the templates
match beside the pairs is kept out by regular expressions for the fields.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from segdata.drafting.batches import Batch
from segdata.drafting.pairing import Annotation, Match, Rule
from segdata.drafting.roles import Role
from segdata.drafting.words import SPLITS, split_of
from segdata.raw.template import Naming, Template

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]*")  # what `prepare` takes as a key
FIELD = re.compile(r"[a-z][a-z0-9_]*")
FRAME = re.compile(r"(.+?)([_\-.])([A-Za-z]?\d+)")  # a drive and a running number
LISTED = 40  # values of a field that are written out
Values = tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """An image and its labels by their paths, the split's folder, and the values of all fields."""

    image: str
    label: str
    split: str
    fields: Mapping[str, str]


@dataclass
class Layout:
    """image, annotation: templates. splits: name -> folder, without any "" -> "". group: a name made of fields, or "".

    fields: regular expressions. alone: images without labels in labelled splits; bare: splits without any labels.
    left: pairs that the templates do not match. over: files that they match and that are none of the pairs.
    """

    image: str
    annotation: str
    pairs: list[Pair]
    fields: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    bare: dict[str, list[str]] = field(default_factory=dict)  # split -> its images
    key: str = ""
    safe: bool = False
    group: str = ""
    alone: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)

    def template(self, role: str, split: str) -> Template:
        """The template of "image" or "annotation" in a split."""
        text = self.image if role == "image" else self.annotation
        return Template.parse(text.replace("{split}", self.splits.get(split, "")), self.fields)

    def matched(self, role: str, split: str, paths: Iterable[str]) -> dict[str, dict[str, str]]:
        """path -> fields of the files that a template matches."""
        template = self.template(role, split)
        start = f"{template.folder}/" if template.folder else ""
        found = ((path, template.match(path[len(start) :])) for path in paths if path.startswith(start))
        return {path: values for path, values in found if values is not None}

    @property
    def naming(self) -> Naming:
        """How keys are made."""
        names = [name for name in _fields_of(self.image) if name != "split"]
        return Naming(self.key or "_".join(f"{{{name}}}" for name in names), self.safe)


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
    _keep_out(layout, images, paths)
    _find_group(layout)
    _choose_key(layout)
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
        self._count = len(images)
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
            return re.sub(r"[{}*]", "*", column[0])
        start = _whole_words(os.path.commonprefix(column))
        end = _whole_words(os.path.commonprefix([value[len(start) :][::-1] for value in column]))[::-1]
        inner = tuple(value[len(start) : len(value) - len(end)] for value in column)
        if not all(inner):
            start = end = ""
            inner = column
        if inner not in self._named:
            self._named[inner] = self._free(_field_name(inner, start) or f"folder{level}")
        elif start and self._named.get(column):
            return f"{{{self._named[column]}}}"
        return f"{start}{{{self._named[inner]}}}{end}"

    def _split(self, column: Values) -> str:
        """ "{split}annot" for the names of splits; "" for other names, and for a second column of them."""
        found = [split_of(value) for value in column]
        told = [each for each in found if each]
        around = {(each[0], each[2]) for each in told}
        if len(told) == len(column) and len(around) == 1:
            before, after = around.pop()
            words = tuple(each[1] for each in told)
        elif 2 * len(told) > len(column) and around == {("", "")} and len(set(column)) <= LISTED:
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


def _field_name(values: Values, before: str) -> str:
    """ "drive" of drive_01, drive_02; "" where the names do not say it."""
    words = {re.sub(r"[^a-z]+$", "", re.sub(r"\d.*", "", f"{before}{value}".lower())) for value in values}
    word = words.pop() if len(words) == 1 else ""
    return word if FIELD.fullmatch(word) and len(word) > 1 else ""


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
    own = (rule.image, rule.label)[side]
    name = f"{{{prefix}}}_{{name}}" if prefix else "{name}"
    inner = {"start": f"{own}{name}", "end": f"{name}{own}", "middle": f"{name}{own}{{rest}}"}[rule.place]
    return f"{batch.head}{inner}{batch.tail}"


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
    return re.sub(r"[^A-Za-z0-9_-]+", "_", folder) or "all"


def _add_bare(layout: Layout, images: Sequence[Role]) -> None:
    """Splits whose images lie as those of the others do, and that have no labels."""
    if "{split}" not in layout.image:
        return
    paired = {pair.image for pair in layout.pairs}
    free = [
        path
        for role in images
        for path in (member.path for member in role.batch.files.values())
        if path not in paired
    ]
    for word in SPLITS:
        for folder in {word, word.capitalize()} - set(layout.splits.values()):
            name = SPLITS[word] if SPLITS[word] not in layout.splits else word
            tried = replace(layout, splits={**layout.splits, name: folder})
            if found := tried.matched("image", name, free):
                layout.splits[name] = folder
                layout.bare[name] = sorted(found)


# ---- nothing else -------------------------------------------------------------------------------------------


def _keep_out(layout: Layout, images: Sequence[Role], paths: Sequence[str]) -> None:
    """Regular expressions for fields, where the templates would match other files too."""
    ours = {path for role in images for path in (member.path for member in role.batch.files.values())}
    for _ in range(3):
        wrong = _strangers(layout, ours, paths)
        if not wrong:
            break
        _narrow(layout, wrong)
    layout.over = sorted(_strangers(layout, ours, paths))
    paired, split_of_bare = {pair.image for pair in layout.pairs}, set(layout.bare)
    matched = (path for split in layout.splits if split not in split_of_bare for path in layout.matched("image", split, paths))
    layout.alone = sorted(path for path in matched if path not in paired and path in ours)


def _strangers(layout: Layout, ours: set[str], paths: Sequence[str]) -> dict[str, dict[str, str]]:
    """path -> fields of what the templates match, though it is no image, or no label of a pair."""
    labels = {pair.label for pair in layout.pairs}
    found: dict[str, dict[str, str]] = {}
    for split in layout.splits:
        found |= {path: each for path, each in layout.matched("image", split, paths).items() if path not in ours}
        if split not in layout.bare:
            matched = layout.matched("annotation", split, paths)
            found |= {path: each for path, each in matched.items() if path in ours or _is_other(path, labels, layout)}
    return found


def _is_other(path: str, labels: set[str], layout: Layout) -> bool:
    """Whether labels without an image are no such: they are where most others of their folder are none either."""
    return path not in labels and path.rpartition("/")[0] not in {pair.label.rpartition("/")[0] for pair in layout.pairs}


def _narrow(layout: Layout, wrong: Mapping[str, Mapping[str, str]]) -> None:
    """Let the first field that tells strangers from pairs do it."""
    for name in next(iter(wrong.values())):
        good = {pair.fields[name] for pair in layout.pairs if name in pair.fields}
        bad = {fields[name] for fields in wrong.values() if name in fields}
        if good and name not in layout.fields and (rule := _telling(good, bad, listed=name not in {"name", "rest"})):
            layout.fields[name] = rule
            return


def _telling(good: set[str], bad: set[str], *, listed: bool) -> str:
    """A regular expression of the good values that most bad ones do not match; "" where there is none."""
    if good & bad:
        return ""
    shape = _shape(good)
    if shape and not any(re.fullmatch(shape, each) for each in bad):
        return shape
    if listed and len(good) <= LISTED:
        return "|".join(re.escape(each) for each in sorted(good))
    ends = Counter(found[0] for each in bad if (found := re.search(r"[_\-. ][A-Za-z]+$", each)))
    ends = Counter({end: count for end, count in ends.items() if not any(each.endswith(end) for each in good)})
    if not ends:
        return ""
    words = "|".join(re.escape(end) for end in sorted(ends))
    return rf"(?:(?!(?:{words})\.)[^/])+"


def _shape(values: Iterable[str]) -> str:
    r""" "\d{6}" or "[a-z]+_\d+" of values that are all made so; "" of others."""
    def shape(value: str) -> str:
        runs = re.findall(r"\d+|[A-Za-z]+|[^A-Za-z\d]", value)
        return "".join(r"\d+" if run.isdigit() else "[A-Za-z]+" if run.isalpha() else re.escape(run) for run in runs)

    shapes = {shape(value) for value in values}
    if len(shapes) != 1:
        return ""
    found = shapes.pop()
    lengths = {len(value) for value in values}
    return rf"\d{{{lengths.pop()}}}" if found == r"\d+" and len(lengths) == 1 else found


# ---- keys and groups ----------------------------------------------------------------------------------------


def _find_group(layout: Layout) -> None:
    """The folder above the frames; else what stands before a running number in their names, which becomes a field."""
    folders = [name for name in _fields_of(layout.image) if name not in {"split", "name", "rest"}]
    if folders:
        layout.group = "/".join(f"{{{name}}}" for name in folders)
        return
    cut = [FRAME.fullmatch(pair.fields["name"]) for pair in layout.pairs]
    found = [each for each in cut if each]
    drives = {each[1] for each in found}
    marks = {each[2] for each in found}
    if len(found) < len(cut) or len(marks) > 1 or not 1 < len(drives) <= len(cut) / 3 or "name" in layout.fields:
        return
    every = [*layout.alone, *(path for paths in layout.bare.values() for path in paths)]
    name = f"{{drive}}{marks.pop()}{{frame}}"
    tried = replace(
        layout,
        image=layout.image.replace("{name}", name),
        annotation=layout.annotation.replace("{name}", name),
        fields={**layout.fields, "frame": r"[A-Za-z]?\d+"},
    )
    if all(any(path in tried.matched("image", split, [path]) for split in tried.splits) for path in every):
        layout.image, layout.annotation, layout.fields, layout.group = tried.image, tried.annotation, tried.fields, "{drive}"
        for i, (pair, each) in enumerate(zip(layout.pairs, found, strict=True)):
            fields = {key: value for key, value in pair.fields.items() if key != "name"}
            layout.pairs[i] = replace(pair, fields={**fields, "drive": each[1], "frame": each[3]})


def _choose_key(layout: Layout) -> None:
    """All fields but the split's, as where nothing is said; with the split where frames would share a key otherwise."""
    keys = Counter(layout.naming.of(pair.fields) for pair in layout.pairs)
    if len(keys) < len(layout.pairs) and any(layout.splits.values()):
        layout.key = f"{{split}}_{layout.naming.text}"
    layout.safe = not all(KEY.fullmatch(key) for key in keys)


def _fields_of(template: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"\{([a-z][a-z0-9_]*)\}", template)))
