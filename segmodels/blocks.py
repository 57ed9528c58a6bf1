"""The shared vocabulary of layers: what more than one network file uses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmodels.errors import SegmodelsError
from segmodels.spec import Geometry, Size


def scaled(channels: int, factor: float) -> int:
    """A channel count under `width_factor`: rounded, at least 1."""
    return max(1, round(channels * factor))


def auxiliary_weights(outputs: int) -> tuple[float, ...]:
    """Of a network whose auxiliary head answers first, in training: it counts 0.4, the answer itself 1."""
    return (0.4, 1.0)[-outputs:]


class PooledNorm(nn.BatchNorm2d):
    """Batch norm that one value per channel does not stop: the variance of one is none, so it counts on
    its running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        return super().forward(x)


def concatenate(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, C, H, W) behind each other along the channels: `torch.cat`, in the memory layout of the first.

    On CUDA the gradient of each part that lies in that layout is made dense. As `torch.cat` leaves it, it is a cut out
    of the whole's, and for such a gradient in channels last batch norm has a kernel that is several times slower.
    """
    if not maps[0].is_cuda or torch.compiler.is_compiling():
        return torch.cat(list(maps), dim=1)
    return _in_one_layout(maps)


def _in_one_layout(maps: Sequence[Tensor]) -> Tensor:
    last = maps[0].is_contiguous(memory_format=torch.channels_last) and not maps[0].is_contiguous()
    layout = torch.channels_last if last else torch.contiguous_format
    for each in maps:
        if each.requires_grad and not each.is_leaf and each.is_contiguous(memory_format=layout):
            each.register_hook(lambda gradient: gradient.contiguous(memory_format=layout))  # type: ignore[no-untyped-call]
    return torch.cat([each.contiguous(memory_format=layout) for each in maps], dim=1)


def check_image(image: Tensor, geometry: Geometry, built_for: Size) -> None:
    """Refuse at the door what a layer inside would refuse less clearly. Every `forward` begins with it."""
    shape = tuple(image.shape)
    if len(shape) != 4 or shape[1] != 3:
        raise SegmodelsError(f"the image is {shape}, expected (B, 3, H, W): three channels, a batch first")
    if geometry.fixed_size and shape[2:] != tuple(built_for):
        raise SegmodelsError(
            f"the image is {shape[2]}x{shape[3]}, but this network's norms are built for "
            f"{built_for[0]}x{built_for[1]}: build it for this size, or give norm=batch"
        )
    if not all(geometry.fits(side) for side in shape[2:]):
        raise SegmodelsError(f"the image is {shape[2]}x{shape[3]}: {geometry.constraint}")
