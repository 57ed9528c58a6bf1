"""MobileNetV2 and EfficientNet-lite: trunks of inverted residual blocks, at output stride 8 by dilation.

MobileNetV2: Sandler et al. (2018), table 2. EfficientNet-lite: the rows of Tan and Le, EfficientNet (2019), table 1,
scaled as its authors' mobile versions are (github.com/tensorflow/tpu, efficientnet/lite): ReLU6, no squeeze and
excitation, a stem of 32 maps, and first and last row of one block in all of them. Names are those of timm's files.

Where a stage halved the image and now dilates, its first block keeps the dilation of the stage before: pretrained
weights compute the same function as at output stride 32, on a grid four times as dense. Deviations: the convolution to
1280 maps and the classifier behind the last row are left out, and no block is dropped in training.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

OUTPUT_STRIDE = 8


class Row(NamedTuple):
    """One row of a paper's table: blocks in a line, of which the first has the stride."""

    kernel: int
    stride: int
    expansion: int
    channels: int
    blocks: int


class Table(NamedTuple):
    """An architecture, and how the framework that it was trained in pads and normalises."""

    stem: int  # channels
    rows: tuple[Row, ...]
    eps: float  # of the norms
    as_tensorflow: bool  # an even image is padded more at the right and the bottom


MOBILENET_V2 = (
    *(Row(3, 1, 1, 16, 1), Row(3, 2, 6, 24, 2), Row(3, 2, 6, 32, 3), Row(3, 2, 6, 64, 4)),
    *(Row(3, 1, 6, 96, 3), Row(3, 2, 6, 160, 3), Row(3, 1, 6, 320, 1)),
)
EFFICIENTNET_B0 = (
    *(Row(3, 1, 1, 16, 1), Row(3, 2, 6, 24, 2), Row(5, 2, 6, 40, 2), Row(3, 2, 6, 80, 3)),
    *(Row(5, 1, 6, 112, 3), Row(5, 2, 6, 192, 4), Row(3, 1, 6, 320, 1)),
)
LITE = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8))  # width, depth of lite0 … lite4


def _scaled(width: float, depth: float) -> tuple[Row, ...]:
    """Rows of a wider and deeper network."""
    last = len(EFFICIENTNET_B0) - 1
    return tuple(
        row._replace(
            channels=_eights(row.channels * width),
            blocks=row.blocks if number in {0, last} else math.ceil(row.blocks * depth),
        )
        for number, row in enumerate(EFFICIENTNET_B0)
    )


def _eights(channels: float) -> int:
    """The nearest multiple of 8, or the next one where that takes away more than a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


TABLES = {
    "mobilenet_v2": Table(32, MOBILENET_V2, eps=1e-5, as_tensorflow=False),
    **{
        f"efficientnet_lite{number}": Table(32, _scaled(*scale), eps=1e-3, as_tensorflow=True)
        for number, scale in enumerate(LITE)
    },
}


class InvertedResiduals(nn.Module):
    """Image (B, 3, H, W) to the maps of the fifth and the last stage, both at 1/8 (rounded up)."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.channels3, self.channels4 = table.rows[4].channels, table.rows[-1].channels
        self.conv_stem = Convolution(3, table.stem, 3, 2, 1, 1, as_tensorflow=table.as_tensorflow)
        self.bn1 = nn.BatchNorm2d(table.stem, table.eps)
        self.blocks = nn.ModuleList()
        channels, stride, dilation = table.stem, 2, 1
        for row in table.rows:
            dense = stride * row.stride > OUTPUT_STRIDE  # its stride becomes dilation, from its second block on
            first = Block(channels, row, 1 if dense else row.stride, dilation, table)
            stride, dilation = (stride, dilation * row.stride) if dense else (stride * row.stride, dilation)
            rest = [Block(row.channels, row, 1, dilation, table) for _ in range(row.blocks - 1)]
            self.blocks.append(nn.Sequential(first, *rest))
            channels = row.channels
        self.apply(_initialise)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        maps = [F.relu6(self.bn1(self.conv_stem(image)))]  # (B, 32, H/2, W/2)
        for stage in self.blocks:
            maps.append(stage(maps[-1]))  # of the fifth (B, 96, H/8, W/8), of the last (B, 320, H/8, W/8)
        return maps[5], maps[-1]


class Block(nn.Module):
    """1x1 to more maps, a convolution of each map for itself, 1x1 to few; added to its input where shapes allow.

    Without expansion the first 1x1 is left out. Names of layers follow timm's two kinds of block.
    """

    def __init__(self, channels_in: int, row: Row, stride: int, dilation: int, table: Table) -> None:
        super().__init__()
        inner = channels_in * row.expansion
        self.adds = stride == 1 and channels_in == row.channels
        self.expands = row.expansion > 1
        depthwise = Convolution(inner, inner, row.kernel, stride, dilation, inner, as_tensorflow=table.as_tensorflow)
        project = nn.Conv2d(inner, row.channels, 1, bias=False)
        if self.expands:
            self.conv_pw, self.bn1 = nn.Conv2d(channels_in, inner, 1, bias=False), nn.BatchNorm2d(inner, table.eps)
            self.conv_dw, self.bn2 = depthwise, nn.BatchNorm2d(inner, table.eps)
            self.conv_pwl, self.bn3 = project, nn.BatchNorm2d(row.channels, table.eps)
        else:
            self.conv_dw, self.bn1 = depthwise, nn.BatchNorm2d(inner, table.eps)
            self.conv_pw, self.bn2 = project, nn.BatchNorm2d(row.channels, table.eps)

    def forward(self, x: Tensor) -> Tensor:
        if self.expands:
            maps = F.relu6(self.bn1(self.conv_pw(x)))
            maps = F.relu6(self.bn2(self.conv_dw(maps)))
            out: Tensor = self.bn3(self.conv_pwl(maps))
        else:
            out = self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(x)))))
        return x + out if self.adds else out


class Convolution(nn.Conv2d):
    """Keeps the size, divided by the stride (rounded up). No bias."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: int,
        stride: int,
        dilation: int,
        groups: int,
        *,
        as_tensorflow: bool,
    ) -> None:
        self.uneven = as_tensorflow and stride > 1
        padding = 0 if self.uneven else dilation * (kernel // 2)
        super().__init__(channels_in, channels, kernel, stride, padding, dilation, groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.uneven:
            return super().forward(x)
        (top, bottom), (left, right) = (self._around(side) for side in x.shape[-2:])
        return super().forward(F.pad(x, (left, right, top, bottom)))

    def _around(self, side: int) -> tuple[int, int]:
        """Zeros before and after a side, as few as it takes, the odd one after."""
        stride, kernel = self.stride[0], self.kernel_size[0]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        return total // 2, total - total // 2


def _initialise(layer: nn.Module) -> None:
    """He's normal over what a map sends out, so that a convolution of each map for itself is not cut short."""
    if isinstance(layer, nn.Conv2d):
        fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels / layer.groups
        nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
