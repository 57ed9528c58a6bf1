"""Trunk weights under other names, and the report of what was taken."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import segmodels
from segmodels import SegmodelsError
from segmodels.pretrained import load_trunk

STEM_OF_PSPNET = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4, "conv3": 6, "bn3": 7}


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return segmodels.build("pspnet", classes=3, size=(32, 32), backbone_depth=18)


def trunk_weights(seed: int) -> dict[str, Tensor]:
    """Another network's trunk, without the counters that old files do not have."""
    trunk = network(seed).get_submodule("trunk")
    for name, buffer in trunk.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_()  # so that a norm that was not loaded is seen
    return {name: each for name, each in trunk.state_dict().items() if "num_batches" not in name}


def as_pspnet(name: str) -> str:
    """The name in a PSPNet checkpoint: a sequential stem, and the wrapper of parallel training."""
    layer, rest = name.split(".", 1)
    return f"module.layer0.{STEM_OF_PSPNET[layer]}.{rest}" if layer in STEM_OF_PSPNET else f"module.{name}"


def torchvision_stem(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights as a plain ResNet-18 has them: a 7x7 stem of 64 maps that layer1 takes as they are."""
    absent = ("conv2.", "conv3.", "bn2.", "bn3.", "layer1.0.downsample.")
    plain = {name: each for name, each in weights.items() if not name.startswith(absent)}
    plain["conv1.weight"] = torch.randn(64, 3, 7, 7)
    plain["layer1.0.conv1.weight"] = torch.randn(64, 64, 3, 3)
    plain["fc.weight"] = torch.randn(1000, 512)
    return plain


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("rename", [str, as_pspnet, "trunk.{}".format])
def test_every_tensor_arrives(tmp_path: Path, rename: object, suffix: str) -> None:
    """Under each naming and in both formats the whole trunk is loaded, and the report says so."""
    weights = trunk_weights(seed=1)
    renamed = {rename(name): each for name, each in weights.items()}  # type: ignore[operator]
    path = tmp_path / f"weights{suffix}"
    save_file(renamed, path) if suffix == ".safetensors" else torch.save(renamed, path)
    loaded = network(seed=2)
    report = load_trunk(loaded, path)
    state = loaded.get_submodule("trunk").state_dict()
    assert all(torch.equal(state[name], each) for name, each in weights.items())
    assert set(report.matched) == set(weights)
    assert not (report.missing or report.refused or report.unused)


def test_nested_checkpoint_with_heads(tmp_path: Path) -> None:
    """Weights below `state_dict` are found; another network's heads are reported, not loaded."""
    weights = trunk_weights(seed=1)
    content = {"epoch": 3, "state_dict": {**weights, "cls.0.weight": torch.zeros(3)}}
    torch.save(content, tmp_path / "c.pth")
    report = load_trunk(network(seed=2), tmp_path / "c.pth")
    assert len(report.matched) == len(weights)
    assert report.unused == ("cls.0.weight",)


def test_plain_stem(tmp_path: Path) -> None:
    """Of a plain ResNet-18 all but the stem and what follows it directly is taken, norms included."""
    weights = torchvision_stem(trunk_weights(seed=1))
    torch.save(weights, tmp_path / "resnet18.pth")
    loaded = network(seed=2)
    before = {name: each.clone() for name, each in loaded.get_submodule("trunk").state_dict().items()}
    report = load_trunk(loaded, tmp_path / "resnet18.pth")
    norm = [f"bn1.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
    refused = ["conv1.weight", *norm, "layer1.0.conv1.weight", *(f"layer1.0.{name}" for name in norm)]
    assert [line.split(":")[0] for line in report.refused] == refused
    assert report.refused[0] == "conv1.weight: (64, 3, 7, 7) in the file, (64, 3, 3, 3) here"
    assert report.refused[1] == "bn1.weight: conv1.weight does not fit"
    assert {name.rsplit(".", 1)[0] for name in report.missing} == {
        "conv2", "bn2", "conv3", "bn3", "layer1.0.downsample.0", "layer1.0.downsample.1",
    }  # fmt: skip
    assert report.unused == ("fc.weight",)
    after = loaded.get_submodule("trunk").state_dict()
    assert all(torch.equal(after[name], before[name]) for name in (*refused, *report.missing))
    assert all(torch.equal(after[name], weights[name]) for name in report.matched)
    assert str(report) == (
        f"{len(report.matched)} of {23 * 5} trunk tensors loaded, {len(report.missing)} not in the file, "
        "10 do not fit; 1 in the file are not the trunk's"
    )


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """Missing, broken and foreign files, and networks without a trunk, are refused by name."""
    with pytest.raises(SegmodelsError, match=r"no weights file .*nowhere\.pth"):
        load_trunk(network(1), tmp_path / "nowhere.pth")
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"no weights at all")
        with pytest.raises(SegmodelsError, match=rf"{name}(:| is no) .*(damaged|never run)"):
            load_trunk(network(1), tmp_path / name)
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "vgg.pth")
    with pytest.raises(SegmodelsError, match=r"vgg\.pth fits the trunk: it holds features\.0\.weight"):
        load_trunk(network(1), tmp_path / "vgg.pth")
    with pytest.raises(SegmodelsError, match="Linear has no ResNet trunk"):
        load_trunk(nn.Linear(2, 2), tmp_path / "vgg.pth")


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    """A .pth that would call something when unpickled is refused unread."""

    class Caller:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (Path.touch, (tmp_path / "called",))

    torch.save({"conv1.weight": Caller()}, tmp_path / "evil.pth")
    with pytest.raises(SegmodelsError, match="is no"):
        load_trunk(network(1), tmp_path / "evil.pth")
    assert not (tmp_path / "called").exists()
