"""`segmodels calibrate`: the model of a network's answer, the search in it, and q files that keep their budget."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import segmodels
import segmodels.calibration.calibrate as calibration
from segdata import ShardSet
from segmodels import SegmodelsError
from segmodels.calibration.calibrate import Budget, Calibration, calibrate
from segmodels.calibration.model import Model
from segmodels.calibration.pixels import Pixels, look_closely
from segmodels.calibration.search import search
from segmodels.cli import cli
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.trained import load_trained
from segmodels.knobs.sweep import Row, sweep
from segmodels.networks.percentile.network import PercentileNet, quantiles_by_class
from segmodels.scoring.metrics import miou
from tests.segmodels.commands import run

CPU = torch.device("cpu")
PERCENTILE = {"width_factor": 0.03125}
Q = segmodels.spec("percentile").knob("q", "the tests")
Make = Callable[..., Path]


@pytest.fixture
def segmenter(make_run: Make) -> Segmenter:
    return load_trained(make_run("percentile", **PERCENTILE), CPU)


def drawn(seed: int, pixels: int = 600, classes: int = 4, images: int = 3) -> Pixels:
    """Pixels at random, many of them with equal confidences, a few ignored; class 3 never wins at stage 1."""
    generator = np.random.default_rng(seed)
    target = generator.integers(0, classes, pixels).astype(np.uint8)
    right = generator.random((3, pixels)) < np.array([[0.4], [0.6], [0.8]])
    winner = np.where(right, target, generator.integers(0, classes, (3, pixels))).astype(np.uint8)
    winner[0][winner[0] == 3] = 0
    confidence = (generator.integers(20, 60, (3, pixels)) / 60).astype(np.float32)
    target[:: pixels // 10] = 255
    return Pixels(np.sort(generator.integers(0, images, pixels)), confidence, winner, target, classes)


def naive(pixels: Pixels, q: tuple[float, ...]) -> tuple[list[bool], list[bool], np.ndarray[Any, Any]]:
    """Who reaches stages 2 and 3, and the answers: image by image, class by class, by NumPy's quantile."""
    reached = np.ones((3, len(pixels.target)), bool)
    for stage in (0, 1):
        for image, number in product(np.unique(pixels.image), range(pixels.classes)):
            own = reached[stage] & (pixels.image == image) & (pixels.winner[stage] == number)
            if own.any():
                limit = np.quantile(pixels.confidence[stage][own].astype(np.float64), q[number])
                reached[stage + 1 :, own & (pixels.confidence[stage] > limit)] = False
    answer = np.where(reached[2], pixels.winner[2], np.where(reached[1], pixels.winner[1], pixels.winner[0]))
    return reached[1].tolist(), reached[2].tolist(), answer


# ---- the model -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [(0.0,) * 4, (0.5,) * 4, (1.0,) * 4, (0.31, 0.77, 1.0, 0.0), (0.9, 0.05, 0.5, 0.42)])
def test_the_model_against_loops(q: tuple[float, ...]) -> None:
    """Shares, work and mIoU are those of quantiles taken class by class; equal confidences stay together."""
    pixels = drawn(seed=1)
    second, third, answer = naive(pixels, q)
    estimate = Model(pixels, [True, True, True, False], base=0.4)(q)
    assert estimate.shares == pytest.approx((1, np.mean(second), np.mean(third)))
    assert estimate.work == pytest.approx(0.4 + 0.3 * np.mean(second) + 0.3 * np.mean(third))
    ious = []
    for number in range(3):
        counted = pixels.target < 3  # an ignored pixel is not counted, nor one of a class that is not evaluated
        truth, said = (pixels.target == number)[counted], (answer == number)[counted]
        ious.append((truth & said).sum() / (truth | said).sum())
    assert estimate.miou == pytest.approx(np.mean(ious))


@pytest.mark.parametrize("q", [0.0, 0.3, 1.0])
def test_the_model_against_the_network(q: float, segmenter: Segmenter, val: ShardSet) -> None:
    """Exactly the pixels that the network sends to stage 2, on every image; at q = 1 its answer, too."""
    pixels = look_closely(segmenter, val, every=1, workers=0)
    model = Model(pixels, [row.evaluated for row in segmenter.taxonomy.classes], base=0.4)
    network = segmenter.network
    assert isinstance(network, PercentileNet)
    network.set_q(q)
    with torch.no_grad():
        answers = [network(segmenter.input(val.read(i).image)) for i in range(len(val))]
    masks = torch.cat([answer.extras["masks"] for answer in answers])
    estimate = model(model.same(q))
    assert estimate.shares[1] == pytest.approx(masks[:, 1].double().mean().item(), abs=1e-12)
    if q == 1:
        matrix = np.zeros((20, 20), np.int64)
        for i, answer in enumerate(answers):
            target = val.read(i).targets[1]
            labels = answer.logits.argmax(dim=1)[0].numpy()
            np.add.at(matrix, (target[target < 20], labels[target < 20]), 1)
        assert estimate.miou == float(miou(matrix, [row.evaluated for row in segmenter.taxonomy.classes]))


def test_equal_quantiles() -> None:
    """The model's rule on ranks is the network's rule on limits."""
    pixels = drawn(seed=2, images=1)
    q = (0.2, 0.45, 0.8, 0.5)
    confidence, winner = (torch.from_numpy(each[0])[None] for each in (pixels.confidence, pixels.winner))
    counted = torch.ones_like(winner, dtype=torch.bool)
    limits = quantiles_by_class(confidence, winner.long(), counted, torch.tensor(q, dtype=torch.float64))
    expected = (confidence.double() <= limits.gather(1, winner.long()))[0]
    model = Model(pixels, [True] * 4, base=0.4)
    assert model(q).shares[1] == pytest.approx(expected.double().mean().item(), abs=1e-12)


def test_pixels_lie_on_a_grid(segmenter: Segmenter, val: ShardSet) -> None:
    """No more than asked for, of each image as many, where all do not fit."""
    few = look_closely(segmenter, val, every=1, workers=0, most=2000)
    assert len(few.target) <= 2000 < 4 * len(few.target)
    assert len(set(np.bincount(few.image))) == 1 and few.image[-1] == len(val) - 1


# ---- the search ------------------------------------------------------------------------------------------------


def test_the_search_spends_where_it_helps() -> None:
    """Class 0 is right at once, class 1 only after stage 3: all work goes to class 1."""
    generator = np.random.default_rng(0)
    said = generator.integers(0, 2, 1000).astype(np.uint8)  # at stage 1
    target = np.where((said == 1) & (generator.random(1000) < 0.5), 0, said).astype(np.uint8)
    pixels = Pixels(
        np.zeros(1000, np.int64),
        generator.random((3, 1000)).astype(np.float32),
        np.stack([said, said, target]),
        target,
        2,
    )
    model = Model(pixels, [True, True], base=0.4)
    uniform = model(model.uniform(0.75))
    found = search(model, 0.75)
    assert found.estimate.work <= 0.75
    assert found.q[0] < 0.1 and found.q[1] > 0.9
    assert found.estimate.miou > uniform.miou + 0.05


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("allowed", [0.5, 0.7, 0.9])
def test_the_search_is_not_far_from_the_best(seed: int, allowed: float) -> None:
    """Never below the uniform q, and on noise at most 0.03 below the best of all q by tenths."""
    pixels = drawn(seed, pixels=3000)
    pixels = replace(pixels, winner=np.minimum(pixels.winner, 2), target=np.where(pixels.target == 3, 2, pixels.target))
    model = Model(pixels, [True, True, True, False], base=0.4)
    found = search(model, allowed)
    assert found.estimate == model(found.q) and found.estimate.work <= allowed
    assert found.estimate.miou >= model(model.uniform(allowed)).miou
    tenths = [tenth / 10 for tenth in range(11)]
    grid = (model((*q, 0.5)) for q in product(tenths, repeat=3))
    assert found.estimate.miou >= max(each.miou for each in grid if each.work <= allowed) - 0.03


# ---- the whole -------------------------------------------------------------------------------------------------


def by_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that shows a millisecond for each 1 % of the full compute."""

    def timed(*arguments: Any, **options: Any) -> list[Row]:
        return [replace(row, ms_median=100 * row.macs / row.full_macs) for row in sweep(*arguments, **options)]

    monkeypatch.setattr(calibration, "sweep", timed)


@pytest.fixture(scope="module")
def file(make_run: Make, make_street_shards: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes for a budget of 0.7; not to be changed."""
    out = tmp_path_factory.mktemp("calibrated") / "q.json"
    shards = make_street_shards()
    said = run("calibrate", make_run("percentile", **PERCENTILE), "--shards", shards, "--budget", 0.7, "--out", out)
    assert "within a share of 0.7 of the full compute, on 3 images of val" in said
    return out


def test_the_budget_is_kept_and_no_uniform_q_is_better(file: Path, segmenter: Segmenter, val: ShardSet) -> None:
    """Measured anew: what the file says is so; every q by hundredths that fits is at most as good."""
    document = json.loads(file.read_text())
    assert (document["format"], document["taxonomy"], document["run"]) == (1, "cityscapes-20", segmenter.run)
    assert document["budget"] == {"share": 0.7}
    hundredths = [hundredth / 100 for hundredth in range(0, 101, 5)]
    found, *others = sweep(
        calibration.knob_points(segmenter, Q, [tuple(document["q"]), document["uniform"]["q"], *hundredths]),
        val,
        forwards=1,
    )
    assert found.macs / found.full_macs == document["found"]["compute"] <= 0.7
    assert found.miou == document["found"]["miou"] and others[0].miou == document["uniform"]["miou"]
    fitting = [row for row in others if row.macs <= 0.7 * row.full_macs]
    assert max(row.value for row in fitting) < document["uniform"]["q"] + 0.05
    assert document["found"]["miou"] >= document["uniform"]["miou"] == fitting[0].miou


def test_evaluate_and_predict_take_the_file(
    file: Path, make_run: Make, make_street_shards: Make, streets: Path, tmp_path: Path
) -> None:
    """Evaluate finds the mIoU that the file promises, to the last digit, and says which q it was."""
    folder = make_run("percentile", **PERCENTILE)
    document = json.loads(file.read_text())
    run("evaluate", folder, "--shards", make_street_shards(), "--out", tmp_path / "scores", "--q", file)
    metrics = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert metrics["miou"] == document["found"]["miou"] and metrics["q"] == document["q"]
    (image,) = sorted((streets / "leftImg8bit" / "train").rglob("*.png"))
    listed = ",".join(f"{q:g}" for q in document["q"])
    for name, q in (("file", file), ("list", listed)):
        run("predict", folder, image, "--out", tmp_path / name, "--q", q)
    pictures = [next((tmp_path / name).glob("*_labels.png")).read_bytes() for name in ("file", "list")]
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("ms", [60.0, pytest.param(85.0, marks=pytest.mark.slow)])
def test_a_budget_of_time(ms: float, segmenter: Segmenter, val: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a planted clock: the median is within it, and the largest uniform q that is has been found."""
    by_work(monkeypatch)
    result: Calibration = calibrate(segmenter, val, Budget(ms=ms), forwards=1)
    assert result.found.row.ms_median <= ms and result.uniform.row.ms_median <= ms
    above = round(result.uniform.q[0] + 0.01, 2)
    (next_row,) = calibration.sweep(calibration.knob_points(segmenter, Q, [above]), val, forwards=1)
    assert next_row.ms_median > ms
    assert result.found.row.miou is not None and result.uniform.row.miou is not None
    assert result.found.row.miou >= result.uniform.row.miou


def test_a_budget_for_all(segmenter: Segmenter, val: ShardSet) -> None:
    """With the full compute allowed the best of all that was tried is taken, q = 1 among it."""
    result = calibrate(segmenter, val, Budget(share=1.0), forwards=1)
    assert set(result.uniform.q) == {1.0} and result.uniform.row.macs == result.full.row.full_macs
    assert (result.found.row.miou or 0) >= (result.full.row.miou or 1)


def test_bad_input_is_one_line(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """What was found, what is expected; nothing is written."""
    staged, plain = make_run("percentile", **PERCENTILE), make_run("dilated_unet", width_factor=0.25)
    published = make_run("percentile", **PERCENTILE, as_published=True)
    shards, other = make_street_shards(), make_street_shards("cityscapes-19")
    out = tmp_path / "q.json"
    here: tuple[object, ...] = ("--shards", shards, "--out", out)
    for arguments, message in (
        ((staged, *here), "Give --budget SHARE or --latency MS"),
        ((staged, *here, "--budget", 0.5, "--latency", 5), "Give --budget SHARE or --latency MS"),
        ((staged, *here, "--budget", 0.2), "even at q = 0 it takes 0."),
        ((staged, *here, "--latency", 0.001), "the budget is 0.001 ms an image, but even at q = 0 it takes"),
        ((plain, *here, "--budget", 0.5), "calibrate: dilated_unet has no q"),
        ((published, *here, "--budget", 0.5), "as_published=true"),
        ((tmp_path / "nowhere", *here, "--budget", 0.5), "no run"),
        ((staged, "--shards", other, "--out", out, "--budget", 0.5), "the run learnt cityscapes-20"),
        ((staged, "--shards", shards, "--out", tmp_path, "--budget", 0.5), "is a folder, expected a file"),
        ((staged, "--shards", shards, "--out", staged / "q.json", "--budget", 0.5), "lies in the folder of a run"),
        ((staged, *here, "--budget", 0.5, "--split", "test"), "test"),
    ):
        with pytest.raises(Exception) as error:
            CliRunner().invoke(cli, ["calibrate", *map(str, arguments)], catch_exceptions=False)
        assert isinstance(error.value, SegmodelsError), arguments
        assert message in str(error.value) and "\n" not in str(error.value)
    assert not out.exists()


def test_the_commands_of_the_page_exist() -> None:
    """Every `segmodels …` line of docs/bench.md is parsed by its command, every option known."""
    page = (Path(__file__).parents[3] / "docs" / "bench.md").read_text(encoding="utf-8")
    lines = [shlex.split(line) for line in page.splitlines() if line.startswith("segmodels ")]
    assert len(lines) > 10
    for _, name, *arguments in lines:
        cli.commands[name].make_context(name, arguments)  # raises where it is not understood
