"""What the benchmarks of ClusterNet's groups measure: slots, redundancy, and a start with random groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import segmodels
from benchmarks.networks.random_groups import write
from benchmarks.networks.redundancy import maps_of, measured, redundancy
from benchmarks.networks.slots import SLOTS, between_refreshes, same_slot
from segdata import ShardSet
from segmodels import SegmodelsError
from segmodels.inference.trained import load_trained
from segmodels.pretrained.pretrained import load_init
from segmodels.runs.checkpoint import load_weights
from segmodels.spec import Colours

SMALL = {"backbone_depth": 18, "clusters": 8}
Make = Callable[..., Path]


def test_slots_of_the_same_groups() -> None:
    """Under other numbers no channel is where it was, and after the matching every one; chance gives few of them."""
    one = torch.arange(400) % SLOTS
    found = same_slot(one, (one + 1) % SLOTS)
    assert (found["numbered"], found["matched"]) == (0, 1)
    assert found["numbered_by_chance"] < 0.1 and found["matched_by_chance"] < 0.3


def test_slots_of_groups_that_are_made_anew() -> None:
    """What the network kept is counted as it is; beside it the same groups by their smallest channel."""
    before = torch.arange(SLOTS).flip(0).repeat(2)
    after = before.clone()
    after[0] = before[1]
    (row,) = between_refreshes({1: before, 2: after})
    assert (row["batch"], row["before"]) == (2, 1)
    assert row["matched"] == 1 - 1 / len(before) and row["numbered"] == 1 / len(before)


def test_redundancy() -> None:
    """NumPy's correlations without the diagonal; maps without contrast are left out, and a copy is all redundant."""
    maps = torch.randn(6, 5, 7, generator=torch.Generator().manual_seed(0))
    maps[2], maps[4] = 0.3, 0.0
    correlations = np.abs(np.corrcoef(maps[[0, 1, 3, 5]].flatten(1).double()))
    value, used = redundancy(maps)
    assert used == 4 and value == pytest.approx((correlations.sum() - 4) / 12)
    assert redundancy(torch.stack([maps[0], 2 * maps[0] + 1, -maps[0]])) == (pytest.approx(1), 3)
    assert redundancy(maps[2:3]) == (0, 0)


def test_redundancy_of_a_run(make_run: Make, val: ShardSet) -> None:
    """Of the maps that the head sees: means of the groups that the prediction reports, after the head's norm. A run of
    before, when each image had groups of its own, still has them."""
    run = make_run("clusternet", **SMALL, assignment="per_image")
    found = measured(run, val, 2, torch.device("cpu"))
    assert found["images"] == val.keys[::2] and found["options"]["assignment"] == "per_image"
    assert not load_trained(run, torch.device("cpu")).network.get_submodule("head.groups").shared
    assert found["trunk"]["used"] > 400 and found["groups"]["used"] == 8
    torch.manual_seed(0)
    network = segmodels.build("clusternet", 3, (64, 64), **SMALL).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        labels = network(image).extras["assignment"][0]
        trunk, means = maps_of(network, image)
        normed = network.get_submodule("head.norm_maps")(trunk[None])[0]
    assert means is not None
    torch.testing.assert_close(means, torch.stack([normed[labels == group].mean(dim=0) for group in range(8)]))
    assert maps_of(segmodels.build("pspnet", 3, (64, 64), backbone_depth=18).eval(), image)[1] is None
    with pytest.raises(SegmodelsError, match="name a run of pspnet or clusternet"):
        maps_of(torch.nn.Identity(), image)


def test_random_groups(make_street_shards: Make, tmp_path: Path) -> None:
    """All that a training from them does not share with one from its seed is the groups; these stay."""
    shards = ShardSet(make_street_shards(), "train")
    declared = segmodels.spec("clusternet")
    options, size = declared.resolve(SMALL), (32, 64)
    file = tmp_path / "random.safetensors"
    write(file, "clusternet", options, shards, seed=3)
    colours = Colours(*(load_weights(file)[1][name] for name in ("mean", "std")))
    torch.manual_seed(3)
    network = declared.build(len(shards.taxonomy.classes), size, options)
    seeds = {name: each.clone() for name, each in network.state_dict().items()}
    told = load_init(network, declared, options, size, shards.taxonomy, file, colours).told
    assert "warning" not in told
    changed = [name for name, each in network.state_dict().items() if not torch.equal(each, seeds[name])]
    assert sorted(changed) == ["head.groups.assignment", "head.groups.batches"]
    drawn = network.get_buffer("head.groups.assignment").clone()
    assert drawn.bincount().tolist() == [64] * 8
    network.train()(torch.randn(2, 3, *size))
    assert torch.equal(network.get_buffer("head.groups.assignment"), drawn)
    with pytest.raises(SegmodelsError, match="assignment is per_image, expected shared"):
        write(file, "clusternet", options | {"assignment": "per_image"}, shards, seed=3)
