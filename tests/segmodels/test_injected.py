"""Training, where every single call to the system fails, or a kill hits it: the same command then ends as if nothing
had happened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from segmodels.config.config import TrainConfig, config_from_document
from segmodels.runs.checkpoint import load_checkpoint
from segmodels.runs.run import Run
from segmodels.training.train import train
from tests.support.injection import ERRORS, KILL, run

OURS = {"SegdataError", "SegmodelsError", "OSError"}  # the last one is a line of `cli`
OLD = Path(__file__).parents[1] / "old" / "0.1.0"

ALL = (KILL, *ERRORS)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """Two steps of a small network, saved after each."""
    monkeypatch.setattr("segmodels.training.train.CHECKPOINT_SECONDS", 0.0)
    document = json.loads((OLD / "run/run.json").read_bytes())["config"]
    return config_from_document(document | {"out": str(tmp_path / "home/run"), "shards": str(OLD / "shards")})


@pytest.mark.parametrize("faults", [ALL, *(pytest.param((each,), marks=pytest.mark.slow) for each in ALL)])
def test_train(faults: tuple[int, ...], config: TrainConfig) -> None:
    """Whatever stands in the folder is whole; the next run gives the weights of one that was never stopped."""
    torch.set_num_threads(1)  # a child has none of its parent's threads
    home = config.out.parent
    home.mkdir()
    calls = run(lambda: train(config), home, 0, KILL).calls
    due = Run(config.out).weights.read_bytes()
    sample = (1, calls // 4, calls // 2, 3 * calls // 4, calls)
    for at in sample if faults == ALL else range(1, calls + 1):
        shutil.rmtree(config.out)
        ended = run(lambda: train(config), home, at, faults[at % len(faults)])
        where = f"call {at} of {calls}: {ended}"
        assert ended.killed or not ended.said or ended.said.partition(":")[0] in OURS, where
        found = Run(config.out)
        if found.last.exists():
            load_checkpoint(found.last, found.document()["id"])
        if found.finished:
            assert found.weights.read_bytes() == due, where
        train(config)
        assert found.weights.read_bytes() == due, where
        assert not [path for path in home.rglob("*") if path.name.endswith("-tmp")], where
