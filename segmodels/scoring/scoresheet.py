"""All that an evaluation says: scores as JSON, classes and images as tables, the matrices themselves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segdata.base.canonical import pretty_json
from segdata.base.files import replacing, unlink, write_file
from segdata.base.ownership import headed, json_kind, marked
from segdata.labels.taxonomy import Taxonomy
from segmodels.documents import csv_table
from segmodels.runs.results import check_out
from segmodels.scoring import metrics
from segmodels.scoring.intervals import intervals, no_interval
from segmodels.scoring.metrics import ConfusionMatrix
from segmodels.scoring.official import largest_difference

METRICS, OFFICIAL, CONFUSION, STEPS = "metrics.json", "official.json", "confusion.npy", "steps.npy"
CLASSES, IMAGES = "classes.csv", "images.csv"
CLASS_HEADER = ("id", "class", "category", "pixels", "iou", "recall", "precision")
IMAGE_HEADER = ("key", "pixel_accuracy", "miou", "miou_present", "micro_iou", "group")
OLDER_IMAGE_HEADER = IMAGE_HEADER[:-1]
FILES = {  # and how those that `evaluate` wrote are known again
    METRICS: json_kind("scores of `evaluate`", "images", "interval", "miou", "shards"),
    OFFICIAL: json_kind("scores of cityscapesScripts", "averageScoreClasses", "classScores"),
    CONFUSION: marked("a confusion matrix", b"{'descr': '<i8', 'fortran_order': False, 'shape': ("),
    STEPS: marked("confusion matrices of steps", b"{'descr': '<i8', 'fortran_order': False, 'shape': ("),
    CLASSES: headed("scores of classes", ",".join(CLASS_HEADER).encode()),
    IMAGES: headed("scores of images", ",".join(OLDER_IMAGE_HEADER).encode()),
}
Rows = list[list[Any]]


@dataclass(frozen=True)
class Matrices:
    """Confusion matrices (S, N, K, K) of a network's S outputs on N images; the last is the answer."""

    keys: tuple[str, ...]
    groups: tuple[str, ...]  # of each image, by the rule of the shards' source
    full: ConfusionMatrix  # at the labels' resolution
    coarse: ConfusionMatrix | None  # at the network's stride; None where that is 1, or several views were averaged


@dataclass(frozen=True)
class Scoresheet:
    """The scores of a split, and the files that hold them:

    metrics.json    `document`: what was scored (with `frames` where it was a list of them, not the whole split), then
                    the scores of `metrics.py` by their names, null where undefined; `groups`, how many the images
                    belong to; `interval` (95 %, see `intervals.py`), null where `interval_reason` says why;
                    `class_iou`, `category_iou`; the same scores in `own_stride` and, for networks of several outputs,
                    in `steps`; the evaluator's averages in `official`
    classes.csv     `classes`: a row for each evaluated class (CLASS_HEADER), None where a value is undefined
    images.csv      a row for each image (IMAGE_HEADER)
    confusion.npy   `answer`: (N, K, K) int64 in the order of images.csv, rows are ground truth
    steps.npy       `steps`: (S, N, K, K) of all S outputs, the last is `answer`; only where there are several
    official.json   `official`: all that Cityscapes' evaluator says, where it ran
    """

    document: dict[str, Any]
    classes: Rows
    images: Rows
    answer: ConfusionMatrix
    steps: ConfusionMatrix | None
    official: dict[str, Any] | None

    def write(self, out: Path) -> None:
        """Into the folder `out`, metrics.json last, so that its presence means completeness."""
        check_out(out, FILES)  # once more: the work may have taken hours
        unlink(out / METRICS)
        unlink(out / OFFICIAL)
        unlink(out / STEPS)
        if self.official:
            write_file(out / OFFICIAL, pretty_json(self.official))
        write_file(out / CLASSES, csv_table(CLASS_HEADER, self.classes))
        write_file(out / IMAGES, csv_table(IMAGE_HEADER, self.images))
        with replacing(out / CONFUSION) as file:
            np.save(file, self.answer)
        if self.steps is not None:
            with replacing(out / STEPS) as file:
                np.save(file, self.steps)
        write_file(out / METRICS, pretty_json(self.document))


def make_scoresheet(
    matrices: Matrices, taxonomy: Taxonomy, stride: int, about: dict[str, Any], official: dict[str, Any] | None
) -> Scoresheet:
    """`about` says what was scored; `official` is what Cityscapes' evaluator says, where it ran."""
    answer = matrices.full[-1]
    document = about | _document(matrices, taxonomy, stride)
    if official:
        document["official"] = _averages(official, document["class_iou"], taxonomy)
    classes = [_plain(row) for row in _class_rows(answer.sum(0), taxonomy)]
    images = [_plain(row) for row in _image_rows(matrices, taxonomy)]
    steps = matrices.full if len(matrices.full) > 1 else None
    return Scoresheet(_plain(document), classes, images, answer, steps, _plain(official))


def _document(matrices: Matrices, taxonomy: Taxonomy, stride: int) -> dict[str, Any]:
    """All scores, NaN where undefined; mappings of mappings, as `dvc metrics show` flattens them."""
    evaluated = _evaluated(taxonomy)
    answer, total = matrices.full[-1], matrices.full[-1].sum(0)
    of_class = zip(taxonomy.classes, metrics.class_iou(total, evaluated), strict=True)
    of_category = metrics.category_iou(total, evaluated, [row.category for row in taxonomy.classes])
    reason = no_interval(matrices.groups)
    known = {} if reason else intervals(answer, matrices.groups, evaluated)
    document: dict[str, Any] = {
        "images": len(answer),
        **metrics.scores(answer, evaluated),
        "groups": len(set(matrices.groups)),
        "interval": {name: {"low": low, "high": high} for name, (low, high) in known.items()} or None,
        "interval_reason": reason or None,
        "class_iou": {row.name: iou for row, iou in of_class if row.evaluated},
        "category_iou": {name: float(iou) for name, iou in of_category.items()},
    }
    if matrices.coarse is not None:
        document["own_stride"] = {"stride": stride, **metrics.scores(matrices.coarse[-1], evaluated)}
    if len(matrices.full) > 1:
        document["steps"] = _outputs(matrices, evaluated)
    return document


def _outputs(matrices: Matrices, evaluated: Sequence[bool]) -> dict[str, Any]:
    """The scores of each output by its number, from 01."""
    found = {}
    for index, full in enumerate(matrices.full):
        scores: dict[str, Any] = dict(metrics.scores(full, evaluated))
        if matrices.coarse is not None:
            scores["own_stride"] = metrics.scores(matrices.coarse[index], evaluated)
        found[f"{index + 1:02}"] = scores
    return found


def _class_rows(total: ConfusionMatrix, taxonomy: Taxonomy) -> Iterable[Sequence[object]]:
    """The evaluated classes. As for IoU, predictions on ground truth that is not evaluated are no errors."""
    evaluated = _evaluated(taxonomy)
    hits, pixels, found = np.diagonal(total), total.sum(1), total[evaluated].sum(0)
    class_iou = metrics.class_iou(total, evaluated)
    for i in np.flatnonzero(evaluated).tolist():
        row = taxonomy.classes[i]
        yield i, row.name, row.category, pixels[i], class_iou[i], _share(hits[i], pixels[i]), _share(hits[i], found[i])


def _image_rows(matrices: Matrices, taxonomy: Taxonomy) -> Iterable[Sequence[object]]:
    evaluated, answer = _evaluated(taxonomy), matrices.full[-1]
    return zip(
        matrices.keys,
        metrics.pixel_accuracy(answer, evaluated),
        metrics.miou(answer, evaluated),
        metrics.miou_present(answer),
        metrics.micro_iou(answer),
        matrices.groups,
        strict=True,
    )


def _averages(official: dict[str, Any], class_iou: dict[str, float], taxonomy: Taxonomy) -> dict[str, Any]:
    """The evaluator's means, and how far its class scores are from ours: null where only one of both is defined."""
    means = {name: value for name, value in official.items() if name.startswith("averageScore")}
    ours = {row.feeds[0]: class_iou[row.name] for row in taxonomy.classes if row.evaluated}
    return {**means, "largest_difference": largest_difference(official["classScores"], ours)}


def _evaluated(taxonomy: Taxonomy) -> list[bool]:
    return [row.evaluated for row in taxonomy.classes]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _plain(value: Any) -> Any:
    """As JSON has it: null for what is not finite, Python's numbers for numpy's."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
