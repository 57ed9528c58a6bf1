"""Which sizes a network takes and where its logits are, seen from what it does to images without memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from segmodels.errors import SegmodelsError
from segmodels.plugins.wrap import as_prediction
from segmodels.spec import Geometry, Options, Size

SIDE = 256  # of the images that are shown: a multiple of all strides and of all size rules that are looked for
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
STRIDES = (1, 2, 4, 8, 16, 32)
Build = Callable[..., nn.Module]  # build(classes, size, **options)


def measured(build: Build, size_multiple: int, fixed_size: bool, options: Options) -> Geometry:
    """Stride and size rule of a network. Raises SegmodelsError where it does not run on images without memory."""
    return _measured(build, size_multiple, fixed_size, tuple(sorted(options.items())))


@lru_cache(maxsize=256)
def _measured(build: Build, size_multiple: int, fixed_size: bool, options: tuple[tuple[str, Any], ...]) -> Geometry:
    name = getattr(getattr(build, "factory", build), "__name__", "the network")
    state = torch.get_rng_state()
    try:
        stride = _stride(build, dict(options), name)
        if fixed_size:
            return Geometry(stride, max(size_multiple, stride), fixed_size=True)
        for multiple in MULTIPLES:
            if (
                multiple % stride == 0
                and multiple % size_multiple == 0
                and _takes(build, dict(options), multiple, stride)
            ):
                return Geometry(stride, multiple)
    finally:
        torch.set_rng_state(state)
    raise SegmodelsError(
        f"{name} takes images of {SIDE}x{SIDE}, and none of {SIDE + 64}x{SIDE + 128}: declare its sizes, as "
        f"segmodels.declare({name}, stride={stride}, size_multiple=…), or fixed_size=True"
    )


def _stride(build: Build, options: dict[str, Any], name: str) -> int:
    try:
        height, width = _shape(build, options, (SIDE, SIDE), (SIDE, SIDE))
    except SegmodelsError:
        raise
    except Exception as error:  # whatever a user's code raises
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SegmodelsError(
            f"the stride of {name} cannot be measured: on an image of {SIDE}x{SIDE} without memory it ends with "
            f"{said}. Declare it: NET = segmodels.declare({name}, stride=…)"
        ) from error
    if height != width or SIDE % height or SIDE // height not in STRIDES:
        raise SegmodelsError(
            f"{name}: logits of {height}x{width} for an image of {SIDE}x{SIDE}, expected its size divided by one of "
            f"{', '.join(map(str, STRIDES))}"
        )
    return SIDE // height


def _takes(build: Build, options: dict[str, Any], multiple: int, stride: int) -> bool:
    """Whether images whose sides are multiples of this, and of no more, give logits of their size by the stride."""
    for size in _sizes(multiple):
        try:
            found = _shape(build, options, (SIDE, SIDE), size)
        except Exception:  # it does not fit inside, and says so in its own way
            return False
        if found != (size[0] // stride, size[1] // stride):
            return False
    return True


def _sizes(multiple: int) -> Iterator[Size]:
    """Far from square: some networks take a row of patches for a square of them."""
    yield SIDE + multiple, SIDE + 64 + 3 * multiple
    yield SIDE - multiple, SIDE - 64 - 5 * multiple if 5 * multiple < 128 else SIDE - multiple


def _shape(build: Build, options: dict[str, Any], built_for: Size, size: Size) -> Size:
    """(h, w) of the logits."""
    with torch.device("meta"), torch.no_grad():
        network = build(2, built_for, **options).eval()
        logits = as_prediction(network(torch.empty(1, 3, *size))).logits
    if logits.ndim != 4 or logits.shape[:2] != (1, 2):
        raise SegmodelsError(
            f"for 2 classes and one image the network gives {tuple(logits.shape)}, expected logits of shape "
            "(1, 2, H/stride, W/stride)"
        )
    return logits.shape[2], logits.shape[3]
