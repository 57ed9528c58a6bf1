"""What a source file says beside labels and places: official counts, other divisions, codings that look alike."""

import re
from collections.abc import Mapping
from pathlib import Path

from segdata.documents.yaml import Entry, optional
from segdata.labels.label import Lookalike
from segdata.raw.scene import CHANNELS, NEVER, FrameRule, Official
from segdata.raw.template import glob
from segdata.sources.places import Table, list_path, mapping, rows
from segdata.sources.source import NamedDivision

HIGHEST = 65535  # of a 16-bit sample


def read_official(row: Table, split: str, home: Path) -> Official | None:
    """What the publisher says that the split holds: a count, or a list of its keys; None where nothing is said."""
    caution = optional(row, "caution", f"split {split}", "")
    if "official" not in row:
        if caution:
            raise row["caution"].wrong(
                f"split {split}: a caution is on an official split: say its count, `official: 100`."
            )
        return None
    entry = row["official"]
    if isinstance(entry.value, str):
        path = list_path(home, entry.value)
        if not path.is_file():
            raise entry.wrong(
                f"split {split}: no list {path}. Name a text file with one key a line, or a number of frames."
            )
        keys = frozenset(_text(path, entry).split())
        return Official(len(keys), keys, caution)
    count = entry.typed(int, f"split {split}: official")
    if count < 1:
        raise entry.wrong(f"split {split}: official {count}; expected the number of its frames.")
    return Official(count, caution=caution)


def _text(path: Path, entry: Entry) -> str:
    """Of a list. Raises the entry's error where it is no text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise entry.wrong(f"{path} is no text file. Save it as UTF-8, with one frame a line.") from None


def read_divisions(entry: Entry | None, home: Path) -> dict[str, NamedDivision]:
    """Other splits than the official ones, by the name of the division: a list of frames for each split."""
    found = {}
    for name, each in mapping(entry, "divisions").items():
        table = each.table(f"division {name}", ("about", "lists"), ())
        lists = {}
        for split, row in mapping(table["lists"], f"division {name}: lists").items():
            path = list_path(home, row.typed(str, f"division {name}: {split}"))
            if not path.is_file():
                raise row.wrong(f"division {name}: no list {path}. Name a text file with one frame a line.")
            lists[split] = path.name, _text(path, row)
        found[name] = NamedDivision(table["about"].typed(str, f"division {name}: about"), lists)
    return found


def read_frame_rule(entry: Entry) -> FrameRule:
    """What frames are where they are not 8-bit RGB."""
    table: Mapping[str, Entry] = entry.value if isinstance(entry.value, dict) else {}
    channels = optional(table, "channels", "image", FrameRule.channels)
    if channels not in CHANNELS:
        raise table["channels"].wrong(f"image: channels {channels!r}; expected one of {', '.join(CHANNELS)}.")
    if "range" not in table:
        return FrameRule(channels)
    ends = [each.value for each in table["range"].typed(list, "image: range")]
    if len(ends) != 2 or not all(type(end) is int for end in ends) or not 0 <= ends[0] < ends[1] <= HIGHEST:
        raise table["range"].wrong(
            f"image: range {table['range'].shown()}; expected [low, high], the values that become 0 and "
            f"255, of 0 to {HIGHEST}."
        )
    return FrameRule(channels, (ends[0], ends[1]))


def read_lookalike(row: Entry) -> Lookalike:
    """Another coding that goes under the names of the label files: its ids, as numbers or ranges ("0-19")."""
    table = row.table("lookalikes", ("name", "ids", "landmarks"), ("advice",))
    ids = set[int]()
    for each in table["ids"].typed(list, "lookalikes: ids"):
        first, _, last = str(each.value).partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            raise each.wrong(f"lookalikes: ids: {each.shown()}; expected an id, or a range such as 0-18.")
        ids.update(range(int(first), int(last or first) + 1))
    landmarks = frozenset(
        each.typed(int, "lookalikes: landmarks") for each in table["landmarks"].typed(list, "lookalikes")
    )
    name, advice = table["name"].typed(str, "lookalikes: name"), optional(table, "advice", "lookalikes", "")
    return Lookalike(name, frozenset(ids), advice, landmarks)


def read_others(entry: Entry | None) -> re.Pattern[str]:
    """What begins the paths of other files that belong there."""
    patterns = []
    for each in rows(entry, "others"):
        try:
            patterns.append(glob(each.typed(str, "others")).pattern)
        except ValueError as error:
            raise each.wrong(f"others: {error}.") from None
    return re.compile("|".join(patterns)) if patterns else NEVER
