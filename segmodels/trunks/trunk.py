"""The trunks by the options that choose them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from segmodels.compute.shapes import without_memory
from segmodels.errors import SegmodelsError
from segmodels.spec import Option
from segmodels.trunks.inverted import TABLES, InvertedResiduals
from segmodels.trunks.resnet import BLOCKS, PROJECTIONS, STEMS, ResNet

Trunk = ResNet | InvertedResiduals

BACKBONE = {
    "backbone_depth": Option(50, "depth of the ResNet", choices=tuple(BLOCKS)),
    "backbone": Option("resnet", "what the trunk is", choices=("resnet", *TABLES), added=True),
    "stem": Option(
        "deep",
        "first layers of the ResNet: 3x3 convolutions of 64, 64, 128 maps (deep) or 32, 32, 64 (narrow), or one of 7x7 "
        "with 64 maps (plain)",
        choices=tuple(STEMS),
        added=True,
    ),
    "projection": Option(
        "strided",
        "where the ResNet's shortcut changes its size: a 1x1 convolution with stride, or a mean of 2x2 before it",
        choices=PROJECTIONS,
        added=True,
    ),
    "contract_dilation": Option(
        False,
        "the first block of the ResNet's layer3 and layer4 keeps the dilation of the layer before, as in torchvision, "
        "timm and mmsegmentation: pretrained weights then compute what they were trained for",
        added=True,
    ),
}


def make_trunk(*, backbone: str, backbone_depth: int, stem: str, projection: str, contract_dilation: bool) -> Trunk:
    """The trunk that the options of `BACKBONE` describe. Raises SegmodelsError for an option that its kind lacks."""
    if backbone == "resnet":
        return ResNet(backbone_depth, stem, projection, contract_dilation=contract_dilation)
    of_resnet = {
        "backbone_depth": backbone_depth,
        "stem": stem,
        "projection": projection,
        "contract_dilation": contract_dilation,
    }
    for name, value in of_resnet.items():
        if value != BACKBONE[name].default:
            raise SegmodelsError(
                f"option {name} is {value!r}, and backbone is {backbone}: {name} is an option of backbone=resnet. "
                "Leave one of them out"
            )
    return InvertedResiduals(TABLES[backbone])


def every_trunk() -> Iterator[tuple[dict[str, Any], Trunk]]:
    """Each trunk that has tensors of other shapes, without memory, and the options that choose it."""
    resnets: list[dict[str, Any]] = [
        {"backbone_depth": depth, "stem": stem, "projection": projection}
        for depth in BLOCKS
        for stem in STEMS
        for projection in PROJECTIONS
    ]
    defaults: dict[str, Any] = {name: each.default for name, each in BACKBONE.items()}
    others: list[dict[str, Any]] = [{"backbone": name} for name in TABLES]
    for options in (*resnets, *others):
        with without_memory():
            trunk = make_trunk(**defaults | options)
        yield options, trunk
