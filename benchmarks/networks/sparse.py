"""What skipping saves: the percentile network's stages 2 and 3 on tiles, against everywhere.

    python benchmarks/networks/sparse.py --out benchmarks/results/cpu/sparse.json           # some minutes on two cores
    python benchmarks/networks/sparse.py --size 128x256 --width 0.5 --rounds 3              # a quick look

Masks are planted: a smooth random field above a threshold, so that the active pixels lie in compact regions; of those
that stage 2 refines, half go on to stage 3. Stem and stage 1 are the same code in every execution and are timed once a
round; a forward is that and stages 2 and 3. Executions take turns within a round, ratios are taken within a round, and
the median of the rounds counts.

`ways` compares, on one convolution each, tiles with a gathered product: the neighbourhood of each active pixel as a
row, times the weights as a matrix.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import nnls
from torch import Tensor, nn

import segmodels
from segdata.base.numbers import size
from segdata.cli.script import Parser
from segmodels.bench.clock import clocked, warm_up
from segmodels.compute.device import arithmetic, autocast, choose_device
from segmodels.networks.percentile.macs import executed_macs, needed_macs
from segmodels.networks.percentile.network import PercentileNet
from segmodels.networks.percentile.sparse import (
    SIDE,
    convolutions_of,
    convolve,
    plan_stage,
    work_on_tiles,
)
from segmodels.networks.percentile.stage import Stage
from segmodels.networks.percentile.tiles import Canvas, tiles_over
from segmodels.runs.environment import describe_environment

SHARES = (1.0, 0.75, 0.5, 0.25, 0.1, 0.05, 0.0)  # active after stage 1
AFTER = 0.5  # of these, active after stage 2
ROUGHNESS = 1 / 16  # standard deviation of the smoothing, in heights of the image: regions of that order
PARTS = 4.0  # that begin on tiles: refinements and classifier of two stages
ROWS = 512  # of a gathered product: as many pixels at once
Masks = tuple[Tensor, Tensor]  # (1, 1, H, W) each, of stage 2 and of stage 3


# ---- what is measured on ---------------------------------------------------------------------------------------


def smooth_field(size: tuple[int, int], seed: int) -> Tensor:
    """Noise (1, 1, H, W) through a Gaussian."""
    sigma = ROUGHNESS * size[0]
    reach = int(3 * sigma)
    noise = torch.randn(1, 1, *(length + 2 * reach for length in size), generator=torch.Generator().manual_seed(seed))
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return F.conv2d(F.conv2d(noise, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))


def upper(field: Tensor, share: float) -> Tensor:
    """The pixels of the largest values, so many of them."""
    order = field.flatten().argsort(descending=True)
    mask = torch.zeros(field.numel(), dtype=torch.bool)
    mask[order[: round(share * field.numel())]] = True
    return mask.view_as(field)


def masks_of(share: float, size: tuple[int, int], device: torch.device, seed: int) -> Masks:
    """Nested: the upper part of the field goes through stage 2, half of it by another field through stage 3."""
    first = upper(smooth_field(size, seed), share)
    other = smooth_field(size, seed + 1).masked_fill(~first, -torch.inf)
    return first.to(device), upper(other, AFTER * share).to(device)


# ---- what is timed ---------------------------------------------------------------------------------------------


def before(network: PercentileNet, image: Tensor) -> tuple[Tensor, Tensor]:
    """Stem, stage 1 and its percentiles: what every execution computes."""
    features, logits = network.stages[0](network.stem(image), None)
    network._goes_on(logits, torch.ones_like(image[:, :1], dtype=torch.bool))
    return features, logits


def after(network: PercentileNet, features: Tensor, logits: Tensor, masks: Masks, skip: str) -> Tensor:
    """Stages 2 and 3 and the percentiles between them, with these masks in their place."""
    network._goes_on(logits, masks[0])
    for stage, mask in zip(network.stages[1:], masks, strict=True):
        features, step = stage(features, mask, skip)
        logits = torch.where(mask, step, logits)
    return logits


def rounds(network: PercentileNet, image: Tensor, masks: dict[float, Masks], count: int) -> Iterator[dict[str, float]]:
    """Milliseconds of one round: `before`, `dense`, each share on tiles, and `auto` where every pixel is active; and
    `percentiles`, which all of these but the first compute once.

    Dense is in the middle, where a clock that drifts is as far from it as from the shares on both sides.
    """
    everything = torch.ones_like(masks[1.0][0])
    for _ in range(count):
        (features, logits), common = clocked(lambda: before(network, image), image.device)

        def timed(skip: str, given: Masks, features: Tensor = features, logits: Tensor = logits) -> float:
            return clocked(lambda: after(network, features, logits, given, skip), image.device)[1]

        found, shares = {"before": common}, sorted(masks)
        found |= {f"{share:g}": timed("sparse", masks[share]) for share in shares[:4]}
        found["dense"] = timed("dense", masks[1.0])
        found |= {f"{share:g}": timed("sparse", masks[share]) for share in shares[4:]}
        found["auto"] = timed("auto", (everything, everything))
        percentiles = partial(network._goes_on, logits, everything)
        found["percentiles"] = clocked(percentiles, image.device)[1]
        yield found


# ---- tiles against gathered pixels -----------------------------------------------------------------------------


def gathered(conv: nn.Conv2d, features: Tensor, active: Tensor) -> Tensor:
    """The convolution at the active pixels of one image, as a product of rows: (n, C')."""
    side, dilation, pad = conv.kernel_size[0], conv.dilation[0], conv.kernel_size[0] // 2 * conv.dilation[0]
    grid = F.pad(features[0].permute(1, 2, 0), (0, 0, pad, pad, pad, pad))  # (H + 2·pad, W + 2·pad, C)
    width = grid.shape[1]
    y, x = active[0, 0].nonzero(as_tuple=True)
    steps = torch.arange(side, device=y.device) * dilation
    around = (steps[:, None] * width + steps).flatten()  # (k²,)
    weights = conv.weight.permute(2, 3, 1, 0).reshape(-1, conv.out_channels)  # (k²·C, C')
    rows = grid.flatten(0, 1)
    parts = (y * width + x).split(ROWS)
    return torch.cat([rows[part[:, None] + around].flatten(1) @ weights + conv.bias for part in parts])


def tiled(layer: nn.Sequential, features: Tensor, active: Tensor) -> Tensor:
    """The same on tiles, with a copy of the features as a stage makes one: (n, C', side, side)."""
    tiles = tiles_over(active, SIDE[features.device.type])
    margin = layer[0].kernel_size[0] // 2
    return convolve(layer, Canvas.of(features, tiles.side, margin), tiles)


def ways(stage: Stage, size: tuple[int, int], active: Tensor, count: int) -> list[dict[str, Any]]:
    """One convolution of a refinement and one of the classifier: milliseconds dense, on tiles, and gathered."""
    first: Any = stage.refinements[0]
    found = []
    for name, layer in (("refinement 5x5", first.branches[0]), ("classifier 9x9", stage.classifier[0])):
        alone = nn.Sequential(layer[0])  # without what follows it
        features = torch.randn(1, layer[0].in_channels, *size, device=active.device)
        calls: dict[str, Callable[[], Tensor]] = {
            "dense": lambda alone=alone, features=features: alone(features),
            "tiles": lambda alone=alone, features=features: tiled(alone, features, active),
            "gathered": lambda alone=alone, features=features: gathered(alone[0], features, active),
        }
        expected = alone(features)[0].permute(1, 2, 0)[active[0, 0]]
        assert torch.allclose(calls["gathered"](), expected, rtol=0, atol=1e-3)
        ms = {way: [] for way in calls}
        for _ in range(count):
            for way, call in calls.items():
                ms[way].append(clocked(call, active.device)[1])
        found.append({"convolution": name, **{f"{way}_ms": median(each) for way, each in ms.items()}})
    return found


# ---- what `auto` weighs ----------------------------------------------------------------------------------------


def work(stages: Sequence[Stage], masks: Masks) -> tuple[float, float]:
    """Products and copies of stages 2 and 3 on tiles."""
    done = [0.0, 0.0]
    for stage, active in zip(stages, masks, strict=True):
        plan = plan_stage(stage, active, "sparse")
        refinements = convolutions_of(stage.refinements)
        tiles = [*[plan.refine] * len(refinements), *(plan.classify or ())]
        found = work_on_tiles([*refinements, *convolutions_of(stage.classifier)], tiles)
        done = [sum(pair) for pair in zip(done, found, strict=True)]
    return done[0], done[1]


def prices(points: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    """Least squares over (products, copies, time): three costs, none negative, all in products of the dense execution,
    so that time = product · products + copy · copies + PARTS · start. Every point counts by its share, not its size.
    """
    table = np.array([[products, copies, PARTS] for products, copies, _ in points])
    times = np.array([time for *_, time in points])
    relative = table / times[:, None]
    unit = relative.max(axis=0)
    found = nnls(relative / unit, np.ones(len(points)))[0] / unit
    off = np.abs(table @ found / times - 1)
    product, copy, start = found.tolist()
    return {"product": product, "copy": copy, "start": start, "largest_error": float(off.max())}


def fitted(network: PercentileNet, masks: dict[float, Masks], ms: dict[str, float]) -> dict[str, float]:
    """The prices that follow from a run's times; what tiles and dense have in common is left out."""
    stages = [cast(Stage, stage) for stage in network.stages[1:]]
    dense = masks[1.0][0].numel() * sum(conv.weight.numel() for conv in convolutions_of(nn.ModuleList(stages)))
    same = ms["percentiles"]
    unit = dense / (ms["dense"] - same)  # products in a millisecond of dense stages
    return prices([(*work(stages, pair), unit * (ms[f"{share:g}"] - same)) for share, pair in masks.items()])


# ---- the result ------------------------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict[str, Any]:
    device = choose_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    size = options.size
    torch.manual_seed(0)
    network = segmodels.build("percentile", options.classes, size, width_factor=options.width).to(device).eval()
    image = torch.randn(1, 3, *size, device=device)
    masks = {share: masks_of(share, size, device, seed=7) for share in SHARES}
    with torch.inference_mode(), arithmetic(fast=options.fast), autocast(device, options.precision):
        warm_up(lambda: network(image[..., :64, :64]), device)
        if device.type == "cuda":  # kernels are chosen by shapes: a round that does not count
            next(rounds(network, image, masks, 1))
        done = list(rounds(network, image, masks, options.rounds))
        compared = ways(network.stages[1], size, masks[0.25][0], options.rounds) if options.precision == "fp32" else []
    ms = {name: median(each[name] for each in done) for name in done[0]}
    everything = torch.ones_like(masks[1.0][0])

    def macs(skip: str, given: Tensor) -> int:
        network.set_skip(skip)
        with autocast(device, options.precision):
            return int(executed_macs(network, given))

    full = macs("dense", everything.repeat(1, 3, 1, 1))
    rows = []
    for share, pair in masks.items():
        name, all_masks = f"{share:g}", torch.cat([everything, *pair], dim=1)
        totals = [(each["before"] + each[name]) / (each["before"] + each["dense"]) for each in done]
        rows.append(
            {
                "active": share,
                "sparse_ms": ms["before"] + ms[name],
                "ratio": median(totals),
                "ratio_low": min(totals),
                "ratio_high": max(totals),
                "ratio_of_stages_2_and_3": median(each[name] / each["dense"] for each in done),
                "macs_on_tiles": macs("sparse", all_masks) / full,
                "macs_needed": int(needed_macs(network, all_masks)) / full,
                "macs_of_auto": macs("auto", all_masks) / full,
            }
        )
    autos = [(each["before"] + each["auto"]) / (each["before"] + each["dense"]) for each in done]
    return {
        **describe_environment(device),
        "size": size,
        "classes": options.classes,
        "batch": 1,
        "width_factor": options.width,
        "precision": options.precision,
        "fast": options.fast,
        "rounds": options.rounds,
        "dense_ms": ms["before"] + ms["dense"],
        "stem_and_stage_1_ms": ms["before"],
        "full_macs": full,
        "rows": rows,
        "auto_at_100_percent": median(autos),
        "prices": fitted(network, masks, ms),
        "ways_at_25_percent": compared,
    }


def parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", type=size, default="512x1024")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--width", type=float, default=1.0, help="width_factor of the network")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--fast", action="store_true", help="not reproducible: TF32, kernels timed against each other")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    return parser


def main() -> None:
    options = parser().parse_args()
    result = measure(options)
    print(f"dense {result['dense_ms']:.0f} ms, of it {result['stem_and_stage_1_ms']:.0f} ms stem and stage 1")
    for row in result["rows"]:
        low, high = row["ratio_low"], row["ratio_high"]
        print(
            f"{row['active']:6.0%} active: {row['ratio']:.3f} of dense ({low:.3f} to {high:.3f}), stages 2 and 3"
            f" {row['ratio_of_stages_2_and_3']:.3f}; MACs on tiles {row['macs_on_tiles']:.3f}, needed"
            f" {row['macs_needed']:.3f}, of auto {row['macs_of_auto']:.3f}"
        )
    print("prices of `auto`, in products of dense: " + str(result["prices"]))
    print(f"auto at 100 %: {result['auto_at_100_percent']:.3f} of dense")
    for way in result["ways_at_25_percent"]:
        print(way)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
