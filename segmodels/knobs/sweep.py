"""Turn a knob through its positions on the images of a split: cost and quality of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import Any

import numpy as np
import torch

from segdata import Record, ShardSet
from segmodels.bench.clock import times
from segmodels.data.images import samples
from segmodels.inference.views import logits_at_full_size
from segmodels.knobs.point import Point, Work
from segmodels.knobs.watch import Watch
from segmodels.scoring import metrics
from segmodels.scoring.evaluate import check_classes
from segmodels.scoring.metrics import ConfusionMatrix, confusion

Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Row:
    """A position of the knob and what it means, over all images."""

    value: float
    network: str
    run: str  # id
    shares: tuple[float, ...] | None  # of the pixels that reach each stage; None without stages
    macs: int  # executed, mean of an image
    full_macs: int  # mean of an image with everything computed
    images: int
    forwards: int  # of an image each, that were timed
    ms_median: float  # from the normalised image on the device to logits at the network's stride
    ms_p95: float
    ms_iqr: float
    miou: float | None  # at full label resolution, as `segmodels evaluate` has it; None where undefined


@dataclass
class _Tally:
    """What is known of one position so far."""

    matrix: ConfusionMatrix
    ms: list[float] = field(default_factory=list)
    work: list[list[Work]] = field(default_factory=list)  # of each image, of each of its forwards


def sweep(
    points: Sequence[Point],
    shards: ShardSet,
    *,
    forwards: int = 20,
    every: int = 1,
    workers: int = 0,
    progress: Progress = iter,
) -> list[Row]:
    """A row for each position, from `every` so many-th image of the split.

    Positions take turns on each image, so that a machine that slows down does so for all of them. Of each position
    at least `forwards` images are timed, if need be the same ones again. Raises SegmodelsError where the shards are
    not the network's, or without labels.
    """
    for point in points:
        check_classes(point.segmenter.taxonomy, shards)
    classes = len(shards.taxonomy.classes)
    tallies = [_Tally(np.zeros((classes, classes), np.int64)) for _ in points]
    rounds = -(-forwards // -(-len(shards) // every)) if len(shards) else 1
    for number, record in enumerate(progress(samples(shards, (1,), workers=workers, ranks=every))):
        if number == 0:
            for point in points:  # warm up
                _look(point, record)
        for turn in range(rounds):
            for point, tally in zip(points, tallies, strict=True):
                labels, watch = _look(point, record)
                tally.ms.append(watch.ms)
                if turn == 0:
                    tally.work.append(watch.done())
                    tally.matrix += confusion(record.targets[1], labels, classes)
    evaluated = [row.evaluated for row in shards.taxonomy.classes]
    return [_row(point, tally, evaluated) for point, tally in zip(points, tallies, strict=True)]


def _look(point: Point, record: Record) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], Watch]:
    """The classes of every pixel (H, W), and what it took."""
    point.turn()
    watch = Watch(point.segmenter.network, point.work)
    logits = logits_at_full_size(replace(point.segmenter, network=watch), record.image)
    return logits.argmax(dim=1)[0].to(torch.uint8).cpu().numpy(), watch


def _row(point: Point, tally: _Tally, evaluated: Sequence[bool]) -> Row:
    latency, images = times(tally.ms), len(tally.work)
    forwards = [work for image in tally.work for work in image]
    miou = float(metrics.miou(tally.matrix, evaluated))
    return Row(
        value=point.value,
        network=point.segmenter.name,
        run=point.segmenter.run,
        shares=_shares(forwards),
        macs=round(sum(work.macs for work in forwards) / images),
        full_macs=round(sum(work.full_macs for work in forwards) / images),
        images=images,
        forwards=len(tally.ms),
        ms_median=latency.median,
        ms_p95=latency.p95,
        ms_iqr=latency.iqr,
        miou=None if isnan(miou) else miou,
    )


def _shares(forwards: Sequence[Work]) -> tuple[float, ...] | None:
    """Over the pixels of all images: the first stage sees every one of them."""
    reached = np.array([work.reached for work in forwards]).sum(axis=0)
    return tuple((reached / reached[0]).tolist()) if len(reached) else None
