"""How each network was trained where it was published, as values of TrainConfig's fields, and what is made of them.

What a source does not say stays as in the recipe `default`, which is TrainConfig's defaults. What a recipe cannot say
is said beside it; how the shards are made that each source trained on stands in `pipelines/real.yaml`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segmodels.config.config import TrainConfig
from segmodels.config.options import options_of
from segmodels.errors import SegmodelsError
from segmodels.spec import ModelSpec

Recipe = dict[str, Any]  # values of TrainConfig's fields

# Nothing but the source's own: no scaling, flipping or jitter, no decay, warm-up, clipping or average.
PLAIN: Recipe = {
    "scale": (1.0, 1.0),
    "flip": False,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup": 0.0,
    "clip": 0.0,
    "ema": 0.0,
}

# The author gives no training recipe, only how images were normalised, and ten classes (taxonomy cityscapes-10).
PERCENTILE: Recipe = {
    "mean": (0.28689554, 0.32513303, 0.28389177),
    "std": (0.18696375, 0.19017339, 0.18720214),
}

# Whole frames of Cityscapes at 512x1024, batches of 16 by default; the rest of the plateau is that of optim.py. The
# source takes every second pixel of images and labels; shards of that size hold the mean of four pixels of an image,
# and the most frequent of four labels.
DILATED_UNET = PLAIN | {
    "epochs": 100,
    "batch_size": 16,
    "optimizer": "adam",
    "lr": 1e-4,
    "schedule": "plateau",
    "plateau_threshold": 1e-3,
}

# 384x768, 100 (or 250) epochs, batches of 8 at x8 and of 6 at x2. A sample is turned with probability 1/2 by one of
# five angles, of which 0 is one: 40 % turn. Targets are made by the rule stride. What lies outside of a turned frame is
# ignored here; the source labels it as class 0 and trains it.
TAS500 = PLAIN | {
    "epochs": 100,
    "batch_size": 8,
    "crop": (384, 768),
    "flip": True,
    "vertical_flip": True,
    "rotations": (15.0, 30.0),
    "rotation_probability": 0.4,
    "loss": "ce+dice",
    "optimizer": "adam",
    "lr": 1e-3,
}

# Zhao et al. 2017, section 5: poly 0.9, base 0.01, and 90,000 iterations on Cityscapes. The trunk is from ImageNet.
PSPNET = PLAIN | {
    "steps": 90_000,
    "batch_size": 16,
    "crop": (713, 713),
    "scale": (0.5, 2.0),
    "flip": True,
    "optimizer": "sgd",
    "lr": 1e-2,
    "trunk_lr": 1.0,
    "weight_decay": 1e-4,
    "schedule": "poly",
}

# Every parameter decays, norms and biases too; the samples are not shuffled; the trunk is from ImageNet. Not said here:
# the classes are the 35 raw ids (taxonomy cityscapes-34: no pixel of a label file has the licence plate's id -1), and
# the two norms around the clustering are left out of the optimiser. Here they learn.
CLUSTERNET = PLAIN | {
    "epochs": 50,
    "batch_size": 1,
    "shuffle": False,
    "crop": (713, 713),
    "centre_crop": True,
    "optimizer": "sgd",
    "lr": 1e-2,
    "trunk_lr": 0.1,
    "weight_decay": 1e-4,
    "options": (("assignment", "per_image"),),  # of the network; the rest are its defaults
    "decay": "all",
}

# From the epochs 41, 61 and 81 of 300 on, counted from 0: the source asks for `epoch > 40`. (Its schedule multiplies
# the learning rate in twice: it trains with 1e-6 at the start and 5e-8 at the end, a thousandth of what it says.)
FCN_RESNET_V2 = PLAIN | {
    "epochs": 300,
    "batch_size": 1,
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
    "optimizer": "adam",
    "lr": 1e-3,
    "schedule": "step",
    "milestones": ((41 / 300, 0.5), (61 / 300, 0.1), (81 / 300, 0.05)),
}

# Hong et al. 2021, section IV: on Cityscapes 484 epochs on four GPUs, OHEM for both heads, and a trunk from ImageNet.
# All parameters decay. Their OHEM takes the pixels whose class has a probability of at most 0.9, and at least 131,072
# pixels on each GPU; here it is 0.7, and at least 1/16 of every crop (`losses.ohem`). Not said here: frames with rare
# classes are drawn more often.
DDRNET = PLAIN | {
    "epochs": 484,
    "batch_size": 12,
    "crop": (1024, 1024),
    "pad": True,
    "scale": (0.5, 2.0),
    "flip": True,
    "loss": "ohem",
    "optimizer": "sgd",
    "lr": 1e-2,
    "trunk_lr": 1.0,
    "weight_decay": 5e-4,
    "decay": "all",
    "schedule": "poly",
}

# Xie et al. 2021, section 4.1, and the authors' configuration for Cityscapes: 6e-5 for the trunk, which is from
# ImageNet, and ten times that for the decoder; a line to 0, and 1,500 iterations of warm-up. Their line begins at the
# first iteration, ours behind the warm-up. Their distortion adds up to 32/255 to all colours, where brightness is
# multiplied here; it turns hues too, and leaves out each of its parts for half of the samples. Biases decay there, and
# not here. Not said here: a crop of which one class covers more than 3/4 is drawn again.
SEGFORMER = PLAIN | {
    "steps": 160_000,
    "batch_size": 8,
    "crop": (1024, 1024),
    "pad": True,
    "scale": (0.5, 2.0),
    "flip": True,
    "brightness": 0.125,
    "contrast": 0.5,
    "saturation": 0.5,
    "optimizer": "adamw",
    "lr": 6e-4,
    "trunk_lr": 0.1,
    "weight_decay": 0.01,
    "schedule": "linear",
    "warmup": 1_500 / 160_000,
}

PUBLISHED: dict[str, Recipe] = {
    "percentile": PERCENTILE,
    "dilated_unet": DILATED_UNET,
    **{f"distill_{scale}": TAS500 for scale in ("x1", "x2", "x4", "x8")},
    **{f"iterative_v{version}": TAS500 for version in range(1, 7)},
    **{f"{kind}hourglass{copy}": TAS500 for kind in ("", "res_") for copy in ("", "_iter", "_iter_ex")},
    "pspnet": PSPNET,
    "clusternet": CLUSTERNET,
    "clusternet_concat": CLUSTERNET,
    "fcn_resnet_v2": FCN_RESNET_V2,
    "ddrnet23_slim": DDRNET,
    "segformer_b0": SEGFORMER,
}
TRUNK_FROM_IMAGENET = (  # which their recipes start from
    "pspnet",
    "clusternet",
    "clusternet_concat",
    "ddrnet23_slim",
    "segformer_b0",
)


def recipe_values(recipe: str, network: str, declared: ModelSpec | None = None) -> Recipe:
    """The values by which a network's recipe differs from TrainConfig's defaults.

    Of a network that is none of ours, `declared` says them, and the colours that it expects in any recipe.
    """
    colours = declared.colours._asdict() if declared and declared.colours else {}
    if recipe != "published":
        return colours  # of no other recipe, which TrainConfig refuses, anything is known
    if declared and declared.recipe:
        return colours | dict(declared.recipe)
    if network not in PUBLISHED:
        raise SegmodelsError(f"no recipe was published for {network!r}: use --recipe default")
    return dict(PUBLISHED[network])


def make_config(
    network: str,
    recipe: str | None,
    given: Mapping[str, Any],
    *,
    no_init: bool = False,
    declared: ModelSpec | None = None,
) -> TrainConfig:
    """The recipe's values, overridden by what was given on the command line (None = not given).

    `declared` is the network's own word, which one that is none of ours needs: what it is called, and its origin.
    `no_init` agrees to random weights where the recipe starts from a trained trunk, and `given` has no `init`.
    """
    recipe = TrainConfig.recipe if recipe is None else recipe
    _check_start(network, recipe, given.get("init"), no_init=no_init)
    if declared is not None:
        network = declared.name
    values = recipe_values(recipe, network, declared)
    options = dict(values.get("options", ())) | dict(given.get("options") or ())  # each one overridden by itself
    values |= {name: value for name, value in given.items() if value is not None}
    if (
        declared is not None and declared.origin.parts
    ):  # its defaults may be those of a folder, which a run does without
        options = declared.resolve(options)
    values["options"] = tuple(sorted(options.items()))
    for one, other in (("epochs", "steps"), ("steps", "epochs")):
        if given.get(one) is not None and given.get(other) is None:
            values[other] = None
    if "steps" in values and "epochs" not in values:
        values["epochs"] = None
    for name, of_use in (  # the recipe's own, where what they go with was given another value
        ("milestones", values.get("schedule") == "step"),
        ("plateau_threshold", values.get("schedule") == "plateau"),
        ("rotation_probability", bool(values.get("rotations"))),
        ("trunk_lr", values.get("freeze") != "trunk"),
    ):
        if given.get(name) is None and not of_use:
            values.pop(name, None)
    _check_of_use(values, given)
    if declared is not None:
        values |= {"plugin": declared.origin.parts, "plugin_file": declared.origin.path}
        if declared.pretrained and not no_init:
            values.setdefault("init", declared.pretrained)
    return TrainConfig(network=network, recipe=recipe, **values)


def _check_start(network: str, recipe: str, init: Path | None, *, no_init: bool) -> None:
    """Raise SegmodelsError where nobody says what a recipe with a trained trunk is to start from, or both is said."""
    if init is not None and no_init:
        raise SegmodelsError(f"--init {init} and --no-init are two starts: give one of them")
    if recipe == "published" and network in TRUNK_FROM_IMAGENET and init is None and not no_init:
        raise SegmodelsError(
            f"--recipe published of {network} starts from a trunk trained on ImageNet, and no --init is given: give "
            "the file of such a trunk (docs/pretrained.md), or --no-init to start from random weights"
        )


def _check_of_use(values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise SegmodelsError where an option was given that nothing reads, as the others are."""
    for each in options_of(TrainConfig):
        if each.needs is None or given.get(each.field) is None:
            continue
        of, needed = each.needs
        if (found := values.get(of, getattr(TrainConfig, of))) != needed:
            raise SegmodelsError(
                f"{each.flag} {given[each.field]} is for --{of} {needed}, and --{of} is {found}: leave it out, or "
                "change that"
            )
