"""The shared vocabulary of layers: what more than one network file uses."""

from __future__ import annotations

from torch import Tensor

from segmodels.errors import SegmodelsError
from segmodels.spec import Geometry, Size


def scaled(channels: int, factor: float) -> int:
    """A channel count under `width_factor`: rounded, at least 1."""
    return max(1, round(channels * factor))


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
