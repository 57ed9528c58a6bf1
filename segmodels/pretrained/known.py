"""Which of our trunks a file fills wholly, whatever its names: told by the names and shapes of all tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from segmodels.errors import SegmodelsError
from segmodels.pretrained.kinds import Kind, foreign, kind_of
from segmodels.pretrained.naming import Found, Wanted, best, candidates, learnt, tensors_in
from segmodels.trunks.resnet import ResNet
from segmodels.trunks.trunk import BACKBONE, every_trunk

STEMS = {"deep": "three 3x3 convolutions", "plain": "one 7x7 convolution", "narrow": "three narrow 3x3 convolutions"}


class Known(NamedTuple):
    """A trunk in a file, and the options of a network that takes all of it."""

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
            return Known(options, title, best(whole, path))
    return None


@cache
def _trunks() -> tuple[tuple[Mapping[str, Any], str, Kind, Wanted], ...]:
    """Options, title, kind and tensors of every trunk, which take a second to make."""
    return tuple((options, _title(options, each), kind_of(each), Wanted.of(each)) for options, each in every_trunk())


def shapes(tensors: Iterable[Tensor]) -> Counter[tuple[int, ...]]:
    """How many tensors have each shape."""
    return Counter(tuple(each.shape) for each in tensors)


def options_that_fit(content: Any, path: Path) -> str:
    """`--option stem=plain`: with which a network takes all of a file's trunk; empty where there are none."""
    try:
        known = recognise(content, path)
    except SegmodelsError:  # of two networks neither is chosen, which is said elsewhere
        return ""
    return "" if known is None else as_options(known.options) or "the default options of the trunk"


def as_options(options: Mapping[str, Any]) -> str:
    """Those with another value than the default, as they are typed."""
    return " ".join(f"--option {name}={value}" for name, value in options.items() if value != BACKBONE[name].default)


def _title(options: Mapping[str, Any], trunk: object) -> str:
    if not isinstance(trunk, ResNet):
        name = str(options["backbone"])
        return "MobileNetV2" if name == "mobilenet_v2" else name.replace("efficientnet_lite", "EfficientNet-lite")
    pooled = ", shortcuts with a mean of 2x2" if trunk.projection == "pooled" else ""
    return f"ResNet-{trunk.depth}, stem of {STEMS[trunk.stem]}{pooled}"
