"""Folders that are there, where those that were looked for are not: what to compare a template with."""

from collections import Counter
from difflib import SequenceMatcher
from itertools import islice

from segdata.raw.scene import Folder
from segdata.raw.tree import Tree

MOST = 20_000  # files that are looked at
SHOWN = 3


def nearest_folders(tree: Tree, folder: Folder) -> str:
    """Those whose paths resemble its template's most, each with its number of files and one of them; "" for none.

    Asked for after `Tree.contents`: what was found there is not looked at.
    """
    counts, examples = Counter[str](), dict[str, str]()
    for top, below in islice(tree.unused((), lambda path: False), MOST):
        path = f"{top}/{below}" if below else top
        home = path.rpartition("/")[0]
        counts[home] += 1
        examples.setdefault(home, path)
    wanted = folder.template.text.rpartition("/")[0]
    near = sorted(counts, key=lambda home: (-_likeness(home, wanted), home))
    shown = [
        f"{home or 'the folder itself'} ({_files(counts[home])} such as {examples[home]})" for home in near[:SHOWN]
    ]
    return f"The nearest folders: {', '.join(shown)}" if shown else ""


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _likeness(home: str, wanted: str) -> float:
    """Of two paths, from 0 to 1: as texts, whatever their case."""
    return SequenceMatcher(None, home.lower(), wanted.lower()).ratio()
