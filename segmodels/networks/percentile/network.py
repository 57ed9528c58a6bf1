"""Percentile-based masking: predict in three stages, settle the surest pixels of each class early.

Source: Domantas Giržadas, "Controlling the Balance Between Computational Cost and Performance of
Semantic Segmentation via Percentile-Based Masking" (MSc thesis; MIT).

A pixel is accepted at a stage when its winning probability is above the q-quantile of the winning
probabilities of its class; the others go on. A pixel accepted once is settled. Stages 1, 2 and 3 see squares of
103, 167 and 231 pixels: a deeper stage does not only compute more, it also sees farther.

Deviations: the quantiles are those of one image and of the pixels that reached the stage, for any
number of classes and pixels. The original pools the whole batch, knows limits for 10 classes only
(any further class is always accepted) and multiplies a stage's logits by its mask before the
softmax, so that settled pixels count as class 0 and stage 3 refines them again. It computes every
stage everywhere and masks the result, so that q saves nothing there; here what is settled can be skipped.
`as_published=True` does what the original does, but for its limit of 2^24 pooled pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from segmodels.blocks import check_image, scaled
from segmodels.errors import SegmodelsError
from segmodels.networks.percentile.sparse import SKIPS, plan_stage, run_stage
from segmodels.networks.percentile.stage import Stage
from segmodels.prediction import Prediction
from segmodels.spec import Geometry, Size

PUBLISHED_LIMITS = 10  # classes for which the original computes limits
STAGES = 3


class PercentileNet(nn.Module):
    """`q` (`set_q`), `skip` (`set_skip`) and `mask_in_training` may be changed at any time; none is a weight.

    extras: `masks` (B, 3, H, W), the pixels that reached each stage; `confidences` (B, 3, H, W),
    the winning probability at each stage. In evaluation a stage's logits are those of the pixels that
    reached it, and the earlier stages' elsewhere; in training, and as published, they are its own.
    """

    def __init__(
        self,
        classes: int,
        size: Size,
        *,
        q: float | Sequence[float],
        as_published: bool,
        mask_in_training: bool,
        skip: str,
        width_factor: float,
    ) -> None:
        super().__init__()
        self.classes, self.size = classes, size
        self.as_published, self.mask_in_training = as_published, mask_in_training
        self.set_q(q)
        self.set_skip(skip)
        widths = [scaled(width, width_factor) for width in (16, 32, 64)]
        channels = 4 * scaled(32, width_factor)
        stem = zip((3, *widths), (*widths, channels), (3, 5, 7, 9), strict=True)
        self.stem = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(i, o, kernel, padding="same"), nn.ReLU()) for i, o, kernel in stem)
        )
        self.stages = nn.ModuleList(Stage(channels, classes, width_factor) for _ in range(STAGES))

    def set_q(self, q: float | Sequence[float]) -> None:
        """The share of each class that goes on: one number, or one per class, from 0 to 1."""
        each = tuple(q) if isinstance(q, Sequence) else (q,) * self.classes
        if len(each) != self.classes or not all(0 <= value <= 1 for value in each):
            raise SegmodelsError(f"q is {q}, expected a number from 0 to 1 or {self.classes} of them")
        self.q = each

    def set_skip(self, skip: str) -> None:
        """How stages 2 and 3 are executed in evaluation: `dense`, `sparse`, or `auto`, whichever should be faster.

        Training, `as_published` and what torch compiles or exports are dense.
        """
        if skip not in SKIPS:
            raise SegmodelsError(f"skip is {skip!r}, expected one of {', '.join(SKIPS)}")
        self.skip = skip

    def forward(self, image: Tensor) -> Prediction:
        check_image(image, Geometry(), self.size)
        masking = self.mask_in_training or not self.training
        supervised = self.training or self.as_published  # the stages' own logits, everywhere
        skip = "dense" if supervised or torch.compiler.is_compiling() else self.skip
        reached = torch.ones_like(image[:, :1], dtype=torch.bool)  # (B, 1, H, W)
        features, logits = self.stages[0](self.stem(image), None)
        outputs, masks = [logits], [reached]
        for stage in cast(Iterator[Stage], iter(self.stages[1:])):
            active = None
            if masking:
                goes_on = self._goes_on(outputs[-1], reached)
                reached = reached & goes_on
                active = goes_on if self.as_published else reached
            features, output = run_stage(stage, features, active, plan_stage(stage, active, skip))
            if self.as_published:
                output = output * reached
            logits = torch.where(reached, output, logits)  # settled pixels keep what they have
            outputs.append(output if supervised else logits)
            masks.append(reached)
        confidences = [_winners(output)[0] for output in outputs]
        extras = {"masks": torch.cat(masks, dim=1), "confidences": torch.stack(confidences, dim=1)}
        return Prediction(logits, tuple(outputs), extras)

    def _goes_on(self, logits: Tensor, reached: Tensor) -> Tensor:
        """The pixels (B, 1, H, W) that this stage does not accept."""
        confidence, winner = (each.flatten(1) for each in _winners(logits))  # (B, H·W)
        q = torch.tensor(self.q, dtype=torch.float64, device=logits.device)
        if self.as_published:
            pooled = torch.ones_like(confidence, dtype=torch.bool).view(1, -1)
            limits = quantiles_by_class(confidence.view(1, -1), winner.view(1, -1), pooled, q)
            limits[:, PUBLISHED_LIMITS:] = 0
            limits = limits.expand(len(logits), -1)
        else:
            limits = quantiles_by_class(confidence, winner, reached.flatten(1), q)
        return (confidence <= limits.gather(1, winner)).view_as(reached)


@torch.no_grad()
def quantiles_by_class(confidence: Tensor, winner: Tensor, counted: Tensor, q: Tensor) -> Tensor:
    """The q_c-quantile of `confidence` over the counted pixels that class c wins; 1 where it wins none.

    confidence (B, N) in [0, 1], winner (B, N) in 0…K-1, counted (B, N) bool, q (K,) float64 → (B, K)
    float64, interpolated linearly: what `torch.quantile` gives for each class alone, without its limit
    of 2^24 values. One sort: the key 2·class + confidence is exact in float64, so the classes lie one
    behind the other, each sorted, and the pixels that do not count behind them all.
    """
    classes = len(q)
    offsets = 2 * torch.arange(classes + 1, dtype=torch.float64, device=q.device)
    keys = 2 * torch.where(counted, winner, classes) + confidence.double()
    keys = keys.sort(dim=1).values  # (B, N)
    starts = torch.searchsorted(keys, offsets.expand(len(keys), -1).contiguous())  # (B, K + 1)
    counts = starts.diff(dim=1)  # (B, K)
    rank = q * (counts - 1).clamp(min=0)
    last = keys.shape[1] - 1
    below, above = (
        keys.gather(1, (starts[:, :-1] + side).clamp(max=last)) - offsets[:-1]
        for side in (rank.floor().long(), rank.ceil().long())
    )
    return torch.where(counts > 0, torch.lerp(below, above, rank.frac()), 1.0)


@torch.no_grad()
def _winners(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Winning probability, in float32 under any autocast, and class: (B, H, W) both."""
    confidence, winner = logits.float().softmax(dim=1).max(dim=1)
    return confidence, winner
