"""Files of timm and torchvision fill our trunks whole, which then compute what theirs compute. No weights are needed:
theirs are random, with statistics that tell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from segmodels.pretrained.known import recognise
from segmodels.pretrained.pretrained import load_trunk
from segmodels.trunks.trunk import BACKBONE, make_trunk

ATROUS = {"contract_dilation": True}
PLAIN, NARROW = ATROUS | {"stem": "plain"}, ATROUS | {"stem": "narrow"}
POOLED = NARROW | {"projection": "pooled"}
SIZES = ((64, 96), (57, 71))  # of any remainder


def randomised(network: nn.Module) -> nn.Module:
    """With statistics and scales of norms that are not 0 and 1."""
    torch.manual_seed(0)
    for name, each in network.state_dict().items():
        if name.endswith("running_mean"):
            each.normal_(0, 0.1)
        elif name.endswith("running_var") or (each.ndim == 1 and name.endswith("weight")):
            each.uniform_(0.5, 1.5)
    return network.eval()


def loaded(network: nn.Module, options: dict[str, Any], folder: Path) -> nn.Module:
    """Our trunk with all of its weights, and that this trunk is the one that the file is recognised as."""
    torch.save(network.state_dict(), folder / "weights.pth")
    torch.manual_seed(1)
    ours = nn.ModuleDict({"trunk": make_trunk(**{name: each.default for name, each in BACKBONE.items()} | options)})
    report = load_trunk(ours, folder / "weights.pth")
    assert not report.random and str(report).count("\n") == 0
    known = recognise(network.state_dict(), folder)
    shapes = {name: value for name, value in options.items() if name != "contract_dilation"}
    assert (
        known
        and shapes.items() <= ({"stem": "deep", "projection": "strided", "backbone": "resnet"} | known.options).items()
    )
    return ours.eval()["trunk"]


def agree(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> None:
    """Both maps, to rounding."""
    for here, there in zip(ours, theirs, strict=True):
        torch.testing.assert_close(here, there, rtol=0, atol=2e-5 * float(there.abs().max()))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", PLAIN | {"backbone_depth": 18}),
        ("resnet50", PLAIN),
        ("resnet50c", NARROW),
        ("resnet50s", ATROUS),
        ("resnet18d", POOLED | {"backbone_depth": 18}),
        ("resnet50d", POOLED),
        ("resnet101d", POOLED | {"backbone_depth": 101}),
    ],
)
@torch.no_grad()
def test_timm_resnet(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Every stem and shortcut, at timm's own output stride of 8."""
    theirs = randomised(timm.create_model(name, pretrained=False, output_stride=8))
    ours = loaded(theirs, options, tmp_path)
    for size in SIZES:
        image = torch.randn(1, 3, *size)
        x = theirs.maxpool(theirs.act1(theirs.bn1(theirs.conv1(image))))
        third = theirs.layer3(theirs.layer2(theirs.layer1(x)))
        agree(ours(image), (third, theirs.layer4(third)))


@pytest.mark.parametrize("depth", [50, 101])
@torch.no_grad()
def test_torchvision_resnet(depth: int, tmp_path: Path) -> None:
    """The trunk of torchvision's FCN and DeepLab."""
    build = getattr(torchvision.models, f"resnet{depth}")
    theirs = randomised(build(replace_stride_with_dilation=[False, True, True]))
    ours = loaded(theirs, PLAIN | {"backbone_depth": depth}, tmp_path)
    image = torch.randn(1, 3, *SIZES[1])
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
    third = theirs.layer3(theirs.layer2(theirs.layer1(x)))
    agree(ours(image), (third, theirs.layer4(third)))


@pytest.mark.parametrize("name", ["mobilenetv2_100", *(f"tf_efficientnet_lite{number}" for number in range(5))])
@torch.no_grad()
def test_timm_inverted_residuals(name: str, tmp_path: Path) -> None:
    """Every table, at timm's own output stride of 8 and with its padding."""
    theirs = randomised(timm.create_model(name, pretrained=False, output_stride=8))
    backbone = name.removeprefix("tf_").replace("mobilenetv2_100", "mobilenet_v2")
    ours = loaded(theirs, {"backbone": backbone}, tmp_path)
    for size in SIZES:
        image = torch.randn(1, 3, *size)
        maps = [theirs.bn1(theirs.conv_stem(image))]
        for stage in theirs.blocks:
            maps.append(stage(maps[-1]))
        agree(ours(image), (maps[5], maps[-1]))


@torch.no_grad()
def test_torchvision_mobilenet(tmp_path: Path) -> None:
    """torchvision offers no output stride: its last strides are replaced by dilation here, layer by layer."""
    theirs = randomised(torchvision.models.mobilenet_v2())
    ours = loaded(theirs, {"backbone": "mobilenet_v2"}, tmp_path)
    for number, block in enumerate(theirs.features):
        dilation = 4 if number > 14 else 2 if number > 7 else 1
        for layer in block.modules():
            if isinstance(layer, nn.Conv2d) and layer.groups > 1 and number >= 7:
                layer.stride, layer.dilation, layer.padding = (1, 1), (dilation,) * 2, (dilation,) * 2
    image = torch.randn(1, 3, *SIZES[0])
    third = theirs.features[:14](image)
    agree(ours(image), (third, theirs.features[14:18](third)))
