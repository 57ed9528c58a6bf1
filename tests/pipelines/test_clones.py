"""The same pipeline in two folders gives the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipelines.workspace import Workspace

DATA = ("synth", "prepare", "verify", "stats")


def test_two_clones_agree(
    reproduced: Workspace,
    make_workspace: Callable[[Path], Workspace],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In another folder, with other workers, dvc.lock says the same of data and code, and the weights are the same."""
    monkeypatch.setenv("SEGDATA_WORKERS", "2")
    other = make_workspace(tmp_path / "a folder elsewhere")
    other.repro("train@percentile", "stats@cityscapes-20")
    here, there = (workspace.read("dvc.lock")["stages"] for workspace in (reproduced, other))
    for name in (name for name in here if name.partition("@")[0] in {*DATA, "code"}):
        assert there[name] == here[name], name
    weights = ({out["path"]: out["md5"] for out in lock["train@percentile"]["outs"]} for lock in (here, there))
    one, two = ({path: digest for path, digest in each.items() if "model" in path} for each in weights)
    assert one == two != {}
