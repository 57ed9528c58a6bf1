"""All that changes while a training runs, and where a resumed one continues."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from segmodels.data.batches import Batches
from segmodels.errors import SegmodelsError
from segmodels.runs.checkpoint import Checkpoint, Weights, misfit, random_state, restore_random_state
from segmodels.runs.identity import environment
from segmodels.training.optim import restore_optimizer
from segmodels.training.ranks import Ranks

Row = dict[str, float]  # an epoch: ROW, and the scores where it was validated
ROW = frozenset({"epoch", "step", "lr", "loss"})


@dataclass
class State:
    """A training after `step` steps."""

    network: nn.Module
    optimizer: Optimizer
    ema: Weights | None
    advice: str = ""  # where a loss or a weight is not finite
    step: int = 0
    history: list[Row] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)  # of the epoch under way: sum of losses, images
    digests: dict[str, str] = field(default_factory=dict)
    unread: Tensor | None = None  # losses of the last step and the pixels that they are of (B, 2), on the device
    buffers: list[Tensor] = field(default_factory=list)  # see `begin_step`
    random: dict[str, Tensor] | None = None

    @property
    def published(self) -> Weights:
        """What is validated and becomes the result: the average where there is one."""
        return self.network.state_dict() if self.ema is None else self.ema

    @property
    def mean_loss(self) -> float:
        """Of the images of this epoch, as far as their losses were read: what is minimised, and in history.csv."""
        return self.running["loss"] / self.running["images"] if self.running else math.nan

    @property
    def pixel_loss(self) -> float:
        """Of the labelled pixels of the same images: an image without one, whose loss is 0, does not lower it."""
        pixels = self.running.get("pixels", 0)
        return self.running["pixel_loss"] / pixels if pixels else math.nan

    def ends_epoch(self, epoch_steps: int, total: int) -> bool:
        """Whether the last step was an epoch's last one, and the epoch has no row in the history yet."""
        rows = len(self.history) > 0 and self.history[-1]["step"] == self.step
        return self.step > 0 and (self.step % epoch_steps == 0 or self.step == total) and not rows

    def begin_step(self, device: torch.device) -> None:
        """Keep what a step changes while it computes its gradients: buffers, and the states of the generators."""
        buffers = [*self.network.buffers()]
        self.buffers = self.buffers or [torch.empty_like(each) for each in buffers]
        _copy(self.buffers, buffers)
        self.random = random_state(device)

    def take_step(self) -> None:
        """From here on a step cannot be given up."""
        self.random = None

    def give_up_step(self, device: torch.device) -> None:
        """Be as before the step under way, if there is one."""
        if self.random is None:
            return
        _copy([*self.network.buffers()], self.buffers)
        restore_random_state(self.random, device)
        self.random = None

    def read_losses(self, batches: Batches) -> None:
        """Add the last step's losses to the epoch's. Raises SegmodelsError, naming step and keys, on a NaN."""
        if self.unread is None:
            return
        read, self.unread = self.unread.tolist(), None
        losses = [loss for loss, _ in read]
        if not all(map(math.isfinite, losses)):
            raise SegmodelsError(_not_finite(self.step, losses, batches.keys(self.step - 1)) + self.advice)
        self.running["loss"] = self.running.get("loss", 0.0) + sum(losses)
        self.running["images"] = self.running.get("images", 0) + len(losses)
        self.running["pixel_loss"] = self.running.get("pixel_loss", 0.0) + sum(loss * pixels for loss, pixels in read)
        self.running["pixels"] = self.running.get("pixels", 0.0) + sum(pixels for _, pixels in read)

    def check_finite(self) -> None:
        """Raise SegmodelsError where a weight is NaN or infinite: no such checkpoint replaces a good one."""
        for name, tensor in self.network.state_dict().items():
            if not tensor.isfinite().all():
                raise SegmodelsError(f"{name} is not finite after step {self.step}. {self.advice}")

    def checkpoint(self, begun: Mapping[str, Any], ranks: Ranks, device: torch.device) -> Checkpoint:
        """Everything that the next step depends on, and what run.json says of the run's beginning."""
        return Checkpoint(
            run=begun["id"],
            step=self.step,
            weights=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            ema=self.ema,
            history=self.history,
            running=self.running,
            random=ranks.random_states(device),
            digests=self.digests,
            environment=environment(begun),
        )

    def restore(self, checkpoint: Checkpoint, ranks: Ranks, device: torch.device) -> None:
        """Be as when the checkpoint was made. Raises where it is not of such a network: call it inside `parsing`."""
        ours = self.network.state_dict()
        for tensors in (checkpoint.weights, *([] if checkpoint.ema is None else [checkpoint.ema])):
            if wrong := misfit(tensors, ours):
                raise ValueError(wrong)
        if (checkpoint.ema is None) != (self.ema is None):
            raise ValueError("averaged weights for a run without them, or none for a run with them")
        if not all(row.keys() >= ROW for row in checkpoint.history):
            raise ValueError(f"a history whose epochs lack one of {', '.join(sorted(ROW))}")
        self.network.load_state_dict(checkpoint.weights)
        restore_optimizer(self.optimizer, checkpoint.optimizer["state"])
        if checkpoint.ema is not None:
            self.ema = {name: tensor.to(device, copy=True) for name, tensor in checkpoint.ema.items()}
        self.step, self.history, self.running = checkpoint.step, checkpoint.history, checkpoint.running
        self.digests = checkpoint.digests
        ranks.restore_random_states(checkpoint.random, device)


def _copy(into: Sequence[Tensor], tensors: Sequence[Tensor]) -> None:
    """In one call for all statistics and one for all counters: on a GPU a kernel each, not one for every tensor."""
    for real in (True, False):
        pairs = [pair for pair in zip(into, tensors, strict=True) if pair[0].is_floating_point() is real]
        if pairs:
            torch._foreach_copy_([there for there, _ in pairs], [here for _, here in pairs])


def best_row(history: Sequence[Row]) -> Row | None:
    """The epoch with the highest validation miou, of equal ones the first; None before there is one."""
    validated = [row for row in history if not math.isnan(row.get("miou", math.nan))]
    return max(validated, key=lambda row: row["miou"], default=None)


def is_best(history: Sequence[Row]) -> bool:
    """Whether the last epoch is the best so far."""
    return bool(history) and best_row(history) is history[-1]


def out_of_patience(history: Sequence[Row], patience: int) -> bool:
    """Whether `patience` validations came after the best one (0 = endless patience)."""
    best = best_row(history)
    if not patience or best is None:
        return False
    return sum("miou" in row and row["epoch"] > best["epoch"] for row in history) >= patience


def described_end(state: State, total: int, patience: int) -> str:
    """Why a training ended before its last step."""
    best, last = best_row(state.history), state.history[-1]
    assert best is not None, "patience ends no training that has no best epoch"
    return (
        f"ended after epoch {last['epoch']:.0f}, step {state.step} of {total}, by --early-stop {patience}: "
        f"{_validations(patience)} since epoch {best['epoch']:.0f} found a better miou than its {best['miou']:.4f}. "
        "The weights are those of that epoch"
    )


def _validations(count: int) -> str:
    return "no validation" if count == 1 else f"none of {count} validations"


def _not_finite(step: int, losses: Sequence[float], keys: Sequence[str]) -> str:
    bad = [f"{loss} for {key}" for loss, key in zip(losses, keys, strict=True) if not math.isfinite(loss)]
    return f"the loss of step {step} is not a number: {', '.join(bad)} (batch: {', '.join(keys)}). "
