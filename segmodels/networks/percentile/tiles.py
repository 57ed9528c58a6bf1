"""Maps cut into square tiles: convolutions are computed on the tiles that are wanted, and nowhere else.

Tiles lie on a regular grid, so that no pixel is computed twice; what a convolution reads around a tile (its halo) is
copied, not computed. A batch of tiles is a batch of small images: the dense kernels of any device take it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segmodels.compute.deterministic import each_written_once
from segmodels.spec import Size


@dataclass(frozen=True)
class Tiles:
    """Squares of a grid over a batch of maps, in the grid's order; the last of a row or column may stick out."""

    image: Tensor  # (n,) int64, position in the batch
    top: Tensor  # (n,) int64
    left: Tensor  # (n,) int64
    side: int

    def __len__(self) -> int:
        return self.image.numel()

    @property
    def pixels(self) -> int:
        """Of all tiles, those that stick out included: what is computed."""
        return len(self) * self.side**2

    def split(self, count: int) -> Iterator[Tiles]:
        """At most so many at a time."""
        parts = (torch.split(each, count) for each in (self.image, self.top, self.left))
        return (Tiles(image, top, left, self.side) for image, top, left in zip(*parts, strict=True))


def tiles_over(wanted: Tensor, side: int, reach: int = 0) -> Tiles:
    """The tiles that hold a pixel at most `reach` rows and columns from a wanted one. wanted (B, 1, H, W) bool."""
    touched = F.max_pool2d(wanted.float(), side + 2 * reach, stride=side, padding=reach, ceil_mode=True)
    image, _, row, column = touched.nonzero(as_tuple=True)
    return Tiles(image, row * side, column * side, side)


class Canvas:
    """A batch of maps with zeros around each, from which patches are cut and into which tiles are pasted.

    Pixels lie in memory as rows of channels, so that a patch is copied in whole rows.
    """

    def __init__(self, grid: Tensor, size: Size, margin: int) -> None:
        self.grid, self.size, self.margin = grid, size, margin  # (B, margin + H + … + margin, the same of W, C)

    @classmethod
    def like(cls, values: Tensor, batch: int, size: Size, side: int, margin: int) -> Canvas:
        """Zeros, with the channels and type of (n, C, …); `margin` is the largest halo that will be cut."""
        height, width = (-(-length // side) * side + 2 * margin for length in size)
        return cls(values.new_zeros(batch, height, width, values.shape[1]), size, margin)

    @classmethod
    def of(cls, maps: Tensor, side: int, margin: int) -> Canvas:
        """A copy of (B, C, H, W)."""
        canvas = cls.like(maps, len(maps), (maps.shape[2], maps.shape[3]), side, margin)
        canvas.maps.copy_(maps)
        return canvas

    @property
    def maps(self) -> Tensor:
        """(B, C, H, W), a view: channels last, with the margin between the rows."""
        (height, width), margin = self.size, self.margin
        return self.grid[:, margin : margin + height, margin : margin + width].permute(0, 3, 1, 2)

    def cut(self, tiles: Tiles, halo: int) -> Tensor:
        """The tiles with what lies around them: (n, C, side + 2·halo, side + 2·halo), channels last."""
        patch = tiles.side + 2 * halo
        rows = self.grid.flatten(0, 2).index_select(0, self._rows(tiles, halo))
        return rows.view(len(tiles), patch, patch, rows.shape[1]).permute(0, 3, 1, 2)

    def paste(self, tiles: Tiles, values: Tensor) -> None:
        """Write (n, C, side, side); what sticks out of the maps stays zero, as a convolution's padding must."""
        with each_written_once():
            self.grid.flatten(0, 2).index_copy_(0, self._rows(tiles, 0), values.permute(0, 2, 3, 1).flatten(0, 2))
        bottom, right = (self.margin + length for length in self.size)
        self.grid[:, bottom:].zero_()
        self.grid[:, :, right:].zero_()

    def _rows(self, tiles: Tiles, halo: int) -> Tensor:
        """Where the pixels of the patches are among all rows of channels."""
        height, width = self.grid.shape[1:3]
        top, left = tiles.top + self.margin - halo, tiles.left + self.margin - halo
        first = (tiles.image * height + top) * width + left  # (n,)
        step = torch.arange(tiles.side + 2 * halo, device=first.device)
        return (first[:, None, None] + step[:, None] * width + step).flatten()
