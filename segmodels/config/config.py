"""TrainConfig: everything that decides what a training does, one field per `segmodels train` option.

A field declares its option, once. The defaults are the recipe `default`; `recipes.py` has the others.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from segdata.base.numbers import LARGEST_SEED, LARGEST_SIDE, MOST, MOST_WORKERS
from segdata.stores.url import Place, Url, place
from segmodels.config.options import Bound, Colour, angles, describe, factors, option, options_of, pair
from segmodels.config.shares import SHARE_OF_RUN, Milestones, as_share, wanted_of_milestones
from segmodels.documents import make
from segmodels.errors import SegmodelsError
from segmodels.spec import SCALES, Origin, Size, Value

STRENGTH = Bound(0, 1, "20 per cent is 0.2")
COLOUR = "colours lie in 0 … 1; divide those of 0 … 255 by 255"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class TrainConfig:
    """One training. Raises SegmodelsError, naming the option, where values do not make sense."""

    network: str
    shards: Place = field(
        metadata=describe("Train on the shards that `segdata prepare` wrote to this folder or URL.", digested=False)
    )
    out: Path = field(metadata=describe("Write the run into this folder.", metavar="RUN", digested=False))
    options: tuple[tuple[str, Value], ...] = ()  # of the network, sorted by name; `train` fills in the others

    # how long: epochs or steps, the other is None
    epochs: int | None = option(100, "Train for this number of epochs: passes over the training split.", Bound(1, MOST))
    steps: int | None = option(
        None, "Train for this number of optimiser steps. It takes the place of --epochs.", Bound(1, MOST)
    )
    validate_every: int = option(1, "Validate after every N epochs.", Bound(1, MOST))
    train_scores: int = option(
        0,
        "At every validation, also score this number of images of the training split, spread evenly, as they are: the "
        "history then has both curves.",
        Bound(0, MOST),
        added=True,
    )
    early_stop: int = option(
        0,
        "End the training after N validations without a better miou, and keep the best weights. 0 never ends it early.",
        Bound(0, MOST),
    )

    # batches
    batch_size: int = option(
        8, "Every optimiser step sees this number of samples, over all processes together.", Bound(1, MOST)
    )
    accumulate: int = option(
        1, "Compute a batch in this number of equal parts, one after the other, to save memory.", Bound(1, MOST)
    )
    crop: Size | None = option(
        None,
        "Train on crops of this height and width in pixels. Without it, whole images are used.",
        Bound(1, LARGEST_SIDE, "height x width in pixels"),
    )
    centre_crop: bool = option(False, "Crop the middle of an image instead of a random place.")
    pad: bool = option(
        False,
        "Fill images that are smaller than the crop with the colour of --mean, which the loss ignores. Without --crop, "
        "all images are filled up to the size of the largest one.",
        added=True,
    )

    shuffle: bool = option(
        True, "Draw a new order of the samples in every epoch. Without it they come by their keys.", added=True
    )

    # augmentation
    scale: tuple[float, float] = option(
        (0.5, 2.0),
        "Resize every sample by a random factor between these two. 1,1 switches it off.",
        Bound(*SCALES, "factors, of which 1 leaves the size; 50 per cent is 0.5"),
        metavar="LOW,HIGH",
        read=pair,
    )
    flip: bool = option(True, "Mirror a sample left to right with probability 1/2.")
    vertical_flip: bool = option(False, "Mirror a sample upside down with probability 1/2.")
    rotations: tuple[float, ...] = option(
        (),
        "With --rotation-probability, turn a sample by one of these angles in degrees, to either side.",
        Bound(0, 180, "degrees, to either side"),
        metavar="DEGREES,…",
        read=angles,
    )
    rotation_probability: float = option(
        0.5,
        "Turn a sample with this probability, by one of --rotations.",
        Bound(0, 1, "40 per cent is 0.4"),
        added=True,
    )
    brightness: float = option(0.2, "Multiply the brightness by a random factor from 1-X to 1+X.", STRENGTH)
    contrast: float = option(0.2, "Multiply the contrast by a random factor from 1-X to 1+X.", STRENGTH)
    saturation: float = option(0.2, "Multiply the saturation by a random factor from 1-X to 1+X.", STRENGTH)
    mean: Colour = option(
        IMAGENET_MEAN, "Subtract this colour from every pixel. Colours lie in 0 to 1.", Bound(0, 1, COLOUR)
    )
    std: Colour = option(
        IMAGENET_STD, "Divide every pixel by this colour after --mean is subtracted.", Bound(0, 1, COLOUR, above=True)
    )

    # loss
    loss: str = option(
        "ce",
        "Minimise the cross entropy (ce), the same plus soft Dice, or the cross entropy of hard pixels only (ohem).",
        choices=("ce", "ce+dice", "ohem"),
    )
    class_weights: str = option(
        "none",
        "Give rare classes more weight in the loss: by the inverse or the median of their frequency, or by the "
        "effective number of their pixels.",
        choices=("none", "inverse", "median", "effective"),
    )

    # optimisation
    optimizer: str = option("adamw", "Change the weights by this optimiser.", choices=("adam", "adamw", "sgd"))
    lr: float = option(
        1e-3, "Train with this learning rate, which --warmup and --schedule change during the run.", Bound(1e-12, 1e12)
    )
    momentum: float = option(
        0.9, "Use this momentum, which only --optimizer sgd has.", Bound(0, 1, to=False), needs=("optimizer", "sgd")
    )
    weight_decay: float = option(0.01, "Use this weight decay, for what --decay says.", Bound(0, 100))
    decay: str = option(
        "weights",
        "Let the weight decay act on the weights of convolutions only, or on all parameters, norms and biases too.",
        choices=("weights", "all"),
        added=True,
    )
    trunk_lr: float | None = option(
        None,
        "Multiply the learning rate of a pretrained trunk by this factor. 0 freezes the trunk, as --freeze trunk does. "
        "Without it, the factor is 0.1 where --init loads a trunk alone, and 1 otherwise.",
        Bound(0, 1e6, "times --lr"),
    )
    freeze: str = option(
        "none",
        "Keep this as --init has it: all weights and running statistics of the trunk (trunk), or those of its batch "
        "norms alone (norms).",
        choices=("none", "trunk", "norms"),
        added=True,
    )
    schedule: str = option(
        "cosine",
        "Change the learning rate during the run by this schedule.",
        choices=("constant", "linear", "poly", "cosine", "step", "plateau"),
    )
    milestones: Milestones = option(
        (),
        "Multiply --lr by this factor from this share of the run on. It needs --schedule step.",
        metavar="SHARE:FACTOR,…",
        read=factors,
    )
    plateau_threshold: float = option(
        1e-4,
        "Take an epoch's loss as better only where it is lower by this share. It needs --schedule plateau.",
        Bound(0, 1, "1 per cent is 0.01", to=False),
        needs=("schedule", "plateau"),
        added=True,
    )
    warmup: float = option(
        0.05, "Let the learning rate rise from 0 to --lr during this share of the run.", SHARE_OF_RUN
    )
    clip: float = option(
        1.0, "Scale the gradient down where its norm is larger than this. 0 switches it off.", Bound(0, 1e12)
    )
    ema: float = option(
        0.999,
        "Keep a moving average of the weights with this decay, and use it as the result. 0 switches it off.",
        Bound(0, 1, to=False),
    )
    init: Path | None = option(
        None,
        "Start from the weights of this run or file, which may hold those of a trunk alone. `segmodels weights` says "
        "what a file holds.",
        metavar="RUN|FILE",
        digested=False,  # what counts is the file's digest
    )

    # numbers
    seed: int = option(0, "Derive every random number from this seed.", Bound(0, LARGEST_SEED))
    reader: str = option(
        "shards",
        "Read shards by index in the order of the seed, or stream them through webdataset, whose order is another.",
        choices=("shards", "stream"),
    )
    precision: str = option(
        "fp32",
        "Compute the network in this precision, also in the validations of the training. `evaluate` always computes in "
        "float32, so the scores of a bf16 run differ a little there.",
        choices=("fp32", "bf16"),
    )
    channels_last: bool = option(False, "Keep the channels of a pixel together in memory, which suits tensor cores.")
    fast: bool = option(False, "Give up reproducibility for speed.")
    compile: bool = option(False, "Compile the network before the first step.")

    # where and how, not what
    recipe: str = option(
        "default",
        "Start from the values that this help shows, or from those that were published with the network.",
        choices=("default", "published"),
        digested=False,  # its values are
    )
    workers: int = option(
        2, "Read and decode samples with this number of threads.", Bound(0, MOST_WORKERS), digested=False
    )
    device: str = option(
        "auto", "Train on this device: cpu, cuda, cuda:N, or auto, which is cuda where there is a GPU."
    )  # of which only the kind counts
    replace: bool = option(False, "Start anew where --out holds another run.", digested=False)

    # what the network's code is where it is none of segmodels' own (spec.Origin), and where that lies; `train` fills in
    plugin: tuple[tuple[str, str], ...] = field(default=(), metadata={"added": True})
    plugin_file: Path | None = field(default=None, metadata={"added": True, "digested": False})

    def __post_init__(self) -> None:
        for each in options_of(type(self)):
            value = getattr(self, each.field)
            if wanted := each.wanted(value):
                share = as_share([value], self.epochs, self.steps) if each.bound is SHARE_OF_RUN else ""
                _expect(False, self, each.field, wanted + share)
        _expect((self.epochs is None) != (self.steps is None), self, "epochs", "this or steps, not both")
        _expect(self.batch_size % self.accumulate == 0, self, "accumulate", f"a divisor of {self.batch_size}")
        self._settle_trunk()
        _expect(self.crop is not None or not self.centre_crop, self, "centre_crop", "a crop to go with it")
        _expect(self.shuffle or self.reader == "shards", self, "shuffle", "--reader shards: a stream has its own order")
        turns = bool(self.rotations) or self.rotation_probability == type(self).rotation_probability
        _expect(turns, self, "rotation_probability", "some --rotations to go with it")
        _expect(self.scale[0] <= self.scale[1], self, "scale", "two factors, smaller first")
        wanted = wanted_of_milestones(self.milestones, self.schedule, self.epochs, self.steps)
        _expect(not wanted, self, "milestones", wanted)

    def _settle_trunk(self) -> None:
        """`--freeze trunk` and `--trunk-lr 0` are one training, and have one identity; without --init nothing waits."""
        _expect(self.trunk_lr != 0 or self.init is not None, self, "trunk_lr", "above 0, or an --init to freeze")
        _expect(self.freeze == "none" or self.init is not None, self, "freeze", "none, or an --init to freeze")
        if self.freeze == "trunk":
            _expect(not self.trunk_lr, self, "trunk_lr", "0, or nothing, beside --freeze trunk")
            object.__setattr__(self, "trunk_lr", 0.0)
        if self.trunk_lr == 0:  # the norms stay with the rest
            object.__setattr__(self, "freeze", "none")
        if self.trunk_lr is None and self.init is None:
            object.__setattr__(self, "trunk_lr", 1.0)

    @property
    def origin(self) -> Origin:
        """Of the network's code."""
        return Origin(self.plugin, self.plugin_file)

    @property
    def network_options(self) -> dict[str, Value]:
        """The network's options as `build` takes them."""
        return dict(self.options)

    def document(self) -> dict[str, Any]:
        """All fields as JSON has them; `config_from_document` reads it back. A URL's credentials are left out.

        So is a field that runs of before do not have, as long as it has its default.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values = {name: value for name, value in values.items() if name not in ADDED or value != ADDED[name]}
        return {name: str(value) if isinstance(value, Path | Url) else value for name, value in values.items()}

    @property
    def digest(self) -> str:
        """sha256 of what decides the result: equal digests, equal training (on equal shards)."""
        return _digest(decisive(self.document()))


def config_from_document(document: Mapping[str, Any]) -> TrainConfig:
    """The config that `document` was made from.

    Raises SegmodelsError where its fields are not today's, and whatever else a value of another type leads to: call it
    inside `parsing`.
    """
    known = {field.name for field in fields(TrainConfig)}
    document = ADDED | dict(document)
    if document.keys() != known:
        missing, strange = sorted(known - document.keys()), sorted(document.keys() - known)
        raise SegmodelsError(
            f"a configuration of another version of segmodels: missing {missing or 'nothing'}, "
            f"unknown {strange or 'nothing'}. Train again, or use the version that the run names"
        )
    values = {name: _tuples(value) for name, value in document.items()}
    for each in options_of(TrainConfig):
        if each.read in {Path, place} and values[each.field] is not None:  # which JSON holds as text
            values[each.field] = each.read(values[each.field])
    values["plugin_file"] = values["plugin_file"] and Path(values["plugin_file"])
    return make(TrainConfig, values)


# The fields that runs of before do not have, by their defaults.
ADDED = {each.name: each.default for each in fields(TrainConfig) if each.metadata.get("added")}

# Where it runs and lies, not what is computed. Of `device` only the kind counts, of `init` the file's digest.
NOT_DIGESTED = tuple(each.name for each in fields(TrainConfig) if not each.metadata.get("digested", True))


def decisive(document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration's document decides the result: not where it lies, nor who helps."""
    matters = {name: value for name, value in document.items() if name not in NOT_DIGESTED}
    return matters | {"device": str(document["device"]).partition(":")[0]}


def run_id(config: TrainConfig, shards_digest: str, init_digest: str | None) -> str:
    """What a run is: sha256 over the configuration, the shards and the weights it starts from."""
    return _digest([config.digest, shards_digest, init_digest])


def _digest(document: Any) -> str:
    from segdata.base.canonical import canonical_json  # brings numpy, which `--help` does without

    return hashlib.sha256(canonical_json(document)).hexdigest()


def _expect(holds: bool, config: TrainConfig, name: str, wanted: str) -> None:
    if not holds:
        option = "--" + name.replace("_", "-")
        raise SegmodelsError(f"{option} is {getattr(config, name)!r}, expected {wanted}")


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
