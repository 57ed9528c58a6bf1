"""The one output contract: what every network returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Prediction(NamedTuple):
    """What `network(image)` returns, whatever the family."""

    logits: Tensor  # (B, K, H/stride, W/stride), the answer
    steps: tuple[Tensor, ...]  # every supervised output in order, the final one included
    extras: dict[str, Tensor]  # what pictures need
