"""The percentile network where its pixels still need it: stages 2 and 3 on tiles, and what that costs.

A refinement is needed at the active pixels, the classifier's last convolution too, the one before it at those that
the last one reads, and so on: each convolution is computed on the tiles that hold a pixel it is needed at. The answer
at active pixels is that of the dense execution, up to the rounding of sums.

`skip` says how stages 2 and 3 are executed in evaluation: `dense` everywhere, `sparse` on tiles, `auto` on tiles
where that is expected to be faster, decided for the refinements and for the classifier of each stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmodels.tiles import Canvas, Tiles, tiles_over

if TYPE_CHECKING:
    from segmodels.networks.percentile import PercentileNet, Refinement, Stage

SKIPS = ("dense", "sparse", "auto")
SIDE = {"cpu": 8, "cuda": 16}  # of the tiles
PATCH_BYTES = {"cpu": 4 * 2**20, "cuda": 256 * 2**20}  # of the patches that a convolution takes at once
REFINE_PRICE = {"cpu": 1.35, "cuda": 1.5}  # time of a product on tiles, in dense ones
CLASSIFY_PRICE = {"cpu": 1.15, "cuda": 1.3}


# ---- what is computed where ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """Where a stage computes; None: everywhere."""

    refine: Tiles | None = None
    classify: tuple[Tiles, ...] | None = None  # of each convolution


def plan_stage(stage: Stage, active: Tensor, skip: str) -> Plan:
    """How a stage is executed for a mask (B, 1, H, W) under `skip`. Devices without a size of tiles are dense."""
    kind, layers = active.device.type, list(stage.classifier)
    if skip == "dense" or kind not in SIDE:
        return Plan()
    plan = _needed(stage, active, SIDE[kind])
    if skip == "sparse" or plan.refine is None or plan.classify is None:
        return plan
    classify = sum(tiles.pixels * _weights(layer) for tiles, layer in zip(plan.classify, layers, strict=True))
    return Plan(
        plan.refine if plan.refine.pixels * REFINE_PRICE[kind] < active.numel() else None,
        plan.classify if classify * CLASSIFY_PRICE[kind] < active.numel() * _weights(stage.classifier) else None,
    )


def _needed(stage: Stage, active: Tensor, side: int) -> Plan:
    """Tiles for everything. A convolution is needed as far around the active pixels as the later ones read."""
    halos = [_halo(layer) for layer in stage.classifier]
    reaches = [sum(halos[number + 1 :]) for number in range(len(halos))]
    return Plan(tiles_over(active, side), tuple(tiles_over(active, side, reach) for reach in reaches))


def _halo(layer: nn.Module) -> int:
    """How far a convolution, its first member, reads around a pixel."""
    conv = _conv(layer)
    return conv.kernel_size[0] // 2 * conv.dilation[0]


def _conv(layer: nn.Module) -> nn.Conv2d:
    return cast(nn.Conv2d, cast(nn.Sequential, layer)[0])


# ---- the execution ---------------------------------------------------------------------------------------------


def run_stage(stage: Stage, features: Tensor, active: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
    """What `Stage.forward` gives, by the plan. Logits of pixels that are not active have no meaning."""
    canvas = None
    if plan.refine is None:
        for refinement in stage.refinements:
            features = refinement(features, active)
    else:
        canvas = _canvas(stage, features, plan.refine)
        for refinement in stage.refinements:
            _refine(cast("Refinement", refinement), canvas, active, plan.refine)
        features = canvas.maps
    if plan.classify is None:
        return features, stage.classifier(features)
    return features, _classify(stage.classifier, canvas or _canvas(stage, features, plan.classify[0]), plan.classify)


def _canvas(stage: Stage, features: Tensor, tiles: Tiles) -> Canvas:
    convolutions = [each for each in stage.modules() if isinstance(each, nn.Conv2d)]
    margin = max(conv.kernel_size[0] // 2 * conv.dilation[0] for conv in convolutions)
    return Canvas.of(features, tiles.side, margin)


def _refine(refinement: Refinement, canvas: Canvas, active: Tensor, tiles: Tiles) -> None:
    update = torch.cat([_convolve(branch, canvas, tiles) for branch in refinement.branches], dim=1)  # (n, 128, T, T)
    here = Canvas.of(active, tiles.side, 0).cut(tiles, 0)  # (n, 1, T, T)
    canvas.paste(tiles, canvas.cut(tiles, 0) + update * here)


def _classify(classifier: nn.Sequential, canvas: Canvas, plan: Sequence[Tiles]) -> Tensor:
    margins = [*(_halo(layer) for layer in list(classifier)[1:]), 0]
    for layer, tiles, margin in zip(classifier, plan, margins, strict=True):
        values = _convolve(layer, canvas, tiles)
        canvas = Canvas(len(canvas.grid), values.shape[1], canvas.size, tiles.side, margin, values)
        canvas.paste(tiles, values)
    return canvas.maps


def _convolve(layer: nn.Module, canvas: Canvas, tiles: Tiles) -> Tensor:
    """Convolution, ReLU and norm of the tiles: (n, C', side, side)."""
    conv, halo = _conv(layer), _halo(layer)
    patch = canvas.grid[0, 0].nbytes // canvas.grid.shape[2] * (tiles.side + 2 * halo) ** 2
    count = max(1, PATCH_BYTES[canvas.grid.device.type] // patch)
    values = []
    with _no_trials():
        for part in tiles.split(count):
            patches = canvas.cut(part, halo)
            value = F.conv2d(patches, conv.weight, conv.bias, dilation=conv.dilation)
            for module in list(cast(nn.Sequential, layer))[1:]:
                value = module(value)
            values.append(value)
    return torch.cat(values)


@contextmanager
def _no_trials() -> Iterator[None]:
    """Every number of tiles is a shape of its own: cuDNN must not time its kernels against each other for each."""
    cudnn = torch.backends.cudnn
    before, cudnn.benchmark = cudnn.benchmark, False
    try:
        yield
    finally:
        cudnn.benchmark = before


# ---- multiply-accumulates --------------------------------------------------------------------------------------


def executed_macs(network: PercentileNet, masks: Tensor) -> Tensor:
    """What the network multiplies for each image of a batch with these masks: (B,) int64.

    `masks` (B, 3, H, W) are a prediction's `extras["masks"]`, or planted ones. The count is that of the execution
    which the network's `skip` chooses for this batch in evaluation, on the masks' device: whole tiles, halos copied
    and not computed; what is dense in full. One multiply-accumulate is one product of a convolution.
    """
    skip = "dense" if network.as_published else network.skip
    return _macs(network, masks, lambda stage, active: plan_stage(stage, active, skip))


def needed_macs(network: PercentileNet, masks: Tensor) -> Tensor:
    """What these convolutions cannot do without: each one at the very pixels it is needed at, (B,) int64.

    The ideal that `executed_macs` is compared with: no tiles, but every neighbour that an active pixel's logits read.
    """
    return _macs(network, masks, lambda stage, active: _needed(stage, active, 1))


def _macs(network: PercentileNet, masks: Tensor, plan_of: Callable[[Stage, Tensor], Plan]) -> Tensor:
    first, *later = (cast("Stage", stage) for stage in network.stages)
    total = _on(None, masks) * (_weights(network.stem) + _weights(first))
    for stage, active in zip(later, torch.split(masks, 1, dim=1)[1:], strict=True):
        plan = plan_of(stage, active)
        total += _on(plan.refine, masks) * _weights(stage.refinements)
        for number, layer in enumerate(stage.classifier):
            total += _on(plan.classify[number] if plan.classify else None, masks) * _weights(layer)
    return total


def _on(tiles: Tiles | None, masks: Tensor) -> Tensor:
    """Pixels of each image that are computed: (B,)."""
    if tiles is None:
        return masks.new_full(masks.shape[:1], masks[0, 0].numel(), dtype=torch.int64)
    return tiles.image.bincount(minlength=len(masks)) * tiles.side**2


def _weights(module: nn.Module) -> int:
    """Products a pixel of all convolutions inside."""
    return sum(each.weight.numel() for each in module.modules() if isinstance(each, nn.Conv2d))
