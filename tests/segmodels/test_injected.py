"""Training, where every single call to the system fails, or a kill hits it: the same command then ends as if nothing
had happened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from segmodels.checkpoint import load_checkpoint
from segmodels.config import TrainConfig, config_from_document
from segmodels.run import Run
from segmodels.train import train
from tests.injection import ERRORS, KILL, run

OURS = {"SegdataError", "SegmodelsError", "OSError"}  # the last one is a line of `cli`
OLD = Path(__file__).parents[1] / "old" / "0.1.0"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """Two steps of a small network, saved after each."""
    monkeypatch.setattr("segmodels.train.CHECKPOINT_SECONDS", 0.0)
    document = json.loads((OLD / "run/run.json").read_bytes())["config"]
    return config_from_document(document | {"out": str(tmp_path / "home/run"), "shards": str(OLD / "shards")})


@pytest.mark.parametrize("sampled", [5, pytest.param(0, marks=pytest.mark.slow)], ids=["sample", "every call"])
def test_train(sampled: int, config: TrainConfig) -> None:
    """Whatever stands in the folder is whole; the next run gives the weights of one that was never stopped."""
    torch.set_num_threads(1)  # a child has none of its parent's threads
    home = config.out.parent
    home.mkdir()
    calls = run(lambda: train(config), home, 0, KILL).calls
    due = Run(config.out).weights.read_bytes()
    count = sampled or calls
    for at in sorted({round(1 + i * (calls - 1) / (count - 1)) for i in range(count)}):
        for error in (KILL, ERRORS[at % 2]) if not sampled else ((KILL, *ERRORS)[at % 3],):
            shutil.rmtree(config.out)
            ended = run(lambda: train(config), home, at, error)
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
