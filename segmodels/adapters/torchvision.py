"""`torchvision:deeplabv3_resnet50`: the networks of torchvision.models.segmentation, with random weights.

Their auxiliary head, where they have one, is a supervised output in training, as in torchvision's own training script.
"""

from __future__ import annotations

import inspect
from functools import lru_cache, partial
from typing import Any

from torch import Tensor, nn

from segmodels.adapters.fitted import fitted
from segmodels.adapters.library import Library
from segmodels.errors import SegmodelsError
from segmodels.prediction import Prediction
from segmodels.spec import Colours, ModelSpec, Option, Published, Size, nearest

LIBRARY = Library("torchvision", ("torchvision",))
AUX = Option(True, "a second head on the stage before the last, which is trained with half the weight")
AUX_WEIGHT = 0.5  # references/segmentation/train.py
SIZE = (520, 520)  # its training: the shorter side, before the crop


@lru_cache(maxsize=64)
def declare(rest: str) -> ModelSpec:
    """The network that torchvision has under this name. Raises SegmodelsError, naming those that there are."""
    name = f"torchvision:{rest}"
    library = LIBRARY.load(name)
    known = library.models.list_models(module=library.models.segmentation)
    if rest not in known:
        raise SegmodelsError(f"torchvision has no network {rest!r}{nearest(rest, known)}. It has {', '.join(known)}")
    builder, weights = library.models.get_model_builder(rest), library.models.get_model_weights(rest)
    options = {"aux_loss": AUX} if "aux_loss" in inspect.signature(builder).parameters else {}
    seen = weights.DEFAULT.transforms()
    return fitted(
        name,
        LIBRARY,
        partial(_build, builder),
        source="https://github.com/pytorch/vision",
        citation="torchvision, torchvision.models.segmentation",
        published=tuple(Published(len(each.meta["categories"]), SIZE, each.meta["num_params"]) for each in weights),
        options=options,
        step_weights=_weights,
        trunk="backbone",
        colours=Colours(tuple(seen.mean), tuple(seen.std)),
    )


def _build(builder: Any, classes: int, size: Size | None, **options: Any) -> nn.Module:
    network: nn.Module = builder(weights=None, weights_backbone=None, num_classes=classes, **options)
    network.register_forward_hook(_answer)
    return network


def _answer(network: nn.Module, inputs: tuple[Any, ...], output: dict[str, Tensor]) -> Prediction:
    """Both heads answer for every pixel."""
    logits = output["out"]  # (B, K, H, W)
    supervised = (output["aux"], logits) if network.training and "aux" in output else (logits,)
    return Prediction(logits, supervised, {})


def _weights(outputs: int) -> tuple[float, ...]:
    return (AUX_WEIGHT,) * (outputs - 1) + (1.0,)
