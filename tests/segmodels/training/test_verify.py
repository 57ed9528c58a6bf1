"""`segmodels verify`: an untouched run is reproduced; whatever was changed is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segmodels import SegmodelsError
from segmodels.config.config import TrainConfig
from segmodels.runs.checkpoint import load_weights, save_weights
from segmodels.runs.run import Run, write_document
from segmodels.training.train import train
from segmodels.training.verify import verify

Lesson = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def original(lessons: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four steps."""
    out = tmp_path_factory.mktemp("verify") / "run"
    options = (("width_factor", 0.25),)
    train(
        TrainConfig(
            "dilated_unet", lessons, out, options, None, 4, batch_size=4, crop=(32, 64), workers=0, device="cpu"
        )
    )
    return out


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Run:
    """The test's own copy."""
    return Run(Path(shutil.copytree(original, tmp_path / "run")))


def change(run: Run, **values: Any) -> None:
    """Write other values into run.json."""
    write_document(run.about, run.document() | values)


@pytest.mark.parametrize(("steps", "compared"), [(1, 1), (3, 2), (100, 4)])
def test_an_untouched_run(run: Run, steps: int, compared: int) -> None:
    """Nothing is wrong; the weights are compared up to the last recorded step that is trained again."""
    report = verify(run.path, steps=steps)
    assert report.wrong == []
    assert report.notes == [f"compared: shards, options, weights up to step {compared}, confusion matrix"]


def test_shards_elsewhere(run: Run, tmp_path: Path, lessons: Path) -> None:
    """Moved shards are the same shards."""
    change(run, config=run.document()["config"] | {"shards": "gone"})
    assert "gone" in verify(run.path).wrong[0]
    moved = shutil.copytree(lessons, tmp_path / "moved")
    assert verify(run.path, moved, steps=1).wrong == []


def test_a_changed_shard_byte(run: Run, tmp_path: Path, lessons: Path) -> None:
    """The shard is named, and nothing is trained on it."""
    damaged = shutil.copytree(lessons, tmp_path / "damaged")
    shard = sorted(damaged.glob("*-train-*.tar"))[1]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    wrong = verify(run.path, damaged).wrong
    assert any(shard.name in line for line in wrong)
    assert not any("weights" in line for line in wrong)


def test_other_shards(run: Run, make_street_shards: Callable[..., Path]) -> None:
    """A sound set that is not the run's is named by the shards that differ."""
    wrong = verify(run.path, make_street_shards()).wrong
    assert any("painted-train-000000.tar" in line for line in wrong)


def test_a_changed_option(run: Run) -> None:
    """An option that was edited in run.json is named with both values."""
    change(run, config=run.document()["config"] | {"lr": 0.5})
    wrong = verify(run.path).wrong
    assert wrong[0] == "option: lr is 0.001 there, 0.5 here (in model.safetensors, in run.json)"


def test_other_bits_after_a_step(run: Run) -> None:
    """A digest that training again does not give is named by its step."""
    weights = run.document()["weights"]
    change(run, weights=weights | {"2": weights["1"]})
    assert verify(run.path, steps=2).wrong == ["weights: other bits after step 2, the same after step 1"]


def test_other_scores(run: Run) -> None:
    """A class whose pixels are taken for other classes now is named with their number."""
    matrix = run.document()["confusion"]
    matrix[2][0] += 5
    matrix[2][1] -= 5
    change(run, confusion=matrix)
    assert verify(run.path, steps=1).wrong == ["confusion matrix: building: 5 pixels were taken for other classes"]


def test_other_weights(run: Run) -> None:
    """Weights that training did not write are not verified but refused."""
    weights, about = load_weights(run.weights)
    name = next(name for name in weights if name.endswith("out.weight"))
    save_weights(run.weights, weights | {name: weights[name] + 1}, about)
    assert verify(run.path).wrong == ["model.safetensors: not the file that training wrote"]


@pytest.mark.parametrize("name", ["metrics.json", "history.csv"])
def test_other_results(run: Run, name: str) -> None:
    """A score that somebody wrote into them is none that training found."""
    path = run.path / name
    path.write_text(path.read_text().replace("0.", "0.9", 1))
    assert f"{name}: not the file that training wrote" in verify(run.path).wrong


def test_the_file_that_it_started_from_is_gone(lesson: Lesson) -> None:
    """The option is named with what to do, by `verify` and by the same `train`, for its first steps begin with it."""
    init = train(lesson("first", steps=1)).run.weights
    config = lesson("on", steps=1, init=init)
    train(config)
    init.rename(init.with_name("moved"))
    for command in (lambda: verify(config.out), lambda: train(config)):
        with pytest.raises(SegmodelsError, match=r"--init .*model\.safetensors: No such file.*put it back"):
            command()


def test_another_version_is_named(run: Run) -> None:
    """A package of another version is a note: what counts is the result."""
    change(run, versions=run.document()["versions"] | {"numpy": "0.1"})
    report = verify(run.path, steps=1)
    assert report.wrong == []
    assert report.notes[0].startswith("note: versions.numpy is 0.1 there, ")


def test_an_unfinished_run(run: Run) -> None:
    """There is nothing to verify yet."""
    run.metrics.unlink()
    with pytest.raises(SegmodelsError, match="is not finished"):
        verify(run.path)


def test_no_run(tmp_path: Path) -> None:
    """A folder without run.json is named."""
    with pytest.raises(SegmodelsError, match=r"cannot read .*run\.json"):
        verify(tmp_path)


@pytest.mark.parametrize(
    "values",
    [{"precision": "bf16", "channels_last": True}, {"network": "distill_x8", "options": {"width": 4, "depth": 1}}],
)
def test_other_runs_verify(lesson: Lesson, values: dict[str, Any]) -> None:
    """bfloat16 and channels_last, or sliding windows at another stride: scores are compared as they were made."""
    outcome = train(lesson(steps=2, **values))
    assert verify(outcome.run.path).wrong == []
    assert json.loads(outcome.run.about.read_text())["confusion"]
