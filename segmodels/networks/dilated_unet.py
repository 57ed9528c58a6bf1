"""Dilated separable U-Net: every block looks at three widths at once, cheaply.

Source: github.com/RuchitDoshi/Semantic_Segmentation. A block is three parallel branches of depth-wise
separable convolutions whose kernels reach differently far, concatenated; the way down halves H and W four
times, the way up doubles them and takes the map of the same size from the way down along (U-Net,
Ronneberger et al. 2015). H and W are multiples of 16; the logits are at full size.

Deviations of the network: none; those of its training stand in `config/recipes.py`. The published "mIoU 0.7815" is a
micro IoU. The source says that separable convolutions take 100 times fewer multiplications: in the whole network it is
4.2 times fewer, 9.98 GMAC at 512x1024 against 41.83 with plain convolutions of the same shapes, which are ours, to
compare with. `segmodels
summary dilated_unet --classes 20 --size 512x1024` counts the one, with `--option separable=false` the other.
"""

from __future__ import annotations

from torch import Tensor, nn

from segmodels.blocks import check_image, concatenate, scaled
from segmodels.prediction import Prediction
from segmodels.spec import Geometry, ModelSpec, Option, Published, Size

GEOMETRY = Geometry(size_multiple=16)
CHANNELS = (12, 36, 108, 324)  # of one branch, on the way down; the way up ends with 4
Conv = type[nn.Conv2d] | type[nn.ConvTranspose2d]


class SeparableConv(nn.Sequential):
    """Depth-wise, then point-wise convolution, with nothing between; transposed ones on the way up."""

    def __init__(
        self,
        conv: Conv,
        channels_in: int,
        channels: int,
        *,
        kernel: int,
        stride: int,
        padding: int,
        dilation: int = 1,
    ) -> None:
        super().__init__(
            conv(
                channels_in,
                channels_in,
                kernel,
                stride,
                padding=padding,
                dilation=dilation,
                groups=channels_in,
            ),
            conv(channels_in, channels, 1),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(0.01),
        )


class PlainConv(nn.Sequential):
    """One convolution over all channels in the place of the two of SeparableConv, from and to the same shapes."""

    def __init__(
        self,
        conv: Conv,
        channels_in: int,
        channels: int,
        *,
        kernel: int,
        stride: int,
        padding: int,
        dilation: int = 1,
    ) -> None:
        super().__init__(
            conv(channels_in, channels, kernel, stride, padding=padding, dilation=dilation),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(0.01),
        )


Convolve = type[SeparableConv] | type[PlainConv]


class Down(nn.Module):
    """Three branches of stride 2, concatenated: (B, C, H, W) to (B, 3·channels, H/2, W/2)."""

    def __init__(self, convolve: Convolve, channels_in: int, channels: int) -> None:
        super().__init__()
        conv = nn.Conv2d
        self.branches = nn.ModuleList(
            [
                convolve(conv, channels_in, channels, kernel=3, stride=2, padding=3, dilation=3),
                convolve(conv, channels_in, channels, kernel=4, stride=2, padding=3, dilation=2),
                convolve(conv, channels_in, channels, kernel=4, stride=2, padding=1),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return concatenate([branch(x) for branch in self.branches])


class Up(nn.Module):
    """Three transposed branches, concatenated: (B, C, H, W) to (B, 3·channels, 2H, 2W)."""

    def __init__(self, convolve: Convolve, channels_in: int, channels: int) -> None:
        super().__init__()
        conv = nn.ConvTranspose2d
        self.branches = nn.ModuleList(
            [
                convolve(conv, channels_in, channels, kernel=4, stride=2, padding=4, dilation=3),
                nn.Sequential(
                    convolve(conv, channels_in, channels, kernel=4, stride=2, padding=3, dilation=2),
                    convolve(conv, channels, channels, kernel=2, stride=1, padding=0),  # 2H-1 to 2H
                ),
                convolve(conv, channels_in, channels, kernel=4, stride=2, padding=1),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return concatenate([branch(x) for branch in self.branches])


class DilatedUNet(nn.Module):
    """Image (B, 3, H, W) to logits (B, classes, H, W)."""

    def __init__(self, classes: int, size: Size, *, width_factor: float, separable: bool) -> None:
        super().__init__()
        self.size = size
        one, two, three, four = (scaled(channels, width_factor) for channels in CHANNELS)
        last = scaled(4, width_factor)
        convolve = SeparableConv if separable else PlainConv
        self.down1 = Down(convolve, 3, one)
        self.down2 = Down(convolve, 3 * one, two)
        self.down3 = Down(convolve, 3 * two, three)
        self.down4 = Down(convolve, 3 * three, four)
        self.up1 = Up(convolve, 3 * four, three)
        self.up2 = Up(convolve, 6 * three, two)
        self.up3 = Up(convolve, 6 * two, one)
        self.up4 = Up(convolve, 6 * one, last)
        self.drop_down = nn.Dropout2d(0.2)
        self.drop_up = nn.Dropout2d(0.15)
        self.out = nn.Conv2d(3 * last, classes, 3, padding=1)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Prediction:
        check_image(image, GEOMETRY, self.size)
        one = self.drop_down(self.down1(image))  # (B, 36, H/2, W/2)
        two = self.drop_down(self.down2(one))  # (B, 108, H/4, W/4)
        three = self.drop_down(self.down3(two))  # (B, 324, H/8, W/8)
        x = self.drop_down(self.down4(three))  # (B, 972, H/16, W/16)
        x = self.drop_up(concatenate([self.up1(x), three]))  # (B, 648, H/8, W/8)
        x = self.drop_up(concatenate([self.up2(x), two]))  # (B, 216, H/4, W/4)
        x = self.drop_up(concatenate([self.up3(x), one]))  # (B, 72, H/2, W/2)
        x = self.drop_up(self.up4(x))  # (B, 12, H, W)
        logits = self.out(x)  # (B, K, H, W)
        return Prediction(logits, (logits,), {})


def _initialise(layer: nn.Module) -> None:
    """The start of the published recipe."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


SPECS = (
    ModelSpec(
        name="dilated_unet",
        family="dilated separable U-Net",
        factory=DilatedUNet,
        source="https://github.com/RuchitDoshi/Semantic_Segmentation",
        citation="Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation (2015)",
        rule=lambda options: GEOMETRY,
        published=(
            Published(classes=20, size=(512, 1024), parameters=887_840),
            Published(classes=19, size=(512, 1024), parameters=887_731),
            Published(classes=34, size=(512, 1024), parameters=889_366),
        ),
        options={
            "width_factor": Option(1.0, "multiplies every channel count; 1 is as published", low=0.01, high=64),
            "separable": Option(True, "false: plain convolutions of the same shapes, to compare with", added=True),
        },
    ),
)
