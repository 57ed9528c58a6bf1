"""Does a slot of ClusterNet hold the same channels in two images, and before and after its groups are made anew?

    python benchmarks/networks/slots.py --shards SHARDS --out benchmarks/results/cpu/slots.json

A slot is a group's place in what the head sees. Counted is the share of channels that are in the same slot in two
assignments: as their groups are numbered (by their smallest channel), and after the best matching of their slots.
Beside each stands what chance gives, for groups of the same sizes: the second assignment with its channels shuffled.

* `images`: every pair of eight images, each with groups of its own (assignment=per_image), on a trunk with random
  weights, on the trunk that the training below ends with, and on that of `--run RUN`, a finished run of `clusternet`.
* `refreshes`: the shared groups each time that they are made (batches 1, 2, 4, …) against those of before. `matched` is
  what the network does, `numbered` are the same groups without the matching.

Trains `clusternet` for a few steps of a long run: ResNet-18, crops of 96x128. SHARDS holds what `segdata prepare camvid
--size 180x240` wrote. About a minute on one thread.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import segmodels
from segdata import ShardSet
from segdata.cli.script import Parser
from segdata.errors import SegdataError
from segmodels.compute.device import arithmetic
from segmodels.config.config import TrainConfig
from segmodels.config.recipes import make_config
from segmodels.data.images import normalise
from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.trained import load_trained, weights_file
from segmodels.networks.pspnet.clustering import canonical, cluster_channels
from segmodels.networks.pspnet.matching import keep_slots
from segmodels.runs.checkpoint import Weights, load_checkpoint, load_weights
from segmodels.runs.environment import describe_environment
from segmodels.training.train import train

SLOTS, SIGMA, IMAGES = 40, 0.5, 8
OPTIONS = (("backbone_depth", 18), ("clusters", SLOTS), ("sigma", SIGMA))
RUN = {"steps": 2000, "batch_size": 4, "crop": (96, 128), "workers": 1, "device": "cpu", "options": OPTIONS}


def same_slot(one: Tensor, other: Tensor) -> dict[str, float]:
    """The share of channels in the same slot of two assignments (C,): as numbered, matched, and what chance gives."""
    shuffled = other[torch.randperm(len(other), generator=torch.Generator().manual_seed(0))]
    return {
        "numbered": _share(one, other),
        "matched": _share(keep_slots(one, other, SLOTS), other),
        "numbered_by_chance": _share(one, shuffled),
        "matched_by_chance": _share(keep_slots(one, shuffled, SLOTS), shuffled),
    }


def _share(one: Tensor, other: Tensor) -> float:
    return float((one == other).double().mean())


# ---- between images -------------------------------------------------------------------------------------------


def groups_of_images(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The groups that each image has for itself; norms see all of them together, as in training."""
    with torch.no_grad():
        maps = network.get_submodule("head.norm_maps")(network.get_submodule("trunk")(images)[1])
        return [cluster_channels(each[None], SLOTS, SIGMA) for each in maps]


def between_images(network: nn.Module, images: Tensor, steps: int) -> dict[str, Any]:
    """Over all pairs: mean, lowest and highest share; how many groups there are, and how large they get."""
    groups = groups_of_images(network.train(), images)
    pairs = [same_slot(one, other) for one, other in combinations(groups, 2)]
    found = {name: [pair[name] for pair in pairs] for name in pairs[0]}
    return {
        "steps": steps,
        "pairs": len(pairs),
        **{name: {"mean": sum(s) / len(s), "low": min(s), "high": max(s)} for name, s in found.items()},
        "groups": [int((each.bincount() > 0).sum()) for each in groups],
        "largest_group": [int(each.bincount().max()) for each in groups],
    }


# ---- between refreshes ----------------------------------------------------------------------------------------


def between_refreshes(assignments: dict[int, Tensor]) -> list[dict[str, Any]]:
    """Each assignment (batch -> (C,)) against the one before, as the network has them."""
    rows = []
    for (before, one), (batch, other) in pairwise(assignments.items()):
        plain = same_slot(canonical(other, SLOTS), canonical(one, SLOTS))
        rows.append({"batch": batch, "before": before, **plain, "matched": _share(one, other)})
    return rows


def trained(config: TrainConfig, batches: Sequence[int]) -> dict[int, Weights]:
    """The weights after each of these batches: the real training, which goes on from its own checkpoint."""
    found = {}
    for batch in batches:
        run = train(config, until=batch, show=lambda _: None).run
        found[batch] = load_checkpoint(run.last, run.document()["id"]).weights
        print(f"{batch} steps", flush=True)
    return found


# ---- both -----------------------------------------------------------------------------------------------------


def load_finished(run: Path) -> tuple[Segmenter, int]:
    """A finished run of `clusternet`, and its number of steps. Raises SegmodelsError."""
    segmenter = load_trained(run, torch.device("cpu"))
    if segmenter.name != "clusternet":
        raise SegmodelsError(f"{run} is a run of {segmenter.name}, expected one of clusternet")
    return segmenter, int(load_weights(weights_file(run))[1]["step"])


def measured(shards: Path, scratch: Path, steps: int, run: Path | None) -> dict[str, Any]:
    """All figures; `steps` is a power of two, `run` a finished run whose trunk is looked at as well."""
    finished = None if run is None else load_finished(run)
    split = ShardSet(shards, "train")
    config = make_config("clusternet", None, {**RUN, "shards": shards, "out": scratch / "run"})
    batches = [2**power for power in range(steps.bit_length())]
    weights = trained(config, batches)
    pixels = [split.read(i * len(split) // IMAGES).image for i in range(IMAGES)]
    frames = torch.stack([torch.from_numpy(each) for each in pixels])
    images = normalise(frames, config.mean, config.std)
    with arithmetic(fast=False):
        torch.manual_seed(config.seed)
        network = segmodels.build("clusternet", len(split.taxonomy.classes), config.crop or (0, 0), **dict(OPTIONS))
        rows = [between_images(network, images, 0)]
        network.load_state_dict(weights[batches[-1]])
        rows.append(between_images(network, images, batches[-1]))
        if finished is not None:
            segmenter, step = finished
            images = normalise(frames, segmenter.mean, segmenter.std)
            rows.append(between_images(segmenter.network, images, step) | {"run": segmenter.run})
    kept = {batch: each["head.groups.assignment"].clone() for batch, each in weights.items()}
    height, width = pixels[0].shape[:2]
    return {
        "set": split.manifest.name,
        "images_size": [height, width],
        "training": {name: config.document()[name] for name in ("options", "batch_size", "crop", "lr", "seed")},
        "images": rows,
        "refreshes": between_refreshes(kept),
        "environment": describe_environment(torch.device("cpu")),
    }


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=64, help="of training, a power of two")
    parser.add_argument("--run", type=Path, help="a finished run of clusternet, whose trunk is looked at as well")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.steps.bit_count() != 1:
        parser.error(f"--steps is {options.steps}, expected a power of two: groups are made after 1, 2, 4, … batches")
    with tempfile.TemporaryDirectory() as folder:
        found = measured(options.shards, Path(folder), options.steps, options.run)
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    for row in (*found["images"], *found["refreshes"]):
        print(row)


if __name__ == "__main__":
    try:
        main()
    except SegdataError as error:
        sys.exit(f"slots.py: {error}")
