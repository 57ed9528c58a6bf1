"""A pretrained trunk that training leaves as it is (`--trunk-lr 0`): its weights and its running statistics."""

from __future__ import annotations

from torch import nn

from segmodels.errors import SegmodelsError
from segmodels.training.optim import TRUNK


def freeze_trunk(network: nn.Module) -> None:
    """No gradient for the trunk from now on. Raises SegmodelsError where the network has none."""
    trunk = getattr(network, TRUNK, None)
    if trunk is None:
        raise SegmodelsError(f"--trunk-lr is 0, but this network has no part named `{TRUNK}` to freeze: leave it at 1")
    trunk.requires_grad_(False)


def start_learning(network: nn.Module) -> None:
    """Training mode, in which norms follow the batches; not in a frozen trunk."""
    network.train()
    trunk = getattr(network, TRUNK, None)
    if trunk is not None and not any(parameter.requires_grad for parameter in trunk.parameters()):
        trunk.eval()
