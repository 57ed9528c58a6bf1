"""`timm:resnet18` or `timm:resnet18/fcn`: any model of timm as the encoder of a small head of our own.

The heads are `fpn`, a feature pyramid, and `fcn`, a 1x1 convolution on the last map. The encoder keeps the names of its
tensors, so that weights of timm fit. Logits are at 1/4 of the image's size.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache, partial
from math import lcm
from typing import Any

import torch
from torch import Tensor, nn

from segmodels.adapters.fitted import fitted
from segmodels.adapters.heads import Fcn, Fpn
from segmodels.adapters.library import Library, asking
from segmodels.errors import SegmodelsError
from segmodels.spec import Colours, Geometry, ModelSpec, Option, Options, Size, nearest

LIBRARY = Library("timm", ("timm",))
STRIDE = 4  # of the logits
LEVELS = 4  # maps that a head sees: those at 1/4, 1/8, 1/16 and 1/32 of most encoders
OPTIONS = {
    "output_stride": Option(32, "of the coarsest map, by dilation; many encoders know only 32", choices=(8, 16, 32)),
    "drop_path": Option(0.0, "share of an image's residual branches that are left out in training", low=0, high=0.9),
}
WIDTH = {"width": Option(128, "channels of the pyramid", low=1, high=4096)}
HEADS = {"fpn": OPTIONS | WIDTH, "fcn": OPTIONS}
NAME = re.compile(r"\w+(\.\w+)?")  # of a model, with or without the tag of its weights


class Headed(nn.Module):
    """An encoder of timm and a head."""

    def __init__(self, trunk: Any, indices: Sequence[int], head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.indices, self.head = trunk, list(indices), head

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, 3, H, W) to logits (B, K, H/4, W/4)."""
        maps = self.trunk.forward_intermediates(image, indices=self.indices, output_fmt="NCHW", intermediates_only=True)
        logits: Tensor = self.head(maps, (image.shape[-2] // STRIDE, image.shape[-1] // STRIDE))
        return logits


def declare(rest: str) -> ModelSpec:
    """The network of that model and head. Raises SegmodelsError, saying which there are."""
    model, slash, head = rest.partition("/")
    if not NAME.fullmatch(model) or (slash and head not in HEADS):
        raise SegmodelsError(
            f"timm:{rest} names no network: expected timm:MODEL or timm:MODEL/HEAD, such as timm:resnet18/fpn, where "
            f"HEAD is {' or '.join(HEADS)}"
        )
    return _declare(model, head or "fpn")


@lru_cache(maxsize=64)
def _declare(model: str, head: str) -> ModelSpec:
    name = f"timm:{model}/{head}"
    library = LIBRARY.load(name)
    if not library.is_model(model):
        raise SegmodelsError(
            f"timm has no model {model!r}{nearest(model, library.list_models())}. timm.list_models() names them all"
        )
    known = library.get_pretrained_cfg(model)
    return fitted(
        name,
        LIBRARY,
        partial(_build, library, model, head),
        rule=partial(_fixed, library, model) if known.fixed_input_size else None,
        source="https://github.com/huggingface/pytorch-image-models",
        citation="Wightman, PyTorch Image Models (2019)",
        options=HEADS[head],
        colours=Colours(tuple(known.mean), tuple(known.std)),
    )


def _build(library: Any, model: str, head: str, classes: int, size: Size | None, **options: Any) -> nn.Module:
    given: dict[str, Any] = {"img_size": size} if size else {}
    if options["output_stride"] != OPTIONS["output_stride"].default:
        given["output_stride"] = options["output_stride"]
    if options["drop_path"]:
        given["drop_path_rate"] = options["drop_path"]
    trunk = library.create_model(model, pretrained=False, **given)
    wanted = _levels(trunk.feature_info)
    if head == "fcn":
        wanted = wanted[-1:]
    channels = [trunk.feature_info[index]["num_chs"] for index in wanted]
    indices = trunk.prune_intermediate_layers(wanted, prune_norm=True, prune_head=True)
    for module in trunk.modules():
        if getattr(module, "fused_attn", False):  # the fused backward pass is not deterministic on CUDA
            module.fused_attn = False
    return Headed(trunk, indices, Fcn(channels, classes) if head == "fcn" else Fpn(channels, classes, options["width"]))


def _fixed(library: Any, model: str, options: Options) -> Geometry:
    """The size rule of an encoder that is built for one size: whole patches, and whole cells of the logits."""
    return Geometry(STRIDE, lcm(STRIDE, _coarsest(library, model)), fixed_size=True)


@lru_cache(maxsize=64)
def _coarsest(library: Any, model: str) -> int:
    """The largest stride of an encoder's maps."""
    with asking(f"timm:{model}"), torch.device("meta"):
        trunk = library.create_model(model, pretrained=False)
    return max(int(each["reduction"]) for each in trunk.feature_info)


def _levels(info: Sequence[dict[str, Any]]) -> list[int]:
    """Which of an encoder's maps a head sees: the last of each size from 1/4 on, or four of equally large ones."""
    last = {each["reduction"]: index for index, each in enumerate(info) if each["reduction"] >= STRIDE}
    if len(last) > 1:
        return sorted(last.values())[-LEVELS:]
    return sorted({len(info) * part // LEVELS - 1 for part in range(1, LEVELS + 1)} - {-1})
