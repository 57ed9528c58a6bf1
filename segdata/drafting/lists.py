"""Lists of frames that lie in the folder: the splits of a dataset whose folders do not say them."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from segdata.drafting.finding.looks import IMAGES
from segdata.drafting.finding.words import SPLITS
from segdata.drafting.layout import Layout
from segdata.errors import SourceError
from segdata.raw.member import Member

MOST_LISTS, LIST_BYTES = 60, 1 << 24
LISTED = 0.8  # share of a list's lines that name a frame
SUFFIXES = (".txt", ".lst", ".csv")
OF_FRAMES = re.compile(  # "train_pairs", "list_train": the split, and words that say what a list is of
    r"(?:(?:lists?|pairs?|split|set|files?|images?|frames?)[_\-. ])?"
    rf"(?P<split>{'|'.join(sorted(SPLITS, key=len, reverse=True))})"
    r"(?:[_\-. ]?(?:lists?|pairs?|split|set|files?|filenames?|images?|frames?|names?|ids?|paths?|samples?|data))?",
    re.IGNORECASE,
)

FIRST = re.compile(
    rf"(?P<image>.+?\.({'|'.join(sorted(IMAGES))})[\"']?)(?=[\s,;])", re.IGNORECASE
)  # of several columns


def find_lists(members: Mapping[str, Member], layout: Layout) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Splits by text files that name frames, one a line: split -> keys, and split -> the file's path.

    Of several files for one split, the one that is named as the split alone is taken, then the longest.
    """
    naming = layout.naming
    keys = _index({pair.image: naming.of(pair.fields) for pair in layout.pairs})
    found: dict[str, tuple[tuple[bool, int], list[str], str]] = {}
    for path in [path for path in members if path.lower().endswith(SUFFIXES)][: 10 * MOST_LISTS]:
        stem = PurePosixPath(path).stem.lower()
        word = SPLITS[told["split"]] if (told := OF_FRAMES.fullmatch(stem)) else ""
        if word and len(found) < MOST_LISTS:
            named = _named(members, path, keys)
            worth = (stem in SPLITS, len(named))
            if named and (word not in found or worth > found[word][0]):
                found[word] = (worth, named, path)
    if {"train", "val"} <= found.keys():
        found.pop("trainval", None)
    order = ["train", "val", "test"]
    names = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))
    if len(found) < 2:
        return {}, {}
    return {name: found[name][1] for name in names}, {name: found[name][2] for name in names}


def _index(keys: Mapping[str, str]) -> dict[str, str]:
    """Every way in which a list may name an image, to its key: its path or an end of it, with its suffix or without."""
    found: dict[str, str] = {}
    for path, key in keys.items():
        parts = path.rpartition(".")[0].split("/")
        for ways in ({"/".join(parts[at:]) for at in range(len(parts))}, {key}):
            for way in ways:
                if found.setdefault(way, key) != key:
                    found[way] = ""  # of several images
    return found


def _named(members: Mapping[str, Member], path: str, keys: Mapping[str, str]) -> list[str]:
    """The keys of the frames that a list names; [] of a text that is no such list."""
    try:
        text = members[path].read()[:LIST_BYTES].decode("utf-8-sig", "replace")
    except (SourceError, OSError):
        return []
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [_frame_of(line, keys) for line in lines]
    if path.lower().endswith(".csv") and len(found) > 1 and not found[0]:
        found = found[1:]  # headings
    good = [key for key in found if key]
    return list(dict.fromkeys(good)) if found and len(good) >= LISTED * len(found) else []


def _frame_of(line: str, keys: Mapping[str, str]) -> str:
    """The key of the frame that a line names: alone, or first, before its labels; "" where it names none."""
    first = FIRST.match(line)
    ways = (first["image"],) if first else (line, re.split(r"[,;\t]", line)[0].strip(), re.split(r"[,;\s]", line)[0])
    return next((key for way in ways if (key := _listed_key(way.strip("\"'"), keys))), "")


def _listed_key(name: str, keys: Mapping[str, str]) -> str:
    """By its whole path, or the longest end of it that names one image."""
    parts = name.replace("\\", "/").split("/")
    ends = ["/".join(parts[at:]) for at in range(len(parts))]
    return next((key for end in ends for way in (end, end.rpartition(".")[0]) if way and (key := keys.get(way))), "")
