"""What a segmentation is worth: every score from one integer confusion matrix per image.

A confusion matrix is (K, K) int64, rows are ground truth, columns predictions; a split is (N, K, K).
All scores take matrices with any leading axes, so one definition serves an image, a split and all
its resamples. A score whose denominator is zero is NaN and leaves every mean. How far a score is
known stands in `intervals.py`.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segdata.labels.taxonomy import IGNORE

ConfusionMatrix: TypeAlias = NDArray[np.int64]  # (..., K, K), rows = ground truth
Scores: TypeAlias = NDArray[np.float64]


def confusion(
    target: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int, ignore: int = IGNORE
) -> ConfusionMatrix:
    """Count how often each class was taken for each other: two label maps (H, W) → (classes, classes).

    Pixels whose target is `ignore` count nowhere, whatever was predicted there.
    Raises ValueError for maps of different shape, of another type than uint8, or with other class ids.
    """
    if target.shape != prediction.shape:
        raise ValueError(f"target {target.shape} and prediction {prediction.shape} differ in shape")
    if target.dtype != np.uint8 or prediction.dtype != np.uint8:
        raise ValueError(f"label maps are uint8, found {target.dtype} and {prediction.dtype}")
    pairs = target.astype(np.uint16) * 256 + prediction
    counts = np.bincount(pairs.ravel(), minlength=256 * 256).reshape(256, 256)
    counts[ignore] = 0
    matrix = counts[:classes, :classes]
    if matrix.sum() != counts.sum():
        strange_targets = [int(i) for i in np.flatnonzero(counts.sum(1)) if i >= classes]
        strange_predictions = [int(i) for i in np.flatnonzero(counts.sum(0)) if i >= classes]
        raise ValueError(
            f"class ids outside 0…{classes - 1}: targets {strange_targets}, predictions {strange_predictions}"
        )
    return matrix.astype(np.int64)


# --- Scores of one matrix over a split ---------------------------------------------------------------


def class_iou(matrix: ConfusionMatrix, evaluated: ArrayLike) -> Scores:
    """Intersection over union of each class by Cityscapes' definition: (..., K, K) → (..., K).

    A false positive counts only on pixels whose ground truth is an evaluated class; a pixel of an
    evaluated class predicted as anything else, misc included, is a false negative. Classes that are
    not evaluated, and those that neither occur nor are predicted, are NaN.
    """
    kept = np.asarray(evaluated, dtype=bool)
    hits = _diagonal(matrix)
    union = matrix.sum(-1) + matrix[..., kept, :].sum(-2) - hits
    return _ratio(hits, np.where(kept, union, 0))


def class_recall(matrix: ConfusionMatrix, evaluated: ArrayLike) -> Scores:
    """Share of each evaluated class's pixels that were found: (..., K, K) → (..., K)."""
    kept = np.asarray(evaluated, dtype=bool)
    return _ratio(_diagonal(matrix), np.where(kept, matrix.sum(-1), 0))


def miou(matrix: ConfusionMatrix, evaluated: ArrayLike) -> Scores:
    """Mean IoU of the evaluated classes that occur: the standard figure, Cityscapes' definition."""
    return _mean(class_iou(matrix, evaluated))


def miou_with_misc(matrix: ConfusionMatrix, evaluated: ArrayLike) -> Scores:
    """`miou` with every class of the taxonomy evaluated, misc and undefined included."""
    return miou(matrix, np.ones_like(np.asarray(evaluated, dtype=bool)))


def miou_fixed(matrix: ConfusionMatrix, evaluated: ArrayLike) -> Scores:
    """Mean IoU over all K classes, absent ones counting 0 (ClusterNet's evaluation, K = 35)."""
    everything = np.ones_like(np.asarray(evaluated, dtype=bool))
    found = np.nan_to_num(class_iou(matrix, everything), nan=0.0)
    return _ratio(found.sum(-1), matrix.shape[-1])


def pixel_accuracy(matrix: ConfusionMatrix, evaluated: ArrayLike) -> Scores:
    """Share of the pixels of evaluated classes that were predicted correctly."""
    kept = np.asarray(evaluated, dtype=bool)
    return _ratio(_diagonal(matrix)[..., kept].sum(-1), matrix[..., kept, :].sum((-2, -1)))


def mean_accuracy(matrix: ConfusionMatrix, evaluated: ArrayLike) -> Scores:
    """Mean over the evaluated classes in the ground truth of the share of their pixels found."""
    kept = np.asarray(evaluated, dtype=bool)
    return _mean(_ratio(_diagonal(matrix)[..., kept], matrix[..., kept, :].sum(-1)))


def frequency_weighted_iou(matrix: ConfusionMatrix, evaluated: ArrayLike) -> Scores:
    """IoU of the evaluated classes weighted by their share of the evaluated pixels (Long et al. 2015)."""
    kept = np.asarray(evaluated, dtype=bool)
    pixels = np.where(kept, matrix.sum(-1), 0)
    weighted = pixels * np.nan_to_num(class_iou(matrix, kept), nan=0.0)
    return _ratio(weighted.sum(-1), pixels.sum(-1))


def category_iou(matrix: ConfusionMatrix, evaluated: ArrayLike, categories: Sequence[str]) -> dict[str, Scores]:
    """IoU of each category with an evaluated class, in order of appearance (Cityscapes' definition).

    Confusions within a category are no errors. `categories` names the category of each class.
    """
    kept = np.asarray(evaluated, dtype=bool)
    of_class = np.asarray(categories)
    scores = {}
    for category in dict.fromkeys(of_class[kept].tolist()):
        inside = kept & (of_class == category)
        hits = matrix[..., inside, :][..., inside].sum((-2, -1))
        found = matrix[..., kept, :][..., inside].sum((-2, -1))
        scores[category] = _ratio(hits, matrix[..., inside, :].sum((-2, -1)) + found - hits)
    return scores


# --- Scores of each image, averaged over the images --------------------------------------------------


def micro_iou(matrix: ConfusionMatrix) -> Scores:
    """ΣTP / Σ(TP + FP + FN) over all classes, misc included; equals accuracy / (2 - accuracy).

    Its mean over the images is what the dilated U-Net's author calls mIoU.
    """
    hits, pixels = _diagonal(matrix).sum(-1), matrix.sum((-2, -1))
    return _ratio(hits, 2 * pixels - hits)


def miou_present(matrix: ConfusionMatrix) -> Scores:
    """Mean IoU of the classes in the ground truth, misc included.

    Its mean over the images is what the author of FCN on ResNet-v2 calls mIoU.
    """
    everything = np.ones(matrix.shape[-1], dtype=bool)
    return _mean(np.where(matrix.sum(-1) > 0, class_iou(matrix, everything), np.nan))


# --- All of them --------------------------------------------------------------------------------------

SPLIT_SCORES: dict[str, Callable[[ConfusionMatrix, ArrayLike], Scores]] = {
    "miou": miou,
    "miou_with_misc": miou_with_misc,
    "miou_fixed": miou_fixed,
    "pixel_accuracy": pixel_accuracy,
    "mean_accuracy": mean_accuracy,
    "frequency_weighted_iou": frequency_weighted_iou,
}
IMAGE_SCORES: dict[str, Callable[[ConfusionMatrix], Scores]] = {
    "micro_iou": micro_iou,
    "miou_present": miou_present,
}


# What the scores of a split are means of: class by class (..., K), or one value (..., 1).
COLUMNS: dict[str, Callable[[ConfusionMatrix, ArrayLike], Scores]] = {
    "miou": class_iou,
    "miou_with_misc": lambda matrix, evaluated: class_iou(matrix, np.ones_like(np.asarray(evaluated, dtype=bool))),
    "miou_fixed": lambda matrix, evaluated: class_iou(matrix, np.ones_like(np.asarray(evaluated, dtype=bool))),
    "pixel_accuracy": lambda matrix, evaluated: pixel_accuracy(matrix, evaluated)[..., None],
    "mean_accuracy": class_recall,
    "frequency_weighted_iou": lambda matrix, evaluated: frequency_weighted_iou(matrix, evaluated)[..., None],
}
ABSENT_COUNT = frozenset({"miou_fixed"})  # here a class that occurs nowhere counts 0 in the mean


def scores(split: ConfusionMatrix, evaluated: ArrayLike) -> dict[str, float]:
    """Every score by its name for a split (N, K, K): `miou` first, NaN where undefined."""
    total = split.sum(0)
    of_split = {name: float(score(total, evaluated)) for name, score in SPLIT_SCORES.items()}
    of_images = {name: float(_mean(score(split))) for name, score in IMAGE_SCORES.items()}
    return of_split | of_images


def _diagonal(matrix: ConfusionMatrix) -> ConfusionMatrix:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> Scores:
    """Quotient, NaN where the denominator is zero."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    quotient: Scores = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    return quotient


def _mean(values: Scores) -> Scores:
    """Mean over the last axis of what is defined, NaN where nothing is (np.nanmean would warn)."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(-1), defined.sum(-1))
