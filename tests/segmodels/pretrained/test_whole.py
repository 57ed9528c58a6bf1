"""Files that hold a whole network, and what `segmodels weights` says of any file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import segmodels
from segdata.labels.taxonomy import TargetClass, Taxonomy
from segmodels import SegmodelsError
from segmodels.cli import cli
from segmodels.pretrained.pretrained import Start, load_init
from segmodels.spec import Colours
from segmodels.trunks.trunk import every_trunk

GREY = Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SMALL: dict[str, Any] = {"width_factor": 0.25}
NAMES = ("road", "car", "sky")


def taxonomy(*names: str) -> Taxonomy:
    return Taxonomy(
        "t", "", tuple(TargetClass(name, (0, 0, i), name, True, i, (name,)) for i, name in enumerate(names))
    )


def state_of(name: str, classes: int, seed: int, **options: Any) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return segmodels.build(name, classes, (32, 64), **options).state_dict()


def start(path: Path, *names: str, learnt: tuple[str, ...] | None = None) -> tuple[dict[str, Tensor], Start]:
    """What a dilated U-Net of seed 2 then holds, and how it begins."""
    declared = segmodels.spec("dilated_unet")
    chosen = declared.resolve(SMALL)
    torch.manual_seed(2)
    network = declared.build(len(names), (32, 64), chosen)
    begun = load_init(network, declared, chosen, (32, 64), taxonomy(*names), path, GREY, learnt)
    return network.state_dict(), begun


def test_a_network_without_a_trunk(tmp_path: Path) -> None:
    """Under any prefix in any container everything arrives but the classifier, which goes by names that are given,
    and is new where there are none, however many classes there are; of less than half nothing is taken."""
    old, fresh = state_of("dilated_unet", 3, 1, **SMALL), state_of("dilated_unet", 3, 2, **SMALL)
    there = {f"model.module.{name}": each for name, each in old.items()} | {"model.module.loss.weight": torch.ones(3)}
    torch.save({"epoch": 3, "state_dict": there}, tmp_path / "w.pth")
    state, begun = start(tmp_path / "w.pth", *NAMES)
    assert all(torch.equal(each, (fresh if name.startswith("out.") else old)[name]) for name, each in state.items())
    assert not begun.trunk_alone
    assert "classifier (out) by class name: none taken over, as the file does not name its classes" in begun.told
    assert begun.told.startswith("w.pth: 224 of 224 tensors loaded") and "(loss.weight)" in begun.told
    state, begun = start(tmp_path / "w.pth", "sky", "bird", learnt=NAMES)
    assert torch.equal(state["out.weight"][0], old["out.weight"][2])
    assert "1 of 2 taken over (sky), 1 new (bird)" in begun.told
    torch.save(dict(list(old.items())[: len(old) // 3]), tmp_path / "w.pth")
    with pytest.raises(SegmodelsError, match=r"has no trunk to load w\.pth into, and less than half of the network's"):
        start(tmp_path / "w.pth", *NAMES)


def test_a_trunk_is_no_network(tmp_path: Path) -> None:
    """A file with the trunk of a network, though that is most of its tensors, is a file of a trunk."""
    state = state_of("pspnet", 3, 1, backbone_depth=18)
    torch.save({name: each for name, each in state.items() if name.startswith("trunk.")}, tmp_path / "trunk.pth")
    torch.save(state, tmp_path / "whole.pth")
    declared = segmodels.spec("pspnet")
    chosen = declared.resolve({"backbone_depth": 18})
    for file, alone in (("trunk.pth", True), ("whole.pth", False)):
        network = declared.build(3, (32, 64), chosen)
        begun = load_init(network, declared, chosen, (32, 64), taxonomy(*NAMES), tmp_path / file, GREY)
        assert begun.trunk_alone == alone
        assert all(torch.equal(each, state[name]) for name, each in network.trunk.state_dict(prefix="trunk.").items())  # type: ignore[union-attr]


# ---- what a file holds ---------------------------------------------------------------------------------------


def said(path: Path, *arguments: str) -> list[str]:
    result = CliRunner().invoke(cli, ["weights", str(path), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_what_a_run_holds(make_run: Callable[..., Path], tmp_path: Path) -> None:
    """Its network, options, size, step and classes, and the line that goes on from it, quoted; the same as JSON."""
    run = make_run("dilated_unet", (32, 64), **SMALL)
    lines = said(run, "--json", str(tmp_path / "w.json"))
    answer = json.loads((tmp_path / "w.json").read_bytes())
    assert (
        answer["holds"].startswith("dilated_unet with ")
        and "built for 32x64, of run 000000000000 after step 1" in (answer["holds"])
    )
    assert len(answer["classes"]) == 20 and answer["classes"][0] == "road"
    (command,) = answer["fits"]
    assert shlex.split(command) == [
        *("segmodels", "train", "dilated_unet", "--init", str(run), "--option", "width_factor=0.25"),
    ]
    assert f"fits        {command}" in lines


def test_what_other_files_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trunk with the options that take all of it, and its classifier; one of our networks without metadata; a network
    of nobody here, with a reason. (Of our networks a few, as all are built to be compared.)"""
    few = ("clusternet", "clusternet_concat", "dilated_unet", "pspnet")
    monkeypatch.setattr("segmodels.pretrained.holding.names", lambda: few)
    options, trunk = next(each for each in every_trunk() if each[0].get("projection") == "pooled")
    weights = {f"backbone.{name}": torch.zeros(()).expand(each.shape) for name, each in trunk.state_dict().items()}
    torch.save(weights | {"fc.weight": torch.zeros(9, 4), "fc.bias": torch.zeros(9)}, tmp_path / "trunk of.pth")
    lines = said(tmp_path / "trunk of.pth")
    assert (
        "holds       ResNet-18, stem of three 3x3 convolutions, shortcuts with a mean of 2x2; names as of" in lines[1]
    )
    assert "at          backbone.*" in lines
    assert any("2 tensors (fc.weight, fc.bias), the classifier of 9 classes among them" in line for line in lines)
    fits = [shlex.split(line)[1:] for line in lines if line.startswith("fits  ")]
    assert {each[2] for each in fits} == {"clusternet", "clusternet_concat", "pspnet"}
    assert fits[0][3:] == [
        *("--init", str(tmp_path / "trunk of.pth"), "--option", "backbone_depth=18", "--option", "projection=pooled")
    ]
    assert options == {"backbone_depth": 18, "stem": "deep", "projection": "pooled"}
    torch.save(state_of("dilated_unet", 5, 1), tmp_path / "unet.pth")
    assert "holds       dilated_unet, without its classes and options" in said(tmp_path / "unet.pth")
    torch.save({"vgg.0.weight": torch.zeros(3)}, tmp_path / "vgg.pth")
    lines = said(tmp_path / "vgg.pth")
    assert "holds       a network that is none of ours: vgg.0.weight, …" in lines
    assert lines[-1].startswith("fits none   no network has half of these tensors by name and shape")
