"""The percentile network where its pixels still need it: stages 2 and 3 on tiles, and what that costs.

A refinement is needed at the active pixels, the classifier's last convolution too, the one before it at those that
the last one reads, and so on: each convolution is computed on the tiles that hold a pixel it is needed at. The answer
at active pixels is that of the dense execution, up to the rounding of sums.

`skip` says how stages 2 and 3 are executed in evaluation: `dense` everywhere, `sparse` on tiles, `auto` on tiles
where that is expected to be faster, decided for the refinements and for the classifier of each stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmodels.networks.percentile.stage import Refinement, Stage
from segmodels.networks.percentile.tiles import Canvas, Tiles, tiles_over

SKIPS = ("dense", "sparse", "auto")
SIDE = {"cpu": 8, "cuda": 16}  # of the tiles
# Of the patches convolved at once: on a CPU they stay in the cache, on a GPU each part costs its launches.
PATCH_BYTES = {"cpu": 3 * 2**20, "cuda": 256 * 2**20}
PLANES = 7  # from this kernel size on a CPU multiplies float32 patches faster as planes, the copy included

WORTH = 0.95  # tiles pay below this share of the dense cost: the features are copied once more


class Prices(NamedTuple):
    """What `auto` weighs, in products of the dense execution."""

    product: float  # of a product on tiles
    copy: float  # of copying a number into a patch
    start: float  # of the refinements or the classifier of a stage, however few tiles there are


# As `benchmarks/networks/sparse.py` fits them to its times, at the published width (narrower networks multiply less
# efficiently, dense and on tiles). They foretell a CPU's to a tenth where 10 % or more are active, an
# H100's to a sixth.
PRICES = {
    "cpu": Prices(1.2, 30, 0),
    "cuda": Prices(0.0, 257, 0.02e12),
    "cuda bf16": Prices(0.75, 217, 0.11e12),
}


# ---- what is computed where ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """Where a stage computes; None: everywhere."""

    refine: Tiles | None = None
    classify: tuple[Tiles, ...] | None = None  # of each convolution


def plan_stage(stage: Stage, active: Tensor | None, skip: str) -> Plan:
    """How a stage is executed for a mask (B, 1, H, W) under `skip`: dense, too, on a device that has no tiles."""
    if active is None or skip == "dense" or active.device.type not in SIDE:
        return Plan()
    kind = active.device.type
    refine, classify = needed_tiles(stage, active, SIDE[kind])
    if skip == "sparse":
        return Plan(refine, classify)
    refinements, classifier = convolutions_of(stage.refinements), convolutions_of(stage.classifier)
    return Plan(
        refine if _pays(refinements, [refine] * len(refinements), active) else None,
        classify if _pays(classifier, classify, active) else None,
    )


def needed_tiles(stage: Stage, active: Tensor, side: int) -> tuple[Tiles, tuple[Tiles, ...]]:
    """The tiles of the refinements, and of each of the classifier's convolutions: as far around the active pixels as
    the later ones read."""
    halos = [_halo(conv) for conv in convolutions_of(stage.classifier)]
    reaches = [sum(halos[number + 1 :]) for number in range(len(halos))]
    return tiles_over(active, side), tuple(tiles_over(active, side, reach) for reach in reaches)


def _pays(convolutions: Sequence[nn.Conv2d], tiles: Sequence[Tiles], active: Tensor) -> bool:
    """Whether these convolutions should be faster on their tiles than everywhere."""
    products, copies = work_on_tiles(convolutions, tiles)
    kind = active.device.type
    prices = PRICES.get(f"{kind} bf16" if torch.is_autocast_enabled(kind) else kind, PRICES[kind])
    cost = prices.product * products + prices.copy * copies + prices.start
    return cost < WORTH * active.numel() * sum(conv.weight.numel() for conv in convolutions)


def work_on_tiles(convolutions: Sequence[nn.Conv2d], tiles: Sequence[Tiles]) -> tuple[float, float]:
    """What is multiplied, and how many numbers are copied into patches for it."""
    pairs = list(zip(convolutions, tiles, strict=True))
    products = sum(each.pixels * conv.weight.numel() for conv, each in pairs)
    copies = sum(each.pixels * conv.in_channels * (1 + 2 * _halo(conv) / each.side) ** 2 for conv, each in pairs)
    return products, copies


def convolutions_of(module: nn.Module) -> list[nn.Conv2d]:
    """All convolutions inside, in their order."""
    return [each for each in module.modules() if isinstance(each, nn.Conv2d)]


def _halo(conv: nn.Conv2d) -> int:
    """How far it reads around a pixel."""
    return conv.kernel_size[0] // 2 * conv.dilation[0]


# ---- the execution ---------------------------------------------------------------------------------------------


def run_stage(stage: Stage, features: Tensor, active: Tensor | None, plan: Plan) -> tuple[Tensor, Tensor]:
    """What `stage` gives, by the plan. On tiles, logits of pixels that are not active have no meaning."""
    if active is None or plan == Plan():
        return stage(features, active)  # type: ignore[no-any-return]
    canvas = None
    if plan.refine is None:
        for refinement in stage.refinements:
            features = refinement(features, active)
    else:
        canvas = _canvas(stage, features, plan.refine.side)
        for refinement in stage.refinements:
            _refine(cast(Refinement, refinement), canvas, active, plan.refine)
        features = canvas.maps
    if plan.classify is None:
        return features, stage.classifier(features)
    canvas = canvas or _canvas(stage, features, plan.classify[0].side)
    return features, _classify(stage.classifier, canvas, plan.classify)


def _canvas(stage: Stage, features: Tensor, side: int) -> Canvas:
    return Canvas.of(features, side, max(_halo(conv) for conv in convolutions_of(stage)))


def _refine(refinement: Refinement, canvas: Canvas, active: Tensor, tiles: Tiles) -> None:
    update = torch.cat([convolve(branch, canvas, tiles) for branch in refinement.branches], dim=1)  # (n, 128, T, T)
    here = Canvas.of(active, tiles.side, 0).cut(tiles, 0)  # (n, 1, T, T)
    canvas.paste(tiles, canvas.cut(tiles, 0) + update * here)


def _classify(classifier: nn.Sequential, canvas: Canvas, plan: Sequence[Tiles]) -> Tensor:
    margins = [*(_halo(conv) for conv in convolutions_of(classifier)[1:]), 0]
    for layer, tiles, margin in zip(classifier, plan, margins, strict=True):
        values = convolve(layer, canvas, tiles)
        canvas = Canvas.like(values, len(canvas.grid), canvas.size, tiles.side, margin)
        canvas.paste(tiles, values)
    return canvas.maps


def convolve(layer: nn.Module, canvas: Canvas, tiles: Tiles) -> Tensor:
    """Convolution, ReLU and norm at the tiles: (n, C', side, side)."""
    conv, *rest = cast(nn.Sequential, layer)
    assert isinstance(conv, nn.Conv2d)
    halo = _halo(conv)
    patch = (tiles.side + 2 * halo) ** 2 * conv.in_channels * canvas.grid.element_size()  # bytes
    kind = canvas.grid.device.type
    planes = kind == "cpu" and canvas.grid.dtype == torch.float32 and conv.kernel_size[0] >= PLANES
    values = []
    with _no_trials():
        for part in tiles.split(max(1, PATCH_BYTES[kind] // patch)):
            patches = canvas.cut(part, halo)
            patches = patches.contiguous() if planes else patches
            value = F.conv2d(patches, conv.weight, conv.bias, dilation=conv.dilation)
            for module in rest:
                value = module(value)
            values.append(value)
    return torch.cat(values)


@contextmanager
def _no_trials() -> Iterator[None]:
    """Each number of tiles is a shape of its own: cuDNN must not time its kernels against each other for each."""
    cudnn = torch.backends.cudnn
    before, cudnn.benchmark = cudnn.benchmark, False
    try:
        yield
    finally:
        cudnn.benchmark = before
