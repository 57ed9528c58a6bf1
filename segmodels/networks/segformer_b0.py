"""SegFormer-B0: a transformer without positions, whose four stages make maps at 1/4 to 1/32, and a decoder of MLPs.

Xie et al., SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers (2021), section 3 and
table 6. A stage embeds patches that overlap, and then lets every place attend to all others, whose map is reduced by a
convolution first. Where a place is, a depthwise 3x3 convolution between the two linear layers of a block tells it. The
decoder brings all four maps to one width and to 1/4, and mixes them.

| setting                           | parameters, 19 classes | 150 classes |
|-----------------------------------|------------------------|-------------|
| the defaults: SegFormer-B0        | 3,719,027              | 3,752,694   |
| `head_channels=64`: SegFormer-B1  | 13,682,131             | 13,715,798  |

These are the counts of Hugging Face's `transformers`. The authors' own code registers a classifier beside it that
nothing uses: 129 parameters for each class more. Their network answers at 1/4, and their training and evaluation
enlarge the answer to the size of the labels; here the network does so itself.

The norms of blocks and stages add 1e-6 to the variance, those of embeddings and reductions 1e-5, as in the authors'
code. Attention is written out as two products and a softmax: the kernels that are faster have no deterministic backward
pass on CUDA. In training, a branch of a block is left out of an image with a probability that rises linearly from 0 in
the first block to `stochastic_depth` in the last one.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from segmodels.blocks import check_image, concatenate
from segmodels.compute.deterministic import resize
from segmodels.prediction import Prediction
from segmodels.spec import Geometry, ModelSpec, Option, Published, Size

GEOMETRY = Geometry(min_size=32)  # a row at 1/32, and the eight at 1/4 that the first stage reduces to one
HEADS = (1, 2, 5, 8)  # of attention, of each stage
REDUCTIONS = (8, 4, 2, 1)  # of the map that is attended to, along each side
PATCHES = ((7, 4), (3, 2), (3, 2), (3, 2))  # side and stride
BLOCKS = 2  # of each stage
EXPANSION = 4  # of the channels between the linear layers of a block
NORM_EPS = 1e-6


class Patches(nn.Module):
    """Maps (B, C, H, W) to embedded patches, which overlap: (B, H/stride, W/stride, channels), rounded up."""

    def __init__(self, channels_in: int, channels: int, side: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, side, stride, padding=side // 2)
        self.norm = nn.LayerNorm(channels)

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.norm(channels_last(self.conv(maps)))
        return out


class Attention(nn.Module):
    """Every place of (B, h, w, C) attends to all places of the reduced map, with several heads."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.out = nn.Linear(channels, channels)
        self.reduce = nn.Conv2d(channels, channels, reduction, reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(channels) if reduction > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        seen = x  # (B, h/reduction, w/reduction, C)
        if self.reduce is not None and self.norm is not None:
            seen = self.norm(channels_last(self.reduce(channels_first(x))))
        query, key, value = map(self._of_heads, (self.query(x), self.key(seen), self.value(seen)))
        scores = query @ key.mT * query.shape[-1] ** -0.5  # (B, heads, h·w, places seen)
        mixed = scores.softmax(dim=-1) @ value  # (B, heads, h·w, C/heads)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(x.shape))
        return out

    def _of_heads(self, x: Tensor) -> Tensor:
        """(B, h, w, C) to (B, heads, h·w, C/heads)."""
        return x.reshape(len(x), -1, self.heads, x.shape[-1] // self.heads).transpose(1, 2)


class MixedPerceptron(nn.Module):
    """Two linear layers on each place of (B, h, w, C), and between them a depthwise 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = EXPANSION * channels
        self.widen = nn.Linear(channels, wide)
        self.mix = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.narrow = nn.Linear(wide, channels)

    def forward(self, x: Tensor) -> Tensor:
        mixed = channels_last(self.mix(channels_first(self.widen(x))))
        out: Tensor = self.narrow(F.gelu(mixed))
        return out


class StochasticDepth(nn.Module):
    """In training, zeros in the place of a whole image with this probability; the others are scaled up for it."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        kept = 1 - self.probability
        return x * (x.new_empty(len(x), 1, 1, 1).bernoulli_(kept) / kept)


class Block(nn.Module):
    """Attention, then the perceptron, each behind a norm and added to its input."""

    def __init__(self, channels: int, heads: int, reduction: int, left_out: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels, NORM_EPS)
        self.attention = Attention(channels, heads, reduction)
        self.perceptron_norm = nn.LayerNorm(channels, NORM_EPS)
        self.perceptron = MixedPerceptron(channels)
        self.depth = StochasticDepth(left_out)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.depth(self.attention(self.attention_norm(x)))
        out: Tensor = x + self.depth(self.perceptron(self.perceptron_norm(x)))
        return out


class Trunk(nn.Module):
    """Image (B, 3, H, W) to the maps of the four stages: (B, C, H/4, W/4) … (B, C', H/32, W/32), rounded up."""

    def __init__(self, channels: tuple[int, ...], stochastic_depth: float) -> None:
        super().__init__()
        total = BLOCKS * len(channels)
        left_out = iter([stochastic_depth * number / (total - 1) for number in range(total)])
        entering = (3, *channels)
        self.stages = nn.ModuleList(
            nn.Sequential(
                Patches(entering[number], width, *PATCHES[number]),
                *(Block(width, HEADS[number], REDUCTIONS[number], next(left_out)) for _ in range(BLOCKS)),
                nn.LayerNorm(width, NORM_EPS),
            )
            for number, width in enumerate(channels)
        )
        self.apply(_initialise)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [image]
        for each in self.stages:
            maps.append(channels_first(each(maps[-1])))
        return maps[1:]


class Decoder(nn.Module):
    """The maps of all stages, each through a linear layer and enlarged to the first one's size, mixed: logits there."""

    def __init__(self, channels: tuple[int, ...], width: int, classes: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(each, width) for each in channels)
        fuse = nn.Conv2d(len(channels) * width, width, 1, bias=False)
        nn.init.kaiming_normal_(fuse.weight, mode="fan_out", nonlinearity="relu")
        self.fuse = nn.Sequential(fuse, nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout2d(0.1))
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        size = (maps[0].shape[-2], maps[0].shape[-1])
        projected = (
            channels_first(project(channels_last(each))) for project, each in zip(self.project, maps, strict=True)
        )
        first, *smaller = projected
        together = [first, *(resize(each, size, align_corners=False) for each in smaller)]
        logits: Tensor = self.classify(self.fuse(concatenate(together[::-1])))  # the smallest map's channels first
        return logits


class SegFormer(nn.Module):
    """Image (B, 3, H, W) to logits (B, classes, H, W)."""

    def __init__(
        self, classes: int, size: Size, *, head_channels: int, decoder_channels: int, stochastic_depth: float
    ) -> None:
        super().__init__()
        self.size = size
        channels = tuple(heads * head_channels for heads in HEADS)
        self.trunk = Trunk(channels, stochastic_depth)
        self.head = Decoder(channels, decoder_channels, classes)

    def forward(self, image: Tensor) -> Prediction:
        check_image(image, GEOMETRY, self.size)
        coarse = self.head(self.trunk(image))  # (B, K, H/4, W/4)
        logits = resize(coarse, (image.shape[-2], image.shape[-1]), align_corners=False)
        return Prediction(logits, (logits,), {})


def channels_last(maps: Tensor) -> Tensor:
    """(B, C, h, w) to (B, h, w, C), as linear layers and layer norms take it."""
    return maps.permute(0, 2, 3, 1)


def channels_first(x: Tensor) -> Tensor:
    """(B, h, w, C) to (B, C, h, w), as convolutions take it."""
    return x.permute(0, 3, 1, 2)


def _initialise(layer: nn.Module) -> None:
    """As the authors do: normal, of linear layers narrow, of convolutions by what they feed; biases 0."""
    match layer:
        case nn.Linear():
            nn.init.normal_(layer.weight, std=0.02)  # theirs is cut at 2, a hundred deviations away
        case nn.Conv2d():
            fed = layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1] // layer.groups
            nn.init.normal_(layer.weight, std=(2 / fed) ** 0.5)
        case _:
            return
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


B1 = {"head_channels": 64}
CROP = (1024, 1024)

SPECS = (
    ModelSpec(
        name="segformer_b0",
        family="mix transformer",
        factory=SegFormer,
        source="https://github.com/NVlabs/SegFormer",
        citation="Xie et al., SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers "
        "(2021)",
        rule=lambda options: GEOMETRY,
        published=(
            Published(classes=19, size=CROP, parameters=3_719_027),
            Published(classes=150, size=(512, 512), parameters=3_752_694),
            Published(classes=19, size=CROP, parameters=13_682_131, options=B1),
        ),
        options={
            "head_channels": Option(32, "channels of a head of attention; 64 is SegFormer-B1", low=1, high=1024),
            "decoder_channels": Option(256, "channels inside the decoder", low=1, high=4096),
            "stochastic_depth": Option(
                0.1, "probability with which the last block is left out in training", low=0, high=0.99
            ),
        },
    ),
)
