"""Where a training meets the limits of machine, network or numbers: each is one line that says what can be done.

Options are part of what a run is, so that a run which has met a limit goes on with none but its own: whoever changes
them starts another run, and is told how.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import nn

from segmodels.compute.device import is_out_of_memory
from segmodels.config.config import TrainConfig
from segmodels.errors import SegmodelsError
from segmodels.spec import Size


def start_another(config: TrainConfig) -> str:
    """How a training with other options is started."""
    return f"together with --replace, which starts anew in {config.out}, or with another --out"


def advice_on_numbers(config: TrainConfig) -> str:
    """What to do where a loss or a weight is not finite."""
    more = "" if config.clip and config.clip <= 1 else ", or add --clip 1"
    return (
        f"What was saved is from before it, so the same command ends here again. Give a smaller --lr than "
        f"{config.lr:g}, or a longer --warmup{more}: {start_another(config)}"
    )


@contextmanager
def enough_memory(config: TrainConfig, device: torch.device, share: int) -> Iterator[None]:
    """Train inside; raises SegmodelsError where the memory is too small. `share`: samples of a batch in a process."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        parts = (
            f", or --accumulate {share}, which computes a batch in as many parts" if config.accumulate < share else ""
        )
        raise SegmodelsError(
            f"the memory of {device} is too small for this training. Give a smaller --batch-size or "
            f"--crop{parts}: {start_another(config)}"
        ) from None


def check_batch_norms(network: nn.Module, crop: Size, images: int, parts: int) -> None:
    """Raise SegmodelsError where a batch norm sees a single value of each channel, which has no variance.

    Of each of the `parts` of a batch so many images go through the network at a time. It is tried without memory, on
    a copy, before a run begins.
    """
    if images == 1 and (name := _starved(network, crop)):
        larger = " or a larger --crop" if not _starved(network, (2 * crop[0], 2 * crop[1])) else ""
        raise SegmodelsError(
            f"{name} normalises over a batch, and of one image of {crop[0]}x{crop[1]} it sees a single value of each "
            f"channel, expected at least 2. Give --batch-size {2 * parts} or more{larger}"
        )


def _starved(network: nn.Module, crop: Size) -> str:
    """The name of the batch norm that stops over one such image, empty where none does."""
    entered = [""]
    copy = deepcopy(network).to("meta")
    for name, module in copy.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(lambda module, inputs, name=name: entered.append(name))
    try:
        with torch.no_grad():
            copy(torch.empty(1, 3, *crop, device="meta"))
    except ValueError:  # torch's, of the norm entered last
        return entered[-1]
    except (SegmodelsError, RuntimeError):  # no size of this network; or its forward looks at numbers
        pass
    return ""
