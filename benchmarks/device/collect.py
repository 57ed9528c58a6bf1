"""Bring the results of a visit into the repository, and know which are there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.device.runner import lines_of
from segmodels.runs.checkpoint import replacing

RESULTS = Path(__file__).parents[1] / "results" / "cuda"
FIELDS = ("card", "status", "error", "rows", "rehearsal", "device")
NAME = re.compile(r"[\w.-]+")


def slug(device: str) -> str:
    """A GPU's name as a folder's: each model of GPU has its own, so that no table mixes two."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") or "unnamed"


def collect(lines: Path, results: Path = RESULTS) -> list[str]:
    """Write each result of a results.jsonl to results/GPU/CARD.json: what is done, or a part where no more is there.

    Of a rehearsal nothing is taken. Returns a line for each.
    """
    told = []
    for document in results_in(lines):
        path = results / slug(document["device"]["name"]) / f"{document['card']}.json"
        there = read(path)
        if document["rehearsal"]:
            told.append(f"{document['card']}: a rehearsal, not collected")
        elif document["status"] not in ("done", "partial"):
            told.append(f"{document['card']}: {document['status']}, not collected: {document['error']}")
        elif document["status"] == "partial" and _holds_more(there, document):
            told.append(f"{document['card']}: partial, not collected, for more is there")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write((json.dumps(document, indent=1) + "\n").encode())
            told.append(f"{document['card']}: {document['status']}, {'replaced' if there else 'new'}")
    return told


def _holds_more(there: dict[str, Any], part: dict[str, Any]) -> bool:
    return there.get("status") == "done" or len(there.get("rows", ())) > len(part["rows"])


def done(device: str, lines: Path, results: Path = RESULTS, *, rehearsal: bool = False) -> set[str]:
    """The cards that are done on this model of device: in results/, or in a results.jsonl of the same kind of run."""
    found = {path.stem for path in (results / slug(device)).glob("*.json") if read(path).get("status") == "done"}
    return found | {
        each["card"]
        for each in results_in(lines)
        if each["status"] == "done" and each["device"]["name"] == device and each["rehearsal"] == rehearsal
    }


def results_in(path: Path) -> Iterator[dict[str, Any]]:
    """The results of a results.jsonl; what is cut off, damaged or no result is passed over."""
    for document in lines_of(path):
        complete = all(name in document for name in FIELDS) and isinstance(document["device"], dict)
        if complete and "name" in document["device"] and NAME.fullmatch(str(document["card"])):
            yield document


def read(path: Path) -> dict[str, Any]:
    """A result; empty where there is none, or half of one."""
    try:
        document = json.loads(path.read_text(errors="replace"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
