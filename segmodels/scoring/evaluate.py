"""Scores of a trained network on a split: one integer confusion matrix per image, and what follows from it.

The answer is scored at the labels' full resolution, its logits interpolated to x1, and besides at the network's
own stride against the target of that scale. Images go through the network one by one, so that no image's score
depends on another, or on the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from segdata import Record, ShardSet
from segdata.base.arrays import U8
from segdata.labels.targets import IDENTITY, make_targets
from segdata.labels.taxonomy import IGNORE, Taxonomy
from segdata.looking.show import most_covered
from segdata.reading.listed import Listed
from segdata.sources import groups
from segmodels.compute.device import enough_memory
from segmodels.data.images import samples
from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.views import Views, at_full_size, average, look
from segmodels.runs.results import check_out
from segmodels.scoring import official
from segmodels.scoring.metrics import ConfusionMatrix, confusion
from segmodels.scoring.scoresheet import FILES, Matrices, Scoresheet, make_scoresheet

SHOWN = 8  # differences that an error names
Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Benchmark:
    """What is wanted of Cityscapes' own evaluation."""

    evaluator: bool = False  # run it
    truth: Path | None = None  # the folder that holds the real gtFine; None: rebuilt from the shards
    submission: Path | None = None  # where the benchmark's files go


SINGLE, NOTHING = Views(), Benchmark()


class Maps(NamedTuple):
    """Predicted class ids of one image, output by output."""

    full: list[U8]  # (H, W)
    coarse: list[U8]  # (H/s, W/s); empty where Matrices.coarse is None
    answer: Tensor  # (1, K, H, W), what the last of `full` is the maximum of


def evaluate(
    segmenter: Segmenter,
    shards: ShardSet,
    out: Path | None,
    views: Views = SINGLE,
    benchmark: Benchmark = NOTHING,
    *,
    frames: Listed | None = None,
    workers: int = 0,
    progress: Progress = iter,
) -> Scoresheet | None:
    """Score the split, or those of its `frames` alone, and write its `Scoresheet` into `out` where a folder is named.

    A split without labels has no scores: all there is to do is the benchmark's submission.
    Raises SegmodelsError where run, shards and what is wanted do not go together.
    """
    check_classes(segmenter.taxonomy, shards)
    if not shards.scales and (out or benchmark.evaluator or not benchmark.submission):
        raise SegmodelsError(
            f"{shards.path}: {shards.split} has no labels, so there are no scores. "
            "Leave --out and --official away for a --submission alone, or choose another --split"
        )
    if frames and benchmark.submission:
        raise SegmodelsError("the benchmark takes all frames of a split: leave --frames out for a --submission")
    if out:
        check_out(out, FILES)
    matrices, result = measure(segmenter, shards, views, benchmark, frames=frames, workers=workers, progress=progress)
    if matrices is None:
        return None
    about = {
        "network": segmenter.name,
        "run": segmenter.run,
        "shards": {"name": shards.manifest.name, "fingerprint": shards.digest, "split": shards.split},
        "views": {"flip": views.flip, "scales": views.scales, "window": views.window},
        **({"q": segmenter.q} if segmenter.q else {}),
        **({"frames": {"sha256": frames.digest, "of": len(shards)}} if frames else {}),
    }
    sheet = make_scoresheet(matrices, shards.taxonomy, segmenter.geometry.stride, about, result)
    if out:
        sheet.write(out)
    return sheet


def measure(
    segmenter: Segmenter,
    shards: ShardSet,
    views: Views = SINGLE,
    benchmark: Benchmark = NOTHING,
    *,
    frames: Listed | None = None,
    workers: int = 0,
    progress: Progress = iter,
) -> tuple[Matrices | None, dict[str, Any] | None]:
    """Show every image of the split to the network, or of its `frames` alone.

    Returns its confusion matrices (None without labels) and the official evaluator's result (None unless wanted).
    """
    labelled = bool(shards.scales)
    if benchmark.evaluator or benchmark.submission:
        official.check_benchmark(shards, segmenter.taxonomy)
    if benchmark.submission:
        official.prepare_submission(benchmark.submission, shards)
    classes = len(segmenter.taxonomy.classes)
    full: list[list[ConfusionMatrix]] = []
    coarse: list[list[ConfusionMatrix]] = []
    with TemporaryDirectory(prefix="segmodels-") as scratch:
        places = frames.places if frames else range(len(shards))
        records = samples(shards, _scales(segmenter, shards, views) if labelled else (), workers=workers, only=places)
        for i, record in zip(places, progress(records), strict=True):
            with enough_memory(record.key):
                maps = predict_maps(segmenter, record.image, views)
            if labelled:
                target, small = _targets(record, segmenter.geometry.stride, shards.rule, classes)
                full.append([confusion(target, each, classes) for each in maps.full])
                coarse.append([confusion(small, each, classes) for each in maps.coarse])
            _write_official(Path(scratch), benchmark, shards, i, record, maps.answer)
        result = official.official_scores(Path(scratch)) if benchmark.evaluator else None
    if not labelled:
        return None, None
    small_matrices = _stacked(coarse) if any(coarse) else None
    every = shards.keys
    of_every = shards.groups or groups(shards.manifest.document["source"]["name"], every)
    keys, of_frames = (tuple(names[i] for i in places) for names in (every, of_every))
    return Matrices(keys, of_frames, _stacked(full), small_matrices), result


@torch.inference_mode()
def predict_maps(segmenter: Segmenter, pixels: U8, views: Views) -> Maps:
    """The classes of every pixel of an image (H, W, 3) after each of the network's outputs."""
    views.check((pixels.shape[0], pixels.shape[1]), segmenter.window)
    image = segmenter.input(pixels)
    if not views.single:
        full = average(segmenter, image, views)
        return Maps([_ids(each) for each in full], [], full[-1])
    stride = segmenter.geometry.stride
    found = look(segmenter, image, views.window)
    maps = []
    for logits in found:  # one after the other: at full size an output can be a quarter of a gigabyte
        answer = at_full_size(logits, stride, pixels.shape[:2])
        maps.append(_ids(answer))
    return Maps(maps, [_ids(each) for each in found] if stride > 1 else [], answer)


def check_classes(taxonomy: Taxonomy, shards: ShardSet) -> None:
    """Raise SegmodelsError, naming the classes, where ids of the shards mean something else than the run's."""
    ours, theirs = ([(row.name, row.evaluated) for row in each.classes] for each in (taxonomy, shards.taxonomy))
    differences = []
    for i in range(max(len(ours), len(theirs))):
        run, shard = (_described(rows[i]) if i < len(rows) else "nothing" for rows in (ours, theirs))
        if run != shard:
            differences.append(f"{i} is {run} in the run, {shard} in the shards")
    if differences:
        more = f" (and {len(differences) - SHOWN} more)" if len(differences) > SHOWN else ""
        raise SegmodelsError(
            f"{shards.path} has taxonomy {shards.taxonomy.name}, the run learnt {taxonomy.name}: class "
            f"{'; '.join(differences[:SHOWN])}{more}. Prepare shards with the run's taxonomy"
        )


def _described(row: tuple[str, bool]) -> str:
    return repr(row[0]) + ("" if row[1] else " (not evaluated)")


def _scales(segmenter: Segmenter, shards: ShardSet, views: Views) -> tuple[int, ...]:
    """The targets to read. That of the network's stride can be made from x1 where it is not stored."""
    stride = segmenter.geometry.stride
    return (1, stride) if views.single and stride > 1 and stride in shards.scales else (1,)


def _targets(record: Record, stride: int, rule: str, classes: int) -> tuple[U8, U8]:
    """x1, and the target of the network's stride as the shards' rule makes it; the padding is ignored."""
    x1 = record.targets[1]
    if stride == 1:
        return x1, x1
    small = record.targets.get(stride)
    if small is None:
        missing = [(0, -side % stride) for side in x1.shape]
        padded = np.pad(x1, missing, constant_values=IGNORE)
        small = make_targets(padded, IDENTITY, (stride,), rule, classes).maps[stride]
    return x1, most_covered(small) if small.ndim == 3 else small


def _write_official(
    scratch: Path, benchmark: Benchmark, shards: ShardSet, i: int, record: Record, answer: Tensor
) -> None:
    """This image's files for the evaluator and for the benchmark."""
    taxonomy = shards.taxonomy
    if benchmark.evaluator:
        size = record.image.shape[:2]
        if benchmark.truth:
            size = official.link_truth(scratch, benchmark.truth, shards.split, record.key)
        else:
            official.rebuild_truth(scratch, record.key, record.targets[1], taxonomy)
        ids = official.ids_at(answer, shards, size)
        official.write_prediction(official.predictions(scratch), record.key, ids, taxonomy)
    if benchmark.submission:
        ids = official.ids_at(answer, shards, official.full_size(shards, i))
        official.write_prediction(benchmark.submission, record.key, ids, taxonomy)


def _ids(scores: Tensor) -> U8:
    return np.asarray(scores.argmax(dim=1)[0].byte().cpu().numpy(), np.uint8)


def _stacked(images: list[list[ConfusionMatrix]]) -> ConfusionMatrix:
    """(N, S, K, K) as (S, N, K, K)."""
    return np.ascontiguousarray(np.array(images, np.int64).swapaxes(0, 1))
