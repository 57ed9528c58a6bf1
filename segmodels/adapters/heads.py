"""Small heads that make a segmentation network of the maps that an encoder computes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from segmodels.compute.deterministic import resize

Maps = Sequence[Tensor]  # (B, C, h, w), from fine to coarse


class Fcn(nn.Module):
    """A 1x1 convolution on the coarsest map: what the encoder knows, and nothing else (Long et al. 2015)."""

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.classify = nn.Conv2d(channels[-1], classes, 1)

    def forward(self, maps: Maps, size: tuple[int, int]) -> Tensor:
        """Logits (B, K, *size)."""
        return resize(self.classify(maps[-1]), size, align_corners=False)


class Fpn(nn.Module):
    """A feature pyramid (Lin et al. 2017): from coarse to fine each map is added to the next one, and all are summed.

    As in the segmentation branch of Kirillov et al. 2019, but with one 3x3 convolution a map.
    """

    def __init__(self, channels: Sequence[int], classes: int, width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(each, width, 1) for each in channels)
        self.smooth = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
            for _ in channels
        )
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, maps: Maps, size: tuple[int, int]) -> Tensor:
        """Logits (B, K, *size)."""
        finest = _sides(maps[0])
        levels = [lateral(each) for lateral, each in zip(self.lateral, maps, strict=True)]
        total, above = maps[0].new_zeros(()), levels[-1]
        for at in reversed(range(len(levels))):
            above = levels[at] if at == len(levels) - 1 else levels[at] + _to(above, _sides(levels[at]))
            total = total + _to(self.smooth[at](above), finest)
        return _to(self.classify(total), size)


def _sides(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]


def _to(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if _sides(x) == size else resize(x, size, align_corners=False)
