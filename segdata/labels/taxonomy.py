"""Taxonomies: the target classes that networks learn, and the checked map from a dataset's raw labels.

A taxonomy is data (`taxonomies/*.yaml`, or a user's own file). It knows raw labels by name only, so that
one file may serve several sources and no source knows a taxonomy.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from segdata.base.arrays import U8
from segdata.base.files import parsing, read_file
from segdata.documents.yaml import PLAIN, Entry, flow, nearest, read_yaml
from segdata.errors import TaxonomyError
from segdata.findings import first_few
from segdata.labels.label import Label

REST = "rest"  # `from: rest`: all raw labels that are named nowhere else in the file
SHOWN = 5
IGNORE = 255  # target id of pixels that neither train nor score
MAX_YAML_BYTES = 1 << 17  # thirty times the longest here; PyYAML takes a second for it


@dataclass(frozen=True)
class TargetClass:
    """One class that a network predicts; its id is its position in the taxonomy.

    `export` is the original id that predictions of the class are written as; `feeds` names the raw labels
    that become it (the YAML key is `from`); none of a class that takes the rest.
    """

    name: str
    color: tuple[int, int, int]
    category: str
    evaluated: bool
    export: int
    feeds: tuple[str, ...]


@dataclass(frozen=True)
class Taxonomy:
    """Target classes in order of their ids, and the raw labels that are ignored (255).

    rest: the id, or IGNORE, to which all raw labels go that are not named; which these are, only a dataset says: see
    `resolved`. places: where its file names a raw label ("from", name) or a class ("class", name), for messages.
    """

    name: str
    description: str
    classes: tuple[TargetClass, ...]
    ignore: tuple[str, ...] = ()
    rest: int | None = None
    places: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False, repr=False)

    def resolved(self, labels: Sequence[Label]) -> "Taxonomy":
        """The taxonomy in which every raw label is named: the rest are those of the dataset that no other place names.

        Raises TaxonomyError where no label is left for the class that takes the rest.
        """
        if self.rest is None:
            return self
        placed = self.placed
        left = tuple(label.name for label in labels if label.name not in placed)
        if self.rest == IGNORE:
            return replace(self, ignore=(*self.ignore, *left), rest=None)
        row = self.classes[self.rest]
        if not left:
            place = self.places.get(("class", row.name), self.name)
            raise TaxonomyError(
                f"{place}: no raw label is left for class {row.name!r}, which takes the rest. Remove the class, or a "
                "label from another one."
            )
        classes = (*self.classes[: self.rest], replace(row, feeds=left), *self.classes[self.rest + 1 :])
        return replace(self, classes=classes, rest=None)

    @property
    def placed(self) -> frozenset[str]:
        """The raw labels that it names."""
        return frozenset(self.ignore).union(*(row.feeds for row in self.classes))

    @cached_property
    def digest(self) -> str:
        """sha256 of the canonical content, independent of the YAML's formatting."""
        canonical = json.dumps(self.document(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """The taxonomy as its YAML file has it."""
        return {
            "name": self.name,
            "description": self.description,
            "ignore": REST if self.rest == IGNORE else list(self.ignore),
            "classes": [
                {
                    "name": row.name,
                    "color": list(row.color),
                    "category": row.category,
                    "evaluated": row.evaluated,
                    "export": row.export,
                    "from": REST if self.rest == index else list(row.feeds),
                }
                for index, row in enumerate(self.classes)
            ],
        }

    def yaml(self) -> str:
        """The canonical YAML text: a class a line."""
        document = self.document()
        lines = [f"{key}: {flow(document[key])}" for key in ("name", "description", "ignore")]
        rows = [f"  - {flow(row)}" for row in document["classes"]]
        return "\n".join([*lines, "classes:", *rows, ""])

    @cached_property
    def palette(self) -> U8:
        """(256, 3) colours by target id; ids without a class are black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self.classes)] = [row.color for row in self.classes]
        return palette


@dataclass(frozen=True)
class LabelMap:
    """Where each raw code (0..255, -1 is 255) goes: a lookup table that is known to be total.

    lut: (256,) uint8 target ids, 255 where ignored or undefined. defined: (256,) bool, which codes exist; held: which
    of them a label file can hold, those of no negative id.
    """

    lut: U8
    defined: np.ndarray[Any, np.dtype[np.bool_]]
    names: Mapping[int, str]
    held: np.ndarray[Any, np.dtype[np.bool_]]

    @classmethod
    def between(cls, labels: Sequence[Label], taxonomy: Taxonomy) -> "LabelMap":
        """The map; raises TaxonomyError that names the raw labels and classes for which there is none."""
        taxonomy = taxonomy.resolved(labels)
        if problems := problems_between(labels, taxonomy):
            hint = " `segdata taxonomy` with --source shows what to write." * bool(gaps(labels, taxonomy))
            raise TaxonomyError(f"taxonomy {taxonomy.name!r}: {'; '.join(problems)}.{hint}")
        target = {name: index for index, row in enumerate(taxonomy.classes) for name in row.feeds}
        lut = np.full(256, IGNORE, np.uint8)
        defined = np.zeros(256, bool)
        held = np.zeros(256, bool)
        for label in labels:
            lut[label.id % 256] = target.get(label.name, IGNORE)
            defined[label.id % 256] = True
            held[label.id % 256] |= label.id >= 0
        return cls(lut, defined, {label.id % 256: label.name for label in labels}, held)


def gaps(labels: Sequence[Label], taxonomy: Taxonomy) -> list[Label]:
    """The raw labels of a dataset that the taxonomy neither gives to a class nor ignores."""
    placed = taxonomy.placed
    return [] if taxonomy.rest is not None else [label for label in labels if label.name not in placed]


def problems_between(labels: Sequence[Label], taxonomy: Taxonomy) -> list[str]:
    """Why a taxonomy does not fit a dataset: gaps, names and ids that the dataset does not have."""
    names = {label.name: label.id for label in labels}
    codes = {label.id for label in labels if label.id >= 0}
    problems = []
    if missing := [repr(label.name) for label in gaps(labels, taxonomy)]:
        some = first_few(missing, SHOWN)
        many = f"s {some} have" if len(missing) > 1 else f" {some} has"
        problems.append(f"raw label{many} no destination")
    for name in sorted(taxonomy.placed - names.keys()):
        hint = " (for all others write `from: rest`, without brackets)" if name == REST else nearest(name, names)
        problems.append(f"raw label {name!r}{_at(taxonomy, 'from', name)} is not in the dataset{hint}")
    problems += [
        f"class {row.name!r}{_at(taxonomy, 'class', row.name)} exports to id {row.export}, which the dataset does not "
        "have in its label files"
        for row in taxonomy.classes
        if row.export not in codes
    ]
    return problems


def _at(taxonomy: Taxonomy, kind: str, name: str) -> str:
    place = taxonomy.places.get((kind, name))
    return f" ({place})" if place else ""


# ---- reading -----------------------------------------------------------------------------------------------


def taxonomy_names() -> list[str]:
    """The taxonomies that ship with segdata."""
    folder = files("segdata") / "taxonomies"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_taxonomy(name_or_path: str) -> Taxonomy:
    """A shipped taxonomy by name, or a user's own by path: with a slash or a YAML suffix, or a file that is there."""
    path, names = Path(name_or_path), taxonomy_names()
    if path.suffix in {".yaml", ".yml"} or "/" in name_or_path or (name_or_path not in names and path.is_file()):
        try:
            return read_taxonomy(read_file(path, MAX_YAML_BYTES, TaxonomyError), str(path))
        except FileNotFoundError:
            raise TaxonomyError(f"no taxonomy file {path}.") from None
    if name_or_path not in names:
        near = get_close_matches(name_or_path, names, n=2, cutoff=0.4) or names
        raise TaxonomyError(f"no taxonomy {name_or_path!r}; did you mean {' or '.join(near)}?")
    return read_taxonomy((files("segdata") / "taxonomies" / f"{name_or_path}.yaml").read_bytes(), name_or_path)


def read_taxonomy(data: bytes, where: str) -> Taxonomy:
    """Parse and check a YAML taxonomy; raises TaxonomyError that says what is wrong in which line of `where`."""
    if len(data) > MAX_YAML_BYTES:
        raise TaxonomyError(f"{where}: {len(data)} bytes; a taxonomy has at most {MAX_YAML_BYTES}.")
    with parsing(where, TaxonomyError, PLAIN):
        return _parse(read_yaml(data, where, TaxonomyError))


def _parse(document: Entry) -> Taxonomy:
    if document.value is None:
        raise document.wrong("is empty, expected a taxonomy: name and classes.")
    table = document.table("", ("name", "classes"), ("description", "ignore"))
    rows = table["classes"].typed(list, "classes")
    if not 2 <= len(rows) < IGNORE:
        raise table["classes"].wrong(f"{len(rows)} classes; expected 2 to {IGNORE - 1}.")
    places = _Places()
    ignore = _feeds(table["ignore"], "ignore", places, IGNORE) if "ignore" in table else ()
    classes = tuple(_parse_class(row, index, places) for index, row in enumerate(rows))
    return Taxonomy(
        name=table["name"].typed(str, "name"),
        description=table["description"].typed(str, "description") if "description" in table else "",
        classes=classes,
        ignore=ignore,
        rest=places.rest,
        places=places.of,
    )


class _Places:
    """Where raw labels and classes are named, each once; and to which id the rest goes."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, str], str] = {}
        self.rest: int | None = None

    def add(self, kind: str, name: str, entry: Entry) -> None:
        if other := self.of.get((kind, name)):
            noun = {"class": "class name", "from": "raw label"}[kind]
            raise entry.wrong(f"{noun} {name!r} stands 2 times, first in {other}. Name it once.")
        self.of[kind, name] = entry.place


def _parse_class(row: Entry, index: int, places: _Places) -> TargetClass:
    table = row.table(f"class {index}", ("name", "color", "from"), ("category", "evaluated", "export"))
    name = table["name"].typed(str, f"class {index}: name")
    what = f"class {index} ({name})"
    places.add("class", name, table["name"])
    color = [each.value for each in table["color"].typed(list, f"{what}: color")]
    if len(color) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in color):
        found = table["color"].shown()
        raise table["color"].wrong(f"{what}: color is {found}; expected [red, green, blue], each 0 to 255.")
    export = table["export"].typed(int, f"{what}: export") if "export" in table else 0
    if not -1 <= export <= 255:
        raise table["export"].wrong(f"{what}: export is outside -1 to 255, the ids that a label file can hold.")
    feeds = _feeds(table["from"], f"{what}: from", places, index)
    if not feeds and places.rest != index:
        raise table["from"].wrong(f"no raw label feeds class {name!r}. Name one, or remove the class.")
    return TargetClass(
        name=name,
        color=(color[0], color[1], color[2]),
        category=table["category"].typed(str, f"{what}: category") if "category" in table else name,
        evaluated=table["evaluated"].typed(bool, f"{what}: evaluated") if "evaluated" in table else True,
        export=export,
        feeds=feeds,
    )


def _feeds(entry: Entry, what: str, places: _Places, target: int) -> tuple[str, ...]:
    """The raw labels that are listed; none where it is the word `rest`, which then goes to the id `target`."""
    if entry.value == REST:
        if places.rest is not None:
            raise entry.wrong(f"{what}: the rest has a place already. Write `{REST}` once.")
        places.rest = target
        return ()
    if isinstance(entry.value, str):
        raise entry.wrong(f"{what}: found {entry.shown()}, expected a list, [{entry.value}], or the word {REST}.")
    names = entry.typed(list, what)
    for name in names:
        if type(name.value) is int:
            raise name.wrong(f"{what}: found {name.value}, expected the name of a raw label, not its id.")
        places.add("from", name.typed(str, what), name)
    return tuple(name.value for name in names)
