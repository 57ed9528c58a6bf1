"""Where a network's parameters and multiply-accumulates are, counted without computing anything."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from segmodels.prediction import Prediction
from segmodels.spec import ModelSpec, Options, Size

Shape = tuple[int, ...]


class Layer(NamedTuple):
    """One module and all that is inside it."""

    path: str  # "" is the network itself
    kind: str
    calls: int  # in one forward
    shapes: tuple[Shape, ...]  # of the tensors that its last call returned
    parameters: int  # trainable ones
    macs: int  # of all calls


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def summarize(spec: ModelSpec, classes: int, size: Size, options: Options) -> list[Layer]:
    """Every module that evaluating one image (1, 3, H, W) calls, the network first, then as registered.

    Runs on the meta device: nothing is computed or allocated. MACs are half of what torch's
    FlopCounterMode counts (convolutions and matrix products). Raises SegmodelsError as `build` does.
    """
    with torch.device("meta"):
        network = spec.build(classes, size, options).eval()
    modules = dict(network.named_modules())
    calls: Counter[str] = Counter()
    shapes: dict[str, tuple[Shape, ...]] = {}

    def record(path: str, module: nn.Module, inputs: object, output: object) -> None:
        calls[path] += 1
        shapes[path] = _shapes(output)

    for path, module in modules.items():
        module.register_forward_hook(partial(record, path))
    flops = FlopCounterMode(display=False)
    with torch.no_grad(), flops:
        network(torch.empty(1, 3, *size, device="meta"))
    macs = {path: sum(counts.values()) // 2 for path, counts in flops.get_flop_counts().items()}
    root = type(network).__name__
    return [
        Layer(
            path,
            type(module).__name__,
            calls[path],
            shapes[path],
            count_parameters(module),
            macs.get(f"{root}.{path}" if path else root, 0),
        )
        for path, module in modules.items()
        if calls[path]
    ]


def _shapes(output: object) -> tuple[Shape, ...]:
    """What a table shows of a module's output: every tensor's shape, of a Prediction its logits'."""
    if isinstance(output, Prediction):
        output = output.logits
    tensors = output if isinstance(output, tuple) else (output,)
    return tuple(tuple(each.shape) for each in tensors if isinstance(each, Tensor))


def count_macs(network: nn.Module, size: Size) -> int:
    """Of one image of `size`, with everything computed: the network's line in `segmodels summary`."""
    copy = deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        copy(torch.empty(1, 3, *size, device="meta"))
    return int(flops.get_total_flops()) // 2
