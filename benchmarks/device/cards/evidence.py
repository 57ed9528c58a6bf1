"""Cards `evidence-ROW`: a row of `benchmarks/evidence/plan.yaml`, from the frames of the pack (JPEG)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.device.card import Bench, CardError, Row
from benchmarks.evidence.plan import Plan, read_plan
from benchmarks.evidence.runner import Place, do, make_sets
from segdata import ShardSet
from segdata.labels.taxonomy import IGNORE

VOID = 11  # CamVid's id of what the shards ignore
SIDE_BY_SIDE = 3


def evidence(bench: Bench, row: str) -> Iterator[Row]:
    """One row: what `python -m benchmarks.evidence --rows ROW` writes into its result file."""
    plan = _tiny(read_plan(), row) if bench.rehearsal else read_plan()
    place = Place(bench.scratch / "home", bench.scratch / "results", bench.device)
    frames = bench.scratch / "CamVid"
    for split in ("train", "val", "test"):
        _restore(ShardSet(bench.camvid, split), frames)
    make_sets(plan, place, frames, [plan.rows[row].set])
    trainings = [each for each in plan.trainings() if each.row.name == row and each.seed == 0]
    if failed := do(plan, place, trainings, SIDE_BY_SIDE):
        raise CardError(f"these trainings failed: {', '.join(failed)}")
    document: dict[str, Any] = json.loads((place.results / f"evidence-{row}.json").read_text())
    yield document


def says(rows: Sequence[Row]) -> str:
    runs = rows[0]["runs"].items()
    found = ", ".join(f"{name} {runs[0]['miou']:.3f}" for name, runs in runs)
    return "; ".join([found, *(f"{each['claim']}: {each['verdict']}" for each in rows[0]["comparisons"])])


def _restore(shards: ShardSet, root: Path) -> None:
    """CamVid's folders of a split, from shards of the taxonomy camvid-11."""
    for folder in (shards.split, f"{shards.split}annot"):
        (root / folder).mkdir(parents=True)
    for i, key in enumerate(shards.keys):
        record = shards.read(i)
        labels = np.where(record.targets[1] == IGNORE, VOID, record.targets[1]).astype(np.uint8)
        cv2.imwrite(str(root / shards.split / f"{key}.png"), record.image[..., ::-1])
        cv2.imwrite(str(root / f"{shards.split}annot" / f"{key}.png"), labels)


def _tiny(plan: Plan, name: str) -> Plan:
    """Two steps of each, on whatever frames the pack has."""
    row = plan.rows[name]
    few = {"steps": 2, "batch-size": 2}
    runs = {run: {**each, "options": {**each["options"], **few}} for run, each in row.runs.items()}
    chosen = dict(plan.sets[row.set])
    kept = {key: value for key, value in chosen["options"].items() if key != "split-list"}
    chosen["options"] = {**kept, "split": ["train", "val", "test"]}
    return replace(plan, sets={row.set: chosen}, rows={name: replace(row, runs=runs)}, more_seeds={})
