"""FCN on a pre-activation ResNet with a feature pyramid.

Source: github.com/aerjayc/coe-197f-project, after Atienza, Advanced Deep Learning with Keras, chapter 12;
Long et al., Fully Convolutional Networks (2015); He et al., Identity Mappings in Deep Residual Networks
(2016). A ResNet of 9n+2 layers gives a map at 1/4; a pyramid of smaller maps is resized back to it,
everything is concatenated and brought to full size by two transposed convolutions. H and W are multiples of
4, from 8.

Deviations: the original registers 11,718 batch-norm parameters that no output depends on (15,248,682 with
them, for 4 classes); they are left out. The published "mIoU 0.7611" is the mean over images of the mean IoU of the
classes in each (`miou_present`); the published accuracy of 70.6 % counts the columns of images that match entirely.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from segmodels.blocks import check_image, concatenate, scaled
from segmodels.compute.deterministic import resize
from segmodels.errors import SegmodelsError
from segmodels.prediction import Prediction
from segmodels.spec import Geometry, ModelSpec, Option, Published, Size

GEOMETRY = Geometry(size_multiple=4, min_size=8)  # the 2x2 average pool at 1/4 needs two rows and columns
STEM = 16
STAGES = ((16, 64, 1), (64, 128, 2), (128, 256, 2))  # inner channels, channels, stride
PYRAMID, LATERAL = 512, 256  # channels of the pyramid's maps, and of what each contributes


def norm_conv(channels_in: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A pre-activated convolution: norm, ReLU, conv."""
    conv = nn.Conv2d(channels_in, channels, kernel, stride, padding=kernel // 2)
    return nn.Sequential(nn.BatchNorm2d(channels_in), nn.ReLU(), conv)


def conv_norm(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, norm, ReLU."""
    conv = nn.Conv2d(channels_in, channels, 3, stride, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())


def double(channels_in: int, channels: int) -> nn.Sequential:
    """A transposed convolution that doubles H and W exactly, norm, ReLU."""
    conv = nn.ConvTranspose2d(channels_in, channels, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())


class Bottleneck(nn.Module):
    """A way into `inner` channels, 3x3, 1x1 to `channels`, added to the input's shortcut."""

    def __init__(self, enter: nn.Module, inner: int, channels: int, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(enter, norm_conv(inner, inner, 3), norm_conv(inner, channels, 1))
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.body(x)
        return out


def stage(channels_in: int, shape: tuple[int, int, int], blocks: int, *, activated: bool) -> nn.Sequential:
    """Bottlenecks of one `shape`; the first has the stride and projects its raw input.

    Behind the stem, whose output is `activated` already, it enters by a plain convolution.
    """
    inner, channels, stride = shape
    first = Bottleneck(
        nn.Conv2d(channels_in, inner, 1, stride) if activated else norm_conv(channels_in, inner, 1, stride),
        inner,
        channels,
        shortcut=nn.Conv2d(channels_in, channels, 1, stride),
    )
    rest = [Bottleneck(norm_conv(channels, inner, 1), inner, channels, nn.Identity()) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class FcnResNetV2(nn.Module):
    """Image (B, 3, H, W) to logits (B, classes, H, W)."""

    def __init__(self, classes: int, size: Size, depth: int, n_layers: int, width_factor: float) -> None:
        super().__init__()
        if depth < 11 or depth % 9 != 2:
            below = max(depth - 2, 9) // 9 * 9 + 2
            raise SegmodelsError(f"fcn_resnet_v2: depth {depth}, expected 9n+2 with n from 1: {below} or {below + 9}")
        self.size = size
        stem = scaled(STEM, width_factor)
        shapes = [(scaled(inner, width_factor), scaled(channels, width_factor), s) for inner, channels, s in STAGES]
        entering = [stem, *(channels for _, channels, _ in shapes)]
        main = entering.pop()
        self.stem = conv_norm(3, stem)
        self.stages = nn.Sequential(
            *(
                stage(channels_in, shape, (depth - 2) // 9, activated=number == 0)
                for number, (channels_in, shape) in enumerate(zip(entering, shapes, strict=True))
            )
        )
        self.end = nn.Sequential(nn.BatchNorm2d(main), nn.ReLU())
        pyramid = [main] + [scaled(PYRAMID, width_factor)] * (n_layers - 1)
        lateral = scaled(LATERAL, width_factor)
        self.halve = nn.AvgPool2d(2)
        self.pyramid = nn.ModuleList(conv_norm(a, b, stride=2) for a, b in pairwise(pyramid))
        self.laterals = nn.ModuleList(conv_norm(channels, lateral) for channels in pyramid)
        self.up = nn.Sequential(double(main + n_layers * lateral, lateral), double(lateral, lateral))
        self.out = nn.ConvTranspose2d(lateral, classes, 1)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Prediction:
        check_image(image, GEOMETRY, self.size)
        main = self.end(self.stages(self.stem(image)))  # (B, 256, H/4, W/4)
        levels = [self.halve(main)]  # (B, 256, H/8, W/8)
        for shrink in self.pyramid:
            levels.append(shrink(levels[-1]))  # (B, 512, H/16, W/16) … H/64
        at_main = [
            resize(lateral(level), (main.shape[-2], main.shape[-1]), align_corners=False)
            for lateral, level in zip(self.laterals, levels, strict=True)
        ]  # n_layers x (B, 256, H/4, W/4)
        logits = self.out(self.up(concatenate([main, *at_main])))  # (B, K, H, W)
        return Prediction(logits, (logits,), {})


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


SPECS = (
    ModelSpec(
        name="fcn_resnet_v2",
        family="FCN on ResNet-v2",
        factory=FcnResNetV2,
        source="https://github.com/aerjayc/coe-197f-project",
        citation="Long et al., Fully Convolutional Networks for Semantic Segmentation (2015)",
        rule=lambda options: GEOMETRY,
        published=(Published(classes=4, size=(480, 640), parameters=15_248_682, dead=11_718),),
        options={
            "depth": Option(56, "layers of the ResNet, 9n+2", low=11, high=1001),
            "n_layers": Option(4, "maps of the pyramid", low=1, high=16),
            "width_factor": Option(1.0, "multiplies every channel count; 1 is as published", low=0.01, high=64),
        },
    ),
)
