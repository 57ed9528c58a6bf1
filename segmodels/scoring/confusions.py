"""The confusion matrices of a split, counted on the device that predicts."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import torch

from segdata import Record, ShardSet
from segmodels.data.images import samples
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.views import logits_at_full_size
from segmodels.scoring.metrics import ConfusionMatrix, confusion

Progress: TypeAlias = Callable[[Iterable[Record]], Iterable[Record]]


def count_confusions(
    segmenter: Segmenter,
    shards: ShardSet,
    *,
    workers: int = 0,
    rank: int = 0,
    ranks: int = 1,
    progress: Progress = iter,
) -> ConfusionMatrix:
    """One confusion matrix an image of the split, at full label resolution: (N, K, K), of rank r each R-th.

    Raises SegmodelsError where the split has no images or no labels at x1.
    """
    classes = len(segmenter.taxonomy.classes)
    records = samples(shards, (1,), workers=workers, rank=rank, ranks=ranks)
    matrices = [_count(segmenter, record, classes) for record in progress(records)]
    return np.stack(matrices) if matrices else np.zeros((0, classes, classes), np.int64)


def _count(segmenter: Segmenter, record: Record, classes: int) -> ConfusionMatrix:
    labels = logits_at_full_size(segmenter, record.image).argmax(dim=1)[0]  # (H, W)
    return confusion(record.targets[1], labels.to(torch.uint8).cpu().numpy(), classes)
