"""One image seen by a network: whole or through windows, mirrored, at several scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from segdata.base.arrays import U8
from segmodels.compute.deterministic import resize
from segmodels.compute.device import autocast
from segmodels.data.images import pad, swapped
from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.slide import slide
from segmodels.spec import Size

if TYPE_CHECKING:
    from torch import Tensor

    from segmodels.prediction import Prediction


@dataclass(frozen=True)
class Views:
    """How an image is shown to the network; the probabilities of several views are averaged."""

    flip: bool = False  # mirrored as well
    scales: tuple[float, ...] = (1.0,)
    window: Size | None = None  # slid over the image; None: the whole image at once

    def check(self, size: Size, default: Size | None) -> None:
        """Raise SegmodelsError where a window other than the network's own is too large for an image (H, W), and would
        not be the other way round: a window that is too large all the same is padded."""
        window = self.window
        if window and window != default and (window[0] > size[0] or window[1] > size[1]) and swapped(window, size):
            raise SegmodelsError(
                f"--window {window[0]}x{window[1]} is larger than an image of {size[0]}x{size[1]}. "
                + swapped(window, size).strip()
            )

    @property
    def single(self) -> bool:
        """Whether there is one view, the image as it is: only then is there an answer at the network's own stride."""
        return not self.flip and self.scales == (1.0,)


def outputs(segmenter: Segmenter, prediction: Prediction) -> Sequence[Tensor]:
    """What the network would answer if it stopped after each output: (B, K, H/s, W/s) each, its answer last.

    A stage of a staged network answers for the pixels that reached it; the others have their answer.
    """
    stages = segmenter.declared.stages
    if stages is None:
        return prediction.steps
    first, *later = prediction.steps
    answers = [first]
    for reached, output in zip(torch.split(prediction.extras[stages.reached], 1, dim=1)[1:], later, strict=True):
        answers.append(torch.where(reached, output, answers[-1]))
    return answers


def look(segmenter: Segmenter, image: Tensor, window: Size | None) -> list[Tensor]:
    """The outputs (1, K, ceil(H/s), ceil(W/s)) for a normalised image (1, 3, H, W) of any size.

    Through windows the mean of the logits of all that see a pixel counts.
    """
    geometry, size = segmenter.geometry, (image.shape[-2], image.shape[-1])
    if window:
        return crop(_slide(segmenter, image, window), geometry.stride, size)
    return crop(outputs(segmenter, segmenter.network(pad(image, geometry))), geometry.stride, size)


def crop(found: Sequence[Tensor], stride: int, size: Size) -> list[Tensor]:
    """The part of the outputs that belongs to the image, of `size` before it was padded for the network."""
    return [each[..., : -(-size[0] // stride), : -(-size[1] // stride)] for each in found]


def at_full_size(logits: Tensor, stride: int, size: Size) -> Tensor:
    """Logits (1, K, h, w) interpolated to the image's size (H, W): a cell covers its stride x stride pixels."""
    if stride == 1:
        return logits
    h, w = logits.shape[-2:]
    return resize(logits, (h * stride, w * stride), align_corners=False)[..., : size[0], : size[1]]


def average(segmenter: Segmenter, image: Tensor, views: Views) -> list[Tensor]:
    """The outputs at the image's size: logarithms (1, K, H, W) of probabilities averaged over all views."""
    size, stride = (image.shape[-2], image.shape[-1]), segmenter.geometry.stride
    total: list[Tensor] = []
    for scale, mirror in product(views.scales, (False, True) if views.flip else (False,)):
        scaled = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        seen = resize(image, scaled, align_corners=False)
        found = look(segmenter, seen.flip(3) if mirror else seen, views.window)
        for number, logits in enumerate(found):
            full = resize(at_full_size(logits, stride, scaled), size, align_corners=False)
            probabilities = (full.flip(3) if mirror else full).softmax(dim=1)
            if number == len(total):
                total.append(probabilities)
            else:
                total[number] += probabilities
    count = len(views.scales) * (1 + views.flip)
    return [(each / count).log() for each in total]


def fitting(size: Size, window: Size, stride: int) -> Size:
    """The size to which an image (H, W) is padded, so that windows on the grid of the stride cover it."""
    height, width = (max(part, -(-side // stride) * stride) for side, part in zip(size, window, strict=True))
    return height, width


def _slide(segmenter: Segmenter, image: Tensor, window: Size) -> Sequence[Tensor]:
    stride = segmenter.geometry.stride
    height, width = fitting((image.shape[-2], image.shape[-1]), window, stride)
    image = F.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]))

    def show(top: int, left: int, height: int, width: int) -> Sequence[Tensor]:
        return outputs(segmenter, segmenter.network(image[..., top : top + height, left : left + width]))

    whole: list[Tensor] = []
    for block in slide(show, (height, width), window, stride):
        if not whole:
            whole = [each.new_empty(*each.shape[:2], height // stride, width // stride) for each in block.outputs]
        for cells, logits in zip(whole, block.outputs, strict=True):
            block.put(logits, cells)
    return whole


def logits_at_full_size(segmenter: Segmenter, image: U8) -> Tensor:
    """The answer for an image (H, W, 3) of any size: logits (1, K, H, W), float32.

    Padded to what the network takes and cropped back, or seen through windows, then interpolated.
    """
    return _interpolated(segmenter, _found(segmenter, image)[-1], image)


def outputs_at_full_size(segmenter: Segmenter, image: U8) -> Iterator[Tensor]:
    """`logits_at_full_size` of each of the network's outputs in their order, the answer last."""
    for logits in _found(segmenter, image):
        yield _interpolated(segmenter, logits, image)


@torch.inference_mode()
def _found(segmenter: Segmenter, image: U8) -> list[Tensor]:
    with autocast(segmenter.device, segmenter.precision):
        return look(segmenter, segmenter.input(image), segmenter.window)


@torch.inference_mode()
def _interpolated(segmenter: Segmenter, logits: Tensor, image: U8) -> Tensor:
    return at_full_size(logits.float(), segmenter.geometry.stride, (image.shape[0], image.shape[1]))
