"""How alike are the maps that a trained PSPNet or ClusterNet decides by?

    python benchmarks/networks/redundancy.py RUN --shards SHARDS --every 5 --out redundancy.json

RUN is the folder of a finished run, or a weights file of one. Nothing is scored: of each image the mean absolute
correlation is taken over all pairs of maps, at 1/8 of the image's size, and its mean over the images. `trunk` are the
maps of layer4; `groups` are the means of ClusterNet's groups, which its head sees (null for pspnet). A map without any
contrast in an image correlates with none and is left out there; `used` says how many are not. The value of each image
is kept, so that intervals can be taken.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segdata import ShardSet
from segdata.cli.script import Parser
from segdata.errors import SegdataError
from segmodels.compute.device import arithmetic, choose_device
from segmodels.errors import SegmodelsError
from segmodels.inference.trained import load_trained, weights_file
from segmodels.networks.pspnet.clustering import group_means, membership
from segmodels.networks.pspnet.network import ClusterConcatHead, ClusterHead, SceneParser
from segmodels.runs.checkpoint import load_weights
from segmodels.runs.environment import describe_environment


def redundancy(maps: Tensor) -> tuple[float, int]:
    """Mean absolute correlation over the pairs of maps (C, h, w) with contrast, and how many have. Of one map 0."""
    rows = maps.flatten(1).double()
    centred = rows - rows.mean(dim=1, keepdim=True)
    length = centred.norm(dim=1)
    used = length > 1e-5 * rows.norm(dim=1)  # what is left of a constant map is rounding
    unit = centred[used] / length[used, None]
    count = len(unit)
    if count < 2:
        return 0.0, count
    correlations = (unit @ unit.T).abs().fill_diagonal_(0)
    return float(correlations.sum() / (count * (count - 1))), count


@torch.inference_mode()
def maps_of(network: nn.Module, image: Tensor) -> tuple[Tensor, Tensor | None]:
    """The maps of layer4 (C, h, w) for an image (1, 3, H, W), and the means of their groups (k, h, w) if it has any."""
    if not isinstance(network, SceneParser):
        raise SegmodelsError(f"{type(network).__name__} has no such maps: name a run of pspnet or clusternet")
    trunk: Tensor = network.trunk(image)[1]
    head = network.head
    if not isinstance(head, ClusterHead | ClusterConcatHead):
        return trunk[0], None
    maps = head.norm_maps(trunk) if isinstance(head, ClusterHead) else trunk
    groups = head.groups
    return trunk[0], group_means(maps, membership(groups(maps), groups.count))[0]


def summary(found: Iterable[tuple[float, int]]) -> dict[str, Any]:
    """Of `redundancy` of each image."""
    values, used = zip(*found, strict=True)
    return {
        "mean_abs_correlation": sum(values) / len(values),
        "used": sum(used) / len(used),
        "each_image": list(values),
    }


def measured(run: Path, split: ShardSet, every: int, device: torch.device) -> dict[str, Any]:
    """The figures of a run on each N-th image of a split."""
    segmenter = load_trained(run, device)
    about = load_weights(weights_file(run))[1]
    trunk, groups = [], []
    images = range(0, len(split), every)
    with arithmetic(fast=False):
        for i in images:
            maps, means = maps_of(segmenter.network, segmenter.input(split.read(i).image))
            trunk.append(redundancy(maps))
            if means is not None:
                groups.append(redundancy(means))
    return {
        "network": segmenter.name,
        **{name: about[name] for name in ("options", "run", "step")},
        "set": split.manifest.name,
        "split": split.split,
        "images": [split.key(i) for i in images],
        "trunk": summary(trunk),
        "groups": summary(groups) if groups else None,
        "environment": describe_environment(device),
    }


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=1, help="each N-th image of the split")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.every < 1:
        parser.error(f"--every is {options.every}, expected at least 1: each N-th image")
    split = ShardSet(options.shards, options.split)
    found = measured(options.run, split, options.every, choose_device(options.device))
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    for name in ("trunk", "groups"):
        if row := found[name]:
            print(f"{name}: mean |correlation| {row['mean_abs_correlation']:.4f} of {row['used']:.1f} maps")


if __name__ == "__main__":
    try:
        main()
    except SegdataError as error:
        sys.exit(f"redundancy.py: {error}")
