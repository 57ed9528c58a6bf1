"""The demos of `dvc repro`: every network has one, and every one learns to see.

Scores on painted frames say little by themselves. Two baselines that look at no image give them a measure, both
computed here from the targets in the tar files:

* the best constant class. A demo has at least 0.2 more pixel accuracy, and at least four times its mean IoU. (A
  constant's mean IoU is its class's share over the number of classes: four times that cannot come from one class.)
* the commonest training class of every pixel's place, which knows that the sky is above and the road below, and so is
  far better than any constant. A demo has more pixel accuracy than this, so it has learnt from images, not from places.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

import segmodels
from segdata.cli import cli as segdata_cli
from segmodels.cli import cli as segmodels_cli
from segmodels.cli.train import train
from segmodels.config.recipes import make_config

ROOT = Path(__file__).parents[2]
PIPELINES = ROOT / "pipelines"
RUNS = yaml.safe_load((PIPELINES / "runs.yaml").read_text())
DATA = yaml.safe_load((PIPELINES / "data.yaml").read_text())
NAMES = segmodels.names()
QUICK = {"fcn_resnet_v2", "distill_x4"}  # one a set in the default run: the others take as long, and say the same

Labels = NDArray[np.uint8]


def flags(options: Mapping[str, Any]) -> list[str]:
    """Options as DVC writes them: a list repeats its option, a truth value is a switch."""
    words = []
    for name, values in options.items():
        for value in values if isinstance(values, list) else [values]:
            words += [f"--{'' if value else 'no-'}{name}"] if isinstance(value, bool) else [f"--{name}", str(value)]
    return words


def command(run: str, shards: Path, out: Path) -> list[str]:
    """What comes behind `segmodels train`: the demos' options, where the run has none of its own."""
    about = RUNS["runs"][run]
    where = ["--shards", str(shards), "--out", str(out)]
    return [about["network"], *where, *flags(about["options"])]


# ---- every network has a demo --------------------------------------------------------------------------------


def test_every_network_has_a_demo_on_its_set() -> None:
    """The sixteen networks of the TAS500 project learn from TAS500, the others from Cityscapes."""
    demos = {(about["network"], about["set"]) for about in RUNS["runs"].values()}
    sets = {name: "tas500-10" if "chokladmousse" in segmodels.spec(name).source else "cityscapes-20" for name in NAMES}
    assert sorted(sets.values()).count("tas500-10") == 16
    assert demos == set(sets.items())


@pytest.mark.parametrize("run", RUNS["runs"])
def test_options_are_those_of_the_command(run: str) -> None:
    """The real command takes them, the network takes its own, and their values make a configuration."""
    given = train.make_context("train", command(run, Path("shards"), Path("out"))).params
    network, recipe, options, no_init = (given.pop(name) for name in ("network", "recipe", "options", "no_init"))
    resolved = segmodels.spec(network).parse(options)
    chosen = tuple((name, resolved[name]) for name in sorted(options))
    config = make_config(network, recipe, given | {"options": chosen}, no_init=no_init)
    assert config.steps == RUNS["runs"][run]["options"]["steps"]


# ---- and every one learns ------------------------------------------------------------------------------------


class Score(NamedTuple):
    accuracy: float
    miou: float


class Split(NamedTuple):
    """Targets (N, H, W) of a shard folder's split, and which classes count."""

    labels: Labels
    evaluated: list[int]


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """painted("tas500-10"): the shards of a set of data.yaml, painted and prepared by its options; made once."""
    home = tmp_path_factory.mktemp("demos")

    def make(name: str) -> Path:
        about, out = DATA["sets"][name], home / "shards" / name
        if not out.exists():
            source = about["source"]
            (paint,) = (each["options"] for each in DATA["painted"].values() if each["source"] == source)
            raw, taxonomy = str(home / source), str(ROOT / about["taxonomy"])
            do("synth", source, "--out", raw, *flags(paint))
            do("prepare", source, "--root", raw, "--out", str(out), "--taxonomy", taxonomy, *flags(about["options"]))
        return out

    def do(*words: str) -> None:
        result = CliRunner().invoke(segdata_cli, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output

    return make


def read_split(shards: Path, name: str) -> Split:
    """Read without segdata's own reader."""
    labels = []
    for path in sorted(shards.glob(f"*-{name}-*.tar")):
        with tarfile.open(path) as shard:
            for member in shard:
                if member.name.endswith(".target1.png") and (file := shard.extractfile(member)):
                    labels.append(np.array(Image.open(io.BytesIO(file.read()))))
    classes = yaml.safe_load((shards / "taxonomy.yaml").read_text())["classes"]
    return Split(np.stack(labels), [i for i, row in enumerate(classes) if row["evaluated"]])


def score(split: Split, guess: Labels) -> Score:
    """Pixel accuracy, and mean IoU of the evaluated classes that occur, over pixels of evaluated classes."""
    counted = np.isin(split.labels, split.evaluated)
    truth, guess = split.labels[counted], np.broadcast_to(guess, split.labels.shape)[counted]
    ious = []
    for c in split.evaluated:
        if (truth == c).any():
            ious.append(((truth == c) & (guess == c)).sum() / ((truth == c) | (guess == c)).sum())
    return Score(float((truth == guess).mean()), float(np.mean(ious)))


def best_constant(val: Split) -> Score:
    return max(score(val, np.uint8(c)) for c in val.evaluated)


def commonest_at_place(training: Split, val: Split) -> Score:
    """The answer (H, W) is the same for every image: each place's commonest class in training."""
    counts = np.stack([(training.labels == c).sum(axis=0) for c in range(max(training.evaluated) + 1)])
    return score(val, counts.argmax(axis=0).astype(np.uint8))


@pytest.mark.parametrize(
    "run", [pytest.param(run, marks=() if run in QUICK else pytest.mark.slow) for run in RUNS["runs"]]
)
def test_a_demo_learns_to_see(run: str, painted: Callable[[str], Path], tmp_path: Path) -> None:
    """Trained as the pipeline does, it beats both baselines by the margins above."""
    shards = painted(RUNS["runs"][run]["set"])
    result = CliRunner().invoke(segmodels_cli, ["train", *command(run, shards, tmp_path / "run")])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    training, val = read_split(shards, "train"), read_split(shards, "val")
    constant, places = best_constant(val), commonest_at_place(training, val)
    assert found["pixel_accuracy"] >= constant.accuracy + 0.2
    assert found["miou"] >= 4 * constant.miou
    assert found["pixel_accuracy"] > places.accuracy
