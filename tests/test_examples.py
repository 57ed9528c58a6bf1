"""The notebook runs, and what is stored in it is what its model says."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from segmodels.runs.checkpoint import load_weights

EXAMPLES = Path(__file__).parents[1] / "examples"
MODEL = EXAMPLES / "percentile.safetensors"
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def texts(notebook: Path) -> str:
    """All that the cells printed."""
    cells = json.loads(notebook.read_text())["cells"]
    outputs = [each for cell in cells for each in cell.get("outputs", [])]
    assert not [each for each in outputs if each["output_type"] == "error"]
    return "".join("".join(each["text"]) for each in outputs if each["output_type"] == "stream")


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook, executed anew beside its model."""
    folder = tmp_path_factory.mktemp("examples")
    for name in ("demo.ipynb", MODEL.name):
        shutil.copy(EXAMPLES / name, folder)
    command = [sys.executable, "-m", "jupyter", "execute", "--inplace", "demo.ipynb"]
    subprocess.run(command, cwd=folder, check=True, timeout=600, capture_output=True)
    return folder / "demo.ipynb"


def test_the_notebook_says_what_is_stored_in_it(executed: Path) -> None:
    """The same words; the same numbers, but for what another processor's rounding moves across a pixel's limit."""
    stored, now = texts(EXAMPLES / "demo.ipynb"), texts(executed)
    assert NUMBER.sub("#", now) == NUMBER.sub("#", stored)
    for mine, theirs in zip(NUMBER.findall(now), NUMBER.findall(stored), strict=True):
        assert float(mine) == pytest.approx(float(theirs), abs=0.02 if "." in mine else 2, rel=0.02)


def test_the_notebook_is_of_this_model() -> None:
    """The run and the number of parameters that it prints are those of the file beside it."""
    weights, about = load_weights(MODEL)
    text = texts(EXAMPLES / "demo.ipynb")
    assert f"run      {about['run']}\n" in text
    norms = ("running_mean", "running_var", "num_batches_tracked")
    assert f"{sum(each.numel() for name, each in weights.items() if not name.endswith(norms)):,} parameters" in text


def test_the_pipeline_trained_the_model() -> None:
    """Its run is that of the leaderboard in the README, which `make repro` wrote."""
    boards = json.loads((EXAMPLES.parent / "benchmarks/results/repro-results.json").read_text())["boards"]
    (run,) = (row["id"] for board in boards for row in board["rows"] if row["run"] == "percentile")
    assert load_weights(MODEL)[1]["run"] == run


def test_the_model_is_small() -> None:
    """A repository is no place for large files."""
    assert MODEL.stat().st_size <= 4 * 2**20


def test_the_model_was_trained_by_the_command_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `segmodels train` makes of the command in the README is the configuration in the model's metadata."""
    from segmodels.cli import cli
    from segmodels.config.config import TrainConfig, decisive
    from segmodels.networks import spec

    (line,) = re.findall(r"^segmodels (train .*(?:\n    .*)*)", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    seen: list[TrainConfig] = []

    def stop(config: TrainConfig, show: Callable[..., Any]) -> None:
        seen.append(config)
        raise SystemExit(0)

    monkeypatch.setattr("segmodels.training.train.train", stop)
    done = CliRunner().invoke(cli, shlex.split(line.replace("\\\n", " ")))
    assert done.exit_code == 0 and seen, done.output
    expected = load_weights(MODEL)[1]["training"]
    mine = json.loads(json.dumps(decisive(seen[0].document())))
    declared = spec(seen[0].network)  # the run has its network's defaults, too
    mine["options"] = [list(each) for each in declared.noted(declared.resolve(seen[0].network_options))]
    assert {name: mine[name] for name in expected} == expected
