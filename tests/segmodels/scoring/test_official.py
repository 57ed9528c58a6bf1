"""Cityscapes' own evaluator agrees with ours, and the benchmark gets the files that it takes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cityscapesscripts.helpers.labels import labels
from click.testing import CliRunner
from PIL import Image

from segdata import ShardSet
from segmodels import SegmodelsError
from segmodels.cli import cli
from segmodels.inference.trained import load_trained
from segmodels.scoring import official
from segmodels.scoring.official import ids_at, largest_difference
from tests.segmodels.commands import refused, run

UNET = {"width_factor": 0.25}
VALID = {label.id for label in labels if label.id >= 0}
Make = Callable[..., Path]


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def assert_agrees(out: Path) -> dict[str, Any]:
    """The evaluator's class and category scores and means are ours to 1e-9, undefined ones included."""
    ours, theirs = read(out / "metrics.json"), read(out / "official.json")
    assert len(ours["class_iou"]) == 19
    for kind in ("class", "category"):
        for name, value in ours[f"{kind}_iou"].items():
            other = theirs[f"{kind}Scores"][name]
            assert (value is None) == (other is None)
            assert value is None or abs(value - other) < 1e-9, name
    assert abs(ours["miou"] - theirs["averageScoreClasses"]) < 1e-9
    assert ours["official"]["averageScoreClasses"] == theirs["averageScoreClasses"]
    assert ours["official"]["largest_difference"] < 1e-9
    assert 0 < ours["miou"] < 1
    return theirs


@pytest.mark.parametrize("taxonomy", ["cityscapes-19", "cityscapes-20", "cityscapes-34"])
def test_agreement_on_rebuilt_ground_truth(
    make_run: Make, make_street_shards: Make, tmp_path: Path, taxonomy: str
) -> None:
    """Whatever a taxonomy does with the void classes; there are no instances, so these scores are undefined."""
    folder, shards = make_run("dilated_unet", taxonomy=taxonomy, **UNET), make_street_shards(taxonomy)
    line = run("evaluate", folder, "--shards", shards, "--out", tmp_path / "out", "--official").splitlines()[-1]
    theirs = assert_agrees(tmp_path / "out")
    assert theirs["averageScoreInstClasses"] in {None, 0.0}  # 0 where a class is predicted, undefined where not
    assert line.startswith("cityscapesScripts: classes 0.")


def test_agreement_on_the_real_ground_truth(
    make_run: Make, make_street_shards: Make, streets: Path, tmp_path: Path
) -> None:
    """The same scores as on the rebuilt one, and with its instances the instance scores as well."""
    folder, shards = make_run("dilated_unet", **UNET), make_street_shards()
    rest = ("--shards", shards, "--official")
    run("evaluate", folder, *rest, "--out", tmp_path / "rebuilt")
    run("evaluate", folder, *rest, "--out", tmp_path / "real", "--ground-truth", streets)
    real, rebuilt = assert_agrees(tmp_path / "real"), assert_agrees(tmp_path / "rebuilt")
    assert real["classScores"] == rebuilt["classScores"]
    assert real["averageScoreInstClasses"] > 0
    assert np.array(real["confMatrix"]).sum() == np.array(rebuilt["confMatrix"]).sum() == 3 * 64 * 128


def test_resized_shards_are_compared_at_full_size(
    make_run: Make, make_street_shards: Make, streets: Path, tmp_path: Path
) -> None:
    """Against the real ground truth, answers to images of half the size are interpolated to the frame's."""
    folder, shards = make_run("dilated_unet", (32, 64), **UNET), make_street_shards(size=(32, 64))
    out = tmp_path / "out"
    run("evaluate", folder, "--shards", shards, "--out", out, "--official", "--ground-truth", streets)
    assert np.array(read(out / "official.json")["confMatrix"]).sum() == 3 * 64 * 128
    assert read(out / "metrics.json")["official"]["largest_difference"] > 1e-6  # ours is at 32x64


def test_the_truth_scores_one(val: ShardSet, tmp_path: Path) -> None:
    """Rebuilt ground truth as prediction: 1 for every class that occurs; one wrong frame is seen."""
    for i in range(len(val)):
        target = val.read(i, scales=(1,)).targets[1]
        official.rebuild_truth(tmp_path, val.key(i), target, val.taxonomy)
        official.write_prediction(official.predictions(tmp_path), val.key(i), target, val.taxonomy)
    scores = official.official_scores(tmp_path)["classScores"]
    assert {score for score in scores.values() if not math.isnan(score)} == {1.0}
    official.write_prediction(official.predictions(tmp_path), val.key(0), np.zeros_like(target), val.taxonomy)
    assert official.official_scores(tmp_path)["classScores"]["road"] < 1


def test_a_failing_evaluator_is_one_line(val: ShardSet, tmp_path: Path) -> None:
    """What it said last, as our error."""
    official.rebuild_truth(tmp_path, val.key(0), val.read(0).targets[1], val.taxonomy)
    official.predictions(tmp_path).mkdir()
    with pytest.raises(SegmodelsError, match="evaluator failed: ERROR: Found no prediction for ground truth"):
        official.official_scores(tmp_path)


def test_submission(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """Of the unlabelled split, without --out: one grey PNG of original ids a frame, at full size."""
    folder, shards = make_run("dilated_unet", **UNET), make_street_shards()
    arguments = ("evaluate", folder, "--shards", shards, "--split", "test", "--submission", tmp_path / "sub")
    assert run(*arguments) == f"{tmp_path / 'sub'}: 2 files for the benchmark\n"
    test = ShardSet(shards, "test")
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == sorted(f"{key}_pred.png" for key in test.keys)
    segmenter = load_trained(folder, torch.device("cpu"))
    export = np.array([row.export for row in test.taxonomy.classes])
    for i in range(len(test)):
        with Image.open(tmp_path / "sub" / f"{test.key(i)}_pred.png") as picture:
            found = np.array(picture)
            assert picture.mode == "L"
        with torch.no_grad():
            logits = segmenter.network(segmenter.input(test.read(i).image)).logits
        assert np.array_equal(found, export[logits[0].argmax(0).numpy()])
        assert set(np.unique(found).tolist()) <= VALID
    run(*arguments)  # over itself
    (tmp_path / "sub" / "notes.txt").touch()
    assert "holds notes.txt" in refused(*arguments)
    (tmp_path / "file").touch()
    assert f"--submission {tmp_path / 'file'}: it is a file" in refused(*arguments[:-1], tmp_path / "file")


def test_submission_of_resized_shards(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """The benchmark's own size, 1024x2048, whatever the shards have."""
    folder, shards = make_run("dilated_unet", (32, 64), **UNET), make_street_shards(size=(32, 64))
    run("evaluate", folder, "--shards", shards, "--split", "test", "--submission", tmp_path / "sub")
    for path in (tmp_path / "sub").iterdir():
        with Image.open(path) as picture:
            assert (picture.size, picture.mode) == ((2048, 1024), "L")


def test_padding_is_cut_before_enlarging(make_street_shards: Make) -> None:
    """Of shards resized and then padded, only the frame's part is enlarged; cropped ones are refused."""
    shards = ShardSet(make_street_shards(size=(30, 60), fit="pad"), "val")
    answer = torch.randn(1, 20, *shards.size_of(0), generator=torch.Generator().manual_seed(0))
    assert answer.shape[2:] == (32, 64)
    expected = F.interpolate(answer[..., :30, :60], (64, 128), mode="bilinear", align_corners=False).argmax(1)[0]
    assert (ids_at(answer, shards, (64, 128)) == expected.numpy()).mean() > 0.999  # rounding may decide near ties
    cropped = ShardSet(make_street_shards(size=(30, 60), fit="crop"), "val")
    with pytest.raises(SegmodelsError, match="padded or cropped"):
        ids_at(answer[..., :24, :56], cropped, (64, 128))


def test_what_is_no_benchmark_is_refused(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """Merged classes, no ground truth where it was said to be, an option without its other."""
    ten = make_run("dilated_unet", taxonomy="cityscapes-10", **UNET)
    message = refused("evaluate", ten, "--shards", make_street_shards("cityscapes-10"), "--out", tmp_path, "--official")
    assert "scores 19 labels one by one" in message and "building + wall + fence" in message
    folder, shards = make_run("dilated_unet", **UNET), make_street_shards()
    arguments = ("evaluate", folder, "--shards", shards, "--out", tmp_path, "--ground-truth", tmp_path)
    message = refused(*arguments, "--official")
    assert "labelIds.png. --ground-truth is the folder that holds gtFine" in message
    assert CliRunner().invoke(cli, [str(each) for each in arguments]).exit_code == 2
    assert not (tmp_path / "metrics.json").exists()


def test_differences() -> None:
    """The largest one counts; defined on one side only is infinite."""
    nan = math.nan
    assert largest_difference({"a": 0.5, "b": nan, "c": 0.2, "other": 7.0}, {"a": 0.25, "b": nan, "c": 0.3}) == 0.25
    assert largest_difference({"a": nan}, {"a": 0.0}) == math.inf
    assert largest_difference({"a": nan}, {"a": nan}) == 0


def test_the_command_alone(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """In a process of its own: what a user sees of an error is one line and exit status 1."""
    command = [sys.executable, "-m", "segmodels", "evaluate", make_run("dilated_unet", **UNET)]
    shards = make_street_shards("cityscapes-19")
    done = subprocess.run(
        [*command, "--shards", shards, "--out", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("segmodels: ")
