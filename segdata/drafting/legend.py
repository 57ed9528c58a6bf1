"""The label table by a file of the folder that names its classes, if that file explains what label files hold."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from segdata.drafting.census import Census
from segdata.drafting.finding.legends import IGNORED, Legend, Named
from segdata.drafting.known import BACKGROUNDS, BLACK, VOID, Known, distinct, value_of
from segdata.labels.colors import Color, code_of
from segdata.labels.label import DRAWN, Label

# Values that files of this kind need not name: void, perhaps. Of other kinds, 255 alone.
UNNAMED = {"colors": {code_of(BLACK), code_of((255, 255, 255))}, **{each: set[int]() for each in DRAWN}}
IGNORE = frozenset({"void", "ignore", "ignored", "unlabeled", "unlabelled", IGNORED})  # classes that are none
KINDS = {"colors": "colours", **dict.fromkeys(DRAWN, "names")}


def find_legend(kind: str, census: Census, legends: Iterable[Legend]) -> Known | None:
    """The table of the one that names all that was met, but for void; None where two of them name it differently.

    Files that say ids or colours go before those whose lines are counted.
    """
    found = [(each.is_counted, known) for each in legends if (known := _explained(kind, census, each))]
    best = [known for is_counted, known in found if is_counted == min(each for each, _ in found)]
    names = {tuple(_names(kind, census, each)) for each in best}
    return best[0] if len(names) == 1 else None


def better(kind: str, census: Census, table: Known | None, legend: Known | None) -> Known | None:
    """The folder's own names, but a table that ships where it has the same ones, or knows more of the colours or names.

    A table that fits by its ids alone is a guess: the folder's own file is none.
    """
    if not table or not legend:
        return table or legend
    pairs = zip(_names(kind, census, legend), _names(kind, census, table), strict=True)
    is_same = all(_plain(own) == _plain(other) for own, other in pairs if own)
    return table if is_same or (table.by != "ids" and table.matched > legend.matched) else legend


def _names(kind: str, census: Census, known: Known) -> list[str]:
    """Of each value met, "" where it has none."""
    names = {value_of(kind, label): label.name for label in known.labels}
    return [names.get(value, "") for value in census.values]


def _plain(name: str) -> str:
    """Letters and digits alone: "Traffic_Light" is "traffic light"."""
    return re.sub(r"[\W_]", "", name.lower())


def _explained(kind: str, census: Census, legend: Legend) -> Known | None:
    """None where the file lacks anything that was met, or may count from another number."""
    labels = _labels(kind, census, legend)
    there = {value_of(kind, label) for label in labels}
    left = [value for value in census.values if value not in there]
    matched = len(census.values) - len(left)
    if not matched or not set(left) <= UNNAMED.get(kind, {VOID}):
        return None
    if legend.is_counted and kind not in DRAWN and 0 not in census.values and not _is_background(labels[0].name):
        return None
    name = f"{legend.path} (one name a line: ids are counted from 0)" if legend.is_counted else legend.path
    return Known(name, labels, matched, len(census.values), KINDS.get(kind, "ids"), path=legend.path)


def _is_background(name: str) -> bool:
    return name.lower() in {*BACKGROUNDS, *IGNORE}


def _labels(kind: str, census: Census, legend: Legend) -> tuple[Label, ...]:
    """() where the file does not say how label files of this kind hold its classes."""
    classes = tuple(each for each in legend.classes if kind in DRAWN or each.id is None or each.id >= 0)
    colors = [each.color for each in classes]
    if kind == "colors" and (None in colors or len(set(colors)) < len(colors)):
        return ()
    if kind == "palette" and classes[0].id is None:
        classes = _indexed(census, classes)
    elif classes[0].id is None and kind not in {"colors", *DRAWN}:
        return ()
    labels, taken = list[Label](), {each for each in (*colors, *census.colors.values()) if each}
    for number, each in enumerate(classes):
        code = number if each.id is None else each.id
        color = _color(kind, census, each, code, taken)
        taken.add(color)
        labels.append(Label(code, each.name, color, _category(kind, each.name)))
    return tuple(labels)


def _category(kind: str, name: str) -> str:
    """Void for sure, or that of an outline, which is its name; "" where a person must say it."""
    if name.lower() in IGNORE:
        return "void"
    return name if kind in DRAWN and name not in BACKGROUNDS else ""


def _indexed(census: Census, classes: Sequence[Named]) -> tuple[Named, ...]:
    """Classes with the indices of palettes that have their colours."""
    indices: dict[Any, list[int]] = {}
    for index, color in census.colors.items():
        indices.setdefault(color, []).append(index)
    if census.clashing or any(len(several) > 1 for several in indices.values()):
        return ()
    return tuple(Named(each.name, indices[each.color][0], each.color) for each in classes if each.color in indices)


def _color(kind: str, census: Census, named: Named, code: int, taken: set[Color]) -> Color:
    """That of the palette, of the file, or one that no other label has."""
    in_palette = census.colors.get(code) if kind == "palette" else None
    if found := in_palette or named.color:
        return found
    if kind in DRAWN and named.name in BACKGROUNDS:
        return BLACK
    return distinct(max(code, 0), taken | {BLACK} if kind in DRAWN else taken)
