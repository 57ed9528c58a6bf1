"""How each network was trained where it was published, as values of TrainConfig's fields, and what is made of them.

What a source does not say stays as in the recipe `default`, which is TrainConfig's defaults.
"""

from collections.abc import Mapping
from typing import Any

from segmodels.config.config import TrainConfig
from segmodels.config.options import options_of
from segmodels.errors import SegmodelsError

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

# The author gives no training recipe, only how images were normalised.
PERCENTILE: Recipe = {
    "mean": (0.28689554, 0.32513303, 0.28389177),
    "std": (0.18696375, 0.19017339, 0.18720214),
}

# Whole frames of Cityscapes at 512x1024. The plateau is that of optim.py; the batch size is not said.
DILATED_UNET = PLAIN | {"epochs": 100, "optimizer": "adam", "lr": 1e-4, "schedule": "plateau"}

# 384x768, 100 (or 250) epochs, batches of 8 at x8 and of 6 at x2.
TAS500 = PLAIN | {
    "epochs": 100,
    "batch_size": 8,
    "crop": (384, 768),
    "flip": True,
    "vertical_flip": True,
    "rotations": (15.0, 30.0),
    "loss": "ce+dice",
    "optimizer": "adam",
    "lr": 1e-3,
}

# Zhao et al. 2017, section 5: poly 0.9, base 0.01, and 90,000 iterations on Cityscapes.
PSPNET = PLAIN | {
    "steps": 90_000,
    "batch_size": 16,
    "crop": (713, 713),
    "scale": (0.5, 2.0),
    "flip": True,
    "optimizer": "sgd",
    "lr": 1e-2,
    "weight_decay": 1e-4,
    "schedule": "poly",
}

CLUSTERNET = PLAIN | {
    "epochs": 50,
    "batch_size": 1,
    "crop": (713, 713),
    "centre_crop": True,
    "optimizer": "sgd",
    "lr": 1e-2,
    "trunk_lr": 0.1,
    "weight_decay": 1e-4,
    "options": (("assignment", "per_image"),),  # of the network; the rest are its defaults
}

# Epochs 40, 60 and 80 of 300. (In the original the schedule multiplies itself in twice and ends near 1e-6.)
FCN_RESNET_V2 = PLAIN | {
    "epochs": 300,
    "batch_size": 1,
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
    "optimizer": "adam",
    "lr": 1e-3,
    "schedule": "step",
    "milestones": ((40 / 300, 0.5), (60 / 300, 0.1), (80 / 300, 0.05)),
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
}


def recipe_values(recipe: str, network: str) -> Recipe:
    """The values by which a network's recipe differs from TrainConfig's defaults."""
    if recipe != "published":
        return {}  # of no other recipe, which TrainConfig refuses, anything is known
    if network not in PUBLISHED:
        raise SegmodelsError(f"no recipe was published for {network!r}: use --recipe default")
    return dict(PUBLISHED[network])


def make_config(network: str, recipe: str | None, given: Mapping[str, Any]) -> TrainConfig:
    """The recipe's values, overridden by what was given on the command line (None = not given)."""
    recipe = TrainConfig.recipe if recipe is None else recipe
    values = recipe_values(recipe, network)
    options = dict(values.get("options", ())) | dict(given.get("options") or ())  # each one overridden by itself
    values |= {name: value for name, value in given.items() if value is not None}
    values["options"] = tuple(sorted(options.items()))
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
    for each in options_of(TrainConfig):
        if each.needs is None or given.get(each.field) is None:
            continue
        of, needed = each.needs
        if (found := values.get(of, getattr(TrainConfig, of))) != needed:
            raise SegmodelsError(
                f"{each.flag} {given[each.field]} is for --{of} {needed}, and --{of} is {found}: leave it out, or "
                "change that"
            )
