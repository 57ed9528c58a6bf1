"""Files that name the classes, as many datasets have them: classes.csv, labels.txt, label_map.json.

No standard says how such files are written. Each is read as what it can only be; one that is not clear is left alone.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from segdata.documents.json import load_json
from segdata.drafting.finding.looks import IMAGES
from segdata.errors import SegdataError
from segdata.labels.colors import Color, color_of
from segdata.raw.member import Member
from segdata.raw.storages.opening import storage_at

ABOUT = re.compile(r"class|label|colou?r_?map|palette|categor|legend|ontolog|names", re.IGNORECASE)
NOT_ABOUT = re.compile(r"count|weight|freq|stat|hist|report|score", re.IGNORECASE)  # numbers that are no ids
MOST_FILES, MOST_BYTES = 24, 1 << 18
LONGEST = 200  # characters of a line
FEWEST, MOST = 2, 256  # classes of one file
IGNORED, VOID = "__ignore__", 255  # LabelMe's first line, for -1: its label files hold that as 255
NAMES = ("name", "class_name", "class", "label_name", "label", "category")  # headings of columns, and keys of objects
IDS = ("id", "pixel_value", "value", "label_id", "class_id", "label_key", "index", "label", "class")
REDS, GREENS, BLUES, HEXES = ("r", "red"), ("g", "green"), ("b", "blue"), ("hex", "color", "colour", "rgb")
NUMBERS = {*IDS, *REDS, *HEXES} - {*NAMES}
HEX = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
NUMBER = re.compile(r"-?\d{1,3}")
_GAP = r"[\s,;:]+"
ROW = re.compile(rf"(?P<before>(?:\d{{1,3}}{_GAP})*)(?P<name>\S.*?)(?P<after>(?:{_GAP}\d{{1,3}})*)[\s,;:]*")


@dataclass(frozen=True)
class Named:
    """A class by its name, with its id, its colour, or both."""

    name: str
    id: int | None = None
    color: Color | None = None


@dataclass(frozen=True)
class Legend:
    """The classes of one file, in its order. is_counted: the ids are the numbers of the lines, from 0 on."""

    path: str
    classes: tuple[Named, ...]
    is_counted: bool = False


def read_legends(members: Mapping[str, Member]) -> list[Legend]:
    """Those nearest to the top first, and those with numbers in their names, as files of frames have, last.

    Of files that say the same, such as one in each split, the first is taken.
    """
    near = sorted(filter(_may_name, members), key=_order)[:MOST_FILES]
    found: dict[tuple[Named, ...], Legend] = {}
    for path in near:
        if legend := _read(path, members[path]):
            found.setdefault(legend.classes, legend)
    return list(found.values())


def _order(path: str) -> tuple[bool, int, str]:
    return any(map(str.isdigit, PurePosixPath(path).stem)), path.count("/"), path


def _may_name(path: str) -> bool:
    file = PurePosixPath(path)
    is_text = file.suffix.lower() in {".csv", ".txt", ".json"}
    return is_text and ABOUT.search(file.stem) is not None and not NOT_ABOUT.search(file.stem)


def _read(path: str, member: Member) -> Legend | None:
    """None of a file that is too large, damaged, or not clear."""
    try:
        data = member.read() if member.zipped else storage_at(member.container).read(member.inner, MOST_BYTES)
        text = data[: MOST_BYTES + 1].decode("utf-8-sig")
        if len(data) > MOST_BYTES:
            return None
        ways = _of_json(load_json(text)) if path.lower().endswith(".json") else _of_lines(text)
        return next((Legend(path, tuple(rows), counted) for rows, counted in ways if _is_clear(rows)), None)
    except (SegdataError, OSError, ValueError, RecursionError, csv.Error):
        return None


def _is_clear(rows: Sequence[Named]) -> bool:
    """Whether these are names of classes, each with an id or a colour of its own."""
    names, ids = [row.name for row in rows], [row.id for row in rows if row.id is not None]
    colors = [row.color for row in rows if row.color is not None]
    return (
        FEWEST <= len(rows) <= MOST
        and all(map(_is_name, names))
        and len(set(names)) == len(names)
        and len(ids) in {0, len(rows)}
        and len(set(ids)) == len(ids)
        and all(-1 <= each <= VOID for each in ids)
        and len(colors) in {0, len(rows)}
        and bool(ids or len(set(colors)) == len(rows))
        and all(0 <= part <= VOID for color in colors for part in color)
    )


def _is_name(text: str) -> bool:
    """Whether it may be the name of a class: no number, no path, no long text."""
    is_file = text.rpartition(".")[2].lower() in IMAGES or (
        bool(re.search(r"[/\\]", text)) and any(map(str.isdigit, text))
    )
    return 0 < len(text) <= 60 and text.isprintable() and not is_file and any(map(str.isalpha, text))


# ---- lines of text ------------------------------------------------------------------------------------------

Ways = Iterator[tuple[list[Named], bool]]  # how a file may be read, the clearest way first; whether ids are counted


def _of_lines(text: str) -> Ways:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if 0 < len(lines) <= MOST + 1 and max(map(len, lines)) <= LONGEST:
        yield _columns(lines), False
        yield _spelled(lines), False
        yield _counted(lines), True


def _columns(lines: Sequence[str]) -> list[Named]:
    """Rows below a line of headings: "Pixel Value, Class" or "name,r,g,b"."""
    mark = max(",;\t", key=lines[0].count)
    head, *rows = ([cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark))
    head = [re.sub(r"\W+", "_", cell.lower()) for cell in head]
    if any(len(row) != len(head) for row in rows) or len(set(head)) != len(head):
        return []
    return _tabular([dict(zip(head, row, strict=True)) for row in rows])


def _tabular(rows: Sequence[Mapping[str, Any]]) -> list[Named]:
    """Rows by the headings of their columns; [] where no column has names."""

    rows = [{key.lower(): value for key, value in row.items()} for row in rows]

    def column(words: Sequence[str], is_number: bool) -> list[str]:
        for word in words:
            cells = [str(row.get(word, "")) for row in rows]
            if all(cells) and all(bool(NUMBER.fullmatch(cell)) == is_number for cell in cells):
                return cells
        return []

    ids: Sequence[int | None] = [int(cell) for cell in column(IDS, True)] or [None] * len(rows)
    parts = [[int(cell) for cell in column(words, True)] for words in (REDS, GREENS, BLUES)]
    colors: Sequence[Color | None] = list(zip(*parts, strict=True)) if all(parts) else []
    colors = colors or [next((found for word in HEXES if (found := _color(row.get(word)))), None) for row in rows]
    names = column(NAMES, False)
    return [Named(*each) for each in zip(names, ids, colors, strict=True)] if names else []


def _spelled(lines: Sequence[str]) -> list[Named]:
    """Rows such as "0 road", "road,128,64,128", "0 road 128 64 128": one number is an id, three are a colour."""
    rows = [row for line in lines if (row := ROW.fullmatch(line))]
    found = [
        (row["name"], [int(each) for each in re.findall(r"\d+", f"{row['before']} {row['after']}")]) for row in rows
    ]
    if NUMBERS & set(re.findall(r"\w+", lines[0].lower())):
        found = found[1:]  # headings
    counts = {len(numbers) for _, numbers in found}
    if len(counts) != 1 or not counts <= {1, 3, 4}:
        return []
    count = counts.pop()
    return [
        Named(
            name.strip("\"'"),
            numbers[0] if count != 3 else None,
            (numbers[-3], numbers[-2], numbers[-1]) if count > 1 else None,
        )
        for name, numbers in found
    ]


def _counted(names: Sequence[str]) -> list[Named]:
    """One name a line."""
    if any(mark in name for name in names for mark in ",;\t"):
        return []
    names = names[1:] if names[0].lower() in {*NAMES, "classes", "labels"} else names
    if not names:
        return []
    first = -1 if names[0] == IGNORED else 0
    return [Named(name, i if i >= 0 else VOID) for i, name in enumerate(names, start=first)]


# ---- JSON ---------------------------------------------------------------------------------------------------


def _of_json(found: Any) -> Ways:
    """Of an object or a list of classes, or of one that an object has under such a key."""
    for each in [found, *(found[key] for key in found if ABOUT.search(key))] if isinstance(found, dict) else [found]:
        if isinstance(each, dict):
            rows = [_entry(key, value) for key, value in each.items()]
            yield [row for row in rows if row] if all(rows) else [], False
        elif isinstance(each, list) and all(isinstance(row, dict) for row in each):
            yield _tabular(each), False
        elif isinstance(each, list) and all(isinstance(row, str) for row in each):
            yield _counted(each) if each else [], True


def _entry(key: str, value: Any) -> Named | None:
    """{name: id}, {id: name}, {name: colour}, {colour: name} or {id: {name: …}}."""
    if type(value) is int:
        return Named(key, value)
    if color := _color(value):
        return Named(key, None, color)
    if isinstance(value, str):
        color = _color(key)
        return Named(value, int(key)) if NUMBER.fullmatch(key) else Named(value, None, color) if color else None
    if isinstance(value, dict) and NUMBER.fullmatch(key) and (rows := _tabular([value])):
        return replace(rows[0], id=int(key))
    return None


def _color(value: Any) -> Color | None:
    """Of [red, green, blue] or "#rrggbb"."""
    if isinstance(value, str) and HEX.fullmatch(value):
        return color_of(int(value[1:], 16))
    if isinstance(value, list) and len(value) == 3 and all(type(part) is int for part in value):
        return value[0], value[1], value[2]
    return None
