"""Which of our trunks a file fills wholly, whatever its names: told by the names and shapes of all tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from segmodels.errors import SegmodelsError
from segmodels.networks import spec
from segmodels.pretrained.kinds import Kind, foreign, kind_of
from segmodels.pretrained.naming import Found, Wanted, best, candidates, learnt, tensors_in
from segmodels.trunks.resnet import ResNet
from segmodels.trunks.trunk import BACKBONE, every_trunk

STEMS = {"deep": "three 3x3 convolutions", "plain": "one 7x7 convolution", "narrow": "three narrow 3x3 convolutions"}

# Trunks that one network alone has: its options, of which no other value makes the trunk, and the trunk's name.
ALONE: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    ("ddrnet23_slim", {}, "DDRNet-23-slim"),
    ("ddrnet23_slim", {"width": 64, "head_width": 128}, "DDRNet-23"),
    ("segformer_b0", {}, "mix transformer B0"),
    ("segformer_b0", {"head_channels": 64}, "mix transformer B1"),
)


class Known(NamedTuple):
    """A trunk in a file, and the options of a network that takes all of it."""

    kind: Kind
    options: Mapping[str, Any]
    title: str  # "ResNet-50, stem of one 7x7 convolution"
    found: Found


def recognise(content: Any, path: Path) -> Known | None:
    """The trunk of which every weight and bias is in the file. Raises SegmodelsError where two networks fit alike.

    Statistics may be missing, as of group norms.
    """
    there = shapes(tensors_in(content).values())
    for options, title, kind, wanted in _trunks():
        parts = learnt(wanted.tensors)
        if not shapes(wanted.tensors[name] for name in parts) <= there:  # which leaves one or two to look for by name
            continue
        found = [each for each in candidates(content, wanted, kind.namings) if each.taken >= parts]
        if whole := [each for each in found if not any(foreign(each, kind))]:
            return Known(kind, options, title, best(whole, path))
    return None


@cache
def _trunks() -> tuple[tuple[Mapping[str, Any], str, Kind, Wanted], ...]:
    """Options, title, kind and tensors of every trunk, which take a second to make."""
    return tuple((options, title, kind_of(trunk), Wanted.of(trunk)) for options, title, trunk in _named_trunks())


def _named_trunks() -> Iterator[tuple[Mapping[str, Any], str, nn.Module]]:
    for options, trunk in every_trunk():
        yield options, _title(options, trunk), trunk
    for network, chosen, title in ALONE:
        declared = spec(network)
        with torch.device("meta"):
            built = declared.build(*declared.example, chosen)
        yield chosen, title, built.get_submodule(declared.trunk)


def shapes(tensors: Iterable[Tensor]) -> Counter[tuple[int, ...]]:
    """How many tensors have each shape."""
    return Counter(tuple(each.shape) for each in tensors)


def options_that_fit(content: Any, path: Path, kind: Kind) -> str:
    """`--option stem=plain`: with which a network takes all of a file's trunk; empty where there are none.

    Of a network whose trunk is of this `kind`; where the file's is one of another network, that is named too.
    """
    try:
        known = recognise(content, path)
    except SegmodelsError:  # of two networks neither is chosen, which is said elsewhere
        return ""
    if known is None:
        return ""
    options = as_options(known.options)
    if known.kind.network == kind.network:
        return options or "the default options of the trunk"
    return f"the network {known.kind.network or 'pspnet'}" + f" with {options}" * bool(options)


def as_options(options: Mapping[str, Any]) -> str:
    """Those with another value than the default, as they are typed."""
    return " ".join(f"--option {name}={value}" for name, value in options.items() if not _is_default(name, value))


def _is_default(name: str, value: Any) -> bool:
    return name in BACKBONE and value == BACKBONE[name].default


def _title(options: Mapping[str, Any], trunk: object) -> str:
    if not isinstance(trunk, ResNet):
        name = str(options["backbone"])
        return "MobileNetV2" if name == "mobilenet_v2" else name.replace("efficientnet_lite", "EfficientNet-lite")
    pooled = ", shortcuts with a mean of 2x2" if trunk.projection == "pooled" else ""
    return f"ResNet-{trunk.depth}, stem of {STEMS[trunk.stem]}{pooled}"
