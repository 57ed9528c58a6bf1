"""Bring the results of a visit into the repository, and know which are there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.device.runner import results_in

RESULTS = Path(__file__).parents[1] / "results" / "cuda"


def slug(device: str) -> str:
    """A GPU's name as a folder's: each model of GPU has its own, so that no table mixes two."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def collect(lines: Path, results: Path = RESULTS) -> list[str]:
    """Write each result of a results.jsonl that is done, or partial where none is done, to results/GPU/CARD.json.

    Of a rehearsal nothing is taken. Returns a line for each.
    """
    told = []
    for document in results_in(lines):
        path = results / slug(document["device"]["name"]) / f"{document['card']}.json"
        there = read(path)
        if document["rehearsal"]:
            told.append(f"{document['card']}: of a rehearsal, left")
        elif document["status"] not in ("done", "partial"):
            told.append(f"{document['card']}: {document['status']}, left: {document['error']}")
        elif document["status"] == "partial" and there.get("status") == "done":
            told.append(f"{document['card']}: partial, left, for a whole one is there")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(document, indent=1) + "\n")
            told.append(f"{document['card']}: {document['status']}, {'replaced' if there else 'new'}")
    return told


def done(device: str, lines: Path, results: Path = RESULTS, *, rehearsal: bool = False) -> set[str]:
    """The cards that are done on this model of device: in results/, or in a results.jsonl of the same kind of run."""
    found = {path.stem for path in (results / slug(device)).glob("*.json") if read(path).get("status") == "done"}
    return found | {
        each["card"]
        for each in results_in(lines)
        if each["status"] == "done" and each["device"]["name"] == device and each["rehearsal"] == rehearsal
    }


def read(path: Path) -> dict[str, Any]:
    """A result; empty where there is none."""
    if not path.is_file():
        return {}
    document: dict[str, Any] = json.loads(path.read_text())
    return document
