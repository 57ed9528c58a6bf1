"""What `segmodels evaluate --out` wrote, read again: matrices, keys and groups, as `intervals.py` takes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.base.files import parsing, read_file, regular
from segmodels.documents import read_json
from segmodels.errors import SegmodelsError
from segmodels.scoring.metrics import ConfusionMatrix
from segmodels.scoring.scoresheet import CLASSES, CONFUSION, IMAGES, METRICS, STEPS

LARGEST = 1 << 34  # bytes of confusion.npy: a million images of 40 classes
MOST = 1 << 40  # pixels of one image


@dataclass(frozen=True)
class Scored:
    """The answers of a network to the N images of a split, K classes."""

    document: Mapping[str, Any]  # metrics.json
    keys: tuple[str, ...]  # N
    groups: tuple[str, ...]  # N: the clip of each image, by the rule of the shards' source
    evaluated: NDArray[np.bool_]  # (K,)
    matrices: ConfusionMatrix  # (N, K, K); on disk, for there may be many images
    steps: ConfusionMatrix | None  # (S, N, K, K) of all outputs, the last is the answer; None where there is one


def read_scores(folder: Path) -> Scored:
    """Raises SegmodelsError for a folder that `evaluate` did not write, or an older version that knew no groups."""
    again = f"Run `segmodels evaluate RUN --shards SHARDS --out {folder}` again."
    with parsing(f"cannot read {folder}", SegmodelsError, again):
        document = dict(read_json(folder / METRICS, again))
    rows = read_table(folder / IMAGES, again)
    if not rows or "group" not in rows[0]:
        raise SegmodelsError(f"{folder / IMAGES} has no column `group`: it is of an older version. {again}")
    with parsing(f"{folder / CLASSES} is no table of classes", SegmodelsError, again):
        evaluated = [int(row["id"]) for row in read_table(folder / CLASSES, again)]
    matrices = read_matrices(folder / CONFUSION, (len(rows), None, None), again)
    known = np.isin(np.arange(matrices.shape[-1]), evaluated)
    steps = None
    if "steps" in document:
        steps = read_matrices(folder / STEPS, (len(document["steps"]), *matrices.shape), again)
    keys, groups = (tuple(row[name] for row in rows) for name in ("key", "group"))
    return Scored(document, keys, groups, known, matrices, steps)


def read_table(path: Path, advice: str) -> list[dict[str, str]]:
    """The rows of a CSV file by their header's names. Raises SegmodelsError."""
    with parsing(f"cannot read {path}", SegmodelsError, advice):
        text = read_file(path, error=SegmodelsError).decode()
        return list(csv.DictReader(io.StringIO(text, newline=""), restval=""))


def read_matrices(path: Path, expected: tuple[int | None, ...], advice: str) -> ConfusionMatrix:
    """Counts of pixels of this shape, where None is any number; they stay on disk. Raises SegmodelsError."""
    with parsing(f"cannot read {path}", SegmodelsError, advice):
        regular(path, LARGEST, SegmodelsError)
        found: ConfusionMatrix = np.lib.format.open_memmap(path, mode="r")  # type: ignore[no-untyped-call]
    fits = len(found.shape) == len(expected) and all(
        wanted in {None, side} for wanted, side in zip(expected, found.shape, strict=True)
    )
    if not fits or found.shape[-1] != found.shape[-2] or found.dtype != np.int64:
        wanted = ", ".join("K" if side is None else str(side) for side in expected)
        raise SegmodelsError(f"{path} holds {found.dtype} {found.shape}, expected int64 ({wanted}). {advice}")
    if found.size and (found.min() < 0 or found.max() > MOST):
        raise SegmodelsError(f"{path} holds {found.min()} to {found.max()}, expected counts of pixels. {advice}")
    return found
