"""Validation during a training: the scores of some weights on the validation split, and what is told of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from torch import nn

from segdata import ShardSet
from segmodels.config.config import TrainConfig
from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import Segmenter
from segmodels.runs.checkpoint import Weights
from segmodels.runs.opening import start_anew
from segmodels.runs.progress import Show
from segmodels.runs.run import Run
from segmodels.scoring.confusions import count_confusions
from segmodels.scoring.metrics import ConfusionMatrix, class_iou, miou, scores
from segmodels.training.ema import using_weights
from segmodels.training.interrupt import GivenUp, Interrupt
from segmodels.training.ranks import Ranks
from segmodels.training.state import Row

IN_HISTORY = ("miou", "pixel_accuracy")  # of the scores


def validate(
    segmenter: Segmenter,
    split: ShardSet,
    weights: Weights,
    ranks: Ranks,
    workers: int,
    interrupt: Interrupt,
    most: int = 0,
) -> ConfusionMatrix:
    """The confusion matrices of every image after each of the network's outputs, with these weights: (N, S, K, K).

    With `most`, of that many images of the split alone.

    Raises GivenUp, on all ranks, where a signal ends it on one of them.
    """
    own: ConfusionMatrix | None = None
    aborted = interrupt.abortable("leaving the validation")
    with suppress(GivenUp), aborted, _evaluating(segmenter.network, weights):
        own = count_confusions(
            segmenter,
            split,
            workers=workers,
            rank=ranks.rank,
            ranks=ranks.count,
            most=most,
            progress=interrupt.until_asked,
        )
    ended = ranks.highest(int(own is None), segmenter.device)
    if own is None or ended:
        raise GivenUp
    return ranks.interleave(own)


@contextmanager
def _evaluating(network: nn.Module, weights: Weights) -> Iterator[None]:
    """The network in evaluation mode with these weights; it learns on with its own, what is frozen as it was."""
    learning = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with using_weights(network, weights):
            yield
    finally:
        for module in learning:
            module.training = True


def validate_epoch(
    segmenter: Segmenter,
    val: ShardSet,
    train: ShardSet,
    weights: Weights,
    ranks: Ranks,
    config: TrainConfig,
    interrupt: Interrupt,
) -> tuple[ConfusionMatrix, Row]:
    """The answer's matrices of the validation split (N, K, K), and what the history keeps. Raises as `validate`."""
    found = validate(segmenter, val, weights, ranks, config.workers, interrupt)
    evaluated = [row.evaluated for row in segmenter.taxonomy.classes]
    row = history_scores(found, evaluated)
    if config.train_scores:
        of_train = validate(segmenter, train, weights, ranks, config.workers, interrupt, config.train_scores)
        row |= history_scores(of_train, evaluated, "train_")
    return found[:, -1], row


def history_scores(matrices: ConfusionMatrix, evaluated: Sequence[bool], prefix: str = "") -> Row:
    """What the history keeps of (N, S, K, K): the answer's scores and, of several outputs, each one's miou."""
    answer, outputs = scores(matrices[:, -1], evaluated), matrices.shape[1]
    row = {prefix + name: answer[name] for name in IN_HISTORY}
    if outputs > 1:
        totals = matrices.sum(0)  # (S, K, K)
        row |= {f"{prefix}miou_{i + 1:02}": float(each) for i, each in enumerate(miou(totals, evaluated))}
    return row


def epoch_line(row: Row, loss: float) -> str:
    """What is told of an epoch; `loss` is that of a pixel, NaN where no pixel of the epoch had a label."""
    told = "no labelled pixel, so no loss" if math.isnan(loss) else f"loss {loss:.4f}"
    found = "".join(f"  {name} {row[name]:.4f}" for name in IN_HISTORY if name in row)
    return f"epoch {row['epoch']:.0f}: {told}{found}"


def metrics_document(matrices: ConfusionMatrix, segmenter: Segmenter, step: int) -> dict[str, Any]:
    """metrics.json: every score of the validation split, `miou` first among equals; null where undefined."""
    rows = segmenter.taxonomy.classes
    evaluated = [row.evaluated for row in rows]
    ious = class_iou(matrices.sum(0), evaluated).tolist()
    of_classes = {row.name: _defined(iou) for row, iou in zip(rows, ious, strict=True) if row.evaluated}
    of_split = {name: _defined(score) for name, score in scores(matrices, evaluated).items()}
    return {"split": "val", "images": len(matrices), "step": step, "class_iou": of_classes} | of_split


def _defined(score: float) -> float | None:
    return None if math.isnan(score) else score


def tell_other_score(run: Run, miou: float | None, best: Row, show: Show) -> None:
    """Raise SegmodelsError where the best weights do not score what the history has of them; warn where they may."""
    what = f"{run.best} scores miou {miou}, by the history {best['miou']} after step {best['step']:.0f}"
    document = run.document()
    if document["deterministic"] and "resumed" not in document:
        raise SegmodelsError(f"{what}: they do not belong together. To mend it, {start_anew(run)}")
    show(f"warning: {what}. Such a run's last bits are not promised, so that a small difference is no fault")
