"""Where a training meets a limit: one line before or instead of a traceback, and advice that can be followed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import segdata
import segmodels.training.train
from segdata import ShardSet
from segmodels import SegmodelsError
from segmodels.config.config import TrainConfig
from segmodels.data.augment import Augmentation
from segmodels.data.batches import Batch, Batches
from segmodels.runs.checkpoint import load_weights
from segmodels.runs.run import Run
from segmodels.spec import Geometry
from segmodels.training.frozen import start_learning
from segmodels.training.losses import labelled_pixels
from segmodels.training.state import State
from segmodels.training.train import train
from segmodels.training.validation import epoch_line
from segmodels.training.verify import verify

Lesson = Callable[..., TrainConfig]
SIZES = ((96, 128), (48, 64), (72, 200))


# ---- numbers, memory, norms ----------------------------------------------------------------------------------


def test_the_advice_on_a_loss_that_is_not_a_number_can_be_followed(lesson: Lesson) -> None:
    """Word by word: a smaller --lr and --clip 1 with --replace train in the same folder."""
    wild: dict[str, Any] = {"optimizer": "sgd", "clip": 0.0, "warmup": 0.0}
    with pytest.raises(SegmodelsError, match=r"smaller --lr than 1e.08, .* or add --clip 1: together with --replace"):
        train(lesson(lr=1e8, **wild))
    assert train(lesson(lr=1e-3, steps=1, **wild | {"clip": 1.0}, replace=True)).run.finished


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        MemoryError(),
        RuntimeError("another fault"),
    ],
    ids=lambda error: str(error)[:8],
)
def test_too_little_memory(error: Exception, lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to make smaller, how to start that; any other fault stays what it is."""

    def full(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(segmodels.training.train, "backward", full)
    with pytest.raises(type(error) if "another" in str(error) else SegmodelsError) as stopped:
        train(lesson())
    if isinstance(stopped.value, SegmodelsError):
        assert "the memory of cpu is too small" in str(stopped.value)
        assert "--batch-size or --crop, or --accumulate 4" in str(stopped.value)
        assert "--replace" in str(stopped.value) and "\n" not in str(stopped.value)


@pytest.mark.parametrize(("values", "least"), [({"batch_size": 1}, 2), ({"batch_size": 2, "accumulate": 2}, 4)])
def test_batch_norm_of_one_value(values: dict[str, int], least: int, lesson: Lesson) -> None:
    """It is found before the run's folder is made; a larger crop, or two images at a time, train."""
    with pytest.raises(SegmodelsError, match=f"single value of each.*Give --batch-size {least} or more or a larger"):
        train(lesson(crop=(16, 16), **values))
    assert not lesson().out.exists()
    assert train(lesson(crop=(32, 32), steps=1, **values)).run.finished


def test_weights_that_are_gone(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the best weights, which no step brings back, a run ends before the first step and not after the last."""
    config = lesson(steps=None, epochs=2, early_stop=2, batch_size=6)
    train(config, until=3)
    run = Run(config.out)
    before = run.last.read_bytes()
    run.best.unlink()
    monkeypatch.setattr(segmodels.training.train, "backward", None)
    with pytest.raises(SegmodelsError, match=r"no weights .*best\.safetensors.*remove it, and the same command starts"):
        train(config)
    assert run.last.read_bytes() == before


def test_a_frozen_trunk(make_run: Callable[..., Path], lesson: Lesson) -> None:
    """With --trunk-lr 0 every tensor of the trunk stays that of --init, also the average of it; the head learns."""
    options = {"backbone_depth": 18}
    begin = make_run("pspnet", (32, 64), **options) / "model.safetensors"
    run = train(lesson(network="pspnet", options=options, init=begin, trunk_lr=0.0, steps=2, batch_size=2)).run
    old, new = load_weights(begin)[0], load_weights(run.weights)[0]
    same = {name for name in old if torch.equal(old[name], new[name])}
    assert {name for name in old if name.startswith("trunk.")} <= same
    assert not {name for name in same if name.startswith("head.") and name.endswith("running_mean")}
    config, other = lesson(init=begin, trunk_lr=0.0), torch.nn.ModuleDict({"trunk": torch.nn.Conv2d(1, 1, 1)})
    with pytest.raises(
        SegmodelsError, match=r"--freeze is trunk \(or --trunk-lr 0\), but this network has no part named `trunk` to"
    ):
        start_learning(torch.nn.Conv2d(1, 1, 1), config, "trunk")
    with pytest.raises(SegmodelsError, match="--freeze is norms, but the part `trunk` of this network has no batch"):
        start_learning(other, lesson(init=begin, freeze="norms"), "trunk")


def test_frozen_norms(make_run: Callable[..., Path], lesson: Lesson) -> None:
    """With --freeze norms every norm of the trunk stays that of --init over a validation; its convolutions learn, by
    default at a tenth of the rate, as the file holds a trunk alone."""
    options = {"backbone": "mobilenet_v2", "aux": False}
    begin = make_run("pspnet", (32, 64), **options) / "model.safetensors"
    old = {name: each for name, each in load_weights(begin)[0].items() if name.startswith("trunk.")}
    trunk = begin.with_name("trunk.pth")
    torch.save(old, trunk)
    values = {"options": options, "init": trunk, "freeze": "norms", "steps": 2, "batch_size": 2, "crop": (32, 32)}
    run = train(lesson(network="pspnet", validate_every=1, **values)).run
    new = load_weights(run.weights)[0]
    weights = {name for name in old if "num_batches" not in name}
    norms = {name for name in weights if re.search(r"bn\d\.", name)}
    assert norms < weights and {name for name in weights if torch.equal(old[name], new[name])} == norms
    assert (run.config().trunk_lr, run.config().freeze) == (0.1, "norms")


# ---- images of several sizes ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CamVid's layout with images of three sizes, as shards."""
    home, random = tmp_path_factory.mktemp("mixed") / "root", np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for folder in (split, split + "annot"):
            (home / "CamVid" / folder).mkdir(parents=True)
        for i in range(count):
            image, labels = (
                random.integers(0, 255, (*SIZES[i], 3), np.uint8),
                random.integers(0, 11, SIZES[i], np.uint8),
            )
            Image.fromarray(image).save(home / "CamVid" / split / f"{split}{i}.png")
            Image.fromarray(labels).save(home / "CamVid" / f"{split}annot" / f"{split}{i}.png")
    segdata.prepare(segdata.make_job("camvid", root=home, out=home.with_name("shards"), scales=(1, 8), engine="serial"))
    return home.with_name("shards")


def test_the_way_out_of_mixed_sizes(mixed: Path, lesson: Lesson) -> None:
    """Both refusals name the same way out, and it trains, validates images of any size, and is reproduced."""
    values: dict[str, Any] = {"shards": mixed, "batch_size": 3, "steps": 1}
    for crop in (None, (64, 96)):
        with pytest.raises(SegmodelsError, match="or --pad, which fills smaller images"):
            train(lesson(**values, crop=crop))
        run = train(lesson(f"{crop}", **values, crop=crop, pad=True)).run
        assert run.results()["images"] == 2
        assert not verify(run.path, steps=1).wrong
        assert load_weights(run.weights)[1]["size"] == list(crop or (96, 208)), "multiples of 16"


@pytest.mark.parametrize("stride", [1, 8])
def test_what_is_filled(mixed: Path, stride: int) -> None:
    """The image lies at the top left, the rest has the fill colour and no label."""
    shards = ShardSet(mixed, "train")
    batch = Batches(shards, Geometry(stride=stride), Augmentation((96, 208), fill=(9, 8, 7)), 3, 0)[0]
    for key, image, target in zip(*batch, strict=True):
        record = shards.read(shards.keys.index(key))
        height, width = record.image.shape[:2]
        expected = np.full((96, 208, 3), (9, 8, 7), np.uint8)
        expected[:height, :width] = record.image
        labels = np.full((96 // stride, 208 // stride), 255, np.uint8)
        labels[: height // stride, : width // stride] = record.targets[stride]
        assert np.array_equal(image, expected)
        assert np.array_equal(target, labels)


# ---- the loss that is told -----------------------------------------------------------------------------------


def test_the_loss_of_a_pixel(lesson: Lesson) -> None:
    """What is told weighs images by their labelled pixels; what is minimised, and noted, is the mean over images."""
    ids = torch.tensor([[[0, 255], [255, 255]], [[255, 255], [255, 255]], [[1, 2], [3, 255]]], dtype=torch.uint8)
    counts = torch.stack([torch.stack([each != 255, each == 255]) for each in ids]).to(torch.uint8) * 4
    pixels = labelled_pixels(Batch((), ids, ids))
    assert pixels.tolist() == [1, 0, 3]
    assert labelled_pixels(Batch((), ids, counts)).tolist() == [4, 0, 12]
    network = torch.nn.Conv2d(1, 1, 1)
    state = State(network, torch.optim.SGD(network.parameters()), None, step=1)
    nothing: Any = None
    state.unread = torch.stack([torch.zeros(3), torch.zeros(3)], dim=1)
    state.read_losses(nothing)
    row = {"epoch": 1.0, "step": 1.0, "lr": 0.1, "loss": state.mean_loss}
    assert epoch_line(row, state.pixel_loss) == "epoch 1: no labelled pixel, so no loss"
    state.running.clear()
    state.unread = torch.stack([torch.tensor([2.0, 0.0, 4.0]), pixels], dim=1)
    state.read_losses(nothing)
    assert (state.mean_loss, state.pixel_loss) == (2.0, 3.5)
    assert epoch_line(row, state.pixel_loss) == "epoch 1: loss 3.5000"
