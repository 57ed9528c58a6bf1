"""Divisions into splits that ship with segdata, beside the official ones of the publishers.

A division is one list of frames for each of its splits: `lists/<source>_<division>_<split>.txt`, in the form that
`segdata prepare --split-list SPLIT=FILE` reads.
"""

from importlib.resources import files

SPLITS = ("train", "val", "test")
DIVISIONS: dict[str, dict[str, str]] = {  # source -> division -> what it is, in words
    "camvid": {
        "by-drive": "no drive stands in two splits: train 328 frames (0016E5 without the official val clip, and all "
        "of 0001TP), val 101 (0006R0), test 171 (Seq05VD)"
    },
}


def shipped_lists(source: str, division: str) -> dict[str, tuple[str, str]]:
    """split -> (the list's name, its text). Raises KeyError where the source has no such division."""
    if division not in DIVISIONS.get(source, {}):
        raise KeyError(division)
    names = {split: f"{source}_{division}_{split}.txt" for split in SPLITS}
    return {split: (name, (files("segdata.sources") / "lists" / name).read_text()) for split, name in names.items()}
