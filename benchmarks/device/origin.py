"""Which commit is measured: on a device there may be no git, or one that knows less than the files that travelled."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from segmodels.runs.environment import commit

ROOT = Path(__file__).parents[2]
PYTHON = ("segdata", "segmodels", "benchmarks", "tests")
MEASURED = (*(f"{folder}/**/*.py" for folder in PYTHON), "segdata/taxonomies/*.yaml", "pipelines/*.yaml")
CHANGED = "+changes"


def sources() -> str:
    """sha256 of every file that decides what a card finds: the packages, the benchmarks, the tests, the recipes."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in MEASURED for path in ROOT.glob(pattern) if path.is_file()}):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def origin() -> dict[str, Any]:
    """What pack.json says of the moment it was written."""
    return {"commit": commit(), "sources": sources()}


def measured_commit(pack: Path) -> str | None:
    """What git says here where nothing is changed; else the pack's commit where its sources are these; else one of
    them, marked as changed. Raises OSError, ValueError or KeyError where there is no whole pack.json.
    """
    packed: dict[str, Any] = json.loads((pack / "pack.json").read_text())
    here, there = commit(), packed["commit"]
    if here and not here.endswith(CHANGED):
        return here
    if packed["sources"] == sources():
        return str(there)
    return str(here or there).removesuffix(CHANGED) + CHANGED
