"""A pinhole camera on a street that may bend: metres in, pixels out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.floating[Any]]
NEAR = 0.8  # metres; what lies nearer is drawn as if it were here, outside the picture


@dataclass(frozen=True)
class Camera:
    """World axes: x to the right of the street's middle, y up from the ground, z ahead; all in metres."""

    height: int  # pixels
    width: int  # pixels
    focal: float  # pixels
    horizon: float  # pixel row
    eye: float  # metres above ground
    offset: float = 0.0  # metres to the right of the street's middle
    yaw: float = 0.0  # radians; positive looks to the left
    bend: float = 0.0  # 1/m; the street's drift to the right grows with z squared
    roll: float = 0.0  # radians

    def project(self, world: Reals) -> Reals:
        """(..., 3) metres to (..., 2) pixels (column, row)."""
        z = np.maximum(world[..., 2], NEAR)
        scale = self.focal / z
        column = (world[..., 0] - self.offset) * scale + self.focal * (self.yaw + self.bend * z)
        row = (self.eye - world[..., 1]) * scale
        pixels = np.empty((*row.shape, 2))
        pixels[..., 0] = column - self.roll * row + self.width / 2
        pixels[..., 1] = row + self.roll * column + self.horizon
        return pixels

    def depth_of_rows(self) -> Reals:
        """(H,) metres: how far away the ground is in each row; infinite above the horizon."""
        below = np.arange(self.height) + 0.5 - self.horizon
        with np.errstate(divide="ignore"):
            return np.where(below > 0, self.focal * self.eye / np.maximum(below, 1e-9), np.inf)

    def pixels(self, metres: float, z: float) -> float:
        """How many pixels a length facing the camera takes at depth z."""
        return self.focal * metres / max(z, NEAR)
