"""TrainConfig: everything that decides what a training does, one field per `segmodels train` option.

The defaults are the recipe `default`. What was `published` with each network stands in `recipes.py`.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from segdata.canonical import canonical_json
from segdata.url import Place, Url, place
from segmodels.documents import make
from segmodels.errors import SegmodelsError
from segmodels.recipes import IMAGENET_MEAN, IMAGENET_STD, recipe_values
from segmodels.spec import Size, Value

Colour = tuple[float, float, float]

CHOICES: dict[str, tuple[str, ...]] = {
    "loss": ("ce", "ce+dice", "ohem"),
    "class_weights": ("none", "inverse", "median", "effective"),
    "optimizer": ("adam", "adamw", "sgd"),
    "schedule": ("constant", "poly", "cosine", "step", "plateau"),
    "precision": ("fp32", "bf16"),
    "reader": ("shards", "stream"),
    "recipe": ("default", "published"),
}
BOUNDS: dict[str, tuple[float, float]] = {
    "epochs": (1, math.inf),
    "steps": (1, math.inf),
    "validate_every": (1, math.inf),
    "early_stop": (0, math.inf),
    "batch_size": (1, math.inf),
    "accumulate": (1, math.inf),
    "brightness": (0, 1),
    "contrast": (0, 1),
    "saturation": (0, 1),
    "lr": (1e-12, math.inf),
    "momentum": (0, 1),
    "weight_decay": (0, math.inf),
    "trunk_lr": (1e-12, math.inf),
    "warmup": (0, 1),
    "clip": (0, math.inf),
    "ema": (0, 1),
    "seed": (0, 2**63 - 1),
    "workers": (0, math.inf),
}
# Where it runs and lies, not what is computed. Of `device` only the kind counts, of `init` the file's digest.
NOT_DIGESTED = ("shards", "out", "init", "recipe", "workers", "replace")


@dataclass(frozen=True)
class TrainConfig:
    """One training. Raises SegmodelsError, naming the option, where values do not make sense."""

    network: str
    shards: Place
    out: Path
    options: tuple[tuple[str, Value], ...] = ()  # of the network: complete, sorted by name

    # how long: epochs or steps, the other is None
    epochs: int | None = 100
    steps: int | None = None  # optimiser steps
    validate_every: int = 1  # epochs
    early_stop: int = 0  # epochs without a better validation miou before the end; 0 = never

    # batches
    batch_size: int = 8  # samples of an optimiser step, over all ranks
    accumulate: int = 1  # parts that a batch is computed in, one after the other
    crop: Size | None = None  # (H, W); None = the whole image
    centre_crop: bool = False  # instead of a random place

    # augmentation
    scale: tuple[float, float] = (0.5, 2.0)  # drawn between; (1, 1) = off
    flip: bool = True  # horizontally, every second sample
    vertical_flip: bool = False
    rotations: tuple[float, ...] = ()  # degrees: every second sample by one of them, to either side
    brightness: float = 0.2  # factor drawn from 1 ± this
    contrast: float = 0.2
    saturation: float = 0.2
    mean: Colour = IMAGENET_MEAN  # of red, green, blue in 0 … 1: subtracted
    std: Colour = IMAGENET_STD  # then divided by

    # loss
    loss: str = "ce"
    class_weights: str = "none"

    # optimisation
    optimizer: str = "adamw"
    lr: float = 1e-3
    momentum: float = 0.9  # SGD only
    weight_decay: float = 0.01  # of convolution weights only
    trunk_lr: float = 1.0  # times lr, for the part named `trunk`
    schedule: str = "cosine"
    milestones: tuple[tuple[float, float], ...] = ()  # of `step`: (share of the run, factor from there on)
    warmup: float = 0.05  # share of the run
    clip: float = 1.0  # largest gradient norm; 0 = off
    ema: float = 0.999  # decay; 0 = off
    init: Path | None = None  # weights to start from

    # numbers
    seed: int = 0
    reader: str = "shards"  # in the order of (seed, epoch); stream: in webdataset's
    precision: str = "fp32"
    channels_last: bool = False
    fast: bool = False  # gives up reproducibility
    compile: bool = False

    # where and how, not what
    recipe: str = "default"
    workers: int = 2
    device: str = "auto"  # auto, cpu, cuda, cuda:N
    replace: bool = False  # start anew in a folder that holds another run

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            _expect(getattr(self, name) in choices, self, name, "one of " + ", ".join(choices))
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            wanted = f"at least {low:g}" if high == math.inf else f"{low:g} to {high:g}"
            _expect(value is None or low <= value <= high, self, name, wanted)
        _expect((self.epochs is None) != (self.steps is None), self, "epochs", "this or steps, not both")
        _expect(self.batch_size % self.accumulate == 0, self, "accumulate", f"a divisor of {self.batch_size}")
        _expect(self.crop is None or min(self.crop) > 0, self, "crop", "two positive numbers, HxW")
        _expect(self.crop is not None or not self.centre_crop, self, "centre_crop", "a crop to go with it")
        _expect(0 < self.scale[0] <= self.scale[1], self, "scale", "two positive numbers, smaller first")
        _expect(min(self.std) > 0, self, "std", "three positive numbers")
        shares = [share for share, _ in self.milestones]
        _expect(shares == sorted(shares), self, "milestones", "ascending shares of the run")
        _expect(bool(shares) == (self.schedule == "step"), self, "milestones", "some for the schedule step only")

    @property
    def network_options(self) -> dict[str, Value]:
        """The network's options as `build` takes them."""
        return dict(self.options)

    def document(self) -> dict[str, Any]:
        """All fields as JSON has them; `config_from_document` reads it back. A URL's credentials are left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value) if isinstance(value, Path | Url) else value for name, value in values.items()}

    @property
    def digest(self) -> str:
        """sha256 of what decides the result: equal digests, equal training (on equal shards)."""
        return hashlib.sha256(canonical_json(decisive(self.document()))).hexdigest()


def make_config(network: str, recipe: str, given: Mapping[str, Any]) -> TrainConfig:
    """The recipe's values, overridden by what was given on the command line (None = not given)."""
    values = recipe_values(recipe, network) | {name: value for name, value in given.items() if value is not None}
    for one, other in (("epochs", "steps"), ("steps", "epochs")):
        if given.get(one) is not None and given.get(other) is None:
            values[other] = None
    if "steps" in values and "epochs" not in values:
        values["epochs"] = None
    return TrainConfig(network=network, recipe=recipe, **values)


def config_from_document(document: Mapping[str, Any]) -> TrainConfig:
    """The config that `document` was made from.

    Raises SegmodelsError where its fields are not today's, and whatever else a value of another type leads to: call it
    inside `parsing`.
    """
    known = {field.name for field in fields(TrainConfig)}
    if document.keys() != known:
        missing, strange = sorted(known - document.keys()), sorted(document.keys() - known)
        raise SegmodelsError(
            f"a configuration of another version of segmodels: missing {missing or 'nothing'}, "
            f"unknown {strange or 'nothing'}. Train again, or use the version that the run names"
        )
    values = {name: _tuples(value) for name, value in document.items()}
    values["shards"] = place(values["shards"])
    for name in ("out", "init"):
        values[name] = None if values[name] is None else Path(values[name])
    return make(TrainConfig, values)


def decisive(document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration's document decides the result: not where it lies, nor who helps."""
    matters = {name: value for name, value in document.items() if name not in NOT_DIGESTED}
    return matters | {"device": str(document["device"]).partition(":")[0]}


def run_id(config: TrainConfig, shards_digest: str, init_digest: str | None) -> str:
    """What a run is: sha256 over the configuration, the shards and the weights it starts from."""
    return hashlib.sha256(canonical_json([config.digest, shards_digest, init_digest])).hexdigest()


def _expect(holds: bool, config: TrainConfig, name: str, wanted: str) -> None:
    if not holds:
        option = "--" + name.replace("_", "-")
        raise SegmodelsError(f"{option} is {getattr(config, name)!r}, expected {wanted}")


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
