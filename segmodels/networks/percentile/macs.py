"""Multiply-accumulates of the percentile network, for given masks: those executed, and those needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from segmodels.networks.percentile.network import PercentileNet
from segmodels.networks.percentile.sparse import Plan, convolutions_of, needed_tiles, plan_stage
from segmodels.networks.percentile.stage import Stage
from segmodels.networks.percentile.tiles import Tiles


def executed_macs(network: PercentileNet, masks: Tensor) -> Tensor:
    """What the network multiplies for each image of a batch with these masks: (B,) int64.

    `masks` (B, 3, H, W) are a prediction's `extras["masks"]`, or planted ones. The count is that of the execution
    which the network's `skip` chooses for this batch in evaluation, on the masks' device and under the same autocast as
    here: whole tiles, halos copied
    and not computed; what is dense in full. One multiply-accumulate is one product of a convolution.
    """
    skip = "dense" if network.as_published else network.skip
    return _macs(network, masks, lambda stage, active: plan_stage(stage, active, skip))


def needed_macs(network: PercentileNet, masks: Tensor) -> Tensor:
    """What these convolutions cannot do without: each one at the very pixels it is needed at, (B,) int64.

    The ideal that `executed_macs` is compared with: no tiles, but every neighbour that an active pixel's logits read.
    """
    return _macs(network, masks, lambda stage, active: Plan(*needed_tiles(stage, active, 1)))


def _macs(network: PercentileNet, masks: Tensor, plan_of: Callable[[Stage, Tensor], Plan]) -> Tensor:
    first, *later = (cast(Stage, stage) for stage in network.stages)
    total = _pixels(None, masks) * (_weights(network.stem) + _weights(first))
    for stage, active in zip(later, torch.split(masks, 1, dim=1)[1:], strict=True):
        plan = plan_of(stage, active)
        total += _pixels(plan.refine, masks) * _weights(stage.refinements)
        for number, layer in enumerate(stage.classifier):
            total += _pixels(plan.classify[number] if plan.classify else None, masks) * _weights(layer)
    return total


def _pixels(tiles: Tiles | None, masks: Tensor) -> Tensor:
    """How many are computed of each image: (B,)."""
    if tiles is None:
        return masks.new_full(masks.shape[:1], masks[0, 0].numel(), dtype=torch.int64)
    return tiles.image.bincount(minlength=len(masks)) * tiles.side**2


def _weights(module: nn.Module) -> int:
    """Products of all convolutions inside, a pixel."""
    return sum(conv.weight.numel() for conv in convolutions_of(module))
