"""ClusterNet with random groups, the control for its clustering: weights that a training can start from.

    python benchmarks/networks/random_groups.py --shards SHARDS --option backbone_depth=18 --out random.safetensors
    segmodels train clusternet --init random.safetensors --shards SHARDS --option backbone_depth=18 --out RUN …

The weights are those that `segmodels train` draws itself from the same --seed, so a run that starts here differs from
one without --init in nothing but its groups. They are of equal size, drawn from the seed, and stay: the network is told
that the batches from which groups are made (`ChannelGroups`) are over. That is a file and no option of the network, for
nobody wants such groups but who measures what the clustering is worth; the run is resumed and verified as any other.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

import segmodels
from segdata import ShardSet
from segdata.cli.script import Parser
from segdata.errors import SegdataError
from segmodels.config.config import IMAGENET_MEAN, IMAGENET_STD
from segmodels.errors import SegmodelsError
from segmodels.networks.pspnet.groups import ChannelGroups
from segmodels.runs.checkpoint import save_weights
from segmodels.spec import Value

NETWORKS = ("clusternet", "clusternet_concat")


def draw_groups(groups: ChannelGroups, seed: int) -> None:
    """Put the channels into groups at random, of equal size as far as it goes, and let them stay."""
    channels = len(groups.assignment)
    order = torch.randperm(channels, generator=torch.Generator().manual_seed(seed))
    groups.assignment.copy_((torch.arange(channels) * groups.count // channels)[order])
    groups.batches.fill_(groups.REFRESHED_UP_TO)


def write(out: Path, name: str, options: dict[str, Value], shards: ShardSet, seed: int) -> None:
    """The weights of a new network with random groups, and what `--init` has to know of them."""
    size = shards.size_of(0)
    torch.manual_seed(seed)
    network = segmodels.build(name, len(shards.taxonomy.classes), size, **options)
    groups = network.get_submodule("head.groups")
    if not isinstance(groups, ChannelGroups) or not groups.shared:
        raise SegmodelsError(f"{name}: assignment is per_image, expected shared: random groups are those of all images")
    draw_groups(groups, seed)
    about: dict[str, Any] = {
        "network": name,
        "options": options,
        "size": size,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "taxonomy": shards.taxonomy.document(),
        "run": f"random groups, seed {seed}",
        "step": 0,
    }
    save_weights(out, network.state_dict(), about)


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default=NETWORKS[0], choices=NETWORKS)
    parser.add_argument("--shards", type=Path, required=True, help="those of the training: their classes are counted")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    options = segmodels.spec(given.network).parse(dict(text.partition("=")[::2] for text in given.option))
    write(given.out, given.network, options, ShardSet(given.shards, "train"), given.seed)


if __name__ == "__main__":
    try:
        main()
    except SegdataError as error:
        sys.exit(f"random_groups.py: {error}")
