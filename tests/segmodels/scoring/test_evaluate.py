"""`segmodels evaluate` against an independent way to the same numbers: loops over pixels, torch's own resizing."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import Tensor, nn

import segmodels
from segdata import ShardSet
from segdata.errors import SourceError
from segdata.labels.taxonomy import load_taxonomy
from segdata.sources import groups
from segmodels import SegmodelsError
from segmodels.cli import cli
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.trained import choose_views, load_trained
from segmodels.inference.views import Views, average, look
from segmodels.prediction import Prediction
from segmodels.runs.checkpoint import load_weights
from segmodels.scoring import metrics
from segmodels.scoring.evaluate import evaluate, measure
from segmodels.scoring.scored import read_scores
from segmodels.spec import Geometry
from tests.segmodels.commands import refused, run

CPU = torch.device("cpu")
UNET = {"width_factor": 0.25}
V6 = {"width": 4, "depth": 1, "steps": 3, "prenet": "x2", "norm": "batch"}
Make = Callable[..., Path]
Array = np.ndarray[Any, Any]


# ---- the independent way --------------------------------------------------------------------------------


def network_of(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    weights, about = load_weights(folder / "model.safetensors")
    classes = len(about["taxonomy"]["classes"])
    network = segmodels.build(about["network"], classes, tuple(about["size"]), **about["options"])
    network.load_state_dict(weights)
    return network.eval(), about


@torch.no_grad()
def logits_of(network: nn.Module, about: dict[str, Any], image: Array, multiple: int) -> Prediction:
    """What the network says about an image, grown by zeros at the bottom and right."""
    normal = (image / 255 - np.array(about["mean"])) / np.array(about["std"])
    height, width = (-(-side // multiple) * multiple for side in image.shape[:2])
    grown = np.zeros((height, width, 3))
    grown[: image.shape[0], : image.shape[1]] = normal
    prediction: Prediction = network(torch.from_numpy(grown.transpose(2, 0, 1)[None]).float())
    return prediction


def counted(truth: Array, found: Array, classes: int) -> Array:
    matrix = np.zeros((classes, classes), np.int64)
    for real, taken in zip(truth.ravel().tolist(), found.ravel().tolist(), strict=True):
        if real != 255:
            matrix[real, taken] += 1
    return matrix


def iou_of(matrix: Array, evaluated: list[bool]) -> dict[int, float]:
    """Cityscapes' IoU of each evaluated class that occurs or is predicted."""
    kept = [i for i, each in enumerate(evaluated) if each]
    result = {}
    for i in kept:
        missed = sum(int(matrix[i, j]) for j in range(len(matrix)) if j != i)
        wrong = sum(int(matrix[j, i]) for j in kept if j != i)
        if matrix[i, i] + missed + wrong:
            result[i] = int(matrix[i, i]) / (int(matrix[i, i]) + missed + wrong)
    return result


def evaluated_of(shards: ShardSet) -> list[bool]:
    return [row.evaluated for row in shards.taxonomy.classes]


def read_strictly(path: Path) -> dict[str, Any]:
    """JSON as every reader takes it: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    document: dict[str, Any] = json.loads(path.read_text(), parse_constant=refuse)
    return document


# ---- scores ---------------------------------------------------------------------------------------------


def test_scores_against_a_loop(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """Of padded images: every matrix, IoU and accuracy is what a plain loop over pixels counts."""
    folder, shards = make_run("dilated_unet", **UNET), make_street_shards(size=(56, 104))
    run("evaluate", folder, "--shards", shards, "--out", tmp_path / "out")
    network, about = network_of(folder)
    val = ShardSet(shards, "val")
    classes, evaluated = len(val.taxonomy.classes), evaluated_of(val)
    matrices = []
    for i in range(len(val)):
        record = val.read(i, scales=(1,))
        found = logits_of(network, about, record.image, 16).logits[0, :, :56, :104].argmax(0).numpy()
        matrices.append(counted(record.targets[1], found, classes))
    total = sum(matrices)
    assert len({int(each) for each in np.flatnonzero(total.sum(0))}) > 5  # the network mixes its classes

    document = read_strictly(tmp_path / "out" / "metrics.json")
    assert np.array_equal(np.load(tmp_path / "out" / "confusion.npy"), matrices)
    ious = iou_of(total, evaluated)
    names = [row.name for row in val.taxonomy.classes]
    assert document["images"] == len(val) == 3
    assert document["class_iou"] == pytest.approx(
        {name: ious.get(i) for i, name in enumerate(names) if evaluated[i]}, abs=1e-12
    )
    assert document["miou"] == pytest.approx(np.mean(list(ious.values())), abs=1e-12)
    kept = total[evaluated]
    assert document["pixel_accuracy"] == pytest.approx(np.trace(total[:19, :19]) / kept.sum(), abs=1e-12)
    assert (document["interval"], document["groups"]) == (None, 3)
    assert document["interval_reason"] == "3 images, an interval needs at least 50"
    assert set(document["category_iou"]) == {row.category for row in val.taxonomy.classes if row.evaluated}
    assert "own_stride" not in document and "steps" not in document  # stride 1, one step

    rows = list(csv.DictReader((tmp_path / "out" / "images.csv").read_text().splitlines()))
    assert [row["key"] for row in rows] == val.keys
    assert [row["group"] for row in rows] == list(groups("cityscapes", val.keys)) != val.keys
    for row, matrix in zip(rows, matrices, strict=True):
        accuracy = np.trace(matrix) / matrix.sum()
        assert float(row["micro_iou"]) == pytest.approx(accuracy / (2 - accuracy), abs=1e-12)
    of_classes = {
        row["class"]: row for row in csv.DictReader((tmp_path / "out" / "classes.csv").read_text().splitlines())
    }
    assert list(of_classes) == names[:19]
    for i, name in enumerate(names[:19]):
        assert of_classes[name]["iou"] == (str(ious[i]) if i in ious else "")
        assert int(of_classes[name]["pixels"]) == total[i].sum()
        recall = of_classes[name]["recall"]
        assert recall == "" if not total[i].sum() else float(recall) == pytest.approx(total[i, i] / total[i].sum())


def test_scores_of_listed_frames(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """Every file has exactly the rows that the whole split has for these frames, in the split's order, whatever the
    order and the names in the list; metrics.json and the printed line say that it was a list."""
    folder, shards, listed = make_run("dilated_unet", **UNET), make_street_shards(), tmp_path / "frames.txt"
    keys = ShardSet(shards, "val").keys
    assert len(keys) == 3
    listed.write_text(f"# two\nleftImg8bit/val/x/{keys[2]}_leftImg8bit.png\n{keys[0]}\n")
    for name, options in (("whole", []), ("part", ["--frames", listed])):
        said = run("evaluate", folder, "--shards", shards, "--out", tmp_path / name, *options)
    assert "on 2 images of val, as listed, out of 3" in said
    whole, part = (read_scores(tmp_path / name) for name in ("whole", "part"))
    assert part.keys == (keys[0], keys[2]) and part.groups == (whole.groups[0], whole.groups[2])
    assert np.array_equal(part.matrices, whole.matrices[[0, 2]])
    digest = sha256("".join(f"{key}\n" for key in sorted(part.keys)).encode()).hexdigest()
    assert part.document["frames"] == {"sha256": digest, "of": 3} and "frames" not in whole.document
    assert part.document["images"] == 2 and part.document["shards"] == whole.document["shards"]
    total = np.asarray(part.matrices).sum(0)
    ious = iou_of(total, evaluated_of(ShardSet(shards, "val")))
    assert part.document["miou"] == pytest.approx(np.mean(list(ious.values())), abs=1e-12) != whole.document["miou"]
    wrong = f"{keys[1][:-1]}x"
    listed.write_text(f"{keys[0]}\n\n{wrong}\nnix\n")
    command = [str(each) for each in ("evaluate", folder, "--shards", shards, "--frames", listed)]
    found = rf"^{listed} line 3: there is no frame '{wrong}' in the split val of .* \(nor 1 more of .*\w+_\d+\.$"
    with pytest.raises(SourceError, match=found):
        CliRunner().invoke(cli, command, catch_exceptions=False)
    with pytest.raises(SourceError, match=r"^--frames: no file .*none.txt"):
        CliRunner().invoke(cli, [*command[:-1], str(tmp_path / "none.txt")], catch_exceptions=False)
    refused_line = CliRunner().invoke(cli, [*command, "--submission", str(tmp_path / "s")]).output
    assert "--submission takes all frames of the split" in refused_line and not (tmp_path / "s").exists()


def test_every_step_at_both_resolutions(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """A refining network's steps are scored at x1, interpolated, and at their own stride against that target."""
    folder, shards = make_run("iterative_v6", **V6), make_street_shards()
    run("evaluate", folder, "--shards", shards, "--out", tmp_path)
    network, about = network_of(folder)
    val = ShardSet(shards, "val")
    full, coarse = np.zeros((2, 3, 20, 20), np.int64)
    for i in range(len(val)):
        record = val.read(i)
        for number, step in enumerate(logits_of(network, about, record.image, 4).steps):
            upsampled = F.interpolate(step, scale_factor=2, mode="bilinear", align_corners=False)
            full[number] += counted(record.targets[1], upsampled[0].argmax(0).numpy(), 20)
            coarse[number] += counted(record.targets[2], step[0].argmax(0).numpy(), 20)
    document = read_strictly(tmp_path / "metrics.json")
    assert list(document["steps"]) == ["01", "02", "03"]
    for number, step in enumerate(document["steps"].values()):
        for scores, matrix in ((step, full[number]), (step["own_stride"], coarse[number])):
            assert scores["miou"] == pytest.approx(np.mean(list(iou_of(matrix, evaluated_of(val)).values())), abs=2e-4)
            assert scores["pixel_accuracy"] == pytest.approx(np.trace(matrix[:19]) / matrix[:19].sum(), abs=2e-4)
    last = document["steps"]["03"]
    assert document["own_stride"] == {"stride": 2, **last["own_stride"]}
    assert {name: document[name] for name in last if name != "own_stride"} == {
        name: value for name, value in last.items() if name != "own_stride"
    }
    assert len({step["miou"] for step in document["steps"].values()}) == 3
    scored = read_scores(tmp_path)
    assert scored.steps is not None and scored.steps.shape == (3, 3, 20, 20)
    assert np.array_equal(scored.steps[-1], scored.matrices) and scored.evaluated.tolist() == evaluated_of(val)
    for matrices, row in zip(scored.steps, document["steps"].values(), strict=True):
        assert row == {"own_stride": row["own_stride"], **metrics.scores(matrices, scored.evaluated)}


def test_the_stages_of_percentile(make_run: Make, val: ShardSet) -> None:
    """Stage i is scored by what the network would answer if it stopped there."""
    folder = make_run("percentile", width_factor=0.125)
    matrices, _ = measure(load_trained(folder, CPU), val)
    network, about = network_of(folder)
    assert matrices is not None and matrices.full.shape == (3, 3, 20, 20) and matrices.coarse is None
    for i in range(len(val)):
        record = val.read(i, scales=(1,))
        first, second, third = (prediction := logits_of(network, about, record.image, 1)).steps
        reached = prediction.extras["masks"]
        two = torch.where(reached[:, 1:2], second, first)
        three = torch.where(reached[:, 2:3], third, two)
        for stage, answer in enumerate((first, two, three)):
            expected = counted(record.targets[1], answer[0].argmax(0).numpy(), 20)
            assert np.array_equal(matrices.full[stage, i], expected)
        assert torch.equal(three, prediction.logits)


def test_a_target_that_is_not_stored_is_made(make_run: Make, make_street_shards: Make) -> None:
    """Scores at the network's stride are the same from x1 as from the stored target; under `coverage` by majority."""
    segmenter = load_trained(make_run("iterative_v6", **V6), CPU)
    stored, _ = measure(segmenter, ShardSet(make_street_shards(), "val"))
    made, _ = measure(segmenter, ShardSet(make_street_shards(scales=(1,)), "val"))
    covered, _ = measure(segmenter, ShardSet(make_street_shards(rule="coverage"), "val"))
    stride, _ = measure(segmenter, ShardSet(make_street_shards(rule="stride"), "val"))
    assert stored and made and covered and stride
    assert stored.coarse is not None and stride.coarse is not None
    assert np.array_equal(stored.coarse, made.coarse) and np.array_equal(stored.coarse, covered.coarse)
    assert not np.array_equal(stored.coarse, stride.coarse)


def test_padding_is_never_scored(make_run: Make, make_street_shards: Make) -> None:
    """As many pixels are counted as the labels have, though the network saw more."""
    shards = ShardSet(make_street_shards(size=(52, 100), scales=(1,)), "val")
    for name, options in (("dilated_unet", UNET), ("iterative_v6", V6 | {"depth": 3})):
        matrices, _ = measure(load_trained(make_run(name, **options), CPU), shards)
        assert matrices is not None
        for i in range(len(shards)):
            labelled = int((shards.read(i).targets[1] != 255).sum())
            assert (matrices.full[:, i].sum((1, 2)) == labelled).all()
            if matrices.coarse is not None:
                assert (matrices.coarse[:, i].sum((1, 2)) == 26 * 50).all()


# ---- windows and views ----------------------------------------------------------------------------------


class Pointwise(nn.Module):
    """Logits of a pixel from that pixel alone, after pooling by `stride`; counts its calls."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride, self.sizes = stride, list[tuple[int, ...]]()
        torch.manual_seed(0)
        self.mix = nn.Conv2d(3, 5, 1)

    def forward(self, image: Tensor) -> Prediction:
        self.sizes.append(tuple(image.shape[2:]))
        logits = self.mix(F.avg_pool2d(image, self.stride))
        return Prediction(logits, (logits,), {})


@pytest.mark.parametrize("size", [(24, 32), (50, 70), (16, 33), (5, 7)])
@torch.no_grad()
def test_windows_give_what_the_whole_image_gives(size: tuple[int, int]) -> None:
    """For a network that sees single cells: every window has the fixed size, and nothing is lost or shifted."""
    network = Pointwise(4)
    image = torch.randn(1, 3, *size)
    geometry, taxonomy = Geometry(stride=4, size_multiple=8, fixed_size=True), load_taxonomy("camvid-11")
    segmenter = Segmenter(
        network, segmodels.spec("iterative_v6"), geometry, (24, 32), taxonomy, (0.5,) * 3, (0.25,) * 3, CPU
    )
    (slid,) = look(segmenter, image, segmenter.window)
    assert set(network.sizes) == {(24, 32)}
    (whole,) = look(replace(segmenter, geometry=geometry._replace(fixed_size=False)), image, None)
    torch.testing.assert_close(slid, whole)
    assert slid.shape[2:] == (-(-size[0] // 4), -(-size[1] // 4))


@torch.no_grad()
def test_overlapping_windows_are_averaged(make_run: Make) -> None:
    """Where windows overlap, the mean of their logits counts: a loop over pixels and windows gives the same."""
    segmenter = load_trained(make_run("iterative_v6", (32, 48), **V6 | {"norm": "layerHW"}), CPU)
    image = torch.randn(1, 3, 32, 60, generator=torch.Generator().manual_seed(0))
    found = look(segmenter, image, segmenter.window)
    left, right = (segmenter.network(image[..., start : start + 48]).steps for start in (0, 12))
    assert len(found) == 3
    for step, one, other in zip(found, left, right, strict=True):
        assert torch.equal(step[..., :6], one[..., :6]) and torch.equal(step[..., 24:], other[..., 18:])
        torch.testing.assert_close(step[..., 6:24], (one[..., 6:] + other[..., :18]) / 2)


def test_a_fixed_size_network_is_slid(make_run: Make, val: ShardSet) -> None:
    """Built for 32x48, it answers for every pixel of 64x128; another --window is refused."""
    segmenter = load_trained(make_run("iterative_v6", (32, 48), **V6 | {"norm": "layerHW"}), CPU)
    matrices, _ = measure(segmenter, val, choose_views(segmenter, flip=False, scales=(1.0,), window=None))
    assert matrices is not None
    assert matrices.full.sum() == 3 * 3 * 64 * 128
    with pytest.raises(SegmodelsError, match="built for 32x48 alone"):
        choose_views(segmenter, flip=False, scales=(1.0,), window=(64, 64))


@torch.no_grad()
def test_views_average_probabilities(make_run: Make) -> None:
    """Mirrored and scaled views: the mean of the softmax of what torch's own interpolation brings back."""
    segmenter = load_trained(make_run("dilated_unet", **UNET), CPU)
    image = torch.randn(1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    (found,) = average(segmenter, image, Views(flip=True, scales=(1.0, 1.5)))
    expected = torch.zeros(1, 20, 64, 128)
    for size in ((64, 128), (96, 192)):
        for mirrored in (False, True):
            seen = F.interpolate(image, size, mode="bilinear", align_corners=False)
            logits = segmenter.network(seen.flip(3) if mirrored else seen).logits
            back = F.interpolate(logits, (64, 128), mode="bilinear", align_corners=False)
            expected += (back.flip(3) if mirrored else back).softmax(1) / 4
    torch.testing.assert_close(found.exp(), expected, atol=1e-5, rtol=1e-3)


def test_several_views_have_no_own_stride(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """Options reach the evaluation: other scores, said in the file, at full resolution only."""
    folder, shards = make_run("iterative_v6", **V6), make_street_shards()
    run("evaluate", folder, "--shards", shards, "--out", tmp_path / "plain")
    run("evaluate", folder, "--shards", shards, "--out", tmp_path / "views", "--flip", "--scales", "0.75,1")
    run("evaluate", folder, "--shards", shards, "--out", tmp_path / "window", "--window", "32x64")
    swapped = refused("evaluate", folder, "--shards", shards, "--out", tmp_path / "swapped", "--window", "128x64")
    assert "did you mean 64x128?" in swapped
    plain, views, window = (read_strictly(tmp_path / n / "metrics.json") for n in ("plain", "views", "window"))
    assert views["views"] == {"flip": True, "scales": [0.75, 1.0], "window": None}
    assert window["views"]["window"] == [32, 64]
    assert len({each["pixel_accuracy"] for each in (plain, views, window)}) == 3
    assert "own_stride" in window and "own_stride" not in views and len(views["steps"]) == 3


# ---- the same bytes, all or nothing ---------------------------------------------------------------------


def test_the_same_bytes(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """Twice, with and without reading threads, over an older result: every file has the same bytes."""
    folder, shards = make_run("iterative_v6", **V6), make_street_shards()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    line = run("evaluate", folder, "--shards", shards, "--out", tmp_path / "a", "--workers", "0")
    run("evaluate", folder, "--shards", shards, "--out", tmp_path / "b", "--workers", "3")
    run("evaluate", folder, "--shards", shards, "--out", tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["classes.csv", "confusion.npy", "images.csv", "metrics.json", "steps.npy"]
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    *table, last = line.splitlines()
    assert last.startswith(f"{tmp_path / 'a'}: miou 0.") and last.endswith("images.csv and confusion.npy")
    rows = list(csv.DictReader((tmp_path / "a/classes.csv").read_text().splitlines()))
    assert len(rows) == len(table) - 1 == 19
    for row, shown in zip(rows, table[1:], strict=True):
        name, pixels, iou = shown[:20].strip(), *shown[20:].split()[:2]
        assert (name, pixels.replace(",", "")) == (row["class"], row["pixels"])
        assert (iou == "-") == (not row["iou"]) and (
            iou == "-" or float(iou) == pytest.approx(float(row["iou"]), abs=1e-4)
        )
    assert run("evaluate", folder, "--shards", shards).splitlines() == [*table, f"{folder}: {scores_of(last)}"]


def scores_of(line: str) -> str:
    """What the last line says beside the names of files."""
    return line.partition(": ")[2].partition(";")[0]


def test_an_image_alone(make_run: Make, val: ShardSet) -> None:
    """An image's matrix does not depend on the images beside it."""
    segmenter = load_trained(make_run("percentile", width_factor=0.125), CPU)
    together, _ = measure(segmenter, val)

    class Last(ShardSet):  # a split of the last image alone
        def __len__(self) -> int:
            return 1

        def read(self, i: int, *arguments: Any) -> Any:
            return val.read(2, *arguments)

    alone, _ = measure(segmenter, Last(val.path, "val"))
    assert together and alone and np.array_equal(together.full[:, 2], alone.full[:, 0])


def test_nothing_half_written(
    make_run: Make, make_street_shards: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure while writing leaves no metrics.json, not even that of an earlier evaluation."""
    folder, shards = make_run("dilated_unet", **UNET), make_street_shards()
    run("evaluate", folder, "--shards", shards, "--out", tmp_path)

    def full_disk(*arguments: object) -> None:
        raise SegmodelsError("disk full")

    monkeypatch.setattr("segmodels.scoring.scoresheet.csv_table", full_disk)
    assert refused("evaluate", folder, "--shards", shards, "--out", tmp_path) == "disk full"
    assert not (tmp_path / "metrics.json").exists()


def test_undefined_scores_are_null(make_run: Make, val: ShardSet, tmp_path: Path) -> None:
    """A split of one image of misc alone has no mIoU; the file stays JSON."""
    segmenter = load_trained(make_run("dilated_unet", **UNET), CPU)

    class Void(ShardSet):
        def read(self, i: int, *arguments: Any) -> Any:
            record = super().read(i, *arguments)
            record.targets[1][:] = 19
            return record

    evaluate(segmenter, Void(val.path, "val"), tmp_path)
    document = read_strictly(tmp_path / "metrics.json")
    assert document["miou"] is None and document["interval"] is None
    assert document["micro_iou"] is not None


# ---- what cannot be evaluated ---------------------------------------------------------------------------


def test_another_taxonomy_is_named_class_by_class(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """Which ids mean something else, and what they mean on both sides."""
    folder = make_run("dilated_unet", **UNET)
    message = refused("evaluate", folder, "--shards", make_street_shards("cityscapes-19"), "--out", tmp_path)
    assert "19 is 'misc' (not evaluated) in the run, nothing in the shards" in message
    message = refused("evaluate", folder, "--shards", make_street_shards("cityscapes-10"), "--out", tmp_path)
    assert "0 is 'road' in the run, 'void' (not evaluated) in the shards" in message and "more)" in message
    assert "taxonomy cityscapes-10, the run learnt cityscapes-20" in message
    assert not list(tmp_path.iterdir())


def test_splits_that_cannot_be_scored(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """No labels, no labels at x1, no such split."""
    folder, shards = make_run("dilated_unet", **UNET), make_street_shards()
    assert "test has no labels" in refused(
        *("evaluate", folder, "--shards", shards, "--out", tmp_path / "a", "--split", "test")
    )
    assert not (tmp_path / "a").exists()
    small = make_street_shards(scales=(8,))
    message = refused("evaluate", folder, "--shards", small, "--out", tmp_path / "b")
    assert "evaluation at x1, but val has x8" in message and "--scale 1 --scale 8" in message
    assert "test has no labels" in refused("evaluate", folder, "--shards", shards, "--split", "test")
    result = CliRunner().invoke(cli, ["evaluate", str(folder), "--shards", str(shards), "--split", "vall"])
    assert "no split 'vall'" in str(result.exception)


def test_folders_that_are_no_finished_run(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """No run, an unfinished one, damaged or foreign weights; and a run is never written to."""
    whole, shards = make_run("dilated_unet", **UNET), make_street_shards()
    rest = ("--shards", shards, "--out", tmp_path / "out")
    assert "has no run.json" in refused("evaluate", shards, *rest)
    assert "no run" in refused("evaluate", tmp_path / "nothing", *rest)
    assert "only `train` writes" in refused("evaluate", whole, "--shards", shards, "--out", whole)
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    (folder / "metrics.json").unlink()
    assert "is unfinished" in refused("evaluate", folder, *rest)
    (folder / "metrics.json").write_text("{}")
    torch.save({"network": print}, folder / "model.safetensors")  # Python code, pickled
    assert "cannot read weights" in refused("evaluate", folder, *rest)
    assert not (tmp_path / "out").exists()


def test_a_weights_file_will_do(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """RUN may be a weights file, such as the best checkpoint of a run that goes on."""
    folder, shards = make_run("dilated_unet", **UNET), make_street_shards()
    shutil.copy(folder / "model.safetensors", tmp_path / "best.safetensors")
    run("evaluate", tmp_path / "best.safetensors", "--shards", shards, "--out", tmp_path / "a")
    run("evaluate", folder, "--shards", shards, "--out", tmp_path / "b")
    assert (tmp_path / "a" / "metrics.json").read_bytes() == (tmp_path / "b" / "metrics.json").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (40, 40)}, "multiples of 16"),
        ({"scales": (0.0,)}, "expected numbers from 0.05 to 20"),
        ({"scales": (float("nan"),)}, "expected numbers"),
    ],
)
def test_views_that_do_not_fit(make_run: Make, options: dict[str, Any], message: str) -> None:
    """A window that is no size for the network, a scale that is none."""
    segmenter: Segmenter = load_trained(make_run("dilated_unet", **UNET), CPU)
    with pytest.raises(SegmodelsError, match=message):
        choose_views(segmenter, **{"flip": False, "scales": (1.0,), "window": None, **options})
