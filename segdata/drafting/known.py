"""The label table of a draft: that of a known dataset which has the same ids, colours or names, else what was met."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from segdata.drafting.census import Census
from segdata.drafting.finding.looks import NAMES as KINDS
from segdata.errors import SourceError
from segdata.labels.colors import Color, code_of, color_of
from segdata.labels.label import DRAWN, Label
from segdata.sources import SOURCES
from segdata.sources.tables import MOST, RULES, label_table, table_document, table_names

FEWEST = 4  # values by which a table may be known again
ALIKE = 0.8  # share of the colours or names met that a table has
COVERED = 0.8  # share of a table's ids that are met, where ids alone speak for it
NAMED = 0.4  # the same, where the folder has the dataset's name
FEWEST_IDS = 8
SPELLED = 6  # letters and digits of the kind of ids in a table's name, at least: "train-ids" and "level3" tell it
VOID = 255
BLACK: Color = (0, 0, 0)  # of what no outline covers
BACKGROUNDS = ("unlabeled", "unlabelled", "background", "_background_", "void")


@dataclass(frozen=True)
class Row:
    """A label of the draft; name and category are "" where they are not known. value: as the files have it, None of a
    label that was not met."""

    id: int
    name: str
    color: Color
    category: str
    value: Any = None


@dataclass(frozen=True)
class Known:
    """A table that fits: how many of the values met it has, of how many; `by` ids, colours or names.

    others: names of tables that fit as well. path: the file of the folder that the table is from; "" of one that ships.
    """

    name: str
    labels: tuple[Label, ...]
    matched: int
    met: int
    by: str
    others: tuple[str, ...] = ()
    path: str = ""

    @property
    def size(self) -> int:
        """Labels that files can hold."""
        return sum(label.id >= 0 for label in self.labels)

    def __str__(self) -> str:
        if self.path:
            return f"the file {self.name}, which has {self.matched} of the {self.met} {self.by} met"
        return f"{self.matched} of the {self.met} {self.by} met are among the {self.size} of {self.name}"


def find_known(kind: str, census: Census, names: Iterable[str], label_names: str = "") -> Known | None:
    """The best of all tables; `names` are those of the folders, which may name the dataset; `label_names`, those of the
    label files, may say which of its ids they hold."""
    written = " ".join(names).lower()
    spelled = re.sub(r"[^a-z0-9]", "", label_names.lower())
    tables = [(name, label_table(name)) for name in table_names() if name not in RULES]
    fitting = [
        (quality, Known(name, labels, matched, met, by))
        for name, labels in tables
        for quality, matched, met, by in _fits(
            kind, census, labels, _is_named(name, written), _is_spelled(name, spelled)
        )
    ]
    if not fitting:
        return None
    fitting.sort(key=lambda each: (each[0], each[1].name in SOURCES, not _is_alias(each[1].name)), reverse=True)
    best = fitting[0][1]
    same = tuple(
        found.name for quality, found in fitting[1:] if found.labels != best.labels and quality[0] == fitting[0][0][0]
    )
    return Known(best.name, best.labels, best.matched, best.met, best.by, same)


def _is_named(table: str, written: str) -> bool:
    word = re.escape(table.partition("-")[0])
    return re.search(rf"(?<![a-z]){word}(?![a-z])", written) is not None


def _is_spelled(table: str, written: str) -> bool:
    """Whether label files are named after the kind of the table's ids: labelTrainIds, train_id, labellevel3Ids."""
    kind = re.sub(r"[^a-z0-9]", "", table.partition("-")[2]).removesuffix("s")
    return len(kind) >= SPELLED and kind in written


def _is_alias(name: str) -> bool:
    """Whether the table is another one's."""
    found = table_document(name).get("labels")
    return found is None or isinstance(found.value, str)


def _fits(
    kind: str, census: Census, labels: Sequence[Label], is_named: bool, is_spelled: bool
) -> list[tuple[tuple[float, ...], int, int, str]]:
    """[(quality, matched, met, by)] of a table that fits; [] of others."""
    held = {label.id: label for label in labels if label.id >= 0}
    if kind == "palette" and set(census.colors.values()) - _greys():
        met = [index for index in census.values if index in census.colors]
        matched = sum(index in held and held[index].color == census.colors[index] for index in met)
        least = min(FEWEST, len(met))
        return (
            [((matched / len(met), matched / len(held)), matched, len(met), "colours")]
            if matched >= max(least, ALIKE * len(met), 2)
            else []
        )
    if kind in {"colors", *DRAWN}:
        by = "colours" if kind == "colors" else "names"
        there = {value_of(kind, label) for label in labels}
        matched = sum(value in there or str(value).removesuffix("group") in there for value in census.values)
        met_count = len(census.values)
        enough = matched >= FEWEST and matched >= ALIKE * met_count
        return [((float(matched), matched / len(there)), matched, met_count, by)] if enough else []
    met = [value for value in census.values if value != VOID or value in held]
    covered = len(set(met) & held.keys()) / len(held)
    enough = is_spelled or (len(met) >= FEWEST_IDS and covered >= (NAMED if is_named else COVERED))
    enough = enough and len(met) > 1 and set(met) <= held.keys()
    return [((covered + is_named + is_spelled, covered), len(met), len(census.values), "ids")] if enough else []


def _greys() -> set[Color]:
    return {(i, i, i) for i in range(256)}


# ---- rows ---------------------------------------------------------------------------------------------------


def rows_of(kind: str, census: Census, known: Known | None) -> list[Row]:
    """The whole table that is known, then what else was met; of nothing known, what was met.

    Raises SourceError, in one line, where these are more than label files can hold.
    """
    labels = known.labels if known else ()
    values = [value_of(kind, label) for label in labels]
    rows = [
        Row(each.id, each.name, each.color, each.category, value if value in census.pixels else None)
        for each, value in zip(labels, values, strict=True)
        if each.id >= 0 or kind in DRAWN
    ]
    there = {*values, *(f"{label.name}group" for label in labels if kind in DRAWN)}
    met = sorted(census.values, key=lambda value: -census.pixels[value]) if kind == "colors" else census.values
    new = [value for value in met if value not in there]
    if (count := len(rows) + len(new)) > MOST - (kind in DRAWN):  # of outlines, one more for the background
        raise SourceError(
            f"{count} labels by {KINDS[kind]}, of which {len(new)} are not known; expected {MOST} at most. Label files "
            "have one value or colour for each class: leave files that are something else out of the folder."
        )
    for value in new:
        rows.append(_unknown(kind, value, census, rows))
    if kind in DRAWN and not background_of(rows):
        taken = {row.id for row in rows}
        free = next(i for i in (VOID, *range(MOST)) if i not in taken)
        rows.append(Row(free, BACKGROUNDS[0], BLACK, "void"))
    return rows


def background_of(rows: Sequence[Row]) -> str:
    """The label that is meant for pixels without one; "" where there is none."""
    names = {row.name for row in rows}
    return next((name for name in BACKGROUNDS if name in names), "")


def value_of(kind: str, label: Label) -> object:
    """How label files say it: by its name, its colour, or its id."""
    return label.name if kind in DRAWN else code_of(label.color) if kind == "colors" else label.id


def _unknown(kind: str, value: Any, census: Census, rows: Sequence[Row]) -> Row:
    """A label without a name. Its id is the one in the files, or the next that is free."""
    colors = {row.color for row in rows}
    taken = {row.id for row in rows}
    free = next(i for i in range(MOST) if i not in taken)
    if kind == "colors":
        red, green, blue = color_of(value)
        is_grey = red == green == blue and all(len(set(color_of(each))) == 1 for each in census.values)
        return Row(red if is_grey and red not in taken else free, "", (red, green, blue), "", value)
    if kind in DRAWN:
        return Row(free, value, distinct(free, colors | {BLACK}), value, value)
    return Row(value, "", census.colors.get(value) or distinct(value, colors), "", value)


def distinct(number: int, taken: set[Color]) -> Color:
    """A colour that no other label has: the bits of the number, spread over the channels, the lowest bits first."""
    while True:
        color = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                color[channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
        if (found := (color[0], color[1], color[2])) not in taken:
            return found
        number += 1


def title_of(name: str) -> str:
    """What a table says that it is; its name where it says nothing."""
    title = table_document(name).get("title")
    return str(title.value) if title else name
