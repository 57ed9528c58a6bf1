"""The versions of a set that a store holds: the one that readers see, older ones, and what unfinished uploads left."""

import re
from collections import defaultdict
from dataclasses import dataclass

from segdata.errors import ShardError
from segdata.format.manifest import FILE, NAMES, fetch_manifest
from segdata.format.published import REVISIONS, revision
from segdata.stores.opening import open_store
from segdata.stores.store import Store
from segdata.stores.url import Url

PATH = re.compile(
    rf"{REVISIONS}/([0-9a-f]{{32}})/({NAMES.pattern})"
)  # what `publish` writes; others may write there too
CURRENT, OLDER, UNFINISHED = "current", "older", "unfinished"


@dataclass(frozen=True)
class Revision:
    """One folder below `revisions/`."""

    name: str
    state: str  # current, older or unfinished
    files: tuple[str, ...]
    size: int  # bytes


def revisions(store: Store) -> list[Revision]:
    """All that is there, the current one first."""
    try:
        current = revision(fetch_manifest(store)).split("/")[1]
    except ShardError:
        current = ""
    files: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for path, entry in store.files().items():
        if match := PATH.fullmatch(path):
            files[match[1]].append((path, entry.size or 0))
    found = []
    for name, rows in files.items():
        finished = f"{REVISIONS}/{name}/{FILE}" in {path for path, _ in rows}
        state = CURRENT if name == current else OLDER if finished else UNFINISHED
        found.append(Revision(name, state, tuple(path for path, _ in rows), sum(size for _, size in rows)))
    return sorted(found, key=lambda row: (row.state != CURRENT, row.state, row.name))


def remove_revisions(url: Url, states: set[str]) -> list[Revision]:
    """Remove the revisions of these states, each one's dataset.json first; the current one always stays.

    Whoever still reads an older one, or uploads an unfinished one, finds its files gone.
    """
    store = open_store(url)
    gone = [row for row in revisions(store) if row.state in states - {CURRENT}]
    for row in gone:
        store.remove(sorted(row.files, key=lambda path: (not path.endswith(f"/{FILE}"), path)))
    return gone
