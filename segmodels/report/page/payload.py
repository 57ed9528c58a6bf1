"""What the page's script works on: the pictures to choose from, in numbers too, and confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segmodels.report.observe.observe import Observation, Shown
from segmodels.report.read.collect import Board
from segmodels.report.read.result import Result
from segmodels.scoring import metrics

Row = dict[str, Any]


def board_payload(board: Board, images: Sequence[Shown], observations: Mapping[str, Observation]) -> Row:
    """Of one board, for the comparison and the confusion matrices."""
    return {
        "title": f"{board.dataset.name}, {board.part}",
        "classes": [
            {"name": row.name, "color": list(row.color), "evaluated": row.evaluated}
            for row in board.dataset.taxonomy.classes
        ],
        "images": [
            {"key": each.key, "height": each.size[0], "width": each.size[1], "image": each.image, "truth": each.truth}
            for each in images
        ],
        "runs": [
            {
                "name": result.name,
                "maps": observations[result.name].maps,
                "pictures": [_picture(result, each) for each in images],
                "confusion": _per_mille(result.confusions.sum(0)),
            }
            for result in board.results
        ],
    }


def _picture(result: Result, image: Shown) -> Row:
    """A network's answer to one image in numbers: the classes that occur, the largest in the truth first."""
    matrix = result.confusions[image.row]
    evaluated = [row.evaluated for row in result.taxonomy.classes]
    truth, found, whole = matrix.sum(1), matrix.sum(0), max(int(matrix.sum()), 1)
    iou = metrics.class_iou(matrix, evaluated)
    order = sorted(np.flatnonzero(truth + found).tolist(), key=lambda i: (-truth[i], -found[i], i))
    return {
        "miou": _number(metrics.miou(matrix, evaluated)),
        "accuracy": _number(metrics.pixel_accuracy(matrix, evaluated)),
        "classes": [[i, round(truth[i] / whole, 4), round(found[i] / whole, 4), _number(iou[i])] for i in order],
    }


def _per_mille(matrix: metrics.ConfusionMatrix) -> list[list[int] | None]:
    """Of each class' pixels, where they went; None for a class without pixels."""
    return [np.rint(1000 * row / row.sum()).astype(int).tolist() if row.sum() else None for row in matrix]


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)
