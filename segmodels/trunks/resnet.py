"""ResNet: output stride 8 by dilation, with each of the stems and shortcuts that public weights have.

He et al., Deep Residual Learning (2016); deep stem and dilation as in Zhao et al., PSPNet (2017), where every block of
layer3 and layer4 dilates. Narrow stem and pooled projection: He et al., Bag of Tricks (2019), as ResNet-C and ResNet-D.
Names are those of the usual published weights (`conv1`, `bn1`, …, `layer4.2.bn3`), so that loading them is no mapping;
behind a pooled projection `downsample.1` and `downsample.2`, as timm and mmsegmentation number them.

| stem     | convolutions                 | public weights                                                      |
|----------|------------------------------|---------------------------------------------------------------------|
| `deep`   | 3x3: 64, 64, 128 maps        | PSPNet, CSAIL, timm's resnet50s                                     |
| `plain`  | 7x7: 64 maps                 | torchvision, timm's resnet50, MoCo, DINO                            |
| `narrow` | 3x3: 32, 32, 64 maps         | mmsegmentation's ResNetV1c and V1d, timm's resnet50c and resnet50d  |
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # depth: a stage's blocks
STEMS = {"deep": (64, 64, 128), "plain": (64,), "narrow": (32, 32, 64)}  # channels of its convolutions
PROJECTIONS = ("strided", "pooled")
STAGES = ((64, 1, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4))  # channels, stride, dilation


def conv3x3(channels_in: int, channels: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A 3x3 convolution without bias that keeps the size, divided by the stride."""
    return nn.Conv2d(channels_in, channels, 3, stride, padding=dilation, dilation=dilation, bias=False)


class Block(nn.Module):
    """What both kinds have in common: the sum with the input, projected in a stage's first block."""

    expansion: int

    def __init__(self, channels_in: int, channels: int, stride: int, pool: nn.Module | None) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if channels_in != channels * self.expansion:
            projection = nn.Conv2d(channels_in, channels * self.expansion, 1, 1 if pool else stride, bias=False)
            norm = nn.BatchNorm2d(channels * self.expansion)
            self.downsample = nn.Sequential(*([pool] if pool else []), projection, norm)

    def body(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.downsample(x) + self.body(x))
        return out


class BasicBlock(Block):
    """3x3, 3x3: the block of depths 18 and 34."""

    expansion = 1

    def __init__(
        self,
        channels_in: int,
        channels: int,
        stride: int,
        dilation: int,
        first_dilation: int,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__(channels_in, channels, stride, pool)
        self.conv1 = conv3x3(channels_in, channels, stride, first_dilation)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv3x3(channels, channels, 1, dilation)
        self.bn2 = nn.BatchNorm2d(channels)

    def body(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        out: Tensor = self.bn2(self.conv2(x))
        return out


class Bottleneck(Block):
    """1x1, 3x3 (with the stride), 1x1 to four times the channels: the block of depths 50 and 101."""

    expansion = 4

    def __init__(
        self,
        channels_in: int,
        channels: int,
        stride: int,
        dilation: int,
        first_dilation: int,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__(channels_in, channels, stride, pool)
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv3x3(channels, channels, stride, first_dilation)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)

    def body(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        out: Tensor = self.bn3(self.conv3(x))
        return out


class PoolOnGrid(nn.Module):
    """Mean of each pixel, its right, its lower and its lower right neighbour: the size stays. Outside lie zeros.

    What a mean of 2x2 with stride 2 becomes where the stride is replaced by dilation, in timm.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)


class ResNet(nn.Module):
    """Image (B, 3, H, W) to the maps of layer3 and layer4, both at 1/8 (rounded up).

    `contract_dilation`: the first block of layer3 and layer4 keeps the dilation of the layer before.
    """

    def __init__(
        self, depth: int, stem: str = "deep", projection: str = "strided", *, contract_dilation: bool = False
    ) -> None:
        super().__init__()
        block = BasicBlock if depth < 50 else Bottleneck
        self.depth, self.stem, self.projection = depth, stem, projection
        self.channels3, self.channels4 = 256 * block.expansion, 512 * block.expansion
        for number, (before, channels) in enumerate(zip((3, *STEMS[stem]), STEMS[stem], strict=False), 1):
            stride = 2 if number == 1 else 1
            layer = nn.Conv2d(3, 64, 7, 2, 3, bias=False) if stem == "plain" else conv3x3(before, channels, stride)
            self.add_module(f"conv{number}", layer)
            self.add_module(f"bn{number}", nn.BatchNorm2d(channels))
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels_in = [STEMS[stem][-1], *(channels * block.expansion for channels, _, _ in STAGES)]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(
                block, blocks, channels_in[number], number, pooled=projection == "pooled", contracts=contract_dilation
            )
            for number, blocks in enumerate(BLOCKS[depth])
        )
        self.apply(_initialise)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = image
        for number in range(1, len(STEMS[self.stem]) + 1):  # to (B, 128, H/2, W/2), or 64 of a plain or narrow stem
            convolution, norm = self.get_submodule(f"conv{number}"), self.get_submodule(f"bn{number}")
            x = self.relu(norm(convolution(x)))
        x = self.layer1(self.maxpool(x))  # (B, 256, H/4, W/4)
        third = self.layer3(self.layer2(x))  # (B, 1024, H/8, W/8)
        return third, self.layer4(third)  # and (B, 2048, H/8, W/8)


def _stage(
    block: type[BasicBlock] | type[Bottleneck],
    blocks: int,
    channels_in: int,
    number: int,
    *,
    pooled: bool,
    contracts: bool,
) -> nn.Sequential:
    """Layer `number` + 1, of so many blocks."""
    channels, stride, dilation = STAGES[number]
    first_dilation = STAGES[max(number - 1, 0)][2] if contracts else dilation
    first = block(channels_in, channels, stride, dilation, first_dilation, _pool(stride, dilation) if pooled else None)
    channels_in = channels * block.expansion
    return nn.Sequential(first, *(block(channels_in, channels, 1, dilation, dilation) for _ in range(blocks - 1)))


def _pool(stride: int, dilation: int) -> nn.Module:
    """What halves the size before a pooled projection, or would without dilation."""
    if dilation > 1:
        return PoolOnGrid()
    return nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
