"""The kinds of trunk that other people publish, and how their files name them.

Those of single networks stand in `branched` and `transformer`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import nn

from segmodels.networks import ddrnet23_slim, segformer_b0
from segmodels.pretrained.branched import branched_namings
from segmodels.pretrained.naming import AS_HERE, Found, Naming
from segmodels.pretrained.transformer import transformer_namings
from segmodels.trunks.inverted import InvertedResiduals
from segmodels.trunks.resnet import ResNet

NEVER = re.compile(r"(?!)")


@dataclass(frozen=True)
class Kind:
    """What is known of a kind of trunk."""

    title: str  # after "a": "ResNet"
    namings: tuple[Naming, ...]
    block: re.Pattern[str] = NEVER  # begins the names here of a block's tensors
    entrance: re.Pattern[str] = NEVER  # of these blocks what is as wide as the stem, or absent
    stem: re.Pattern[str] = NEVER  # begins the names here of the stem's convolutions
    stem_names: str = ""  # what they may be called, in words
    network: str | None = ""  # the one that has such a trunk; empty: those with the option backbone; None: not known


def kind_of(trunk: nn.Module) -> Kind:
    """That of a trunk; one that nothing is known of has its own names."""
    if isinstance(trunk, ResNet):
        return RESNET_POOLED if trunk.projection == "pooled" else RESNET
    if isinstance(trunk, InvertedResiduals):
        title = "MobileNetV2 or EfficientNet-lite"
        return Kind(title, tuple(_inverted(trunk)), INVERTED_BLOCK, stem=re.compile(r"conv_stem\."))
    if isinstance(trunk, ddrnet23_slim.Trunk):
        return Kind("DDRNet", (AS_HERE, *branched_namings()), network="ddrnet23_slim")
    if isinstance(trunk, segformer_b0.Trunk):
        return Kind("mix transformer", (AS_HERE, *transformer_namings()), network="segformer_b0")
    return Kind("trunk", (AS_HERE,), network=None)


def foreign(found: Found, kind: Kind) -> Iterator[str]:
    """Names in the file that lie in the blocks of what was found, or in further blocks of it, and are not known here.

    Such a network computes something else: it has gates in its blocks, or is deeper.
    """
    blocks: dict[str, list[str]] = {}
    for name, there in found.names.items():
        if block := kind.block.match(name):
            blocks.setdefault(block[0], []).append(there.removeprefix(found.prefix))
    beginnings = tuple({_common(names) for names in blocks.values()})
    shapes = {_shape(name) for names in blocks.values() for name in names}
    for name in found.others:
        if beginnings and (name.startswith(beginnings) or _shape(name) in shapes):
            yield name


def _common(names: list[str]) -> str:
    """What all these begin with, up to a dot."""
    first, last = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind(".", 0, same) + 1]


def _shape(name: str) -> str:
    """A name without its numbers: what the names of all blocks have in common."""
    return re.sub(r"\d+", "#", name)


# ---- ResNet -------------------------------------------------------------------------------------------------

STEM = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")


def _sequence(name: str) -> dict[str, str]:
    """Of a Sequential(conv, norm, relu, conv, norm, relu, conv, norm)."""
    return {layer: f"{name}.{number}" for number, layer in zip((0, 1, 3, 4, 6, 7), STEM, strict=True)}


STEMS = (
    Naming("torchvision, timm, CSAIL", {}),  # also ours. A plain ResNet's 7x7 stem: conv1, bn1
    Naming("hszhao", _sequence("layer0")),  # layer0.0 and layer0.1 alone are the plain stem of many a U-Net
    Naming("mmsegmentation", _sequence("stem")),
    Naming("timm, PyTorch-Encoding", _sequence("conv1") | {"bn3": "bn1"}),  # the last norm is outside
    Naming("Cadene", {layer: f"layer0.{layer}" for layer in STEM}),
    Naming("a stem of its own", {layer: f"stem.{layer}" for layer in STEM}),
    Naming("mmpretrain", {layer: f"stem.{int(layer[-1]) - 1}.{layer[:-1]}" for layer in STEM}),
)
# mmpretrain pools where the size changes alone: in layer1 it does not, and the convolution is number 0.
UNPOOLED = {"layer1.0.downsample.1": "layer1.0.downsample.0", "layer1.0.downsample.2": "layer1.0.downsample.1"}
RESNET = Kind(
    "ResNet",
    STEMS,
    block=re.compile(r"layer[1-4]\.\d+\."),
    entrance=re.compile(r"layer1\.0\.(conv1|bn1|downsample)\."),
    stem=re.compile(r"conv[123]\."),
    stem_names="conv1 … bn3, layer0.0 … layer0.7, stem.0 … stem.7, or conv1.0 … conv1.6 with bn1",
)
RESNET_POOLED = replace(RESNET, namings=(*STEMS, *(Naming(each.whose, {**each.layers, **UNPOOLED}) for each in STEMS)))


# ---- MobileNetV2 and EfficientNet-lite ----------------------------------------------------------------------

INVERTED_BLOCK = re.compile(r"blocks\.\d+\.\d+\.")
Place = tuple[int, int, int]  # of a block: its stage, its number in there, its number in all
Named = Callable[[Place, int, int], tuple[str, str]]  # (place, convolution, of how many) -> it and its norm there


def _inverted(trunk: InvertedResiduals) -> Iterator[Naming]:
    """The names here are timm's. Every naming is tried on both architectures: shapes tell them apart."""
    yield Naming("timm", {})
    for whose, stem, named in (
        ("torchvision", ("features.0.0", "features.0.1"), _torchvision),
        ("tonylins, early torchvision", ("features.0.0", "features.0.1"), _tonylins),
        ("mmsegmentation, mmpretrain", ("conv1.conv", "conv1.bn"), _mmpretrain),
        ("RangiLyu", ("stem.0", "stem.1"), _rangilyu),
        ("lukemelas", ("_conv_stem", "_bn0"), _lukemelas),
    ):
        yield Naming(whose, dict(zip(("conv_stem", "bn1"), stem, strict=True)) | dict(_blocks(trunk, named)))


def _blocks(trunk: InvertedResiduals, named: Named) -> Iterator[tuple[str, str]]:
    """Layer here, layer there, of all blocks."""
    stages = [[*stage.children()] for stage in trunk.blocks]
    places = ((stage, block) for stage, blocks in enumerate(stages) for block in range(len(blocks)))
    for number, (stage, block) in enumerate(places):
        expands = stages[stage][block].expands
        convolutions = ("conv_pw", "conv_dw", "conv_pwl") if expands else ("conv_dw", "conv_pw")
        for i, convolution in enumerate(convolutions):
            there = named((stage, block, number), i, len(convolutions))
            here = (f"blocks.{stage}.{block}.{convolution}", f"blocks.{stage}.{block}.bn{i + 1}")
            yield from zip(here, there, strict=True)


def _torchvision(place: Place, i: int, count: int) -> tuple[str, str]:
    begin = f"features.{place[2] + 1}.conv"
    return (f"{begin}.{i}.0", f"{begin}.{i}.1") if i < count - 1 else (f"{begin}.{i}", f"{begin}.{i + 1}")


def _tonylins(place: Place, i: int, count: int) -> tuple[str, str]:
    del count
    begin = f"features.{place[2] + 1}.conv"
    return f"{begin}.{3 * i}", f"{begin}.{3 * i + 1}"


def _mmpretrain(place: Place, i: int, count: int) -> tuple[str, str]:
    del count
    begin = f"layer{place[0] + 1}.{place[1]}.conv.{i}"
    return f"{begin}.conv", f"{begin}.bn"


def _rangilyu(place: Place, i: int, count: int) -> tuple[str, str]:
    return _of_tensorflow(f"blocks.{place[0]}.{place[1]}", i, count)


def _lukemelas(place: Place, i: int, count: int) -> tuple[str, str]:
    return _of_tensorflow(f"_blocks.{place[2]}", i, count)


def _of_tensorflow(block: str, i: int, count: int) -> tuple[str, str]:
    at = i + 3 - count  # without expansion the first is absent, its number too
    return f"{block}._{('expand', 'depthwise', 'project')[at]}_conv", f"{block}._bn{at}"
