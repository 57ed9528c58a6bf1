"""The one output contract: what every network returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Prediction(NamedTuple):
    """What `network(image)` returns, whatever the family.

    `steps` are no steps of an optimiser: they are the outputs of the network's iterations or stages, and an output of
    an auxiliary head in training. The name is public, and stays.
    """

    logits: Tensor  # (B, K, H/stride, W/stride), the answer
    steps: tuple[Tensor, ...]  # every supervised output in order, the final one included
    extras: dict[str, Tensor]  # what pictures need; `ModelSpec.stages` says what is in it
