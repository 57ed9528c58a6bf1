"""Weights to start from: trunks under other names, classifiers of other classes, and the report of what was taken."""

import argparse
import re
import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import segmodels
from segdata.labels.taxonomy import TargetClass, Taxonomy
from segmodels import SegmodelsError
from segmodels.pretrained.pretrained import load_init, load_trunk
from segmodels.pretrained.trunk import TrunkReport
from segmodels.runs.checkpoint import save_weights
from segmodels.spec import Colours
from segmodels.trunks.resnet import ResNet
from segmodels.trunks.trunk import BACKBONE, make_trunk

STEM = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")
SEQUENCE = dict(zip(STEM, (0, 1, 3, 4, 6, 7), strict=True))
TIMM = dict(zip(STEM, ("conv1.0", "conv1.1", "conv1.3", "conv1.4", "conv1.6", "bn1"), strict=True))
NORM = ("weight", "bias", "running_mean", "running_var")


def network(seed: int) -> nn.Module:
    """A trunk of depth 18 alone."""
    torch.manual_seed(seed)
    return nn.ModuleDict({"trunk": ResNet(18)})


def trunk_weights() -> dict[str, Tensor]:
    """Another network's trunk, a number for each tensor so that files stay small; without counters, as old files."""
    with torch.device("meta"):
        shapes = {name: each.shape for name, each in ResNet(18).state_dict().items() if "num_batches" not in name}
    return {name: torch.full((1,), 0.5 + number).expand(shape) for number, (name, shape) in enumerate(shapes.items())}


def renaming(stem: dict[str, str], before: str = "") -> Callable[[str], str]:
    """A naming of the stem's layers, and what stands before all names."""

    def rename(name: str) -> str:
        layer, rest = name.split(".", 1)
        return f"{before}{stem.get(layer, layer)}.{rest}"

    return rename


def sequential(name: str) -> dict[str, str]:
    return {layer: f"{name}.{number}" for layer, number in SEQUENCE.items()}


NAMINGS = {
    "ours": renaming({}),
    "PSPNet": renaming(sequential("layer0"), "module."),
    "mmsegmentation": renaming(sequential("stem"), "backbone."),
    "timm": renaming(TIMM),
    "PyTorch-Encoding": renaming(TIMM, "pretrained."),
    "Cadene": renaming({layer: f"layer0.{layer}" for layer in STEM}),
    "segmentation_models": renaming({}, "encoder."),
    "Lightning": renaming({}, "model.encoder."),
    "VICReg": renaming({}, "module.backbone."),
    "MoCo": renaming({}, "module.encoder_q."),
    "mmselfsup": renaming(sequential("stem"), "encoder_q.0."),
    "compiled": renaming({}, "_orig_mod.module.net."),
    "a run": renaming({}, "trunk."),
}
CONTAINERS = {
    "none": lambda weights: weights,
    "state_dict": lambda weights: {
        "state_dict": weights,
        "epoch": 3,
        "optimizer": {"state": {0: {"exp_avg": STRANGE}}},
    },
    "model": lambda weights: {"model": weights, "lr": 0.1},
    "model_state": lambda weights: {"model_state": weights},
    "teacher": lambda weights: {"student": {name: each + 1 for name, each in weights.items()}, "teacher": weights},
    "ema": lambda weights: {"model": {name: each + 1 for name, each in weights.items()}, "model_ema": weights},
    "nested": lambda weights: {"checkpoint": {"state": {"model": weights}}},
}
STRANGE = torch.zeros(2, 3, 1, 1)


def torchvision_stem(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights as a plain ResNet-18 has them: a 7x7 stem of 64 maps that layer1 takes as they are."""
    absent = ("conv2.", "conv3.", "bn2.", "bn3.", "layer1.0.downsample.")
    plain = {name: each for name, each in weights.items() if not name.startswith(absent)}
    plain["conv1.weight"] = torch.randn(64, 3, 7, 7)
    plain["layer1.0.conv1.weight"] = torch.randn(64, 64, 3, 3)
    plain["fc.weight"] = torch.randn(1000, 512)
    return plain


def arrives(path: Path, weights: dict[str, Tensor]) -> TrunkReport:
    """The report of loading all of `weights`, which are then in the trunk."""
    loaded = network(seed=2)
    report = load_trunk(loaded, path)
    state = loaded.get_submodule("trunk").state_dict()
    assert all(torch.equal(state[name], each) for name, each in weights.items())
    assert set(report.matched) == set(weights)
    assert not report.random and "random" not in str(report)
    return report


@pytest.mark.parametrize("naming", NAMINGS)
def test_every_tensor_arrives(tmp_path: Path, naming: str) -> None:
    """Under each naming that public tools use the whole trunk is loaded, and the report says so."""
    weights = trunk_weights()
    torch.save({NAMINGS[naming](name): each for name, each in weights.items()}, tmp_path / "weights.pth")
    assert not arrives(tmp_path / "weights.pth", weights).unused


def of_kind(**options: object) -> nn.Module:
    """A network that is a trunk with these options, without memory of its own numbers."""
    chosen: dict[str, Any] = {name: each.default for name, each in BACKBONE.items()} | options
    torch.manual_seed(2)
    return nn.ModuleDict({"trunk": make_trunk(**chosen)})


def numbered(trunk: nn.Module) -> dict[str, Tensor]:
    """Weights as `trunk_weights` has them, in the order of the trunk's layers."""
    state = {name: each for name, each in trunk.state_dict().items() if "num_batches" not in name}
    return {name: torch.full((1,), 0.5 + i).expand(each.shape) for i, (name, each) in enumerate(state.items())}


def in_order(layers: Iterable[str], weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names of these layers, of which there is one for each layer here."""
    here = list(dict.fromkeys(name.rpartition(".")[0] for name in weights))
    there = dict(zip(here, layers, strict=True))
    return {f"{there[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": each for name, each in weights.items()}


def inverted(trunk: nn.Module, stem: str, block: str, thin: str, wide: str) -> list[str]:
    """Layers of a public naming: of the stem, then of each block, without and with the first 1x1 convolution."""
    layers, number = stem.split(), 0
    for stage, blocks in enumerate(trunk.get_submodule("blocks").children()):
        for place, _ in enumerate(blocks.children()):
            begin = block.format(s=stage, S=stage + 1, b=place, n=number, N=number + 1)
            layers += [begin + each for each in (wide if stage else thin).split()]
            number += 1
    return layers


TENSORFLOW = "depthwise_conv bn1 project_conv bn2", "expand_conv bn0 depthwise_conv bn1 project_conv bn2"
PUBLIC = {  # the stem, what begins a block, and its layers, as each source's files have them
    "torchvision": ("features.0.0 features.0.1", "features.{N}.conv.", "0.0 0.1 1 2", "0.0 0.1 1.0 1.1 2 3"),
    "tonylins": ("features.0.0 features.0.1", "features.{N}.conv.", "0 1 3 4", "0 1 3 4 6 7"),
    "timm": ("conv_stem bn1", "blocks.{s}.{b}.", "conv_dw bn1 conv_pw bn2", "conv_pw bn1 conv_dw bn2 conv_pwl bn3"),
    "mmpretrain": (
        *("conv1.conv conv1.bn", "layer{S}.{b}.conv."),
        *("0.conv 0.bn 1.conv 1.bn", "0.conv 0.bn 1.conv 1.bn 2.conv 2.bn"),
    ),
    "RangiLyu": ("stem.0 stem.1", "blocks.{s}.{b}._", *TENSORFLOW),
    "lukemelas": ("_conv_stem _bn0", "_blocks.{n}._", *TENSORFLOW),
}
KINDS = [("mobilenet_v2", each) for each in ("torchvision", "tonylins", "timm", "mmpretrain")]
KINDS += [("efficientnet_lite0", each) for each in ("timm", "RangiLyu", "lukemelas")]


@pytest.mark.parametrize(("backbone", "naming"), KINDS)
def test_a_trunk_of_inverted_residuals(tmp_path: Path, backbone: str, naming: str) -> None:
    """Under each public naming every tensor arrives; the classifier behind it is told, and the other kind refused."""
    network = of_kind(backbone=backbone)
    weights = numbered(network.get_submodule("trunk"))
    there = in_order(inverted(network.get_submodule("trunk"), *PUBLIC[naming]), weights)
    torch.save({"state_dict": there | {"classifier.weight": torch.zeros(9, 320)}}, tmp_path / "w.pth")
    report = load_trunk(network, tmp_path / "w.pth")
    state = network.get_submodule("trunk").state_dict()
    assert all(torch.equal(state[name], each) for name, each in weights.items()) and not report.random
    assert report.unused == ("classifier.weight",)
    other = "efficientnet_lite1" if backbone == "efficientnet_lite0" else "efficientnet_lite0"
    with pytest.raises(SegmodelsError, match=rf"of another kind, .*\. Use --option backbone={backbone}, or name"):
        load_trunk(of_kind(backbone=other), tmp_path / "w.pth")
    if naming == "timm":
        gated = {f"blocks.{place}.0.se.conv_reduce.weight": STRANGE for place in (1, 2)}
        torch.save(there | gated, tmp_path / "w.pth")
        with pytest.raises(SegmodelsError, match=r"blocks\.1\.0\.se\.conv_reduce\.weight: in the file, not here"):
            load_trunk(network, tmp_path / "w.pth")


NARROW, POOLED = {"stem": "narrow"}, {"stem": "narrow", "projection": "pooled"}
UNPOOLED = {"layer1.0.downsample.1": "layer1.0.downsample.0", "layer1.0.downsample.2": "layer1.0.downsample.1"}
MMPRETRAIN = {layer: f"stem.{i // 2}.{'bn' if i % 2 else 'conv'}" for i, layer in enumerate(STEM)}
STEMS: dict[str, tuple[dict[str, object], dict[str, str]]] = {
    "torchvision": ({"stem": "plain"}, {}),
    "a U-Net's": ({"stem": "plain"}, {"conv1": "layer0.0", "bn1": "layer0.1"}),
    "mmsegmentation V1c": (NARROW, sequential("stem")),
    "mmpretrain V1c": (NARROW, MMPRETRAIN),
    "timm's resnet50c": (NARROW, TIMM),
    "mmsegmentation V1d": (POOLED, sequential("stem")),
    "timm's resnet50d": (POOLED, TIMM),
    "mmpretrain V1d": (POOLED, MMPRETRAIN | UNPOOLED),
}


@pytest.mark.parametrize("naming", STEMS)
def test_every_stem_and_shortcut(tmp_path: Path, naming: str) -> None:
    """A ResNet-50 of each public kind loads without a random tensor; into our default trunk it does not, and the
    options are told with which it would."""
    options, layers = STEMS[naming]
    network = of_kind(**options)
    weights = numbered(network.get_submodule("trunk"))

    def rename(name: str) -> str:
        layer, _, leaf = name.rpartition(".")
        return f"backbone.{layers.get(layer, layer)}.{leaf}"

    torch.save({rename(name): each for name, each in weights.items()}, tmp_path / "w.pth")
    report = load_trunk(network, tmp_path / "w.pth")
    state = network.get_submodule("trunk").state_dict()
    assert all(torch.equal(state[name], each) for name, each in weights.items())
    assert not report.random and not report.unused
    flags = " ".join(f"--option {name}={value}" for name, value in options.items())
    if "projection" in options:
        with pytest.raises(SegmodelsError, match=rf"of another kind, .*\. Use {flags}, or name another"):
            load_trunk(of_kind(), tmp_path / "w.pth")
    else:
        told = str(load_trunk(of_kind(), tmp_path / "w.pth"))
        assert "warning: the stem stays random" in told and told.endswith(f". With {flags} the whole trunk is loaded")


def test_options_of_another_trunk() -> None:
    """What a trunk does not read is refused by name, and does not make another run of the same network."""
    with pytest.raises(
        SegmodelsError, match=r"option stem is 'plain', and backbone is mobilenet_v2: stem is an option"
    ):
        segmodels.build("pspnet", 3, (32, 32), backbone="mobilenet_v2", stem="plain")
    declared = segmodels.spec("pspnet")
    assert dict(declared.noted(declared.resolve({}))) == {"aux": True, "backbone_depth": 50}


def test_every_format(tmp_path: Path) -> None:
    """safetensors by its name or its content, and torch's format of before 1.6."""
    weights = trunk_weights()
    save_file({name: each.contiguous() for name, each in weights.items()}, tmp_path / "a.safetensors")
    shutil.copy(tmp_path / "a.safetensors", tmp_path / "b.bin")
    torch.save(weights, tmp_path / "c.pt", _use_new_zipfile_serialization=False)
    for path in sorted(tmp_path.iterdir()):
        arrives(path, weights)


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container(tmp_path: Path, container: str) -> None:
    """Whatever the keys that lead to the names; of two networks the average is taken, and the report says which."""
    weights = trunk_weights()
    torch.save(CONTAINERS[container](weights), tmp_path / "weights.pth")
    report = arrives(tmp_path / "weights.pth", weights)
    assert not report.unused
    assert ("loaded from " in str(report)) == (container != "none")


def test_two_networks_in_a_file(tmp_path: Path) -> None:
    """MoCo's encoder of queries is preferred to that of keys; equal ones are one; of two others neither is guessed."""
    weights = trunk_weights()
    others = {name: each + 1 for name, each in weights.items()}

    def save(one: str, other: str, second: dict[str, Tensor]) -> Path:
        both = {one + name: each for name, each in second.items()} | {other + name: weights[name] for name in weights}
        torch.save(both, tmp_path / "two.pth")
        return tmp_path / "two.pth"

    arrives(save("module.encoder_k.", "module.encoder_q.", others), weights)
    arrives(save("left.", "right.", weights), weights)
    with pytest.raises(SegmodelsError, match=r"two\.pth holds 2 networks that fit alike: left\.\*, right\.\*\. Keep"):
        load_trunk(network(2), save("left.", "right.", others))


def test_nested_checkpoint_with_heads(tmp_path: Path) -> None:
    """Weights below `state_dict` are found; another network's heads are reported, not loaded."""
    weights = trunk_weights()
    content = {"epoch": 3, "state_dict": {**weights, "cls.0.weight": torch.zeros(3)}}
    torch.save(content, tmp_path / "c.pth")
    report = load_trunk(network(seed=2), tmp_path / "c.pth")
    assert len(report.matched) == len(weights)
    assert report.unused == ("cls.0.weight",)


def test_plain_stem(tmp_path: Path) -> None:
    """Of a plain ResNet-18 all but the stem and what follows it directly is taken, norms included."""
    weights = torchvision_stem(trunk_weights())
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
    first, warning = str(report).splitlines()
    loaded_here = len(report.matched)
    assert first == f"{loaded_here} of {23 * 5} trunk tensors loaded; 1 in the file are not the trunk's (fc.weight)"
    assert warning.startswith(
        "warning: the stem stays random under the loaded layers: 25 tensors, of bn1, bn2, bn3, conv1"
    )
    assert "15 not in the file, 10 do not fit; conv1.weight: (64, 3, 7, 7) in the file, (64, 3, 3, 3) here" in warning


def test_half_of_a_trunk_at_least(tmp_path: Path) -> None:
    """Few layers of a ResNet are hardly meant. Statistics do not count, and one stage less is not half."""
    weights = {name: each for name, each in trunk_weights().items() if "running" not in name}
    torch.save({"conv1.weight": weights["conv1.weight"]}, tmp_path / "w.pth")
    with pytest.raises(
        SegmodelsError, match=r"too little of a ResNet: of 69 weights and biases 68 would stay random\."
    ):
        load_trunk(network(1), tmp_path / "w.pth")
    torch.save({name: each for name, each in weights.items() if "layer4" not in name}, tmp_path / "w.pth")
    assert str(load_trunk(network(1), tmp_path / "w.pth")).startswith("54 of 115 trunk tensors loaded")


def test_norms_without_statistics(tmp_path: Path) -> None:
    """Of a ResNet with group norms all convolutions are taken, and the warning is of what is missing alone."""
    weights = trunk_weights()
    torch.save({name: each for name, each in weights.items() if "running" not in name}, tmp_path / "w.pth")
    _, warning = str(load_trunk(network(1), tmp_path / "w.pth")).splitlines()
    assert warning.startswith(
        "warning: 23 norms have weights in the file, but no running mean and variance: these begin"
    )
    plain = torchvision_stem({name: each for name, each in weights.items() if "running" not in name})
    torch.save(plain, tmp_path / "w.pth")
    _, stem, norms = str(load_trunk(network(1), tmp_path / "w.pth")).splitlines()
    assert stem.startswith("warning: the stem stays random under the loaded layers: ")
    assert norms.startswith("warning: 18 norms have weights in the file")
    shift = {name: each for name, each in weights.items() if name != "bn1.bias"}
    torch.save(shift, tmp_path / "w.pth")
    assert "warning: a part of the trunk stays random: 1 tensors, of bn1" in str(
        load_trunk(network(1), tmp_path / "w.pth")
    )


def test_an_average_that_is_passed_over(tmp_path: Path) -> None:
    """Where it fits less than what trains by gradients, that is said, and why; a whole one passes over nothing."""
    weights = trunk_weights()
    average = {name: each + 1 for name, each in weights.items()}
    without = {name: each for name, each in average.items() if "running" not in name}
    other = {name: each for name, each in average.items() if not name.startswith("layer4.1.")}
    for content, said in (
        ({"model": weights, "model_ema": without}, "; passed over: model_ema.* (no running statistics)"),
        ({"model": weights, "teacher": other}, "; passed over: teacher.* (105 tensors fit)"),
        ({"model": other, "teacher": weights}, ""),
    ):
        torch.save(content, tmp_path / "two.pth")
        report = str(arrives(tmp_path / "two.pth", weights))
        assert report.endswith(said) and ("passed over" in report) == bool(said)


def test_a_stem_of_unknown_names(tmp_path: Path) -> None:
    """It would stay random under the loaded layers: refused, and the names that look like a stem are told."""
    weights = {renaming({layer: f"embedder.{layer}" for layer in STEM})(name): w for name, w in trunk_weights().items()}
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(
        SegmodelsError, match=r"names are not known: embedder\.conv1\.weight, embedder.* Expected conv1 …"
    ):
        load_trunk(network(1), tmp_path / "w.pth")
    none = {name: each for name, each in weights.items() if not name.startswith("embedder")}
    torch.save(none, tmp_path / "w.pth")
    assert "warning: the stem stays random" in str(load_trunk(network(1), tmp_path / "w.pth"))


def test_a_resnet_of_another_kind(tmp_path: Path) -> None:
    """Another depth is named with its option; blocks of other shapes or with more in them are refused, as parts of one
    network are not another; what is merely missing is named."""
    weights = trunk_weights()

    def refused(changed: dict[str, Tensor]) -> str:
        torch.save(changed, tmp_path / "w.pth")
        with pytest.raises(SegmodelsError) as error:
            load_trunk(network(1), tmp_path / "w.pth")
        return str(error.value)

    deeper = {"layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3), "layer2.2.conv1.weight": STRANGE}
    assert "holds a ResNet of 3, 3, 2, 2 blocks, the trunk is a ResNet-18. Name another" in refused(weights | deeper)
    of_34 = {
        f"layer{stage}.{block}.conv1.weight": STRANGE
        for stage, count in enumerate((3, 4, 6, 3), 1)
        for block in range(count)
    }
    assert "holds a ResNet-34, the trunk is a ResNet-18. Use --option backbone_depth=34" in refused(of_34 | weights)
    bottleneck = {"layer1.0.conv3.weight": STRANGE}
    assert "the trunk is a ResNet-18" in refused(weights | bottleneck)
    wide = weights | {"layer2.1.conv1.weight": torch.zeros(256, 128, 3, 3)}
    assert "of another kind, whose blocks compute something else: layer2.1.conv1.weight: (256, 128" in refused(wide)
    gated = weights | {"layer3.0.se.fc1.weight": STRANGE}
    assert "layer3.0.se.fc1.weight: in the file, not here" in refused(gated)
    whole = weights | {"layer4.1.conv2.weight": weights["layer4.1.conv2.weight"].to(torch.int8)}
    assert "(512, 512, 3, 3) of torch.int8 in the file" in refused(whole)
    infinite = weights | {"layer3.0.bn1.bias": torch.full((256,), torch.inf)}
    assert "layer3.0.bn1.bias holds numbers that are not finite" in refused(infinite)
    negative = weights | {"layer3.0.bn1.running_var": torch.full((256,), -1.0)}
    assert "layer3.0.bn1.running_var holds variances below 0" in refused(negative)
    torch.save({name: each for name, each in weights.items() if not name.startswith("layer4")}, tmp_path / "w.pth")
    warning = str(load_trunk(network(1), tmp_path / "w.pth")).splitlines()[1]
    assert warning.startswith("warning: a part of the trunk stays random: 25 tensors, of layer4.0.bn1, layer4.0.bn2, ")


def test_counters_are_no_weights(tmp_path: Path) -> None:
    """A file in which they alone fit holds nothing that fits."""
    counters = {f"{name}.num_batches_tracked": torch.tensor(7) for name in ("bn1", "layer1.0.bn1")}
    torch.save(counters | {"conv1.weight": torch.zeros(8, 3, 7, 7)}, tmp_path / "c.pth")
    with pytest.raises(SegmodelsError, match=r"nothing in .*c\.pth fits the trunk: it holds conv1\.weight, expected"):
        load_trunk(network(1), tmp_path / "c.pth")


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
    with pytest.raises(SegmodelsError, match="Linear has no trunk"):
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


def test_no_advice_to_run_code(tmp_path: Path) -> None:
    """What holds more than tensors is refused by its name, with a safe way out and without torch's unsafe one."""
    weights = {"conv1.weight": torch.zeros(64, 3, 3, 3)}
    torch.save({"state_dict": weights, "args": argparse.Namespace(lr=1)}, tmp_path / "args.pth")
    torch.save({"state_dict": weights, "best": np.float64(0.5)}, tmp_path / "best.pth")
    torch.save(nn.Conv2d(3, 4, 1), tmp_path / "whole.pth")
    torch.save(nn.Conv2d(3, 4, 1), tmp_path / "whole old.pth", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(tmp_path / "script.pth", "w") as archive:
        for name in ("data.pkl", "version", "constants.pkl"):
            archive.writestr(f"script/{name}", b"3\n")
    (tmp_path / "noise.pth").write_bytes(b"no weights at all")
    holds = {
        "args": "argparse.Namespace",
        "best": "numpy",
        "whole": "torch.nn.modules.conv.Conv2d",
        "whole old": "Conv2d",
    }
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(SegmodelsError) as error:
            load_trunk(network(1), path)
        message = str(error.value)
        assert holds.get(path.stem, "it is damaged, or holds Python code") in message
        assert message.endswith(
            "written as tensors alone where it was made: torch.save(model.state_dict(), 'weights.pth')"
        )
        assert not re.search("weights_only|safe_globals|trust|False", message)


def test_an_exported_network(tmp_path: Path) -> None:
    """A zip that torch.save did not write is refused in one line of our own, whatever torch says of it."""
    for names in (("x/archive_format", "x/version", "x/data/weights/weight_0"), ("x/archive_format",), ("notes.txt",)):
        with zipfile.ZipFile(tmp_path / "x.pt2", "w") as archive:
            for name in names:
                archive.writestr(name, b"0\n")
        with pytest.raises(SegmodelsError) as error:
            load_trunk(network(1), tmp_path / "x.pt2")
        said = "a zip that is damaged, or that torch.save did not write (.pt2 files are torch.export's). Name"
        assert said in str(error.value)
        assert not re.search("miniz|Pytorch|RuntimeError", str(error.value))


# ---- a run of the same network ------------------------------------------------------------------------------


def taxonomy(*names: str) -> Taxonomy:
    rows = tuple(TargetClass(name, (0, 0, i), name, True, i, (name,)) for i, name in enumerate(names))
    return Taxonomy("some", "", rows)


GREY = Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Trained(NamedTuple):
    """A network with the weights that its run would have, and how a new one with other classes starts from them."""

    name: str
    state: dict[str, Tensor]
    path: Path

    def start(self, *names: str, size: tuple[int, int] = (32, 64), **options: object) -> tuple[dict[str, Tensor], str]:
        """What a fresh network of seed 2 then holds, and what is said."""
        declared = segmodels.spec(self.name)
        chosen = declared.resolve(options)
        torch.manual_seed(2)
        net = declared.build(len(names), size, chosen)
        told = load_init(net, declared, chosen, size, taxonomy(*names), self.path, GREY).told
        return net.state_dict(), told


def trained(folder: Path, name: str, *names: str, **options: object) -> Trained:
    declared = segmodels.spec(name)
    chosen, size = declared.resolve(options), (32, 64)
    torch.manual_seed(1)
    state = declared.build(len(names), size, chosen).state_dict()
    for tensor in state.values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 1)
        else:
            tensor.add_(5)
    about = {"network": name, "options": dict(declared.noted(chosen)), "size": size, "run": "0" * 64}
    about |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    save_weights(folder / "run.safetensors", state, about | {"taxonomy": taxonomy(*names).document()})
    return Trained(name, state, folder / "run.safetensors")


SMALL = {
    "dilated_unet": {"width_factor": 0.25},
    "fcn_resnet_v2": {"depth": 11, "width_factor": 0.1},
    "percentile": {"width_factor": 0.06},
    "iterative_v3": {"width": 6, "depth": 1, "steps": 2},
    "hourglass": {"width": 6, "depth": 1, "steps": 2, "norm": "batch"},
    "clusternet": {"backbone_depth": 18, "assignment": "shared"},
}
BOTH = ("car", "sky")


@pytest.mark.parametrize("name", SMALL)
def test_the_same_classes(tmp_path: Path, name: str) -> None:
    """Every bit of a run's weights arrives, counters and groups of channels included; counted are weights alone."""
    run = trained(tmp_path, name, "road", *BOTH, **SMALL[name])
    state, told = run.start("road", *BOTH, **SMALL[name])
    assert all(torch.equal(state[each], run.state[each]) for each in run.state)
    counted = sum("num_batches" not in each for each in run.state)
    assert told == f"run.safetensors: {counted} of {counted} tensors loaded"


@pytest.mark.parametrize("name", SMALL)
def test_a_classifier_goes_by_names(tmp_path: Path, name: str) -> None:
    """As many classes, but others and in another order: each is taken over under its name, new ones are fresh."""
    run = trained(tmp_path, name, "road", *BOTH, "tree", **SMALL[name])
    torch.manual_seed(2)
    fresh = segmodels.build(name, 4, (32, 64), **SMALL[name]).state_dict()
    state, told = run.start("sky", "river", "car", "bird", **SMALL[name])
    of_classes = 0
    for each, tensor in state.items():
        axes = [axis for axis, side in enumerate(tensor.shape) if side == 4]
        if torch.equal(tensor, run.state[each]):
            continue
        of_classes += 1
        old, new, start = (t.movedim(axes[0], 0) for t in (run.state[each], tensor, fresh[each]))
        assert torch.equal(new[[0, 2]], old[[2, 1]])
        assert torch.equal(new[[1, 3]], start[[1, 3]])
    assert of_classes
    assert "by class name: 2 of 4 taken over (sky, car), 2 new (river, bird)" in told
    assert "random" not in told


@pytest.mark.parametrize("network", ["clusternet", "pspnet"])  # a run, and a trunk out of it
def test_other_colours(tmp_path: Path, network: str) -> None:
    """A run under another --mean or --std is taken with a warning that names both pairs."""
    run = trained(tmp_path, "clusternet", *BOTH, **SMALL["clusternet"])
    declared = segmodels.spec(network)
    chosen = declared.resolve({"backbone_depth": 18} | (SMALL["clusternet"] if network == "clusternet" else {}))

    def told(colours: Colours) -> str:
        net = declared.build(2, (32, 64), chosen)
        return load_init(net, declared, chosen, (32, 64), taxonomy(*BOTH), run.path, colours).told

    assert "warning: it was trained under" not in told(GREY)
    assert told(Colours((0.0, 0.0, 0.0), (0.5, 0.5, 0.5))).splitlines()[-1] == (
        "warning: it was trained under --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5, this run has --mean 0.0,0.0,0.0 "
        "--std 0.5,0.5,0.5. Give the same, or it sees other colours"
    )


def test_no_class_in_common(tmp_path: Path) -> None:
    """The classifier is new, however many classes there are, and everything else is taken."""
    run = trained(tmp_path, "dilated_unet", "road", "car", width_factor=0.25)
    for names in (("river", "bird"), ("river", "bird", "tree")):
        torch.manual_seed(2)
        fresh = segmodels.build("dilated_unet", len(names), (32, 64), width_factor=0.25).state_dict()
        state, told = run.start(*names, width_factor=0.25)
        assert all(
            torch.equal(each, (fresh if name.startswith("out.") else run.state)[name]) for name, each in state.items()
        )
        assert told == (
            "run.safetensors: 224 of 224 tensors loaded; classifier (out) by class name: "
            f"0 of {len(names)} taken over, {len(names)} new ({', '.join(names)})"
        )


def test_other_options(tmp_path: Path) -> None:
    """Where most would stay random it is an error that names them; where the lesser part does, it is named."""
    run = trained(tmp_path, "dilated_unet", *BOTH, width_factor=0.25)
    with pytest.raises(
        SegmodelsError, match=r"\(width_factor is 0\.25 there, 0\.5 here\): of .* would stay random\. Use"
    ):
        run.start(*BOTH, width_factor=0.5)
    run = trained(tmp_path, "fcn_resnet_v2", *BOTH, depth=11, width_factor=0.1, n_layers=2)
    state, told = run.start(*BOTH, depth=11, width_factor=0.1, n_layers=1)
    assert "warning: 6 tensors stay random, of up.0.0, up.0.1 (n_layers is 2 there, 1 here)" in told
    assert "up.0.1.running_mean" in state and not torch.equal(state["up.0.1.bias"], run.state["up.0.1.bias"])
    run = trained(tmp_path, "fcn_resnet_v2", *BOTH, depth=20, width_factor=0.1)
    assert run.start(*BOTH, depth=11, width_factor=0.1)[1].endswith(
        "warning: the file holds more (depth is 20 there, 11 here)"
    )


def test_groups_of_channels_under_other_options(tmp_path: Path) -> None:
    """The same shape is not enough: a group's number means nothing among another number of groups."""
    shared = {"backbone_depth": 18, "assignment": "shared"}
    run = trained(tmp_path, "clusternet_concat", *BOTH, **shared)
    state, told = run.start(*BOTH, **shared, clusters=20)
    assert int(state["head.groups.assignment"].max()) < 20 and not state["head.groups.batches"]
    assert "2 tensors stay random, of head.groups (clusters is 40 there, 20 here)" in told


def test_norms_of_another_size(tmp_path: Path) -> None:
    """Layer norms that belong to a size stay new under another one, which is said; convolutions are taken."""
    options = {"width": 16, "depth": 1}
    run = trained(tmp_path, "distill_x2", *BOTH, **options)
    state, told = run.start(*BOTH, size=(16, 32), **options)
    assert torch.equal(state["prenet.0.0.weight"], run.state["prenet.0.0.weight"])
    assert "prenet.0.1" in told and told.endswith("(size is (32, 64) there, (16, 32) here)")


def test_another_depth(tmp_path: Path) -> None:
    """Of two ResNets more than half fits, and yet the one is not a start for the other."""
    run = trained(tmp_path, "pspnet", *BOTH, backbone_depth=18)
    with pytest.raises(SegmodelsError, match=r"holds a ResNet-18, the trunk is a ResNet-34\. Use .*backbone_depth=18"):
        run.start(*BOTH, backbone_depth=34)
