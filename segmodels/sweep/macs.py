"""Multiply-accumulates of a network at hand, without computing anything."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segmodels.spec import Size


def count_macs(network: nn.Module, size: Size) -> int:
    """Of one image of `size`, with everything computed: the network's line in `segmodels summary`."""
    copy = deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        copy(torch.empty(1, 3, *size, device="meta"))
    return int(flops.get_total_flops()) // 2
