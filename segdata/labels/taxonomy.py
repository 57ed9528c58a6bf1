"""Taxonomies: the target classes that networks learn, and the checked map from a dataset's raw labels.

A taxonomy is data (`taxonomies/*.yaml`, or a user's own file). It knows raw labels by name only, so that
one file may serve several sources and no source knows a taxonomy.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from reprlib import repr as short
from typing import Any, TypeVar

import numpy as np
import yaml

from segdata.base.arrays import U8
from segdata.base.files import parsing, read_file
from segdata.errors import TaxonomyError
from segdata.labels.label import Label

T = TypeVar("T")

IGNORE = 255  # target id of pixels that neither train nor score
MAX_YAML_BYTES = 1 << 17  # thirty times the longest here; PyYAML takes a second for it


@dataclass(frozen=True)
class TargetClass:
    """One class that a network predicts; its id is its position in the taxonomy.

    `export` is the original id that predictions of the class are written as; `feeds` names the raw labels
    that become it (the YAML key is `from`).
    """

    name: str
    color: tuple[int, int, int]
    category: str
    evaluated: bool
    export: int
    feeds: tuple[str, ...]


@dataclass(frozen=True)
class Taxonomy:
    """Target classes in order of their ids, and the raw labels that are ignored (255)."""

    name: str
    description: str
    classes: tuple[TargetClass, ...]
    ignore: tuple[str, ...] = ()

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
            "ignore": list(self.ignore),
            "classes": [
                {
                    "name": row.name,
                    "color": list(row.color),
                    "category": row.category,
                    "evaluated": row.evaluated,
                    "export": row.export,
                    "from": list(row.feeds),
                }
                for row in self.classes
            ],
        }

    def yaml(self) -> str:
        """The canonical YAML text: a class a line."""
        head = {"name": self.name, "description": self.description, "ignore": list(self.ignore)}
        lines = [f"{key}: {_flow(value)}" for key, value in head.items()]
        rows = [f"  - {_flow(row)}" for row in self.document()["classes"]]
        return "\n".join([*lines, "classes:", *rows, ""])

    @cached_property
    def palette(self) -> U8:
        """(256, 3) colours by target id; ids without a class are black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self.classes)] = [row.color for row in self.classes]
        return palette


def _flow(value: object) -> str:
    """JSON is YAML; only the ASCII subset, so that no locale or YAML dumper version matters."""
    return json.dumps(value)


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
        """The map; raises TaxonomyError that names every raw label or class for which there is none."""
        _check_against(labels, taxonomy)
        target = {name: index for index, row in enumerate(taxonomy.classes) for name in row.feeds}
        lut = np.full(256, IGNORE, np.uint8)
        defined = np.zeros(256, bool)
        held = np.zeros(256, bool)
        for label in labels:
            lut[label.id % 256] = target.get(label.name, IGNORE)
            defined[label.id % 256] = True
            held[label.id % 256] |= label.id >= 0
        return cls(lut, defined, {label.id % 256: label.name for label in labels}, held)


def _check_against(labels: Sequence[Label], taxonomy: Taxonomy) -> None:
    names = {label.name for label in labels}
    codes = {label.id for label in labels if label.id >= 0}
    placed = {name for row in taxonomy.classes for name in row.feeds} | set(taxonomy.ignore)
    problems = [
        *(f"raw label {name!r} has no destination" for name in sorted(names - placed)),
        *(f"raw label {name!r} is not in the dataset{_near(name, names)}" for name in sorted(placed - names)),
        *(
            f"class {row.name!r} exports to id {row.export}, which the dataset does not have in its label files"
            for row in taxonomy.classes
            if row.export not in codes
        ),
    ]
    if problems:
        raise TaxonomyError(f"taxonomy {taxonomy.name!r}: " + "; ".join(problems) + ".")


def _near(name: str, names: set[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f" (nearest: {near[0]!r})" if near else ""


# ---- reading -----------------------------------------------------------------------------------------------


def taxonomy_names() -> list[str]:
    """The taxonomies that ship with segdata."""
    folder = files("segdata") / "taxonomies"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_taxonomy(name_or_path: str) -> Taxonomy:
    """A shipped taxonomy by name, or a user's own by path (anything with a slash or a YAML suffix)."""
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or "/" in name_or_path:
        try:
            return read_taxonomy(read_file(path, MAX_YAML_BYTES, TaxonomyError), str(path))
        except FileNotFoundError:
            raise TaxonomyError(f"no taxonomy file {path}.") from None
    if name_or_path not in taxonomy_names():
        near = get_close_matches(name_or_path, taxonomy_names(), n=2, cutoff=0.4) or taxonomy_names()
        raise TaxonomyError(f"no taxonomy {name_or_path!r}; did you mean {' or '.join(near)}?")
    return read_taxonomy((files("segdata") / "taxonomies" / f"{name_or_path}.yaml").read_bytes(), name_or_path)


def read_taxonomy(data: bytes, where: str) -> Taxonomy:
    """Parse and check a YAML taxonomy; raises TaxonomyError that says what is wrong in `where`."""
    if len(data) > MAX_YAML_BYTES:
        raise TaxonomyError(f"{where}: {len(data)} bytes; a taxonomy has at most {MAX_YAML_BYTES}.")
    with parsing(where, TaxonomyError, "Expected plain YAML: tags, aliases and objects are refused."):
        document = yaml.load(data, _PlainLoader)
        taxonomy = _parse(_table(document, {"name", "classes"}, {"description", "ignore"}, where), where)
    _check_alone(taxonomy, where)
    return taxonomy


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases: a few lines of them can stand for more than memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"an alias, *{self.peek_event().anchor}")  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)


def _parse(document: dict[str, Any], where: str) -> Taxonomy:
    rows = _typed(document["classes"], list, f"{where}: classes")
    return Taxonomy(
        name=_typed(document["name"], str, f"{where}: name"),
        description=_typed(document.get("description", ""), str, f"{where}: description"),
        ignore=_names(document.get("ignore", []), f"{where}: ignore"),
        classes=tuple(_parse_class(row, f"{where}: class {index}") for index, row in enumerate(rows)),
    )


def _parse_class(row: object, where: str) -> TargetClass:
    table = _table(row, {"name", "color", "from"}, {"category", "evaluated", "export"}, where)
    name = _typed(table["name"], str, f"{where}: name")
    where = f"{where} ({name})"
    color = _typed(table["color"], list, f"{where}: color")
    if len(color) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in color):
        raise TaxonomyError(f"{where}: color is {short(color)}; expected [red, green, blue], each 0 to 255.")
    export = _typed(table.get("export", 0), int, f"{where}: export")
    if not -1 <= export <= 255:
        raise TaxonomyError(f"{where}: export is outside -1 to 255, the ids that a label file can hold.")
    return TargetClass(
        name=name,
        color=(color[0], color[1], color[2]),
        category=_typed(table.get("category", name), str, f"{where}: category"),
        evaluated=_typed(table.get("evaluated", True), bool, f"{where}: evaluated"),
        export=export,
        feeds=_names(table["from"], f"{where}: from"),
    )


def _table(value: object, required: set[str], optional: set[str], where: str) -> dict[str, Any]:
    table = _typed(value, dict, where)
    missing, unknown = required - set(table), set(map(str, table)) - required - optional
    if missing or unknown:
        raise TaxonomyError(
            f"{where}: missing keys {sorted(missing)}, unknown keys {sorted(unknown)}; "
            f"expected {sorted(required)} and optionally {sorted(optional)}."
        )
    return table


def _typed(value: Any, kind: type[T], where: str) -> T:
    if type(value) is not kind:
        raise TaxonomyError(f"{where}: found {short(value)}, expected a value of type {kind.__name__}.")
    return value


def _names(value: object, where: str) -> tuple[str, ...]:
    return tuple(_typed(name, str, where) for name in _typed(value, list, where))


def _check_alone(taxonomy: Taxonomy, where: str) -> None:
    """What can be wrong without looking at a dataset."""
    names = Counter(row.name for row in taxonomy.classes)
    raw = Counter([name for row in taxonomy.classes for name in row.feeds] + list(taxonomy.ignore))
    problems = [
        *(f"class name {name!r} stands {count} times" for name, count in names.items() if count > 1),
        *(f"raw label {name!r} stands {count} times" for name, count in raw.items() if count > 1),
        *(f"no raw label feeds class {row.name!r}" for row in taxonomy.classes if not row.feeds),
    ]
    if not 2 <= len(taxonomy.classes) < IGNORE:
        problems.append(f"{len(taxonomy.classes)} classes; expected 2 to {IGNORE - 1}")
    if problems:
        raise TaxonomyError(f"{where}: " + "; ".join(problems) + ".")
