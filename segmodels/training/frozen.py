"""What of a pretrained trunk training leaves as `--init` has it: all of it, or its batch norms."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from segmodels.config.config import TrainConfig
from segmodels.errors import SegmodelsError
from segmodels.pretrained.trunk import trunk_of


def start_learning(network: nn.Module, config: TrainConfig, trunk: str) -> None:
    """Training mode, in which norms follow the batches, and gradients; of what is frozen in `trunk` neither.

    Raises SegmodelsError where the network has no such part, or no batch norms in it.
    """
    network.train()
    if config.trunk_lr == 0:
        freeze(_part(network, trunk, "--freeze is trunk (or --trunk-lr 0)"))
    if config.freeze == "norms":
        part = _part(network, trunk, "--freeze is norms")
        norms = [each for each in part.modules() if isinstance(each, _BatchNorm)]
        if not norms:
            raise SegmodelsError(f"--freeze is norms, but the part `{trunk}` of this network has no batch norms")
        for norm in norms:
            freeze(norm)


def freeze(part: nn.Module) -> None:
    """No gradient for its weights from now on, and its running statistics stay."""
    part.requires_grad_(False)
    part.eval()


def _part(network: nn.Module, trunk: str, option: str) -> nn.Module:
    part = trunk_of(network, trunk)
    if part is None:
        name = f"no part named `{trunk}`" if trunk else "no pretrained part"
        raise SegmodelsError(f"{option}, but this network has {name} to freeze: leave it out")
    return part
