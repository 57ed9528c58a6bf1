"""Which commit is measured: on a device there may be no git, or one that knows less than the files that travelled."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from segmodels.environment import commit

ROOT = Path(__file__).parents[2]
MEASURED = ("segdata", "segmodels", "benchmarks")
CHANGED = "+changes"


def sources() -> str:
    """sha256 of every Python file of the packages and the benchmarks."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in MEASURED for path in (ROOT / folder).rglob("*.py")):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def origin() -> dict[str, Any]:
    """What pack.json says of the moment it was written."""
    return {"commit": commit(), "sources": sources()}


def measured_commit(pack: Path) -> str | None:
    """The commit of the pack where its sources are these, else what git says here. Raises OSError without pack.json."""
    packed: dict[str, Any] = json.loads((pack / "pack.json").read_text())
    if packed["sources"] == sources():
        found: str | None = packed["commit"]
        return found
    here = commit() or packed["commit"]
    return here and here.removesuffix(CHANGED) + CHANGED
