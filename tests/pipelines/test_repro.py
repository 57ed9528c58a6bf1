"""What `dvc repro` runs, and what it need not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from segdata.base.canonical import digest_file

if TYPE_CHECKING:
    from tests.pipelines.workspace import Workspace


def test_a_second_time_nothing_runs(workspace: Workspace) -> None:
    """All is up to date after one `dvc repro`, even in a copy elsewhere."""
    assert "Data and pipelines are up to date." in workspace.run("dvc", "repro")


def test_a_network_is_trained_alone(workspace: Workspace) -> None:
    """Other code in one network's file: this network alone is trained anew, to other weights; no data is made."""
    network = workspace.path / "segmodels/networks/percentile/network.py"
    before = digest_file(workspace.path / "runs/percentile/model.safetensors")
    network.write_text(network.read_text().replace("nn.ReLU()", "nn.LeakyReLU()"))
    ran = ["code", *(f"{kind}@percentile" for kind in ("train", "evaluate", "sweep", "latency")), "report"]
    assert sorted(workspace.repro()) == sorted(ran)
    assert digest_file(workspace.path / "runs/percentile/model.safetensors") != before


def test_what_changes_no_meaning_trains_nothing(workspace: Workspace) -> None:
    """Comments, docstrings and layout; the commands that do not train; files that no command of the pipeline has."""
    workspace.append("segmodels/training/train.py", "\n# a comment\n")
    blocks = workspace.path / "segmodels/blocks.py"
    blocks.write_text('"""Another docstring."""\n' + blocks.read_text().split('"""', 2)[2].replace("    ", "     "))
    for path in (
        "segmodels/inference/export.py",
        "segmodels/inference/predict.py",
        "segmodels/cli/__init__.py",
        "segdata/looking/diff.py",
    ):
        workspace.append(path, "\nANOTHER = 1\n")
    assert workspace.repro() == ["code"]


@pytest.mark.parametrize("how", ["option", pytest.param("code", marks=pytest.mark.slow)])
def test_equal_shards_train_nothing(how: str, workspace: Workspace) -> None:
    """What changes no byte of the shards ends there: a default that is no longer spelt out, other code."""
    if how == "option":
        data = workspace.read("pipelines/data.yaml")
        del data["sets"]["cityscapes-20"]["options"]["rule"]
        workspace.write("pipelines/data.yaml", data)
    else:
        workspace.append("segdata/making/plan.py", "\nANOTHER = 1\n")
    ran = workspace.repro()
    assert "prepare@cityscapes-20" in ran
    assert {stage.partition("@")[0] for stage in ran} <= {"code", "synth", "prepare", "verify"}
