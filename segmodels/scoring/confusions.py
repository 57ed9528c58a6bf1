"""The confusion matrices of a split, counted on the device that predicts."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import torch

from segdata import Record, ShardSet
from segmodels.data.images import samples
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.views import outputs_at_full_size
from segmodels.scoring.metrics import ConfusionMatrix, confusion

Progress: TypeAlias = Callable[[Iterable[Record]], Iterable[Record]]


def count_confusions(
    segmenter: Segmenter,
    shards: ShardSet,
    *,
    workers: int = 0,
    rank: int = 0,
    ranks: int = 1,
    most: int = 0,
    progress: Progress = iter,
) -> ConfusionMatrix:
    """The confusion matrices of every image after each of the network's S outputs: (N, S, K, K), the answer last.

    At full label resolution; of rank r each R-th image. With `most`, of that many images alone, spread evenly.

    Raises SegmodelsError where the split has no images or no labels at x1.
    """
    classes = len(segmenter.taxonomy.classes)
    records = samples(shards, (1,), workers=workers, rank=rank, ranks=ranks, most=most)
    matrices = [_count(segmenter, record, classes) for record in progress(records)]
    return np.stack(matrices) if matrices else np.zeros((0, 1, classes, classes), np.int64)


def _count(segmenter: Segmenter, record: Record, classes: int) -> ConfusionMatrix:
    """(S, K, K); the outputs are brought to full size one by one, for each may be a quarter of a gigabyte there."""
    found = [logits.argmax(dim=1)[0] for logits in outputs_at_full_size(segmenter, record.image)]  # (H, W)
    maps = [labels.to(torch.uint8).cpu().numpy() for labels in found]
    return np.stack([confusion(record.targets[1], labels, classes) for labels in maps])
