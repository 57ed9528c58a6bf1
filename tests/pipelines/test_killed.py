"""A killed `dvc repro` goes on where it was, and never with what other code left."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from segdata.base.canonical import digest_file
from tests.pipelines.workspace import Workspace

STAGE = "train@dilated_unet"
STEPS = 40


@pytest.fixture
def killed(workspace: Workspace) -> Workspace:
    """The pipeline, killed with all its processes while it trains a longer run that saves after every step."""
    runs = workspace.read("pipelines/runs.yaml")
    runs["runs"]["dilated_unet"]["options"]["steps"] = STEPS
    workspace.write("pipelines/runs.yaml", runs)
    train = workspace.path / "segmodels/training/train.py"
    eager = re.sub(r"CHECKPOINT_SECONDS = [\d.]+", "CHECKPOINT_SECONDS = 0.0", train.read_text())
    assert eager != train.read_text()
    train.write_text(eager)
    process = workspace.start("dvc", "repro", STAGE)
    run = workspace.path / "runs/dilated_unet"
    until(lambda: (run / "checkpoints/timing.json").exists() or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    said, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    assert not (run / "metrics.json").exists()
    return workspace


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def train_alone(workspace: Workspace, out: Path) -> None:
    """What the stage trains, by hand, in another folder and in one go."""
    (command,) = (each for each in workspace.stages()[STAGE].commands if each.startswith("segmodels train"))
    workspace.run(*command.replace("--out runs/dilated_unet", f"--out {out}").split())


def test_it_goes_on_from_the_checkpoint(killed: Workspace, tmp_path: Path) -> None:
    """After SIGKILL the same command goes on after the last saved step, to the bytes of a run that was not killed."""
    said = killed.run("dvc", "repro", STAGE)
    (step,) = re.findall(rf"going on after step (\d+) of {STEPS}", said)
    assert int(step) >= 1
    train_alone(killed, tmp_path / "alone")
    weights = killed.path / "runs/dilated_unet/model.safetensors"
    assert digest_file(weights) == digest_file(tmp_path / "alone/model.safetensors")
    assert killed.read("runs/dilated_unet/timing.json")["sessions"] == 2


@pytest.mark.slow
def test_other_code_starts_anew(killed: Workspace) -> None:
    """What a killed run has left is no part of what changed code trains."""
    killed.append("segmodels/networks/dilated_unet.py", "\nANOTHER = 1\n")
    assert "going on after" not in killed.run("dvc", "repro", STAGE)
    assert killed.read("runs/dilated_unet/timing.json")["sessions"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["prepare", "evaluate"])
def test_killed_at_other_stages(moment: str, workspace: Workspace) -> None:
    """Killed while it converts or scores, it goes on to the same end; what had ended by then does not run again."""
    before = workspace.read("dvc.lock")["stages"]
    workspace.append(
        "segdata/making/convert.py" if moment == "prepare" else "segmodels/scoring/evaluate.py", "\nANOTHER = 1\n"
    )
    process = workspace.start("dvc", "repro")
    assert process.stdout
    started = ""
    while f"'{moment}@" not in started:
        started = process.stdout.readline()
        assert started, "dvc repro ended"
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    ran = workspace.repro()
    assert "code" not in ran
    outs = {name: stage["outs"] for name, stage in workspace.read("dvc.lock")["stages"].items() if "train" in name}
    assert outs == {name: before[name]["outs"] for name in outs}
    assert workspace.repro() == []
