"""What training minimises, one number per image, deterministic on CPU and CUDA; and its gradient over a batch.

A loss maps logits (B, K, h, w) and a target to (B,): each image's loss is the mean over its own pixels
that count and never depends on its batch mates. So the mean over a batch is the same whether it is
computed at once, accumulated or split over ranks, and a NaN names its image. Where the images have
equally many valid pixels, that mean is `F.cross_entropy`'s.

A target is labels (B, h, w), 255 = ignored, or the `coverage` rule's counts (B, K + 1, h, w): pixels
of each class in each cell, the ignored ones last. An image without a valid pixel has loss 0.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from segdata.format.counts import ClassCounts
from segdata.labels.taxonomy import IGNORE
from segmodels.config.config import TrainConfig
from segmodels.data.batches import Batch
from segmodels.data.images import normalise
from segmodels.errors import SegmodelsError
from segmodels.prediction import Prediction

Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # logits, target, class weights → (B,)

OHEM_PROBABILITY = 0.7
OHEM_KEPT = 1 / 16
CPU = torch.device("cpu")


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean cross entropy over each image's valid pixels: (B,).

    `weight` (K,) multiplies each pixel's loss by its class's weight; the mean is still over pixels, so
    no weight depends on what else is in the batch (`F.cross_entropy` divides by the batch's weights).
    Counts give the cross entropy of every pixel of the cell against the cell's logits.
    """
    losses, pixels = _pixel_losses(logits, target, weight)
    return losses.sum((1, 2)) / pixels.sum((1, 2)).clamp(min=1)


def ohem(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Online hard example mining: `cross_entropy` over each image's hard pixels only: (B,).

    Hard is a loss of at least -ln 0.7 (the true class got a probability of at most 0.7), and in any case
    the highest 1/16 of the losses, ties included: BiSeNet's rule (Yu et al. 2018), after Shrivastava et
    al. 2016. A weight counts in the loss that is compared.
    """
    losses, pixels = _pixel_losses(logits, target, weight)
    with torch.no_grad():
        hardness = torch.where(pixels > 0, losses / pixels.clamp(min=1), -1.0).flatten(1)  # (B, h·w)
        kept = max(1, math.ceil(OHEM_KEPT * hardness.shape[1]))
        hardest = hardness.sort(dim=1, descending=True, stable=True).values[:, kept - 1, None]  # (B, 1)
        hard = (hardness >= hardest.clamp(max=-math.log(OHEM_PROBABILITY))).view_as(losses)
    return (losses * hard).sum((1, 2)) / (pixels * hard).sum((1, 2)).clamp(min=1)


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice with squared probabilities, smoothed by 1, averaged over the classes: (B,).

    1 - (2 Σ p·t + 1) / (Σ t + Σ p² + 1) per image and class; ignored pixels are in none of the sums.
    """
    p = _at_least_float32(logits).softmax(1)
    t = _pixels_of_classes(target, logits.shape[1])  # (B, K, h, w)
    valid = t.sum(1, keepdim=True)  # (B, 1, h, w)
    overlap, size = (p * t).sum((2, 3)), t.sum((2, 3)) + (p.square() * valid).sum((2, 3))  # (B, K)
    return (1 - (2 * overlap + 1) / (size + 1)).mean(1)


def cross_entropy_dice(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross entropy plus soft Dice (the TAS500 family's loss); `weight` concerns the former only: (B,)."""
    return cross_entropy(logits, target, weight) + dice(logits, target)


LOSSES: dict[str, Loss] = {"ce": cross_entropy, "ce+dice": cross_entropy_dice, "ohem": ohem}


def backward(
    forward: Callable[[Tensor], Prediction],
    batch: Batch,
    config: TrainConfig,
    shares: Callable[[int], tuple[float, ...]],  # of so many outputs in the loss
    weight: Tensor | None,
    device: torch.device,
) -> Tensor:
    """Add the gradient of the mean loss over the whole batch, part by part; the images' own losses (B,)."""
    losses = []
    parts = zip(batch.images.chunk(config.accumulate), batch.targets.chunk(config.accumulate), strict=True)
    for images, targets in parts:
        x = normalise(images.to(device, non_blocking=True), config.mean, config.std)  # (b, 3, H, W)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):  # losses are float32
            outputs = forward(x if config.channels_last else x.contiguous()).steps  # of every iteration
        target = targets.to(device, non_blocking=True)
        each = over_outputs(LOSSES[config.loss], outputs, target, shares(len(outputs)), weight)  # (b,)
        (each.sum() / config.batch_size).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        losses.append(each.detach())
    return torch.cat(losses)


def labelled_pixels(batch: Batch) -> Tensor:
    """How many pixels (or cells, of a coarse target) of each image count in its loss: (B,) float32."""
    if batch.targets.ndim == 3:
        return (batch.targets != IGNORE).sum((1, 2)).float()
    return batch.targets[:, :-1].sum((1, 2, 3)).float()


def over_outputs(
    loss: Loss,
    outputs: Sequence[Tensor],
    target: Tensor,
    shares: Sequence[float],
    weight: Tensor | None = None,
) -> Tensor:
    """Σ of `loss` over every supervised output of a Prediction, times its share: (B,)."""
    losses = [loss(logits, target, weight) * w for logits, w in zip(outputs, shares, strict=True)]
    return torch.stack(losses).sum(0)


def class_weights(scheme: str, counts: ClassCounts, device: torch.device = CPU) -> Tensor | None:
    """Weights (K,) on that device against rare classes from the training split's counts, None for `none`.

    Scaled so that the mean weight of a pixel is 1: the loss keeps its size, and with it the learning
    rate its meaning. A class that never occurs has weight 0 or none that matters.
    """
    match scheme:
        case "none":
            return None
        case "inverse":
            weights = counts.inverse_frequency()
        case "median":
            weights = counts.median_frequency(float(counts.pixels.sum()) / max(counts.samples, 1))
        case "effective":
            weights = counts.effective_number()
        case _:
            raise SegmodelsError(f"class weights are {scheme!r}, expected none, inverse, median or effective")
    labelled = counts.pixels[:-1]
    return torch.from_numpy(weights * labelled.sum() / (weights * labelled).sum()).float().to(device)


def _pixel_losses(logits: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Summed loss and number of valid pixels of each position: (B, h, w) both.

    The unreduced loss, because `F.cross_entropy`'s own mean has no deterministic CUDA kernel for maps.
    """
    logits = _at_least_float32(logits)
    if target.ndim == 3:
        losses = F.cross_entropy(logits, target.long(), weight, ignore_index=IGNORE, reduction="none")
        return losses, (target != IGNORE).float()
    t = _pixels_of_classes(target, logits.shape[1])
    weighted = t if weight is None else t * weight[:, None, None]
    return -(weighted * logits.log_softmax(1)).sum(1), t.sum(1)


def _pixels_of_classes(target: Tensor, classes: int) -> Tensor:
    """How many pixels of each class a position stands for, ignored ones left out: (B, K, h, w) float32."""
    if target.ndim == 4:
        return target[:, :classes].float()
    return (target.unsqueeze(1) == torch.arange(classes, device=target.device)[:, None, None]).float()


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
