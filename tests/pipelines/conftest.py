"""A reduced pipeline (one painted set, two networks, a few steps) in a copy of the repository."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segmodels.config.config import TrainConfig
from segmodels.runs.run import Run
from segmodels.training.train import Outcome
from tests.pipelines.workspace import Workspace, copy_of_repository

RUNS = {  # those of pipelines/runs.yaml, smaller still
    "dilated_unet": {"option": ["width_factor=0.25"], "steps": 4, "crop": "32x64"},
    "percentile": {"option": ["width_factor=0.0625"], "steps": 2, "crop": "32x64"},
}
SWEEP = {"knob": "q", "values": "0,1", "forwards": 1}


@pytest.fixture(scope="session")
def make_workspace() -> Callable[[Path], Workspace]:
    """make_workspace(folder): the repository with the reduced graph; nothing of it has run."""

    def make(folder: Path) -> Workspace:
        workspace = copy_of_repository(folder)
        data, runs = workspace.read("pipelines/data.yaml"), workspace.read("pipelines/runs.yaml")
        data["painted"] = {"cityscapes": data["painted"]["cityscapes"]}
        data["painted"]["cityscapes"]["options"] |= {"train": 4, "val": 2, "test": 0, "size": "64x128"}
        data["sets"] = {"cityscapes-20": data["sets"]["cityscapes-20"]}
        runs["runs"] = {
            name: runs["runs"][name] | {"options": runs["demo"] | options} for name, options in RUNS.items()
        }
        runs["sweeps"] = {"percentile": runs["sweeps"]["percentile"] | {"options": SWEEP}}
        workspace.write("pipelines/data.yaml", data)
        workspace.write("pipelines/runs.yaml", runs)
        workspace.commit("start")
        return workspace

    return make


@pytest.fixture(scope="session")
def reproduced(make_workspace: Callable[[Path], Workspace], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The reduced pipeline after one `dvc repro`; made once for all test processes, not to be changed."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / "pipeline.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        workspace = Workspace(shared / "pipeline")
        if not (shared / "pipeline.done").exists():
            make_workspace(workspace.path).repro()
            (shared / "pipeline.done").touch()
    return workspace


@pytest.fixture
def workspace(reproduced: Workspace, tmp_path: Path) -> Workspace:
    """The test's own copy of it."""
    return reproduced.copy(tmp_path / "pipeline")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """What is to be trained is put here, and not trained."""
    configs: list[TrainConfig] = []

    def train(config: TrainConfig, **_: Any) -> Outcome:
        configs.append(config)
        return Outcome(Run(config.out), {}, {})

    monkeypatch.setattr("segmodels.training.train.train", train)
    return configs
