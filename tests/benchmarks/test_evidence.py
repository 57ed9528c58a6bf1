"""The experiments on real frames: the plan means what its commands say, and verdicts follow from the scores."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.evidence.plan import Answer, Comparison, Plan, Row, Training, read_plan
from benchmarks.evidence.result import OPEN, REFUTED, SHOWN, _compared, is_of, verdict
from benchmarks.evidence.runner import Place, call, do
from benchmarks.pages.tables import RESULTS
from segmodels.cli import cli
from segmodels.config.config import TrainConfig
from segmodels.runs.run import Run
from segmodels.scoring.scored import Scored

PLAN = read_plan()
RESULT_FILES = sorted((RESULTS / "cpu").glob("evidence-*.json"))


@pytest.mark.parametrize("training", PLAN.trainings(), ids=lambda training: training.name)
def test_every_training_is_a_command(training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`segmodels train` takes it, with this seed; a stand-in for `train` sees the configuration."""
    seen: list[TrainConfig] = []

    def stop(config: TrainConfig, **others: Any) -> None:
        seen.append(config)
        raise SystemExit(0)

    monkeypatch.setattr("segmodels.training.train.train", stop)
    result = CliRunner().invoke(cli, training.command(tmp_path / "shards", tmp_path / "run", tmp_path / "start"))
    assert result.exit_code == 0, result.output
    (config,) = seen
    assert (config.network, config.seed) == (training.row.runs[training.run]["network"], training.seed)


def test_the_first_seed_of_every_row_comes_before_further_seeds() -> None:
    trainings = PLAN.trainings()
    assert [each.row.name for each in trainings if each.seed == 0] == [
        name for name, row in PLAN.rows.items() for _ in row.runs
    ]
    assert [each.seed for each in trainings] == sorted(each.seed for each in trainings)
    assert len({each.name for each in trainings}) == len(trainings)


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (0.01, 0.03, 0.0, SHOWN),
        (-0.01, 0.03, 0.0, OPEN),
        (-0.03, -0.01, 0.0, REFUTED),
        (-0.005, 0.0, 0.01, SHOWN),  # as good, to the margin
        (-0.02, 0.0, 0.01, OPEN),
        (-0.04, -0.02, 0.01, REFUTED),
        (float("nan"), float("nan"), 0.0, OPEN),
    ],
)
def test_a_verdict(low: float, high: float, margin: float, expected: str) -> None:
    assert verdict(low, high, margin) == expected


def scored(accuracy: float, steps: tuple[float, ...] = ()) -> Scored:
    """Sixty images in twenty clips, three classes, of which this share is right; a little less in every second clip."""

    def matrices(share: float) -> Any:
        right = [int(1000 * (share - 0.02 * (i // 3 % 2))) for i in range(60)]
        wrong = (1 - np.eye(3, dtype=np.int64)) * 100
        return np.stack([wrong + np.eye(3, dtype=np.int64) * each for each in right])

    groups = tuple(f"clip {i // 3}" for i in range(60))
    keys = tuple(map(str, range(60)))
    outputs = np.stack([matrices(each) for each in steps]) if steps else None
    return Scored({}, keys, groups, np.ones(3, bool), matrices(accuracy), outputs)


def test_runs_and_outputs_are_compared_image_by_image() -> None:
    """The sign, the seeds that both sides have, and whether it is one run that is compared with itself."""
    found = {
        "better": {seed: {"": scored(0.8, (0.5, 0.8)), "q0": scored(0.5)} for seed in (0, 1)},
        "worse": {0: {"": scored(0.6)}},
    }
    between_runs = Comparison("b", Answer("better"), Answer("worse"), 0.0)
    within = Comparison("w", Answer("better", output=2), Answer("better", output=1), 0.0)
    setting = Comparison("s", Answer("better", "q0"), Answer("better"), 0.0)
    missing = Comparison("m", Answer("better"), Answer("not there yet"), 0.0)
    one, two, three = (_compared(each, found) for each in (between_runs, within, setting))
    assert one and two and three
    assert (one["verdict"], one["seeds"], one["within_a_run"]) == (SHOWN, 1, False)
    assert (two["verdict"], two["seeds"], two["within_a_run"]) == (SHOWN, 2, True)
    assert three["verdict"] == REFUTED
    assert 0 < one["low"] <= one["difference"] <= one["high"]
    assert _compared(missing, found) is None


def test_a_row_is_trained_scored_and_written(tmp_path: Path) -> None:
    """From shards to the result file; what is done already is not done again, and gives the same file."""
    options = {"option": ["width=4", "depth=2", "prenet=x2", "steps=2"], "steps": 2, "batch-size": 2, "train-scores": 1}
    comparison = Comparison("last over first", Answer("run", output=2), Answer("run", output=1), 0.0)
    row = Row("row", "A row", "", "", "set", {"run": {"network": "iterative_v6", "options": options}}, split="val")
    plan = Plan({"set": {"options": {}}}, {"row": replace(row, comparisons=(comparison,))}, {})
    place = Place(tmp_path / "home", tmp_path / "results")
    painted = ["--train", "4", "--val", "3", "--test", "1", "--size", "64x128"]
    call("segdata", ["synth", "cityscapes", "--out", str(tmp_path / "raw"), *painted])
    call("segdata", ["prepare", "cityscapes", "--root", str(tmp_path / "raw"), "--out", str(place.shards("set"))])
    assert do(plan, place, plan.trainings(), side_by_side=1) == []
    first = (tmp_path / "results/evidence-row.json").read_bytes()
    (run,) = json.loads(first)["runs"]["run"]
    about = Run(tmp_path / "home/runs/row-run-0")
    assert run["weights"] == about.document()["weights"]["2"]
    assert run["miou"] == about.results()["miou"] == run["outputs"][-1]
    assert run["history"][-1]["miou_02"] == round(run["miou"], 5) and "train_miou_01" in run["history"][-1]
    (compared,) = json.loads(first)["comparisons"]
    assert compared["difference"] == pytest.approx(run["outputs"][1] - run["outputs"][0])
    assert (compared["low"], compared["verdict"]) == (None, OPEN)  # three images have no interval
    assert do(plan, place, plan.trainings(), side_by_side=1) == []
    assert (tmp_path / "results/evidence-row.json").read_bytes() == first
    assert "finished: nothing to do" in (tmp_path / "home/logs/row-run-0.log").read_text()


@pytest.mark.parametrize(
    ("text", "expected"), [('{"run": "a"}', True), ('{"run": "b"}', False), ('{"run": "a', False), ("{}", False)]
)
def test_results_of_other_weights_do_not_count(text: str, expected: bool, tmp_path: Path) -> None:
    """Nor a file that a kill cut off, nor none."""
    (tmp_path / "run.json").write_text('{"id": "a"}')
    measured = tmp_path / "measured.json"
    assert not is_of(measured, tmp_path)
    measured.write_text(text)
    assert is_of(measured, tmp_path) is expected


@pytest.mark.parametrize("path", RESULT_FILES, ids=lambda path: path.stem)
def test_results_are_of_this_plan(path: Path) -> None:
    """Commands and claims of a result file are those that the plan has today."""
    document = json.loads(path.read_text())
    row = PLAN.rows[document["row"]]
    assert document["title"] == row.title
    commands = {
        (each.run, each.seed): shlex.join(["segmodels", *each.command(Path("SHARDS"), Path("RUN"), Path("START"))])
        for each in PLAN.trainings()
        if each.row is row
    }
    for run, found in document["runs"].items():
        for each in found:
            assert each["command"] == commands[run, each["seed"]]
    assert {each["claim"] for each in document["comparisons"]} <= {each.claim for each in row.comparisons}
