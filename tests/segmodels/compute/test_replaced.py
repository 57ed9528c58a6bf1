"""What replaces operations of other people's networks on CUDA, tried on the CPU: the same values, other operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import segmodels
from segmodels import SegmodelsError
from segmodels.compute.device import arithmetic
from segmodels.compute.replaced import Replaced, replaced
from segmodels.contract.operations import offenders
from segmodels.spec import Origin

Function = Callable[[Tensor], Tensor]
SIZE = (2, 3, 12, 18)

REPLACED: dict[str, Function] = {
    "bilinear": lambda x: F.interpolate(x, (31, 7), mode="bilinear"),
    "corners": lambda x: F.interpolate(x, (31, 40), mode="bilinear", align_corners=True),
    "by factors": lambda x: F.interpolate(x, scale_factor=(2.3, 0.7), mode="bilinear"),  # positions follow the factor
    "by sizes": lambda x: F.interpolate(x, scale_factor=2.3, mode="bilinear", recompute_scale_factor=True),
    "smooth": lambda x: F.interpolate(x, 5, mode="bilinear", antialias=True),
    "bicubic": lambda x: F.interpolate(x, (31, 7), mode="bicubic", align_corners=True),
    "linear": lambda x: F.interpolate(x.flatten(2), 100, mode="linear"),
    "trilinear": lambda x: F.interpolate(x[None], (5, 6, 7), mode="trilinear"),
    "area": lambda x: F.interpolate(x, (5, 7), mode="area"),
    "nn.Upsample": nn.Upsample(scale_factor=2, mode="bilinear"),
    "nn.AdaptiveAvgPool2d": nn.AdaptiveAvgPool2d((5, None)),
    "without a batch": lambda x: F.adaptive_avg_pool2d(x[0], 5),
    "in one dimension": lambda x: F.adaptive_avg_pool1d(x.flatten(2), 7),
    "in three": lambda x: F.adaptive_avg_pool3d(x, (2, 5, 7)),
    "nn.AdaptiveMaxPool2d": nn.AdaptiveMaxPool2d((4, 6)),
    "nn.ReflectionPad2d": nn.ReflectionPad2d((1, 2, 3, 0)),
}
KEPT: dict[str, tuple[Function, set[str]]] = {  # nothing replaces them, and CUDA refuses these operations
    "grid_sample": (
        lambda x: F.grid_sample(x, x[:, :2].movedim(1, 3).tanh(), align_corners=False),
        {"grid_sampler_2d_backward"},
    ),
    "uneven cells": (nn.AdaptiveMaxPool2d(5), {"adaptive_max_pool2d_backward"}),
    "cumsum": (lambda x: x.cumsum(1), {"cumsum"}),
    "median": (lambda x: x.median(dim=1).values, {"median"}),
    "aten itself": (lambda x: torch.ops.aten.upsample_bilinear2d(x, [9, 9], False), {"upsample_bilinear2d_backward"}),
    "unpooling": (lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2), {"max_unpool2d"}),
    "a product": (
        lambda x: torch.zeros_like(x).scatter_reduce(1, torch.zeros(SIZE, dtype=torch.long), x, "prod"),
        {"scatter_reduce"},
    ),
    "counts with weights": (
        lambda x: x.sum() + torch.bincount(torch.arange(3), weights=x.detach()[0, 0, 0, :3]).sum(),
        {"bincount"},
    ),
    "allowed": (  # a sum, a mean, whole numbers, zeros, nearest neighbours, a copied edge: none is refused
        lambda x: (
            F.adaptive_avg_pool2d(x, 1)
            + F.interpolate(x, scale_factor=2)[..., :1, :1]
            + F.pad(x, (1, 1, 1, 1), mode="replicate")[..., :1, :1]
            + torch.arange(3).cumsum(0)[:, None, None]
            + F.max_pool2d(x, 2)[..., :1, :1]
            + torch.zeros_like(x).scatter_reduce(1, torch.zeros(SIZE, dtype=torch.long), x, "sum")[..., :1, :1]
        ),
        set(),
    ),
}


class Calls(nn.Module):
    """A network with one function inside a module `inner`."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Identity())
        self.inner.append(_Called(function))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.inner(x)
        return answer


class _Called(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = [function]  # in a list it is no module of this one

    def forward(self, x: Tensor) -> Tensor:
        return self.function[0](x)


def image(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(3), dtype=dtype).requires_grad_()


def found(function: Function, *, replacing: bool) -> dict[str, list[str]]:
    """What CUDA would refuse, and where it is called."""
    x = image()

    def loss(network: nn.Module) -> Tensor:
        if not replacing:
            return network(x).square().sum()  # type: ignore[no-any-return]
        with Replaced():
            return network(x).square().sum()  # type: ignore[no-any-return]

    return offenders(Calls(function), loss)


@pytest.mark.parametrize("name", REPLACED)
def test_a_replacement(name: str) -> None:
    """Values and gradients are the same to 1e-10 in float64; CUDA would refuse the original, and refuses nothing now.

    What is named is the module that calls it.
    """
    function, x = REPLACED[name], image()
    expected = function(x)
    with Replaced() as mode:
        answer = function(x)
    assert mode.names and answer.dtype == expected.dtype
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-10)
    weights = torch.linspace(-1, 1, answer.numel(), dtype=answer.dtype).view_as(answer)
    ours, theirs = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (answer, expected))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    assert list(found(function, replacing=False).values()) == [["inner.1"]]
    assert found(function, replacing=True) == {}


@pytest.mark.parametrize("name", KEPT)
def test_what_nothing_replaces(name: str) -> None:
    """It is computed as it was, and listed with the module that calls it."""
    function, operations = KEPT[name]
    x = image()
    with Replaced():
        assert torch.equal(function(x), function(x.detach()))
    listed = found(function, replacing=True)
    assert listed.keys() == operations and all(where == ["inner.1"] for where in listed.values())


def test_autocast_and_bfloat16() -> None:
    """A float32 map is resized in float32 under autocast too, and a bfloat16 one stays one."""
    x = image(torch.float32).detach()
    with torch.autocast("cpu", torch.bfloat16), Replaced():
        assert F.interpolate(x, (9, 9), mode="bilinear").dtype == torch.float32
        assert F.interpolate(x.bfloat16(), (9, 9), mode="bilinear").dtype == torch.bfloat16


def test_what_torch_refuses_is_one_line() -> None:
    """In a step of training with the network's name, elsewhere without; other errors stay what they are."""
    declared = replace(segmodels.spec("dilated_unet"), name="my.py:SegNet", origin=Origin((("my.py", "0" * 64),)))
    x, unpool = image(), KEPT["unpooling"][0]  # refused on the CPU too
    line = r"^{} calls max_unpooling2d_forward_out, of which torch has no deterministic version.*--fast[^\n]*$"
    with arithmetic(fast=False):
        with pytest.raises(SegmodelsError, match=line.format("my.py:SegNet")), replaced(declared, torch.device("cpu")):
            unpool(x)
        with pytest.raises(RuntimeError, match=r"^another"), replaced(declared, torch.device("cpu")):
            raise RuntimeError("another")
    with pytest.raises(SegmodelsError, match=line.format("the network")), arithmetic(fast=False):
        unpool(x)
    with arithmetic(fast=True):
        unpool(x)


@pytest.mark.parametrize(
    ("foreign", "device", "fast"), [(a, b, c) for a in (1, 0) for b in ("cuda", "cpu") for c in (0, 1)]
)
def test_who_is_replaced(foreign: int, device: str, fast: int) -> None:
    """Networks of others alone, on CUDA alone, and not where the bits need not repeat."""
    origin = Origin((("my.py", "0" * 64),)) if foreign else Origin()
    declared = replace(segmodels.spec("dilated_unet"), origin=origin)
    x = image(torch.float32).detach()
    plain, other = F.interpolate(x, (31, 7), mode="bicubic"), None
    with arithmetic(fast=bool(fast)), replaced(declared, torch.device(device)):
        other = F.interpolate(x, (31, 7), mode="bicubic")
    assert torch.equal(plain, other) != (bool(foreign) and device == "cuda" and not fast)
