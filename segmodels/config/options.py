"""The options of `segmodels train`: one for every field of TrainConfig, how its text is read, and what it means.

Needs nothing but Python, so that `--help` is instant. That names, choices and defaults are TrainConfig's is
held by a test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from segdata.base.numbers import distinct, number, numbers, parts, size, whole

Read = Callable[[str], object]  # raises ValueError


class TrainOption(NamedTuple):
    """`--name METAVAR`; without `read` a switch, `--name / --no-name`."""

    name: str
    help: str
    metavar: str = ""
    read: Read | None = None

    @property
    def field(self) -> str:
        """The field of TrainConfig."""
        return self.name.replace("-", "_")


def pair(text: str) -> tuple[float, ...]:
    """`0.5,2`."""
    return _so_many(2, text, "0.5,2")


def colour(text: str) -> tuple[float, ...]:
    """`0.485,0.456,0.406`."""
    return _so_many(3, text, "0.485,0.456,0.406")


def milestones(text: str) -> tuple[tuple[float, float], ...]:
    """`0.5:0.1,0.75:0.01`."""
    found = [part.split(":") for part in parts(text)]
    if not all(len(part) == 2 for part in found):
        raise ValueError("is no list of share:factor, as in 0.5:0.1,0.75:0.01")
    return tuple((number(share), number(factor)) for share, factor in found)


def angles(text: str) -> tuple[float, ...]:
    """`15,30`; nothing for none. One that stands there twice would be drawn twice as often."""
    return distinct(parts(text), number)


def _so_many(count: int, text: str, example: str) -> tuple[float, ...]:
    found = numbers(text)
    if len(found) != count:
        raise ValueError(f"is {len(found)} numbers, expected {count}, as in {example}")
    return found


TRAIN_OPTIONS = (
    TrainOption("epochs", "Passes over the training split [100].", "N", whole),
    TrainOption("steps", "Optimiser steps, instead of --epochs.", "N", whole),
    TrainOption("validate-every", "Epochs from one validation to the next [1].", "N", whole),
    TrainOption(
        "early-stop", "End after N validations without a better miou, keep the best; 0: never [0].", "N", whole
    ),
    TrainOption("batch-size", "Samples of a step, over all processes [8].", "N", whole),
    TrainOption("accumulate", "Parts that a batch is computed in, one after the other [1].", "N", whole),
    TrainOption("crop", "Height and width of training images; the whole image if not given.", "HxW", size),
    TrainOption("centre-crop", "Crop the middle, not a random place."),
    TrainOption("scale", "Resize by a factor drawn between these; 1,1: off [0.5,2].", "LOW,HIGH", pair),
    TrainOption("flip", "Mirror every second sample left to right [on]."),
    TrainOption("vertical-flip", "Mirror every second sample upside down [off]."),
    TrainOption("rotations", "Turn every second sample by one of these angles, to either side.", "DEGREES,…", angles),
    TrainOption("brightness", "Factor drawn from 1 ± this [0.2].", "X", number),
    TrainOption("contrast", "Factor drawn from 1 ± this [0.2].", "X", number),
    TrainOption("saturation", "Factor drawn from 1 ± this [0.2].", "X", number),
    TrainOption("mean", "Colour that is subtracted, in 0…1 [ImageNet's].", "R,G,B", colour),
    TrainOption("std", "What colours are divided by [ImageNet's].", "R,G,B", colour),
    TrainOption("loss", "ce (cross entropy), ce+dice or ohem [ce].", "NAME", str),
    TrainOption("class-weights", "none, inverse, median or effective: against rare classes [none].", "NAME", str),
    TrainOption("optimizer", "adam, adamw or sgd [adamw].", "NAME", str),
    TrainOption("lr", "Learning rate [0.001].", "X", number),
    TrainOption("momentum", "Of sgd [0.9].", "X", number),
    TrainOption("weight-decay", "Of the weights of convolutions [0.01].", "X", number),
    TrainOption("trunk-lr", "Learning rate of a pretrained trunk, times --lr [1].", "X", number),
    TrainOption("schedule", "constant, poly, cosine, step or plateau [cosine].", "NAME", str),
    TrainOption(
        "milestones",
        "Of --schedule step: from this share of the run on, --lr times this factor.",
        "SHARE:FACTOR,…",
        milestones,
    ),
    TrainOption("warmup", "Share of the run in which the learning rate rises [0.05].", "X", number),
    TrainOption("clip", "Largest norm of the gradient; 0: off [1].", "X", number),
    TrainOption("ema", "Decay of the average of the weights; 0: off [0.999].", "X", number),
    TrainOption("init", "Weights to start from: a run, its weights, or a file with a ResNet trunk.", "RUN|FILE", Path),
    TrainOption("seed", "Decides every random number [0].", "N", whole),
    TrainOption("reader", "shards, or stream: through webdataset, whose order is another [shards].", "NAME", str),
    TrainOption("precision", "fp32 or bf16 [fp32].", "NAME", str),
    TrainOption("channels-last", "Memory layout that suits tensor cores."),
    TrainOption("fast", "Give up reproducibility for speed."),
    TrainOption("compile", "Compile the network first."),
    TrainOption("workers", "Threads that read and decode [2].", "N", whole),
    TrainOption("device", "auto, cpu, cuda or cuda:N [auto].", "NAME", str),
    TrainOption("replace", "Start anew where --out holds another run."),
)
