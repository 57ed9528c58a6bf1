"""The training loop: what a step computes, when it ends, what it publishes, and what it refuses."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn

import segdata
import segmodels
import segmodels.training.train
from segdata import SegdataError, ShardSet
from segmodels import SegmodelsError
from segmodels.cli import cli
from segmodels.compute.device import choose_device
from segmodels.config.config import TrainConfig
from segmodels.config.options import options_of
from segmodels.data.batches import Batch
from segmodels.data.images import normalise
from segmodels.inference.segmenter import Segmenter, load_segmenter
from segmodels.inference.views import logits_at_full_size
from segmodels.prediction import Prediction
from segmodels.runs.checkpoint import load_checkpoint, load_weights
from segmodels.runs.progress import Console, Pace, Status
from segmodels.runs.run import Run
from segmodels.scoring.confusions import count_confusions
from segmodels.scoring.metrics import miou
from segmodels.training.ranks import Ranks
from segmodels.training.train import train
from segmodels.training.verify import verify

Lesson = Callable[..., TrainConfig]
SMALL_FAMILY = {"width": 4, "depth": 2}


def history(run: Run) -> list[dict[str, str]]:
    return list(csv.DictReader(run.history.read_text().splitlines()))


# ---- a step --------------------------------------------------------------------------------------------------


def test_a_step_on_jpeg_frames(lesson: Lesson, tmp_path: Path) -> None:
    """A set that holds a camera's own JPEG files trains the weights of the same pixels stored as PNG."""
    labels = "[{id: 0, name: road, color: [9, 9, 9]}, {id: 1, name: car, color: [0, 0, 9]}]"
    source = tmp_path / "mine.yaml"
    source.write_text(
        f"name: mine\nlabels: {labels}\nsplits: [train, val]\n"
        'image: "{split}/{frame}.jpg"\nannotation: "{split}/{frame}.png"\n'
    )
    for i in range(5):
        folder = tmp_path / "raw" / ("val" if i == 4 else "train")
        folder.mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(i).integers(0, 256, (32, 64, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"{i}.jpg")
        Image.fromarray(picture[..., 0] // 128).save(folder / f"{i}.png")
    weights = []
    for codec, part in ((None, "image.jpg"), ("png", "image.png")):
        out = tmp_path / part
        segdata.prepare(
            segdata.make_job(str(source), root=tmp_path / "raw", out=out, image_codec=codec, engine="serial")
        )
        assert ShardSet(out, "train").bytes(0, part)
        weights.append(load_weights(train(lesson(f"run of {part}", shards=out, steps=1)).run.weights)[0])
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def a_batch(stride: int = 1) -> Batch:
    """Four images of noise, 16x32, some pixels ignored."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (4, 16, 32, 3), generator=generator, dtype=torch.uint8)
    targets = torch.randint(6, (4, 16 // stride, 32 // stride), generator=generator, dtype=torch.uint8)
    targets[targets == 5] = 255
    return Batch(("a", "b", "c", "d"), images, targets)


def gradients(network: nn.Module, name: str, config: TrainConfig, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    network.zero_grad()
    weights = segmodels.spec(name).step_weights
    losses = segmodels.training.train.backward(network, batch, config, weights, None, torch.device("cpu"))
    return losses, {path: p.grad.clone() for path, p in network.named_parameters() if p.grad is not None}


class TwoHeads(nn.Module):
    """As PSPNet answers in training: an auxiliary head first."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(3, 5, 3, padding=1) for _ in range(2))

    def forward(self, image: Tensor) -> Prediction:
        aux, main = (head(image) for head in self.heads)
        return Prediction(main, (aux, main), {})


def test_every_step_is_supervised(lesson: Lesson) -> None:
    """The loss of an image is the sum over all outputs of its mean cross entropy, times the spec's weights."""
    torch.manual_seed(0)
    network, batch = TwoHeads(), a_batch()
    losses, found = gradients(network, "pspnet", lesson(), batch)
    network.zero_grad()
    steps = network(normalise(batch.images, lesson().mean, lesson().std)).steps
    expected = []
    for i in range(4):
        labels = batch.targets[i : i + 1].long()
        aux, main = (F.cross_entropy(step[i : i + 1], labels, ignore_index=255) for step in steps)
        expected.append(0.4 * aux + main)
    torch.testing.assert_close(losses, torch.stack(expected).detach())
    torch.stack(expected).mean().backward()
    for path, parameter in network.named_parameters():
        torch.testing.assert_close(found[path], parameter.grad, rtol=1e-4, atol=1e-6)


def test_accumulation_changes_no_gradient(lesson: Lesson) -> None:
    """A batch in one, two or four parts has the same mean gradient (layer norms: no part knows of the others)."""
    torch.manual_seed(0)
    network = segmodels.build("distill_x2", 5, (16, 32), alpha_init=0.5, **SMALL_FAMILY).train()
    batch = a_batch(2)
    whole_losses, whole = gradients(network, "distill_x2", lesson(), batch)
    for parts in (2, 4):
        losses, found = gradients(network, "distill_x2", lesson(accumulate=parts), batch)
        torch.testing.assert_close(losses, whole_losses)
        for path, gradient in whole.items():
            torch.testing.assert_close(found[path], gradient, rtol=1e-4, atol=1e-6)


def test_alpha_and_beta_stay_float32(lesson: Lesson) -> None:
    """Under bf16 the weights, α, β and all gradients are float32, and losses are those of float32 to bf16's digits."""
    torch.manual_seed(0)
    network = segmodels.build("iterative_v6", 5, (16, 32), alpha_init=0.5, steps=3, prenet="x2", **SMALL_FAMILY).train()
    batch = a_batch(2)
    exact, _ = gradients(network, "iterative_v6", lesson(), batch)
    losses, found = gradients(network, "iterative_v6", lesson(precision="bf16"), batch)
    assert {"alpha", "beta"} <= found.keys()
    assert {gradient.dtype for gradient in found.values()} == {parameter.dtype for parameter in network.parameters()}
    assert losses.dtype == torch.float32
    assert not torch.equal(losses, exact)
    torch.testing.assert_close(losses, exact, rtol=0.05, atol=0)


def test_the_learning_rate_of_an_epoch(lesson: Lesson) -> None:
    """history.csv has the rate of each epoch's last step: a warm-up of 2 of 6 steps, then half a cosine over 4."""
    run = train(lesson(lr=0.01, warmup=1 / 3)).run
    rates = [float(row["lr"]) for row in history(run)]
    assert rates == pytest.approx([0.01 * (1 + math.cos(math.pi * k / 4)) / 2 for k in (0, 3)])


def test_the_loss_of_an_epoch_is_the_mean_over_its_images(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """history.csv has the mean of all images' losses as the steps saw them."""
    seen: list[float] = []
    original = segmodels.training.train.backward

    def watched(*arguments: Any) -> Tensor:
        losses = original(*arguments)
        seen.extend(losses.tolist())
        return losses

    monkeypatch.setattr(segmodels.training.train, "backward", watched)
    rows = history(train(lesson()).run)
    assert len(seen) == 24
    assert [float(row["loss"]) for row in rows] == pytest.approx([np.mean(seen[:12]), np.mean(seen[12:])])


# ---- what is published ---------------------------------------------------------------------------------------


def test_scores_are_those_of_the_published_weights(lesson: Lesson) -> None:
    """metrics.json follows from model.safetensors and the validation split alone."""
    outcome = train(lesson())
    segmenter = load_segmenter(outcome.run.path, torch.device("cpu"))
    matrices = count_confusions(segmenter, ShardSet(lesson().shards, "val"))[:, -1]
    assert matrices.sum(0).tolist() == outcome.run.document()["confusion"]
    evaluated = [row.evaluated for row in segmenter.taxonomy.classes]
    assert outcome.metrics["miou"] == float(miou(matrices.sum(0), evaluated))


def test_the_history_has_every_output_and_the_training_split(lesson: Lesson) -> None:
    """A column an iteration, the last one the answer's; with --train-scores the same of that many training images."""
    config = lesson(
        network="iterative_v6",
        options={"prenet": "x2", "steps": 3, "norm": "batch", **SMALL_FAMILY},
        train_scores=2,
    )
    outcome = train(config)
    last = history(outcome.run)[-1]
    for prefix, split, most in (("", "val", 0), ("train_", "train", 2)):
        segmenter = load_segmenter(outcome.run.path, torch.device("cpu"))
        matrices = count_confusions(segmenter, ShardSet(config.shards, split), most=most)
        evaluated = [row.evaluated for row in segmenter.taxonomy.classes]
        expected = [float(miou(matrices[:, i].sum(0), evaluated)) for i in range(3)]
        assert [float(last[f"{prefix}miou_{i:02}"]) for i in (1, 2, 3)] == expected
        assert float(last[f"{prefix}miou"]) == expected[-1]
        assert len(matrices) == (most or len(ShardSet(config.shards, split)))


def test_a_rank_without_images_knows_no_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two images and three ranks the last one has none: all put the same together, with every output."""
    both = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    own = [both[:1], both[1:], np.zeros((0, 1, 2, 2), np.int64)]

    def gather(parts: list[Any], mine: Any) -> None:
        parts[:] = own

    monkeypatch.setattr("torch.distributed.all_gather_object", gather)
    for rank, mine in enumerate(own):
        assert np.array_equal(Ranks(rank, 3).interleave(mine), both)


def test_the_average_is_published(lesson: Lesson) -> None:
    """With --ema the published weights are the checkpoint's average, without it its weights."""
    for ema in (0.999, 0.0):
        run = train(lesson(f"ema{ema}", ema=ema)).run
        last = load_checkpoint(run.last, run.document()["id"])
        expected = last.ema or last.weights
        assert (last.ema is None) == (ema == 0)
        assert all(torch.equal(tensor, expected[name]) for name, tensor in load_weights(run.weights)[0].items())


def test_early_stop(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends after so many validations without a better score, says so, publishes the best, and is finished."""
    scores = iter([0.2, 0.4, 0.3, 0.4, 0.9])
    monkeypatch.setattr(
        segmodels.training.validation,
        "history_scores",
        lambda *arguments: {"miou": next(scores), "pixel_accuracy": 0.5},
    )
    monkeypatch.setattr(
        segmodels.training.train, "metrics_document", lambda matrices, segmenter, step: {"step": step, "miou": 0.4}
    )
    said: list[object] = []
    outcome = train(lesson(steps=None, epochs=10, validate_every=2, early_stop=2), show=said.append)
    assert [row["miou"] for row in history(outcome.run)] == ["", "0.2", "", "0.4", "", "0.3", "", "0.4"]
    assert outcome.metrics == {"step": 12, "miou": 0.4}
    (line,) = (line for line in said if "--early-stop" in str(line))
    assert line == outcome.run.document()["ended"]
    assert str(line).startswith("ended after epoch 8, step 24 of 30, by --early-stop 2: none of 2 validations since")
    assert outcome.run.weights.read_bytes() == outcome.run.best.read_bytes()
    assert outcome.run.finished
    assert next(scores) == 0.9


def test_a_run_that_was_stopped_early_and_killed(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the last checkpoint and the result, it still ends where it ended, with the same bytes."""
    config = lesson(steps=None, epochs=4, early_stop=1, lr=1e-12, ema=0.0, warmup=0.0)
    whole = train(replace(config, out=config.out.with_name("whole")))
    assert whole.metrics["step"] < 12

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(segmodels.training.train, "metrics_document", killed)
        train(config)
    again = train(config)
    assert again.metrics == whole.metrics
    assert again.run.weights.read_bytes() == whole.run.weights.read_bytes()


def test_validation_now_and_then(lesson: Lesson) -> None:
    """--validate-every 2 scores every second epoch, and in any case the last."""
    run = train(lesson(steps=None, epochs=3, validate_every=2)).run
    assert [bool(row["miou"]) for row in history(run)] == [False, True, True]


def test_init_from_a_run(lesson: Lesson) -> None:
    """--init takes over the very weights, whether the run's folder or the file in it is named, to the same bytes."""
    first = train(lesson("first", steps=2, ema=0.0)).run
    values = {"lr": 1e-12, "weight_decay": 0.0, "steps": 1, "ema": 0.0}
    again = train(lesson("again", init=first.weights, **values)).run
    old, new = (load_weights(run.weights)[0] for run in (first, again))
    assert all(torch.allclose(old[name], new[name]) for name in old if "running" not in name and "num_" not in name)
    assert again.document()["init"] is not None
    of_folder = train(lesson("of folder", init=first.path, **values)).run
    assert of_folder.weights.read_bytes() == again.weights.read_bytes()
    assert of_folder.config().trunk_lr == 1.0  # the file holds the whole network
    assert not verify(of_folder.path, steps=1).wrong
    with pytest.raises(SegmodelsError, match=r"run .*unfinished.* name a weights file"):
        train(lesson("half"), until=1)
        train(lesson("on", init=lesson("half").out))


def test_init_from_another_network(lesson: Lesson) -> None:
    """Weights of a network without a trunk are refused for another one, and no run is left behind."""
    first = train(lesson("first", steps=1)).run
    with pytest.raises(SegmodelsError, match="has no trunk"):
        train(lesson("other", network="distill_x2", options=SMALL_FAMILY, init=first.weights))
    assert not lesson("other").out.exists()


# ---- bad input -----------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_a_number(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops, names the step and the keys of the batch, and the last good checkpoint stays as it was."""
    config = lesson()
    train(config, until=3)
    good = Run(config.out).last.read_bytes()
    original = segmodels.training.train.backward
    calls: list[tuple[str, ...]] = []

    def broken(forward: Any, batch: Batch, *others: Any) -> Tensor:
        calls.append(batch.keys)
        losses = original(forward, batch, *others)
        return losses.index_fill(0, torch.tensor([1]), math.nan) if len(calls) == 2 else losses

    monkeypatch.setattr(segmodels.training.train, "backward", broken)
    with pytest.raises(SegmodelsError, match="the loss of step 5 is not a number") as stopped:
        train(config)
    assert f"nan for {calls[1][1]} (batch: {', '.join(calls[1])})" in str(stopped.value)
    assert Run(config.out).last.read_bytes() == good


def test_weights_that_are_not_finite(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that ruins the weights before any loss shows it is never saved."""
    config = lesson()
    train(config, until=1)
    good = Run(config.out).last.read_bytes()
    monkeypatch.setattr(segmodels.training.train, "learning_rate_factor", lambda *arguments, **values: math.inf)
    with pytest.raises(SegmodelsError, match="is not finite after step 2"):
        train(config, until=2)
    assert Run(config.out).last.read_bytes() == good


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"crop": (128, 64)},
            r"--crop 128x64 is larger than the images of train: 64x128. Sizes are HxW: did you mean 64x128\?",
        ),
        ({"crop": (33, 64)}, r"--crop 33x64 does not fit"),
        ({"batch_size": 13}, r"12 samples, fewer than a batch of 13"),
        ({"batch_size": 9, "accumulate": 2}, "--accumulate is 2, expected a divisor of 9"),
        ({"device": "cude"}, r"--device is 'cude', expected auto, cpu, cuda or cuda:N"),
        ({"network": "dilated_net"}, r"no network 'dilated_net' \(did you mean"),
        ({"options": {"width_factor": -1.0}}, "option width_factor is -1"),
        ({"network": "distill_x2", "trunk_lr": 0.1, "options": SMALL_FAMILY}, "no part named `trunk`"),
    ],
)
def test_bad_options(lesson: Lesson, values: dict[str, Any], message: str) -> None:
    """Every one is a line that says what was found and expected."""
    with pytest.raises(SegmodelsError, match=message):
        train(lesson(**values))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_asked_for_and_absent(lesson: Lesson) -> None:
    """No silent training on the CPU."""
    for device in ("cuda", "cuda:1"):
        with pytest.raises(SegmodelsError, match=f"--device is {device}, but .*Use --device cpu, or auto"):
            train(lesson(device=device))


def test_the_device_of_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` and `cuda` are the CUDA device of the process's place on its machine; a number is that number."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(choose_device(name)) for name in ("auto", "cuda", "cuda:1", "cpu")] == [
        "cuda:0", "cuda:0", "cuda:1", "cpu",
    ]  # fmt: skip
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [str(choose_device(name)) for name in ("auto", "cuda", "cuda:0")] == ["cuda:1", "cuda:1", "cuda:0"]
    with pytest.raises(SegmodelsError, match="--device is cuda:2, but there are 2"):
        choose_device("cuda:2")


def test_missing_init(lesson: Lesson, tmp_path: Path) -> None:
    """A file that is not there is named, and no run is left behind."""
    config = lesson(init=tmp_path / "none.safetensors")
    with pytest.raises(SegmodelsError, match=r"--init .*none\.safetensors: No such file"):
        train(config)
    assert not config.out.exists()


def test_missing_scale(lesson: Lesson, make_street_shards: Callable[..., Path]) -> None:
    """Shards that cannot serve the network's stride, or the validation, are refused before anything is made."""
    config = lesson(shards=make_street_shards(scales=(8,)), batch_size=1, crop=None)
    with pytest.raises(SegmodelsError, match=r"x1.*has x8\. Prepare again with --scale 1 --scale 8"):
        train(config)
    assert not config.out.exists()


def test_no_shards(lesson: Lesson, tmp_path: Path) -> None:
    """A folder without shards is named."""
    with pytest.raises(SegdataError, match=r"no dataset\.json"):
        train(lesson(shards=tmp_path))


# ---- stopping ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop(lesson: Lesson, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end after the step under way, which is saved; the same command gives the same bytes."""
    whole = train(lesson("whole")).run
    config = lesson("stopped")
    original = segmodels.training.train.backward

    def interrupted(*arguments: Any) -> Tensor:
        os.kill(os.getpid(), number)
        return original(*arguments)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch, pytest.raises(SegmodelsError, match="stopped after step 1 of 6"):
        patch.setattr(segmodels.training.train, "backward", interrupted)
        train(config)
    assert signal.getsignal(number) is before
    assert train(config).run.weights.read_bytes() == whole.weights.read_bytes()


def test_training_in_a_thread(lesson: Lesson) -> None:
    """Outside of the main thread, where Python allows no signal handlers, it works all the same."""
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(train(lesson(steps=1))))
    thread.start()
    thread.join()
    assert outcomes[0].run.finished


def test_what_it_tells(lesson: Lesson) -> None:
    """A status after every step, a line after every epoch, and what a second command finds."""
    news: list[Status | str] = []
    train(lesson(), show=news.append)
    statuses = [each for each in news if isinstance(each, Status)]
    assert [(each.step, each.total, each.epoch) for each in statuses] == [(k, 6, (k - 1) // 3) for k in range(1, 7)]
    lines = [each for each in news if isinstance(each, str)]
    assert lines[0] == f"{lesson().out}: CPU threads: {torch.get_num_threads()}"
    assert [line.partition(":")[0] for line in lines[1:]] == ["epoch 1", "epoch 2"]
    news.clear()
    train(lesson(), show=news.append)
    assert news == [f"{lesson().out} is finished: nothing to do"]


def test_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images per second and time left are those of this session: 4 steps of 8 images in 2 s, 90 steps left."""
    times = iter([100.0, 102.0])
    monkeypatch.setattr("segmodels.runs.progress.perf_counter", lambda: next(times))
    status = Pace(6, 100, 8).status(10, epoch=0, loss=0.5, lr=0.1)
    assert (status.images_per_second, status.seconds_left) == (16.0, 45.0)


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar redraws itself, at most ten times a second; lines stay above it."""
    monkeypatch.setattr("segmodels.runs.progress.perf_counter", iter([10.0, 10.05, 11.0]).__next__)
    stream = Terminal()
    console = Console(stream)
    for step in (25, 26, 50):
        console(Status(step, 100, 0, 0.5, 1e-3, 12.34, 75))
    console("epoch 1: done")
    half = "epoch 1  [############            ]  step 50/100  loss 0.5000  lr 1.00e-03  12.3 images/s  1:15 left"
    drawn = stream.getvalue().split("\r")
    assert [text.strip() for text in drawn if text.strip()] == [half.replace("50/", "25/").replace(
        "[############            ]", "[######                  ]"), half, "epoch 1: done"]  # fmt: skip


def test_a_log_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere it is a line every half minute, and the last step's in any case; hours are told as hours."""
    monkeypatch.setattr("segmodels.runs.progress.perf_counter", iter([10.0, 39.0, 40.0, 41.0]).__next__)
    stream = io.StringIO()
    console = Console(stream)
    for step, loss in ((1, math.nan), (2, 0.5), (3, 0.5), (4, 0.5)):
        console(Status(step, 4, 0, loss, 1e-3, 2.0, 3661))
    assert stream.getvalue().splitlines() == [
        "epoch 1  step 1/4  lr 1.00e-03  2.0 images/s  1:01:01 left",
        "epoch 1  step 3/4  loss 0.5000  lr 1.00e-03  2.0 images/s  1:01:01 left",
        "epoch 1  step 4/4  loss 0.5000  lr 1.00e-03  2.0 images/s  1:01:01 left",
    ]


# ---- a network in use ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dilated_unet", "distill_x8", "pspnet"])
def test_logits_of_any_size(name: str) -> None:
    """An image that fits no network is padded, or seen through windows, and answered at its own size."""
    small = {"dilated_unet": {"width_factor": 0.25}, "distill_x8": {"width": 4, "depth": 1}}
    options = small.get(name, {"backbone_depth": 18})
    torch.manual_seed(0)
    network = segmodels.build(name, 5, (32, 64), **options).eval()
    geometry = segmodels.spec(name).geometry(options)
    taxonomy: Any = None  # not needed for logits
    segmenter = Segmenter(
        network, segmodels.spec(name), geometry, (32, 64), taxonomy, (0.5,) * 3, (0.25,) * 3, torch.device("cpu")
    )
    image = np.random.default_rng(0).integers(0, 256, (41, 75, 3), dtype=np.uint8)
    logits = logits_at_full_size(segmenter, image)
    assert logits.shape == (1, 5, 41, 75)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


# ---- the command ---------------------------------------------------------------------------------------------


def test_every_field_is_an_option() -> None:
    """`segmodels train --help` has every field of TrainConfig, in sentences, with its default, choices and bounds."""
    context = cli.commands["train"].make_context("train", [], resilient_parsing=True)
    texts = {each.name: each.get_help_record(context) for each in cli.commands["train"].params}
    known = {field.name for field in fields(TrainConfig)} - {"plugin", "plugin_file"}  # which the network itself tells
    assert {str(name) for name in texts} - {"threads", "no_init"} == known
    declared = {each.field: each for each in options_of(TrainConfig)}
    assert set(texts) - set(declared) == {"network", "options", "threads", "no_init"}
    for name, each in declared.items():
        record = texts[name]
        assert record is not None
        typed, told = record
        assert typed.startswith(f"--{name.replace('_', '-')} ")
        sentences, _, facts = told.partition("  [")
        assert sentences[0].isupper() and sentences.endswith(".") and len(sentences.split()) > 3, sentences
        assert all(choice in typed for choice in each.choices), name
        default = getattr(TrainConfig, name, None)
        assert default in (None, ()) or f"default: {as_told(name, default)}" in facts.rstrip("]").split(";"), name
        if each.bound:
            assert re.search(r"[-+.e\d]+<=?x<=?[-+.e\d]+\]$", facts), name


def as_told(name: str, default: object) -> str:
    if isinstance(default, bool):
        return name.replace("_", "-") if default else f"no-{name.replace('_', '-')}"
    if isinstance(default, tuple):
        return ",".join(f"{value:g}" for value in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_the_command_line_reaches_the_config(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of option arrives as TrainConfig has it; what is not given stays the recipe's."""
    configs: list[TrainConfig] = []

    def caught(config: TrainConfig, **others: Any) -> Any:
        configs.append(config)
        raise SegmodelsError("caught")

    monkeypatch.setattr(segmodels.training.train, "train", caught)
    arguments = (
        "train dilated_unet --shards S --out R --steps 9 --crop 32x64 --scale 0.5,1 --rotations 15,30 --no-flip "
        "--mean 0.1,0.2,0.3 --schedule step --milestones 0.5:0.1,0.75:0.01 --lr 0.25 --precision bf16 --fast "
        "--option width_factor=0.5 --init W"
    )
    CliRunner().invoke(cli, arguments.split())
    assert configs == [
        TrainConfig(
            "dilated_unet", Path("S"), Path("R"), (("width_factor", 0.5),), None, 9, crop=(32, 64), scale=(0.5, 1.0),
            rotations=(15.0, 30.0), flip=False, mean=(0.1, 0.2, 0.3), schedule="step",
            milestones=((0.5, 0.1), (0.75, 0.01)), lr=0.25, precision="bf16", fast=True, init=Path("W"),
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    "bad", ["--crop 32", "--scale 1", "--scale a,b", "--mean 1,2", "--milestones 0.5", "--epochs many"]
)
def test_values_that_cannot_be_read(bad: str) -> None:
    """They are usage errors of their option."""
    result = CliRunner().invoke(cli, ["train", "dilated_unet", "--shards", "S", "--out", "R", *bad.split()])
    assert result.exit_code == 2
    assert bad.partition(" ")[0] in result.output


def test_train_and_verify_as_commands(lesson: Lesson) -> None:
    """Train, again, and verify: exit status 0 each, and what they say; verify of a changed run has 1."""
    config = lesson()
    command = ["train", "dilated_unet", "--shards", str(config.shards), "--out", str(config.out), "--steps", "2"]
    command += ["--batch-size", "4", "--crop", "32x64", "--option", "width_factor=0.25", "--device", "cpu"]
    for _ in range(2):
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 0, result.output
        assert "model.safetensors: miou 0.0" in result.output
    verified = CliRunner().invoke(cli, ["verify", str(config.out)])
    assert verified.exit_code == 0
    assert verified.output.endswith(f"{config.out}: reproduced\n")
    about = Run(config.out).about
    about.write_text(about.read_text().replace('"lr": 0.001', '"lr": 0.5'))
    changed = CliRunner().invoke(cli, ["verify", str(config.out)])
    assert changed.exit_code == 1
    assert "option: lr is 0.001 there, 0.5 here" in changed.output
    assert changed.output.endswith(f"{config.out}: NOT reproduced\n")
