"""Adapters where their libraries are not installed: names are read, and what is missing is said in one line.

`make test-adapters` runs tests/adapters with the libraries themselves.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import segmodels
from segdata import requirements
from segdata.requirements import EXTRAS, RequirementError
from segmodels import SegmodelsError
from segmodels.adapters import PREFIXES, library
from segmodels.adapters.fitted import fitted
from segmodels.adapters.heads import Fcn, Fpn
from segmodels.adapters.hf import Settings
from segmodels.adapters.library import Library
from segmodels.adapters.smp import Numbers
from segmodels.pretrained.contents import classes_beside
from segmodels.spec import Option

NAMES = {
    "smp": "smp:Unet/resnet18",
    "timm": "timm:resnet18/fcn",
    "torchvision": "torchvision:fcn_resnet50",
    "hf": "hf:segformer",
}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_library_that_is_missing(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names the network, the package, and the command that installs it."""
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name in EXTRAS[prefix] else True)
    line = rf"^{NAMES[prefix]} needs the extra `{prefix}`: {EXTRAS[prefix][0]} is not installed. Run: pip install .*"
    with pytest.raises(RequirementError, match=rf"{line}{prefix}\]'?$"):
        segmodels.spec(NAMES[prefix])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("smp:Unet", r"^smp:Unet names no network: expected smp:DECODER/ENCODER, such as smp:Unet/resnet18$"),
        ("smp:/resnet18", r"expected smp:DECODER/ENCODER"),
        ("timm:", r"^timm: names no network: expected timm:MODEL or timm:MODEL/HEAD, such as timm:resnet18/fpn"),
        ("timm:resnet18/pyramid", r"where HEAD is fpn or fcn$"),
        ("timm:hf-hub:somebody/net", r"^timm:hf-hub:somebody/net names no network"),
        ("hf:somebody/segformer", r"there is no folder 'somebody/segformer', and nothing is loaded from the internet"),
        ("hf:", r"Expected hf:FOLDER with the config.json of a network, or hf:TYPE, such as hf:segformer$"),
    ],
)
def test_names_that_are_none(name: str, line: str) -> None:
    """Said before a library is looked for."""
    with pytest.raises(SegmodelsError, match=line):
        segmodels.spec(name)


def test_a_library_that_is_half_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torchvision that was built for another torch is no traceback; the environment's variables stay."""
    before = library.os.environ.get(library.OFFLINE)

    def broken(name: str) -> Any:
        assert library.os.environ[library.OFFLINE] == "1"
        raise RuntimeError("operator torchvision::nms\n does not exist")

    monkeypatch.setattr(requirements, "find_spec", lambda name: True)
    monkeypatch.setattr(library, "import_module", broken)
    line = r"^torchvision:fcn_resnet50: torchvision .* cannot be imported beside torch .*: RuntimeError: operator "
    with pytest.raises(SegmodelsError, match=line + r"torchvision::nms does not exist. Install versions that fit"):
        segmodels.spec("torchvision:fcn_resnet50")
    assert library.os.environ.get(library.OFFLINE) == before


@pytest.mark.parametrize(
    ("option", "good", "kept", "bad"),
    [
        (Numbers("8,4", ""), "16, 08,4", "16,8,4", ["", "8,,4", "-8", "8.5", "0", "ten"]),
        (Settings("{}", ""), '{"b": [1], "a": 2}', '{"a":2,"b":[1]}', ["[1]", "{", "1", '{"a": }']),
    ],
)
def test_options_that_are_text(option: Option, good: str, kept: str, bad: list[str]) -> None:
    """They are kept in one spelling, so that a run has one identity."""
    assert option.check(good.replace(" 08", "08")) == kept and option.check(option.default) == option.default
    for each in bad:
        with pytest.raises(ValueError, match=r"^(whole numbers|values of the configuration)"):
            option.check(each)


# ---- what a library builds ------------------------------------------------------------------------------------


class Theirs(nn.Module):
    """As libraries build: a number is read of a tensor, a layer is never used, and sizes are refused inside."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.rates = [each.item() for each in torch.linspace(0, 1, 3)]
        self.down = nn.Conv2d(3, width, 3, stride=4, padding=1)
        self.unused = nn.Conv2d(width, width, 1)
        self.out = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        if any(side % 16 for side in image.shape[2:]):
            raise RuntimeError("Wrong input shape:\n expected multiples of 16")
        return self.out(self.down(image))


def build(classes: int, size: Any, *, width: int) -> nn.Module:
    assert size is None
    if width == 13:
        raise KeyError("an unlucky\nnumber")
    return Theirs(classes, width)


THEIRS = fitted("smp:A/b", Library("smp", ("torch",)), build, options={"width": Option(4, "")})


def test_what_a_library_builds() -> None:
    """Its size rule is measured, what it never uses gets no gradient, and its versions are the network's origin."""
    geometry = THEIRS.geometry({})
    assert (geometry.stride, geometry.size_multiple, geometry.fixed_size, geometry.min_size) == (4, 16, False, 32)
    assert dict(THEIRS.origin.parts) == {"torch": torch.__version__}
    with torch.no_grad():
        network = THEIRS.build(3, (32, 48), {})
    trained = {name for name, each in network.named_parameters() if each.requires_grad}
    assert trained == {"down.weight", "down.bias", "out.weight", "out.bias"}
    assert network(torch.zeros(1, 3, 32, 48)).logits.shape == (1, 3, 8, 12)
    with torch.device("meta"):
        assert network.state_dict().keys() == THEIRS.build(3, (32, 48), {}).state_dict().keys()


def test_what_a_library_refuses() -> None:
    """Its own error becomes one line."""
    with pytest.raises(SegmodelsError, match=r"^smp:A/b cannot be built: its library says KeyError: .*unlucky") as line:
        THEIRS.geometry({"width": 13})
    assert "\n" not in str(line.value)


def test_the_heads() -> None:
    """Logits lie at the size that is asked for, whatever the maps; a coarse map reaches the answer of the pyramid."""
    channels, sides = (4, 6, 8), ((12, 16), (6, 8), (3, 4))
    maps = [torch.randn(2, C, *side, requires_grad=True) for C, side in zip(channels, sides, strict=True)]
    for head in (Fcn(channels, 5), Fpn(channels, 5, 7)):
        logits = head(maps, (24, 32))
        assert logits.shape == (2, 5, 24, 32)
        seen = torch.autograd.grad(logits.sum(), maps, allow_unused=True)
        assert [each is not None for each in seen] == ([False, False, True] if isinstance(head, Fcn) else [True] * 3)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"id2label": {"1": "sky", "0": "road"}}', ("road", "sky")),
        ('{"id2label": {"1": "sky"}}', None),
        ("{", None),
        ("[]", None),
        (None, None),
    ],
)
def test_classes_beside_weights(text: str | None, names: tuple[str, ...] | None, tmp_path: Path) -> None:
    """The names in a config.json of Hugging Face; where it names none, weights are weights all the same."""
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    assert classes_beside(tmp_path / "model.safetensors") == names


def test_how_images_are_prepared() -> None:
    """What a preprocessor_config.json of Hugging Face says, as mean and std of images from 0 to 1."""
    hf = import_module("segmodels.adapters.hf")
    usual = hf.IMAGES_OF["mobilevit"]
    assert hf._images({}, Path("p"), usual) == usual
    document = json.loads('{"image_mean": [0.5, 0.5, 0.5], "image_std": [1, 1, 1], "do_flip_channel_order": false}')
    assert hf._images(document, Path("p"), usual) == ((((0.5,) * 3), ((1.0,) * 3)), "rgb")
    assert hf._images(document | {"do_normalize": False}, Path("p"), usual).colours == hf.AS_THEY_ARE
    with pytest.raises(SegmodelsError, match=r"^p: do_rescale is True and rescale_factor 1, expected images from 0 to"):
        hf._images({"rescale_factor": 1}, Path("p"), usual)
