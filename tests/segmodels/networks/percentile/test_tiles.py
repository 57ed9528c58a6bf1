"""Tiles and canvases against slices of padded maps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segmodels.networks.percentile.tiles import Canvas, Tiles, tiles_over


def naive_tiles(wanted: Tensor, side: int, reach: int) -> list[tuple[int, int, int]]:
    """(image, top, left) of each tile with a wanted pixel in it or at most `reach` rows and columns away."""
    batch, _, height, width = wanted.shape
    found = []
    for image in range(batch):
        for top in range(0, height, side):
            for left in range(0, width, side):
                rows = slice(max(0, top - reach), top + side + reach)
                columns = slice(max(0, left - reach), left + side + reach)
                if wanted[image, 0, rows, columns].any():
                    found.append((image, top, left))
    return found


@pytest.mark.parametrize("size", [(24, 32), (21, 37), (5, 3)])
@pytest.mark.parametrize(("side", "reach"), [(1, 0), (1, 9), (8, 0), (8, 2), (8, 5), (16, 1)])
def test_tiles_over(size: tuple[int, int], side: int, reach: int) -> None:
    """Those of a loop over the grid, in its order; maps need not be multiples of a tile."""
    wanted = torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(0)) < 0.02
    wanted[1] = False
    wanted[2, 0, -1, -1] = True
    tiles = tiles_over(wanted, side, reach)
    assert list(zip(*(each.tolist() for each in (tiles.image, tiles.top, tiles.left)), strict=True)) == naive_tiles(
        wanted, side, reach
    )
    assert tiles.pixels == len(tiles) * side**2


def test_no_tile() -> None:
    """Nothing wanted: no tile, and patches of none."""
    tiles = tiles_over(torch.zeros(2, 1, 10, 10, dtype=torch.bool), 8)
    assert len(tiles) == 0
    assert Canvas.of(torch.rand(2, 3, 10, 10), 8, 4).cut(tiles, 4).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("size", [(24, 32), (21, 37)])
@pytest.mark.parametrize("halo", [0, 3, 4])
def test_a_patch_is_the_map_around_a_tile(size: tuple[int, int], halo: int) -> None:
    """Zeros beyond the border, as a convolution's padding has them."""
    maps = torch.rand(2, 5, *size)
    tiles = tiles_over(torch.rand(2, 1, *size) < 0.05, 8)
    padded = F.pad(maps, (halo, halo + 8, halo, halo + 8))
    patches = Canvas.of(maps, 8, 4).cut(tiles, halo)
    for patch, image, top, left in zip(patches, tiles.image, tiles.top, tiles.left, strict=True):
        assert torch.equal(patch, padded[image, :, top : top + 8 + 2 * halo, left : left + 8 + 2 * halo])


def test_what_is_pasted_outside_stays_zero() -> None:
    """Tiles change their own pixels and no other; what sticks out of the maps is not kept."""
    maps = torch.rand(1, 2, 10, 12)
    canvas = Canvas.of(maps, 8, 3)
    corner = Tiles(*(torch.tensor([each]) for each in (0, 8, 8)), side=8)
    canvas.paste(corner, torch.full((1, 2, 8, 8), 7.0))
    expected = maps.clone()
    expected[:, :, 8:, 8:] = 7
    assert torch.equal(canvas.maps, expected)
    assert canvas.grid.sum() == pytest.approx(expected.sum())


def test_split() -> None:
    """Parts of at most so many, together all of them in order."""
    tiles = tiles_over(torch.ones(1, 1, 24, 24, dtype=torch.bool), 8)
    parts = list(tiles.split(4))
    assert [len(part) for part in parts] == [4, 4, 1]
    assert torch.equal(torch.cat([part.left for part in parts]), tiles.left)
