"""`check`: a network that keeps everything, and for each promise one that breaks it and no other."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segdata.errors import SegdataError
from segmodels.contract.check import CHECKS, check
from segmodels.prediction import Prediction
from segmodels.spec import Geometry, ModelSpec, Origin, Published
from tests.segmodels.commands import refused, run

SIZE = (8, 12)


class Good(nn.Module):
    """One convolution, and one that gives the logits."""

    def __init__(self, classes: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, classes, 1)

    def forward(self, image: Tensor) -> Any:
        logits = self.head(self.middle(self.first(image).relu()))
        return Prediction(logits, (logits,), {})

    def middle(self, x: Tensor) -> Tensor:
        return x


def with_middle(function: Callable[[Good, Tensor], Tensor], prepare: Callable[[Good], None] = lambda self: None) -> Any:
    """Good, with this between its convolutions, and with more in it."""

    class Changed(Good):
        def __init__(self, classes: int, size: tuple[int, int]) -> None:
            super().__init__(classes, size)
            prepare(self)

        def middle(self, x: Tensor) -> Tensor:
            return function(self, x)

    return Changed


class Tuple(Good):
    def forward(self, image: Tensor) -> Any:
        return tuple(super().forward(image))


class Coarse(Good):
    """An auxiliary output at a quarter of the size."""

    def forward(self, image: Tensor) -> Any:
        logits = super().forward(image).logits
        return Prediction(logits, (F.avg_pool2d(logits, 4), logits), {})


def mixed(self: Good, x: Tensor) -> Tensor:
    return x - x.mean(dim=0, keepdim=True)


def random_weights(self: Good) -> None:
    self.first.weight.data += torch.from_numpy(np.random.default_rng().random(1, np.float32))


def fixed_weights(self: Good) -> None:
    for parameter in self.parameters():
        parameter.data = torch.linspace(-1, 1, parameter.numel()).view_as(parameter)


def noise(self: Good, x: Tensor) -> Tensor:
    return x + 0.01 * torch.randn_like(x)


def hidden_chance(self: Good, x: Tensor) -> Tensor:
    return x * random.random() if self.training else x


def overflow(self: Good, x: Tensor) -> Tensor:
    return x * torch.finfo(torch.float32).max / 1e4 if x.dtype == torch.bfloat16 else x


def mirrors(self: Good, x: Tensor) -> Tensor:
    return x.flip(3) if x.dtype == torch.bfloat16 else x


def branches(self: Good, x: Tensor) -> Tensor:
    return x + 1 if x.sum() > 1e9 else x


def at_one_size(self: Good, x: Tensor) -> Tensor:
    return x + torch.zeros(*SIZE)


def unfit(self: Good, x: Tensor) -> Tensor:
    return F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)


LEARNS = ("gradients", "bf16", "cpu", "cuda")  # a backward pass is part of these
EXPORTED = ("nothing", "data decides", "refused everywhere")  # whose files are looked at: others are as the first
BROKEN: dict[str, tuple[Any, dict[str, str]]] = {  # what is wrong of each, as far as the words matter
    "nothing": (Good, {}),
    "no Prediction": (Tuple, dict.fromkeys(CHECKS, "") | {"shapes": "it returns tuple in training, expected"}),
    "a coarse output": (Coarse, dict.fromkeys(LEARNS, "") | {"shapes": "supervised output 1 .* expected 2x5x8x12"}),
    "one size": (with_middle(at_one_size), {"shapes": "it raises RuntimeError: The size of tensor"}),
    "a dead layer": (
        with_middle(lambda self, x: x, lambda self: self.add_module("dead", nn.Linear(2, 2))),
        {"gradients": r"2 of 6 tensors get no gradient, .*: dead\.bias, dead\.weight"},
    ),
    "batch mates": (with_middle(mixed), {"batch": "an image alone, and in a batch of 3, differ by"}),
    "other random numbers": (
        with_middle(lambda self, x: x, random_weights), {"bytes": r"two builds .* in first\.weight", "cpu": ""},
    ),
    "one set of weights": (with_middle(lambda self, x: x, fixed_weights), {"bytes": "another seed gives the same"}),
    "noise in evaluation": (with_middle(noise), {"twice": "the second time", "batch": ""}),
    "hidden chance": (with_middle(hidden_chance), {"cpu": r"two backward passes differ in first\.weight"}),
    "too large for bfloat16": (with_middle(overflow), {"bf16": "these are not finite: first.weight"}),
    "another answer in bfloat16": (with_middle(mirrors), {"bf16": "^90% of the logits are within .* expected 50%"}),
    "data decides": (with_middle(branches), {"pt2": r"cannot be written as \.pt2"}),
    "no kernel on CUDA": (
        with_middle(lambda self, x: x.cumsum(1)), {"cuda": r"CUDA has no deterministic cumsum \(in the network"},
    ),
    "refused everywhere": (
        with_middle(unfit), dict.fromkeys(CHECKS, "^a calls max_unpooling2d_forward_out") | {"pt2": "max_unpooling2d"},
    ),
}  # fmt: skip


def declared(factory: Any, **values: Any) -> ModelSpec:
    return ModelSpec(name="a", factory=factory, **values)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise(name: str) -> None:
    """It is found, and so is no other; each is one line."""
    factory, expected = BROKEN[name]
    left_out = {"onnx"} if name in EXPORTED else {"onnx", "pt2"}
    wrong = check(declared(factory), 5, SIZE, only=CHECKS.keys() - left_out).wrong
    everywhere = name in {"no Prediction", "refused everywhere"}  # all but builds, which see no image
    assert wrong.keys() == (expected.keys() - left_out - {"count", "bytes"} if everywhere else expected.keys())
    for each, text in wrong.items():
        assert re.search(expected[each], text) and "\n" not in text, (each, text)


def test_declarations_that_are_not_true() -> None:
    """Another stride, another count, and a network that can be exported although its spec says no."""
    counts = (Published(19, SIZE, 1000),)
    wrong = check(
        declared(Good, published=counts, rule=lambda options: Geometry(2, 2), not_exportable="why"), 5, SIZE
    ).wrong
    assert wrong["count"] == "207 parameters at 19 classes and 8x12, expected 1,000, as published"
    assert wrong["shapes"].startswith("the logits of 2 images of 8x12 have the shape 2x5x8x12 in training")
    assert wrong["pt2"] == "it can be exported, but its declaration says that it cannot: why"
    unfinished = check(declared(with_middle(branches), not_exportable="it branches"), 5, SIZE, only=["pt2", "onnx"])
    assert {each.detail for each in unfinished.results.values()} == {"its declaration says: it branches"}


def test_a_network_of_others_is_asked_as_it_is_trained() -> None:
    """With the replacements for CUDA, which are named."""
    factory = with_middle(lambda self, x: F.interpolate(x[..., ::2, ::2], x.shape[2:], mode="bilinear"))
    assert "upsample_bilinear2d" in check(declared(factory), 5, SIZE, only=["cuda"]).wrong["cuda"]
    result = check(declared(factory, origin=Origin((("my.py", "0" * 64),))), 5, SIZE, only=["cuda"]).results["cuda"]
    assert result.state == "ok" and result.detail.endswith("; replaced in training: interpolate")


def test_nothing_is_left_behind() -> None:
    """Random numbers go on where they were, and torch's arithmetic is as it was."""
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    check(declared(Good), only=["shapes", "gradients"])
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


PLUG_IN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, width=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, classes, 1))
        self.spare = nn.Linear(1, 1)

    def forward(self, image):
        return self.layers(image) * self.spare.weight{bias}
"""


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each promise, the same as JSON, and in the end one line that says what is not kept."""
    monkeypatch.chdir(tmp_path)
    for name, bias in (("good", " + self.spare.bias"), ("bad", "")):
        Path(f"{name}.py").write_text(PLUG_IN.format(bias=bias))
    head, *lines = run("check", "good.py:Net", "--classes", 3, "--size", "8x12", "--json", "good.json").splitlines()
    assert head == "good.py:Net: 129 parameters for 3 classes, asked at 8x12"
    assert [line[11:].split()[0] for line in lines] == list(CHECKS)
    document = json.loads(Path("good.json").read_text())
    assert list(document["checks"]) == sorted(CHECKS) and document["parameters"] == 129
    assert document["checks"]["shapes"] == {"state": "ok", "detail": "logits (B, 3, H/2, W/2)", "figure": 0.0}
    said = refused("check", "bad.py:Net", "--size", "8x12", "--json", "bad.json")
    assert said == "bad.py:Net does not keep gradients: what is wrong stands above"
    assert json.loads(Path("bad.json").read_text())["checks"]["gradients"]["state"] == "wrong"
    Path("mine.json").write_text("{}")
    with pytest.raises(SegdataError, match=r"mine\.json: there is a file"):
        run("check", "good.py:Net", "--json", "mine.json")
    assert Path("mine.json").read_text() == "{}"
