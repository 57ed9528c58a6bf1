"""JSON in which no key stands twice: of two values Python's own parser takes the last, and other programs the first."""

import json
from typing import Any


class DoubledKeyError(ValueError):
    """One key, two values: which of them is meant cannot be known."""


def load_json(data: str | bytes) -> Any:
    """What JSON text holds. Raises DoubledKeyError, and what `json.loads` raises: call it inside `parsing`."""
    return json.loads(data, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. To count them costs a third of the time of parsing a long dataset.json."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DoubledKeyError(f"the key {twice[:80]!r} stands twice in one object")
    return found
