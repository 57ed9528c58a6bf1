"""DDRNet-23-slim: two branches at two resolutions that exchange their maps, for fast segmentation of streets.

Hong et al., Deep Dual-resolution Networks for Real-time and Accurate Semantic Segmentation of Road Scenes (2021),
table 1 and figures 4 and 5; the authors' code is github.com/ydhongHIT/DDRNet (MIT). A fine branch stays at 1/8 of the
image, a coarse one goes down to 1/64; twice each of them is added to the other. The coarse branch ends in the deep
aggregation pyramid pooling module (DAPPM). Every convolution has a norm; a sum is activated by the layer that follows.

| setting                              | parameters, 19 classes | without the auxiliary head |
|--------------------------------------|------------------------|----------------------------|
| the defaults: DDRNet-23-slim         | 5,734,342              | 5,695,987                  |
| `width=64`, `head_width=128`: DDRNet-23 | 20,299,366          | 20,148,947                 |

Both counts are those of the authors' code. Their networks answer at 1/8, and their training and evaluation enlarge the
answer to the size of the labels, without alignment of corners; here the network does so itself. Of sides that are no
multiple of 8 the authors' code rounds 1/8 of the image down, against its own convolutions, and fails; here it is
rounded up.

Deviation: a norm that sees one value per channel, as behind the pooling of the whole map in a batch of one, uses its
running statistics.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from segmodels.blocks import PooledNorm, auxiliary_weights, check_image, concatenate
from segmodels.compute.deterministic import resize
from segmodels.prediction import Prediction
from segmodels.spec import Geometry, ModelSpec, Option, Published, Size

GEOMETRY = Geometry(size_multiple=8, resizes=True)
POOLS = ((5, 2), (9, 4), (17, 8))  # kernel and stride of the pyramid's average pools, the finest first


def conv_norm(channels_in: int, channels: int, kernel: int, stride: int = 1, *, bias: bool = False) -> nn.Sequential:
    """A convolution that keeps the size, divided by the stride, and its norm."""
    conv = nn.Conv2d(channels_in, channels, kernel, stride, padding=kernel // 2, bias=bias)
    return nn.Sequential(conv, PooledNorm(channels))


def norm_conv(channels_in: int, channels: int, kernel: int) -> nn.Sequential:
    """A pre-activated convolution: norm, ReLU, conv."""
    conv = nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(PooledNorm(channels_in), nn.ReLU(), conv)


class Residual(nn.Module):
    """The sum of `body` and of the input, which is projected where its shape changes. The sum is not activated."""

    def __init__(self, body: nn.Module, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = body
        same = channels_in == channels and stride == 1
        self.shortcut = nn.Identity() if same else conv_norm(channels_in, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.body(x)
        return out


def stage(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    """Two residual blocks of two 3x3 convolutions each; the first has the stride."""

    def block(entering: int, stride: int) -> Residual:
        first, second = conv_norm(entering, channels, 3, stride), conv_norm(channels, channels, 3)
        return Residual(nn.Sequential(first, nn.ReLU(), second), entering, channels, stride)

    return nn.Sequential(block(channels_in, stride), nn.ReLU(), block(channels, 1))


def bottleneck(channels_in: int, inner: int, stride: int = 1) -> Residual:
    """A residual block 1x1, 3x3 (with the stride), 1x1 to twice the `inner` channels."""
    body = nn.Sequential(
        *(conv_norm(channels_in, inner, 1), nn.ReLU()),
        *(conv_norm(inner, inner, 3, stride), nn.ReLU()),
        conv_norm(inner, 2 * inner, 1),
    )
    return Residual(body, channels_in, 2 * inner, stride)


class Exchange(nn.Module):
    """Each branch plus what the other has, brought to its channels and its size."""

    def __init__(self, fine: int, coarse: tuple[int, ...]) -> None:
        super().__init__()
        halvings: list[nn.Module] = []
        for channels_in, channels in zip((fine, *coarse), coarse, strict=False):
            halvings += [nn.ReLU(), conv_norm(channels_in, channels, 3, 2)]
        self.down = nn.Sequential(*halvings)
        self.up = nn.Sequential(nn.ReLU(), conv_norm(coarse[-1], fine, 1))

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        up = resize(self.up(coarse), (fine.shape[-2], fine.shape[-1]), align_corners=False)
        return fine + up, coarse + self.down(fine)


class Trunk(nn.Module):
    """Image (B, 3, H, W) to the fine maps after the first exchange and at the end, and to the coarse ones."""

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(
            *(conv_norm(3, w, 3, 2, bias=True), nn.ReLU()),
            *(conv_norm(w, w, 3, 2, bias=True), nn.ReLU()),
            *(stage(w, w), nn.ReLU()),
            *(stage(w, 2 * w, 2), nn.ReLU()),
        )
        self.relu = nn.ReLU()
        self.fine = nn.ModuleList([stage(2 * w, 2 * w), stage(2 * w, 2 * w), bottleneck(2 * w, 2 * w)])
        self.coarse = nn.ModuleList([stage(2 * w, 4 * w, 2), stage(4 * w, 8 * w, 2), bottleneck(8 * w, 8 * w, 2)])
        self.exchanges = nn.ModuleList([Exchange(2 * w, (4 * w,)), Exchange(2 * w, (4 * w, 8 * w))])
        self.apply(_initialise)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shared = self.stem(image)  # (B, 2w, H/8, W/8)
        fine, coarse = self.exchanges[0](self.fine[0](shared), self.coarse[0](shared))
        early = fine  # (B, 2w, H/8, W/8), and coarse (B, 4w, H/16, W/16)
        fine, coarse = self.exchanges[1](self.fine[1](self.relu(fine)), self.coarse[1](self.relu(coarse)))
        fine = self.fine[2](self.relu(fine))  # (B, 4w, H/8, W/8)
        coarse = self.coarse[2](self.relu(coarse))  # (B, 16w, H/64, W/64)
        return early, fine, coarse


class DeepPyramid(nn.Module):
    """The deep aggregation pyramid (DAPPM): means over ever larger parts of the map (B, C, h, w), each added to those
    of the smaller ones before it: (B, channels, h, w)."""

    def __init__(self, channels_in: int, inner: int, channels: int) -> None:
        super().__init__()
        scales = len(POOLS) + 2  # the map itself and its mean too
        self.enter = nn.ModuleList(norm_conv(channels_in, inner, 1) for _ in range(scales))
        self.merge = nn.ModuleList(norm_conv(inner, inner, 3) for _ in range(scales - 1))
        self.compress = norm_conv(scales * inner, channels, 1)
        self.shortcut = norm_conv(channels_in, channels, 1)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        size = (x.shape[-2], x.shape[-1])
        pooled = [F.avg_pool2d(x, kernel, stride, kernel // 2) for kernel, stride in POOLS]
        scales = [x, *pooled, x.mean((2, 3), keepdim=True)]
        first, *larger = (enter(each) for enter, each in zip(self.enter, scales, strict=True))
        maps = [first]
        for merge, each in zip(self.merge, larger, strict=True):
            maps.append(merge(resize(each, size, align_corners=False) + maps[-1]))
        out: Tensor = self.compress(concatenate(maps)) + self.shortcut(x)
        return out


class DualResolutionNet(nn.Module):
    """Image (B, 3, H, W) to logits (B, classes, H, W); in training the auxiliary head answers first."""

    def __init__(self, classes: int, size: Size, *, width: int, pyramid_width: int, head_width: int, aux: bool) -> None:
        super().__init__()
        self.size = size
        self.trunk = Trunk(width)
        self.pyramid = DeepPyramid(16 * width, pyramid_width, 4 * width)
        self.head = classifier(4 * width, head_width, classes)
        self.auxiliary = classifier(2 * width, head_width, classes) if aux else None

    def forward(self, image: Tensor) -> Prediction:
        check_image(image, GEOMETRY, self.size)
        size = (image.shape[-2], image.shape[-1])
        early, fine, coarse = self.trunk(image)
        context = resize(self.pyramid(coarse), (fine.shape[-2], fine.shape[-1]), align_corners=False)
        logits = resize(self.head(fine + context), size, align_corners=False)  # (B, K, H, W)
        if self.auxiliary is None or not self.training:
            return Prediction(logits, (logits,), {})
        aux = resize(self.auxiliary(early), size, align_corners=False)
        return Prediction(logits, (aux, logits), {})


def classifier(channels: int, inner: int, classes: int) -> nn.Sequential:
    """Norm, ReLU, 3x3, norm, ReLU, 1x1."""
    head = nn.Sequential(norm_conv(channels, inner, 3), PooledNorm(inner), nn.ReLU(), nn.Conv2d(inner, classes, 1))
    return head.apply(_initialise)


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


FRAME = (1024, 2048)
NO_AUX = {"aux": False}
DDRNET_23 = {"width": 64, "head_width": 128}

SPECS = (
    ModelSpec(
        name="ddrnet23_slim",
        family="dual resolution",
        factory=DualResolutionNet,
        source="https://github.com/ydhongHIT/DDRNet",
        citation="Hong et al., Deep Dual-resolution Networks for Real-time and Accurate Semantic Segmentation of Road "
        "Scenes (2021)",
        rule=lambda options: GEOMETRY,
        published=(
            Published(classes=19, size=FRAME, parameters=5_734_342),
            Published(classes=19, size=FRAME, parameters=5_695_987, options=NO_AUX),
            Published(classes=19, size=FRAME, parameters=20_299_366, options=DDRNET_23),
            Published(classes=19, size=FRAME, parameters=20_148_947, options=DDRNET_23 | NO_AUX),
        ),
        options={
            "width": Option(32, "channels of the stem; 64 with head_width=128 is DDRNet-23", low=1, high=1024),
            "pyramid_width": Option(128, "channels of each scale of the pyramid", low=1, high=1024),
            "head_width": Option(64, "channels inside the head, and inside the auxiliary head", low=1, high=1024),
            "aux": Option(True, "auxiliary head behind the first exchange, in training"),
        },
        step_weights=auxiliary_weights,
    ),
)
