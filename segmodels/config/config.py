"""TrainConfig: everything that decides what a training does, one field per `segmodels train` option.

The defaults are the recipe `default`. What was `published` with each network stands in `recipes.py`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from segdata.base.canonical import canonical_json
from segdata.base.numbers import LARGEST_SEED, LARGEST_SIDE, MOST, MOST_WORKERS
from segdata.stores.url import Place, Url, place
from segmodels.config.recipes import IMAGENET_MEAN, IMAGENET_STD, recipe_values
from segmodels.documents import make
from segmodels.errors import SegmodelsError
from segmodels.spec import SCALES, Size, Value

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


class Bound(NamedTuple):
    """From `low` to `high`, both finite; `what` tells the unit where another one is the likely mistake."""

    low: float
    high: float
    what: str = ""
    to: bool = True  # `high` is allowed
    above: bool = False  # `low` is not

    def holds(self, value: float) -> bool:
        low = value > self.low if self.above else value >= self.low
        return low and (value <= self.high if self.to else value < self.high)

    def __str__(self) -> str:
        low, high = "above " * self.above + f"{self.low}", "below " * (not self.to) + f"{self.high}"
        return f"{low} to {high}" + f": {self.what}" * bool(self.what)


SHARE_OF_RUN = Bound(0, 1, "a share of the run")
STRENGTH = Bound(0, 1, "20 per cent is 0.2")
BOUNDS = {
    "epochs": Bound(1, MOST),
    "steps": Bound(1, MOST),
    "validate_every": Bound(1, MOST),
    "early_stop": Bound(0, MOST),
    "batch_size": Bound(1, MOST),
    "accumulate": Bound(1, MOST),
    "crop": Bound(1, LARGEST_SIDE, "height x width in pixels"),
    "scale": Bound(*SCALES, "factors, of which 1 leaves the size; 50 per cent is 0.5"),
    "rotations": Bound(0, 180, "degrees, to either side"),
    "brightness": STRENGTH,
    "contrast": STRENGTH,
    "saturation": STRENGTH,
    "mean": Bound(0, 1, "colours lie in 0 … 1; divide those of 0 … 255 by 255"),
    "std": Bound(0, 1, "colours lie in 0 … 1; divide those of 0 … 255 by 255", above=True),
    "lr": Bound(1e-12, 1e12),
    "momentum": Bound(0, 1, to=False),
    "weight_decay": Bound(0, 100),
    "trunk_lr": Bound(1e-12, 1e6, "times --lr"),
    "warmup": SHARE_OF_RUN,
    "clip": Bound(0, 1e12),
    "ema": Bound(0, 1, to=False),
    "seed": Bound(0, LARGEST_SEED),
    "workers": Bound(0, MOST_WORKERS),
}
FACTOR = Bound(0, 1000, "times --lr", above=True)  # of a milestone
NEEDS = {"momentum": ("optimizer", "sgd")}  # option: what another has to be for it to be read
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
    early_stop: int = 0  # validations without a better miou before the end; 0 = never

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
        for name, bound in BOUNDS.items():
            value = getattr(self, name)
            each = value if isinstance(value, tuple) else () if value is None else (value,)
            _expect(
                all(map(bound.holds, each)), self, name, f"{bound}{self._as_share(each) if name == 'warmup' else ''}"
            )
        _expect((self.epochs is None) != (self.steps is None), self, "epochs", "this or steps, not both")
        _expect(self.batch_size % self.accumulate == 0, self, "accumulate", f"a divisor of {self.batch_size}")
        _expect(self.crop is not None or not self.centre_crop, self, "centre_crop", "a crop to go with it")
        _expect(self.scale[0] <= self.scale[1], self, "scale", "two factors, smaller first")
        self._check_milestones()

    def _check_milestones(self) -> None:
        shares = [share for share, _ in self.milestones]
        wanted = f"shares of the run from 0 to below 1{self._as_share(shares)}"
        _expect(all(0 <= share < 1 for share in shares), self, "milestones", wanted)
        rising = all(one < other for one, other in pairwise(shares))
        _expect(rising, self, "milestones", "shares of the run in ascending order, none twice")
        _expect(all(FACTOR.holds(factor) for _, factor in self.milestones), self, "milestones", f"factors {FACTOR}")
        _expect(bool(shares) == (self.schedule == "step"), self, "milestones", "some for the schedule step only")

    def _as_share(self, values: Sequence[float]) -> str:
        """What to give where the first value out of 0 … 1 was meant as an epoch, or a step."""
        unit, whole = ("epoch", self.epochs) if self.epochs else ("step", self.steps)
        meant = next((value for value in values if not 0 <= value <= 1), None)
        if meant is None or not whole or not 1 < meant <= whole:
            return ""
        return f"; {unit} {meant:g} of {whole} is {meant / whole:.3g}"

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
    if given.get("milestones") is None and values.get("schedule") != "step":
        values.pop("milestones", None)  # the recipe's, whose schedule another was given for
    _check_of_use(values, given)
    return TrainConfig(network=network, recipe=recipe, **values)


def _check_of_use(values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise SegmodelsError where an option was given that nothing reads, as the others are."""
    for name, (of, needed) in NEEDS.items():
        if given.get(name) is not None and (found := values.get(of, getattr(TrainConfig, of))) != needed:
            raise SegmodelsError(
                f"--{name} {given[name]} is for --{of} {needed}, and --{of} is {found}: leave it out, or change that"
            )


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
