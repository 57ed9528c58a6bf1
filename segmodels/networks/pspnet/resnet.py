"""The ResNet trunk of the PSPNet family: deep stem, output stride 8 by dilation.

He et al., Deep Residual Learning (2016); deep stem and dilation as in Zhao et al., PSPNet (2017). Names are
those of the usual published weights (`conv1`, `bn1`, …, `layer4.2.bn3`), so that loading them is no mapping.
"""

from __future__ import annotations

from torch import Tensor, nn

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # depth: a stage's blocks
STAGES = ((64, 1, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4))  # channels, stride, dilation


def conv3x3(channels_in: int, channels: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A 3x3 convolution without bias that keeps the size, divided by the stride."""
    return nn.Conv2d(channels_in, channels, 3, stride, padding=dilation, dilation=dilation, bias=False)


class Block(nn.Module):
    """What both kinds have in common: the sum with the input, projected in a stage's first block."""

    expansion: int

    def __init__(self, channels_in: int, channels: int, stride: int, *, first: bool) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if first:
            projection = nn.Conv2d(channels_in, channels * self.expansion, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(channels * self.expansion))

    def body(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.downsample(x) + self.body(x))
        return out


class BasicBlock(Block):
    """3x3, 3x3: the block of depths 18 and 34."""

    expansion = 1

    def __init__(self, channels_in: int, channels: int, stride: int, dilation: int, *, first: bool) -> None:
        super().__init__(channels_in, channels, stride, first=first)
        self.conv1 = conv3x3(channels_in, channels, stride, dilation)
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

    def __init__(self, channels_in: int, channels: int, stride: int, dilation: int, *, first: bool) -> None:
        super().__init__(channels_in, channels, stride, first=first)
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv3x3(channels, channels, stride, dilation)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)

    def body(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        out: Tensor = self.bn3(self.conv3(x))
        return out


class ResNet(nn.Module):
    """Image (B, 3, H, W) to the maps of layer3 and layer4, both at 1/8 (rounded up)."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        block = BasicBlock if depth < 50 else Bottleneck
        self.channels3, self.channels4 = 256 * block.expansion, 512 * block.expansion
        self.conv1, self.bn1 = conv3x3(3, 64, stride=2), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = conv3x3(64, 64), nn.BatchNorm2d(64)
        self.conv3, self.bn3 = conv3x3(64, 128), nn.BatchNorm2d(128)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels_in = [128, *(channels * block.expansion for channels, _, _ in STAGES)]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(block, blocks, channels_in[number], STAGES[number]) for number, blocks in enumerate(BLOCKS[depth])
        )
        self.apply(_initialise)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.relu(self.bn1(self.conv1(image)))  # (B, 64, H/2, W/2)
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.relu(self.bn3(self.conv3(x)))  # (B, 128, H/2, W/2)
        x = self.layer1(self.maxpool(x))  # (B, 256, H/4, W/4)
        third = self.layer3(self.layer2(x))  # (B, 1024, H/8, W/8)
        return third, self.layer4(third)  # and (B, 2048, H/8, W/8)


def _stage(
    block: type[BasicBlock] | type[Bottleneck], blocks: int, channels_in: int, shape: tuple[int, int, int]
) -> nn.Sequential:
    channels, stride, dilation = shape
    first = block(channels_in, channels, stride, dilation, first=True)
    channels_in = channels * block.expansion
    rest = [block(channels_in, channels, 1, dilation, first=False) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
