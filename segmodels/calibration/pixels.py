"""What each stage of a percentile network says about the pixels of a split, when every pixel goes through all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segdata import Record, ShardSet
from segdata.base.arrays import U8
from segmodels.data.images import samples
from segmodels.inference.segmenter import Segmenter

MOST = 250_000  # pixels that are kept, on a regular grid of each image
STAGES = 3
Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Pixels:
    """N pixels of all images; a stage's confidence is its winning probability."""

    image: NDArray[np.int64]  # (N,) number of the image
    confidence: NDArray[np.float32]  # (3, N)
    winner: U8  # (3, N) class ids
    target: U8  # (N,) class ids, 255 is ignored
    classes: int


def look_closely(
    segmenter: Segmenter, shards: ShardSet, *, every: int, workers: int, most: int = MOST, progress: Progress = iter
) -> Pixels:
    """One pass over each `every`-th image of the split at q = 1. Raises SegmodelsError."""
    segmenter.declared.knob("q", "calibrate").turn(segmenter.network, 1.0)
    chosen = range(0, len(shards), every)
    total = sum(height * width for height, width in (shards.size_of(i) for i in chosen))
    step = max(1, isqrt(-(-total // most) - 1) + 1)  # of the grid: the smallest that leaves at most so many
    records = samples(shards, (1,), workers=workers, ranks=every)
    parts = [_stages(segmenter, record, step) for record in progress(records)]
    confidence, winner, target = zip(*parts, strict=True)
    return Pixels(
        image=np.repeat(np.arange(len(parts)), [len(each) for each in target]),
        confidence=np.concatenate(confidence, axis=1),
        winner=np.concatenate(winner, axis=1),
        target=np.concatenate(target),
        classes=len(segmenter.taxonomy.classes),
    )


@torch.inference_mode()
def _stages(segmenter: Segmenter, record: Record, step: int) -> tuple[NDArray[np.float32], U8, U8]:
    """Confidences (3, n), winners (3, n) and targets (n,) of one image."""
    grid = np.s_[step // 2 :: step, step // 2 :: step]
    confidences, winners = [], []
    for logits in segmenter.network(segmenter.input(record.image)).steps:
        confidence, winner = logits.float().softmax(dim=1).max(dim=1)
        confidences.append(confidence[0].cpu().numpy()[grid].ravel())
        winners.append(winner[0].to(torch.uint8).cpu().numpy()[grid].ravel())
    return np.stack(confidences), np.stack(winners), record.targets[1][grid].ravel()
