"""Trunks that one network has: files that name them as their authors do fill them whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import segmodels
from segmodels import SegmodelsError
from segmodels.pretrained.holding import inspect
from segmodels.pretrained.kinds import kind_of
from segmodels.pretrained.pretrained import load_trunk

SMALL = {
    "ddrnet23_slim": {"width": 4, "pyramid_width": 8, "head_width": 4},
    "segformer_b0": {"head_channels": 4, "decoder_channels": 8},
}
# Names as they stand in public files, typed in from there, by the one who wrote these.
THERE = {
    ("ddrnet23_slim", "the authors"): [
        "conv1.3.bias", "layer1.1.bn2.weight", "layer3_.0.conv1.weight", "layer5_.0.downsample.1.running_var",
        "layer5.0.bn3.bias", "compression4.1.bias", "down3.0.weight", "down4.3.weight", "down4.4.running_mean",
    ],
    ("ddrnet23_slim", "mmsegmentation"): [
        "stem.1.conv.bias", "stem.2.1.conv2.bn.weight", "stem.4.0.downsample.0.weight", "down_1.conv.weight",
        "spatial_branch_layers.2.0.conv3.bn.bias", "context_branch_layers.1.1.conv1.conv.weight", "down_2.1.bn.bias",
        "compression_2.conv.weight",
    ],
    ("segformer_b0", "transformers"): [
        "encoder.patch_embeddings.0.proj.weight", "encoder.patch_embeddings.3.layer_norm.bias",
        "encoder.block.0.1.attention.self.sr.weight", "encoder.block.2.0.attention.self.layer_norm.weight",
        "encoder.block.3.1.attention.output.dense.bias", "encoder.block.1.0.mlp.dwconv.dwconv.weight",
        "encoder.block.1.0.layer_norm_2.weight", "encoder.layer_norm.2.bias",
    ],
    ("segformer_b0", "transformers 5"): [
        "stages.0.patch_embeddings.proj.weight", "stages.3.blocks.1.attention.k_proj.bias",
        "stages.1.blocks.0.attention.sequence_reduction.layer_norm.weight", "stages.2.layer_norm.bias",
    ],
}  # fmt: skip


def built(name: str, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return segmodels.build(name, 3, (64, 64), **SMALL[name])


@pytest.mark.parametrize(("name", "whose"), THERE)
def test_a_file_of_somebody_fills_the_trunk(name: str, whose: str, tmp_path: Path) -> None:
    """Every tensor behind a prefix, beside a classifier; the names are those of the public files."""
    theirs, ours = (built(name, seed).get_submodule("trunk") for seed in (1, 2))
    (naming,) = (each for each in kind_of(theirs).namings if each.whose == whose)
    there = {}
    for path, each in theirs.state_dict().items():
        layer, _, leaf = path.rpartition(".")
        there[f"{naming.layers[layer]}.{leaf}"] = each
    assert len(there) == len(theirs.state_dict()) and not {*THERE[name, whose]} - there.keys()
    torch.save({"model": {f"module.{path}": each for path, each in there.items()} | {"fc.bias": torch.ones(9)}},
               tmp_path / "weights.pth")  # fmt: skip
    report = load_trunk(torch.nn.ModuleDict({"trunk": ours}), tmp_path / "weights.pth")
    assert not report.random and report.unused == ("fc.bias",)
    for path, each in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[path], each), path


@pytest.mark.parametrize(
    ("name", "options", "holds", "fits"),
    [
        ("ddrnet23_slim", {}, "DDRNet-23-slim; names as of the authors", ""),
        ("segformer_b0", {"head_channels": 64}, "mix transformer B1; names as of transformers", "head_channels=64"),
    ],
)
def test_which_network_such_a_file_fits(
    name: str, options: dict[str, Any], holds: str, fits: str, tmp_path: Path
) -> None:
    """`segmodels weights` names it with its options; a network with another trunk is told of it."""
    path, trunk = tmp_path / "weights.pth", segmodels.build(name, 3, (64, 64), **options).get_submodule("trunk")
    naming = kind_of(trunk).namings[1]
    there = {path: path.rpartition(".") for path in trunk.state_dict()}
    torch.save(
        {f"{naming.layers[layer]}{dot}{leaf}": trunk.state_dict()[path] for path, (layer, dot, leaf) in there.items()},
        path,
    )
    found = inspect(path)
    assert found.holds == holds
    assert found.fits == (f"segmodels train {name} --init {path} --option {fits}".removesuffix(" --option "),)
    with pytest.raises(SegmodelsError, match=rf"Use the network {name}.*, or name another --init"):
        load_trunk(segmodels.build("clusternet", 3, (64, 64), backbone="mobilenet_v2"), path)


@pytest.mark.parametrize("name", SMALL)
def test_a_trunk_of_another_width(name: str, tmp_path: Path) -> None:
    """Refused in a line that says what was expected."""
    torch.save(built(name, 1).state_dict(), tmp_path / "weights.pth")
    wider = segmodels.build(name, 3, (64, 64))
    with pytest.raises(SegmodelsError, match=r"nothing in .*weights.pth fits the trunk|holds too little of a"):
        load_trunk(wider, tmp_path / "weights.pth")
