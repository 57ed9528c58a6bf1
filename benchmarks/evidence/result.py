"""A row's result file: what its finished trainings score, and what follows for its claims."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.evidence.plan import Answer, Comparison, Plan, Row, Training
from segdata import ShardSet
from segdata.base.files import write_file
from segmodels.inference.trained import load_trained
from segmodels.runs.run import Run
from segmodels.scoring.intervals import between, interval, no_interval
from segmodels.scoring.metrics import ConfusionMatrix
from segmodels.scoring.scored import Scored, read_scores

if TYPE_CHECKING:
    from benchmarks.evidence.runner import Place

SHOWN, REFUTED, OPEN = "shown", "refuted", "not shown"
Found = dict[str, dict[int, dict[str, Scored]]]  # run -> seed -> setting -> its scores


def write_result(plan: Plan, row: Row, place: Place, results: Path) -> None:
    """Of all trainings of the row that are finished and scored; nothing where there is none."""
    found: Found = {}
    runs: dict[str, list[dict[str, Any]]] = {}
    for training in plan.trainings():
        if training.row is row and (scored := _scored(training, place)) is not None:
            found.setdefault(training.run, {})[training.seed] = scored
            runs.setdefault(training.run, []).append(_run(training, place, scored))
    if not runs:
        return
    some = next(iter(next(iter(found.values())).values()))[""]
    shards = ShardSet(place.shards(row.set), "train")
    document = {
        "row": row.name,
        "title": row.title,
        "source": row.source,
        "claim": row.claim,
        "set": {
            "name": row.set,
            "options": plan.sets[row.set]["options"],
            "training_images": len(shards),
        },
        "split": row.split,
        "images": len(some.keys),
        "clips": len(set(some.groups)),
        "views": row.views,
        "runs": runs,
        "comparisons": [known for each in row.comparisons if (known := _compared(each, found)) is not None],
    }
    results.mkdir(parents=True, exist_ok=True)
    write_file(results / f"evidence-{row.name}.json", (json.dumps(document, indent=1) + "\n").encode())


def _scored(training: Training, place: Place) -> dict[str, Scored] | None:
    """Setting → scores, where all of them are there."""
    run = place.run(training)
    if not all(is_of(place.scores(training, name) / "metrics.json", run) for name, _ in training.evaluations()):
        return None
    return {name: read_scores(place.scores(training, name)) for name, _ in training.evaluations()}


def is_of(measured: Path, run: Path) -> bool:
    """Whether this result is there, whole, and of the training that lies in the run's folder."""
    try:
        return bool(json.loads(measured.read_text())["run"] == json.loads((run / "run.json").read_text())["id"])
    except (FileNotFoundError, ValueError, KeyError):  # ValueError: a file that a kill cut off
        return False


def _run(training: Training, place: Place, scored: Mapping[str, Scored]) -> dict[str, Any]:
    """The figures of one finished training."""
    run, answer = Run(place.run(training)), scored[""]
    about = run.document()  # what it was trained by and on
    config, timing = run.config(), json.loads(run.timing.read_text())
    network = load_trained(run.path, torch.device("cpu")).network
    command = ["segmodels", *training.command(Path("SHARDS"), Path("RUN"), Path("START"))]
    swept = place.scores(training, "sweep") / "sweep.json"
    measured = place.scores(training, "measure").with_suffix(".json")
    return {
        "seed": training.seed,
        **{name: about[name] for name in ("commit", "versions", "device")},
        "weights": about["weights"][str(config.steps)],  # digest of the last step's, without what it is called
        "command": shlex.join(command),
        "network": config.network,
        "parameters": sum(each.numel() for each in network.parameters()),
        "steps": config.steps,
        "batch_size": config.batch_size,
        "seconds": timing["seconds"],
        "images_per_second": timing["images_per_second"],
        "miou": answer.document["miou"],
        "pixel_accuracy": answer.document["pixel_accuracy"],
        "class_iou": answer.document["class_iou"],
        "interval": _interval(answer),
        "outputs": [each["miou"] for _, each in sorted(answer.document.get("steps", {}).items())],
        "settings": {name: each.document["miou"] for name, each in scored.items() if name},
        "history": _history(run.history),
        **({"sweep": _swept(swept)} if is_of(swept, run.path) else {}),
        **({training.row.measure: json.loads(measured.read_text())} if is_of(measured, run.path) else {}),
    }


def _interval(answer: Scored) -> dict[str, float] | str:
    """Of the mIoU, by clips; the reason where there is none."""
    if why := no_interval(answer.groups):
        return why
    low, high = interval(answer.matrices, answer.groups, answer.evaluated)
    return {"low": low, "high": high}


def _history(path: Path) -> list[dict[str, float]]:
    """The validated epochs, without what other files say."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("miou")]
    kept = [{name: value for name, value in row.items() if "accuracy" not in name and name != "lr"} for row in rows]
    return [{name: round(float(value), 5) for name, value in row.items() if value} for row in kept]


def _swept(path: Path) -> list[dict[str, Any]]:
    rows = json.loads(path.read_text())["rows"]
    return [{name: row[name] for name in ("value", "shares", "macs", "full_macs")} for row in rows]


def _compared(comparison: Comparison, found: Found) -> dict[str, Any] | None:
    """Difference, interval and verdict, where both sides are there."""
    sides = [_answers(each, found) for each in (comparison.first, comparison.second)]
    seeds = sorted(sides[0].keys() & sides[1].keys())
    if not seeds:
        return None
    some = next(iter(found[comparison.first.run].values()))[""]
    first, second = ([side[seed] for seed in seeds] for side in sides)
    within_a_run = comparison.first.run == comparison.second.run
    difference = between(first, second, some.groups, some.evaluated, matched=within_a_run)
    return {
        "claim": comparison.claim,
        "margin": comparison.margin,
        "difference": difference.difference,
        "low": None if isnan(difference.low) else difference.low,
        "high": None if isnan(difference.high) else difference.high,
        "seeds": len(seeds),
        "within_a_run": within_a_run,
        "verdict": verdict(difference.low, difference.high, comparison.margin),
    }


def _answers(answer: Answer, found: Found) -> dict[int, ConfusionMatrix]:
    """Seed → matrices (N, K, K)."""
    sides = {}
    for seed, settings in found.get(answer.run, {}).items():
        scored = settings[answer.scores]
        if answer.output:
            assert scored.steps is not None, answer
            sides[seed] = scored.steps[answer.output - 1]
        else:
            sides[seed] = scored.matrices
    return sides


def verdict(low: float, high: float, margin: float) -> str:
    """Of "the first is better" (margin 0) or "as good, to the margin", by the ends of the difference's interval."""
    if low > -margin:
        return SHOWN
    return REFUTED if high < -margin else OPEN
