"""The exponential moving average of a network's weights: what is evaluated and published when it is on.

The average is a dictionary like `state_dict()`, so a checkpoint holds it as it is. Give the network
itself, not its compiled or distributed wrapper: those prefix the names.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


def start_ema(model: nn.Module) -> Weights:
    """The average before the first step: a copy of all weights and buffers."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@torch.no_grad()
def update_ema(average: Weights, model: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the weights after step `step` (from 0), in place.

    The decay rises with (1 + step)/(10 + step) to `decay`, so that short runs do not average in their
    random start. Running statistics are averaged like weights; counters are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    current = model.state_dict()
    real = [name for name, tensor in average.items() if tensor.is_floating_point()]
    torch._foreach_lerp_([average[name] for name in real], [current[name] for name in real], 1 - decay)
    if counters := [name for name, tensor in average.items() if not tensor.is_floating_point()]:
        torch._foreach_copy_([average[name] for name in counters], [current[name] for name in counters])


@contextmanager
def using_weights(model: nn.Module, weights: Weights) -> Iterator[None]:
    """The network with these weights inside the block, with its own again after it."""
    own = start_ema(model)
    model.load_state_dict(weights)
    try:
        yield
    finally:
        model.load_state_dict(own)
