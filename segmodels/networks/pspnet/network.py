"""PSPNet, and ClusterNet in its two variants: one dilated ResNet, three heads.

PSPNet: Zhao et al., Pyramid Scene Parsing Network (2017). ClusterNet: github.com/steliosav/Diploma-Thesis
(University of Patras), which groups the 2048 maps of layer4 by spectral clustering (Ng, Jordan and Weiss, On
Spectral Clustering, 2001) and lets each group speak with its mean map.

| network              | grouped                           | pyramid             | classifier |
|----------------------|-----------------------------------|---------------------|------------|
| `pspnet`             | no                                | 1, 2, 3, 6 of 2048  | 3x3, 1x1   |
| `clusternet`         | norm, 2048 maps to 40 means, norm | 2, 3, 6, 8 of 40    | 1x1        |
| `clusternet_concat`  | 2048 maps, each its group's mean  | 2, 3, 6, 8 of these | 3x3, 1x1   |

Deviations: all images share one assignment of channels to groups, unless `assignment=per_image` is given, which is
the source's way and part of `--recipe published`. Groups that are made for each image anew have no place of their own:
the head has one set of weights for slot j of its input, and most channels in that slot are others in the next image
(benchmarks/networks/slots.py counts them). The clustering is Ng-Jordan-Weiss as written. In the original the affinity
grows with the distance and is cut at 2, so that one group swallows all maps; it takes 2 eigenvectors for 40 groups,
starts k-means at random, and is wired to batch 1 at 713x713. Its optimiser leaves out the two norms around the
clustering, which learn here; its evaluation sends every pixel whose probability is 0.5 or less to class 0. A norm
behind a 1x1 bin sees one value per channel in a batch of one: there it uses its running statistics. Depths 18 and 34,
and the trunks of `backbone`, keep the proportions of the heads: classifiers of a quarter of the trunk's maps.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from segmodels.blocks import PooledNorm, auxiliary_weights, check_image, concatenate
from segmodels.compute.deterministic import adaptive_avg_pool, resize
from segmodels.errors import SegmodelsError
from segmodels.networks.pspnet.clustering import group_means, membership
from segmodels.networks.pspnet.groups import ChannelGroups
from segmodels.prediction import Prediction
from segmodels.spec import Geometry, ModelSpec, Option, Published, Size
from segmodels.trunks.resnet import conv3x3
from segmodels.trunks.trunk import BACKBONE, Trunk, make_trunk

GEOMETRY = Geometry(size_multiple=8, resizes=True)
PSPNET_BINS, CLUSTERNET_BINS = (1, 2, 3, 6), (2, 3, 6, 8)
Extras = dict[str, Tensor]


class SceneParser(nn.Module):
    """Image (B, 3, H, W) to logits (B, classes, H, W); in training the auxiliary head answers first."""

    def __init__(self, classes: int, size: Size, trunk: Trunk, head: nn.Module, *, aux: bool) -> None:
        super().__init__()
        self.size = size
        self.trunk, self.head = trunk, head
        self.auxiliary = classifier(trunk.channels3, trunk.channels3 // 4, classes) if aux else None

    def forward(self, image: Tensor) -> Prediction:
        check_image(image, GEOMETRY, self.size)
        size = (image.shape[-2], image.shape[-1])
        third, fourth = self.trunk(image)  # (B, 1024, H/8, W/8), (B, 2048, H/8, W/8)
        coarse, extras = self.head(fourth)  # (B, K, H/8, W/8)
        logits = resize(coarse, size, align_corners=True)  # (B, K, H, W)
        if self.auxiliary is None or not self.training:
            return Prediction(logits, (logits,), extras)
        aux = resize(self.auxiliary(third), size, align_corners=True)
        return Prediction(logits, (aux, logits), extras)


class PyramidPooling(nn.Module):
    """(B, C, h, w) seen through b x b cells for each bin b: (B, C, h, w) again, C/len(bins) from each."""

    def __init__(self, channels: int, bins: tuple[int, ...]) -> None:
        super().__init__()
        self.bins = bins
        share = channels // len(bins)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, share, 1, bias=False), PooledNorm(share), nn.ReLU()) for _ in bins
        )

    def forward(self, x: Tensor) -> Tensor:
        size = (x.shape[-2], x.shape[-1])
        dtype = x.dtype
        if x.is_cuda:  # once for all bins, as the products of pooling want it: in float32, and not channels last
            x = x.to(torch.promote_types(dtype, torch.float32)).contiguous()
        cells = [adaptive_avg_pool(x, (b, b)).to(dtype) for b in self.bins]
        pooled = (branch(each) for branch, each in zip(self.branches, cells, strict=True))
        return torch.cat([resize(each, size, align_corners=True) for each in pooled], dim=1)


class PspHead(nn.Module):
    """Pyramid of the maps behind the maps, then the classifier."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.pyramid = PyramidPooling(channels, PSPNET_BINS)
        self.classifier = classifier(2 * channels, channels // 4, classes)

    def forward(self, maps: Tensor) -> tuple[Tensor, Extras]:
        return self.classifier(concatenate([maps, self.pyramid(maps)])), {}


class ClusterHead(nn.Module):
    """The groups' mean maps, their pyramid behind them, then one 1x1 convolution."""

    def __init__(self, channels: int, classes: int, groups: ChannelGroups) -> None:
        super().__init__()
        if groups.count % len(CLUSTERNET_BINS):
            raise SegmodelsError(
                f"clusternet: {groups.count} clusters, expected a multiple of {len(CLUSTERNET_BINS)}, "
                "which share the pyramid's channels"
            )
        self.norm_maps = nn.BatchNorm2d(channels)
        self.groups = groups
        self.norm_means = nn.BatchNorm2d(groups.count)
        self.pyramid = PyramidPooling(groups.count, CLUSTERNET_BINS)
        self.classifier = nn.Conv2d(2 * groups.count, classes, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Extras]:
        maps = self.norm_maps(maps)
        assignment = self.groups(maps)  # (B, 2048)
        members = membership(assignment, self.groups.count)  # (B, 2048, 40)
        means = self.norm_means(group_means(maps, members))  # (B, 40, H/8, W/8)
        logits = self.classifier(concatenate([means, self.pyramid(means)]))
        return logits, {"assignment": assignment}


class ClusterConcatHead(nn.Module):
    """Every map replaced by its group's mean; the pyramid of these behind the original maps."""

    def __init__(self, channels: int, classes: int, groups: ChannelGroups) -> None:
        super().__init__()
        self.groups = groups
        self.pyramid = PyramidPooling(channels, CLUSTERNET_BINS)
        self.classifier = classifier(2 * channels, channels // 4, classes)

    def forward(self, maps: Tensor) -> tuple[Tensor, Extras]:
        assignment = self.groups(maps)  # (B, 2048)
        members = membership(assignment, self.groups.count)  # (B, 2048, 40)
        means = group_means(maps, members).flatten(2)  # (B, 40, h·w)
        replaced = (members.to(means.dtype) @ means).view_as(maps)  # (B, 2048, H/8, W/8)
        logits = self.classifier(concatenate([maps, self.pyramid(replaced)]))
        return logits, {"assignment": assignment}


def classifier(channels: int, inner: int, classes: int) -> nn.Sequential:
    """3x3, norm, ReLU, dropout, 1x1."""
    return nn.Sequential(
        conv3x3(channels, inner),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Dropout2d(0.1),
        nn.Conv2d(inner, classes, 1),
    )


def build_pspnet(
    classes: int,
    size: Size,
    *,
    aux: bool,
    **backbone: Any,  # the options of BACKBONE
) -> SceneParser:
    trunk = make_trunk(**backbone)
    return SceneParser(classes, size, trunk, PspHead(trunk.channels4, classes), aux=aux)


def build_clusternet(
    head: type[ClusterHead] | type[ClusterConcatHead],
    classes: int,
    size: Size,
    *,
    aux: bool,
    clusters: int,
    sigma: float,
    assignment: str,
    **backbone: Any,  # the options of BACKBONE
) -> SceneParser:
    trunk = make_trunk(**backbone)
    groups = ChannelGroups(trunk.channels4, clusters, sigma, shared=assignment == "shared")
    return SceneParser(classes, size, trunk, head(trunk.channels4, classes, groups), aux=aux)


def _not_in_onnx(network: SceneParser) -> str:
    groups = network.head.groups
    if isinstance(groups, ChannelGroups) and groups.shared:
        return ""
    return "with assignment=per_image it takes eigenvectors, for which ONNX has no operator"


OPTIONS = BACKBONE | {"aux": Option(True, "auxiliary head on the trunk's maps before the last ones, in training")}
CLUSTERING = {
    "clusters": Option(40, "groups of channels", low=2, high=2048),
    "sigma": Option(0.5, "width of the affinity between channels", low=0.01, high=1000),
    "assignment": Option(
        "shared", "groups: one set for all images, or each image its own", choices=("per_image", "shared")
    ),
}
THESIS = "https://github.com/steliosav/Diploma-Thesis"
NO_AUX = {"aux": False}
CROP = (713, 713)

SPECS = (
    ModelSpec(
        name="pspnet",
        family="pyramid scene parsing",
        factory=build_pspnet,
        source="https://github.com/hszhao/PSPNet",
        citation="Zhao et al., Pyramid Scene Parsing Network (2017)",
        rule=lambda options: GEOMETRY,
        published=(
            Published(classes=35, size=CROP, parameters=49_092_358),
            Published(classes=35, size=CROP, parameters=46_723_555, options=NO_AUX),
        ),
        options=OPTIONS,
        step_weights=auxiliary_weights,
    ),
    ModelSpec(
        name="clusternet",
        not_in_onnx=_not_in_onnx,
        family="pyramid scene parsing",
        factory=partial(build_clusternet, ClusterHead),
        source=THESIS,
        citation="Ng, Jordan and Weiss, On Spectral Clustering (2001)",
        rule=lambda options: GEOMETRY,
        published=(
            Published(classes=35, size=CROP, parameters=26_009_302),
            Published(classes=35, size=CROP, parameters=23_640_499, options=NO_AUX),
            Published(classes=19, size=CROP, parameters=26_003_894),
            Published(classes=20, size=CROP, parameters=26_004_232),
        ),
        options=OPTIONS | CLUSTERING,
        step_weights=auxiliary_weights,
    ),
    ModelSpec(
        name="clusternet_concat",
        not_in_onnx=_not_in_onnx,
        family="pyramid scene parsing",
        factory=partial(build_clusternet, ClusterConcatHead),
        source=THESIS,
        citation="Ng, Jordan and Weiss, On Spectral Clustering (2001)",
        rule=lambda options: GEOMETRY,
        published=(
            Published(classes=35, size=CROP, parameters=49_092_358),
            Published(classes=35, size=CROP, parameters=46_723_555, options=NO_AUX),
        ),
        options=OPTIONS | CLUSTERING,
        step_weights=auxiliary_weights,
    ),
)
