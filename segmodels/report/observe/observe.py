"""The networks at work on a few images of the split, and what they cost: all that needs their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from segdata import Record, ShardSet
from segdata.base.arrays import U8
from segdata.looking.show import most_covered, overlay
from segmodels.errors import SegmodelsError
from segmodels.inference.draw import stage_pictures
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.trained import load_trained
from segmodels.knobs.quantiles import with_q
from segmodels.prediction import Prediction
from segmodels.report.observe.budget import SMALL, WIDEST
from segmodels.report.observe.cost import cost
from segmodels.report.observe.pictures import label_map, photograph, region
from segmodels.report.read.collect import Board
from segmodels.report.read.datasets import Dataset
from segmodels.report.read.result import Result, digest_keys
from segmodels.scoring.evaluate import predict_maps

SAMPLES = 2  # of a dataset, shown with their targets
Progress = Callable[[Iterable[Any]], Iterable[Any]]


class Shown(NamedTuple):
    """An image of the split and its ground truth; pictures are data URIs."""

    place: int  # in the split
    row: int  # in the scores, which may be of a list of its frames
    key: str
    size: tuple[int, int]  # (H, W)
    image: str
    truth: str


class Target(NamedTuple):
    """A target laid over its image, and how many cells it has."""

    picture: str
    size: tuple[int, int]  # (h, w)


class Sample(NamedTuple):
    """An image and its targets by their scales."""

    key: str
    size: tuple[int, int]  # (H, W)
    image: str
    targets: dict[int, Target]


class ShownStage(NamedTuple):
    """One stage of a staged network on one image."""

    reached: float  # share of the pixels
    accepted: float
    confidence: str
    region: str
    classes: str


@dataclass(frozen=True)
class Observation:
    """One network on the images that are shown."""

    parameters: int
    macs: int  # of one image of the split
    size: tuple[int, int]  # (H, W) of the images, which `macs` is for
    maps: tuple[str, ...]  # label map of each image
    stages: tuple[tuple[ShownStage, ...], ...]  # of each image; none where the network has no stages


def sample(dataset: Dataset) -> tuple[Sample, ...]:
    """A few labelled samples of a dataset, spread evenly over its split for validation."""
    labelled = [split.name for split in dataset.splits if split.classes]
    if not labelled:
        return ()
    shards = dataset.open("val" if "val" in labelled else labelled[0])
    return tuple(_sample(shards.read(i), shards) for i in _spread(len(shards), SAMPLES))


def _sample(record: Record, shards: ShardSet) -> Sample:
    targets = {}
    for scale, stored in record.targets.items():
        ids = most_covered(stored) if stored.ndim == 3 else stored
        picture = photograph(overlay(record.image, ids, shards.taxonomy), SMALL)
        targets[scale] = Target(picture, (ids.shape[0], ids.shape[1]))
    return Sample(record.key, (record.image.shape[0], record.image.shape[1]), photograph(record.image, SMALL), targets)


def choose_images(board: Board, count: int) -> tuple[Shown, ...]:
    """Images that the board's runs were scored on, spread evenly over them."""
    shards = board.dataset.open(board.split)
    places: Sequence[int] = range(len(shards))
    if board.listed:
        listed = {*board.results[0].listed}
        places = [i for i in places if shards.key(i) in listed]
    keys = digest_keys(map(shards.key, places))
    for result in board.results:
        if (result.images, result.keys_digest) != keys:
            raise SegmodelsError(
                f"the scores of {result.name} are of other images than {shards.path} has. Score it again"
            )
    rows = _spread(len(places), count)
    return tuple(_shown(places[row], row, shards.read(places[row], scales=(1,)), shards) for row in rows)


def _shown(place: int, row: int, record: Record, shards: ShardSet) -> Shown:
    size = (record.image.shape[0], record.image.shape[1])
    return Shown(place, row, record.key, size, photograph(record.image), label_map(record.targets[1], shards.taxonomy))


def observe(result: Result, images: Iterable[Shown], *, width: int = WIDEST, staged: bool = True) -> Observation:
    """Load the network and show it the images as it was scored, q and views the same, on the CPU.

    Its label maps are at most `width` pixels wide; stages are drawn only where they are to be `staged`. Raises
    SegmodelsError.
    """
    q = None if result.q is None else ",".join(map(repr, result.q))
    segmenter = with_q(load_trained(result.run, torch.device("cpu")), q)
    if segmenter.run != result.provenance.id:
        raise SegmodelsError(f"{result.run}: model.safetensors is of another training than run.json. Train it again")
    shards = result.dataset.open(result.split)
    pixels = [shards.read(each.place, scales=()).image for each in images]
    size = (pixels[0].shape[0], pixels[0].shape[1])
    classes = len(segmenter.taxonomy.classes)
    parameters, macs = cost(segmenter.declared, classes, segmenter.size, result.provenance.options, size)
    answers = [predict_maps(segmenter, each, result.views).full[-1] for each in pixels]
    maps = [label_map(each, segmenter.taxonomy, width) for each in answers]
    stages = [_stages(segmenter, each) for each in pixels] if staged and result.views.single else []
    return Observation(parameters, macs, size, tuple(maps), tuple(each for each in stages if each))


@torch.inference_mode()
def _stages(segmenter: Segmenter, pixels: U8) -> tuple[ShownStage, ...]:
    """Of a staged network that sees an image of any size at once; of others none."""
    stages = segmenter.declared.stages
    if stages is None or segmenter.window or segmenter.geometry.size_multiple > 1:
        return ()
    prediction: Prediction = segmenter.network(segmenter.input(pixels))
    reached = prediction.extras[stages.reached][0].float().mean(dim=(1, 2)).tolist()  # (S,)
    pictures = list(stage_pictures(prediction, stages, segmenter.taxonomy))
    goes_on = [*reached[1:], 0.0]
    return tuple(
        ShownStage(
            reached[i],
            reached[i] - goes_on[i],
            photograph(pictures[3 * i][1], SMALL),
            region(pictures[3 * i + 1][1], SMALL),
            region(pictures[3 * i + 2][1], SMALL),
        )
        for i in range(len(reached))
    )


def _spread(length: int, count: int) -> list[int]:
    count = min(count, length)
    return [length * i // count for i in range(count)]
