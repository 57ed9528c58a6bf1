"""What stages declare to depend on, against what their processes were seen to import, to open and to connect to."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.pipelines.workspace import Stage, Workspace

KEPT_BY_DVC = (".dvc", ".git", ".dvcignore", ".gitignore", "dvc.yaml", "dvc.lock", "pipelines")
NETWORKS = ("dilated_unet", "percentile")  # each in a file of its name
LOADED_BY_ALL = "import segdata.cli, segmodels.cli; segmodels.names()"
COMPILED = re.compile(r"\.(py|pyc|nbi|nbc)(\.\d+)?$")


def files_of(workspace: Workspace, modules: Iterable[str]) -> set[str]:
    """The files of these modules, as far as they are the two packages' own."""
    names = {Path(*name.split(".")) for name in modules if name.partition(".")[0] in {"segdata", "segmodels"}}
    files = {path for name in names for path in (name.with_suffix(".py"), name / "__init__.py")}
    return {str(path) for path in files if (workspace.path / path).is_file()}


def imported(workspace: Workspace, stage: str) -> set[str]:
    """The files of the two packages that the stage's processes imported."""
    return files_of(workspace, {what for who, event, what in workspace.trace() if (who, event) == (stage, "import")})


def imported_by(workspace: Workspace, code: str) -> set[str]:
    """The files that these lines of Python import, in a process of their own."""
    said = workspace.run(sys.executable, "-c", f"import sys; {code}; print(*sys.modules)")
    return files_of(workspace, said.split())


def declared(workspace: Workspace, stage: Stage) -> set[str]:
    """The files in the list of code that the stage depends on."""
    lists = [path for path in stage.deps if path.startswith("data/code/")]
    lines = [line for path in lists for line in (workspace.path / path).read_text().splitlines()]
    return {line.split()[0] for line in lines}


def missing(workspace: Workspace, name: str, stage: Stage) -> set[str]:
    """Files that the stage needs and does not depend on.

    Every command's process loads the files of all commands and all networks, with what these import: that alone makes
    none a dependency. What the stage's own network imports, loaded by itself, is one.
    """
    needed = imported(workspace, name) - imported_by(workspace, LOADED_BY_ALL)
    _, _, network = name.partition("@")
    if network in NETWORKS:
        needed |= imported_by(workspace, f"import segmodels.networks.{network}")
    return needed - declared(workspace, stage)


def with_code(workspace: Workspace) -> dict[str, Stage]:
    return {name: stage for name, stage in workspace.stages().items() if declared(workspace, stage)}


def test_the_code_behind_a_stage_is_declared(reproduced: Workspace) -> None:
    """No stage imports a file of ours that its list leaves out."""
    stages = with_code(reproduced)
    assert {name.partition("@")[0] for name in stages} == {
        "synth", "prepare", "verify", "stats", "train", "evaluate", "sweep", "latency", "report",
    }  # fmt: skip
    for name, stage in stages.items():
        assert imported(reproduced, name), name
        assert not missing(reproduced, name, stage), name


def test_the_own_network_and_command_are_declared(reproduced: Workspace) -> None:
    """A stage of a network depends on that network's file, on no other's, and on its own command's."""
    for name, stage in with_code(reproduced).items():
        kind, _, run = name.partition("@")
        files = declared(reproduced, stage)
        networks = {Path(path).parts[2].removesuffix(".py") for path in files if "/networks/" in path} - {"__init__"}
        if kind in {"train", "evaluate", "sweep", "latency"}:
            assert networks == {run}
        assert any("cli" in path for path in files), name


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("train@dilated_unet", "segmodels/data/augment.py"),
        ("train@percentile", "segmodels/networks/percentile/network.py"),
        ("sweep@percentile", "segmodels/networks/percentile/sparse.py"),
        ("evaluate@percentile", "segmodels/scoring/metrics.py"),
        ("prepare@cityscapes-20", "segdata/making/assemble.py"),
        ("report", "segmodels/report/read/ranking.py"),
    ],
)
def test_an_undeclared_file_is_found(stage: str, file: str, workspace: Workspace) -> None:
    """A list from which a line was taken does not pass."""
    found = workspace.stages()[stage]
    (path,) = (workspace.path / each for each in found.deps if each.startswith("data/code/"))
    lines = path.read_text().splitlines(keepends=True)
    path.chmod(0o644)
    path.unlink()  # DVC's cache has the same file under another name
    path.write_text("".join(line for line in lines if not line.startswith(f"{file} ")))
    assert missing(workspace, stage, found) == {file}


def opened(workspace: Workspace, stage: str) -> set[Path]:
    """The files of the pipeline that the stage's processes read, without code."""
    paths = {Path(what) for who, event, what in workspace.trace() if (who, event) == (stage, "open")}
    inside = {path.relative_to(workspace.path) for path in paths if path.is_relative_to(workspace.path)}
    files = {path for path in inside if (workspace.path / path).is_file() and path.parts[0] not in KEPT_BY_DVC}
    return {path for path in files if not COMPILED.search(path.name)}


def undeclared(workspace: Workspace, name: str, stage: Stage) -> set[Path]:
    """Files that the stage read and neither depends on nor made."""
    known = [Path(path) for path in (*stage.deps, *stage.outs)]
    return {path for path in opened(workspace, name) if not any(path.is_relative_to(each) for each in known)}


def test_the_data_behind_a_stage_is_declared(reproduced: Workspace) -> None:
    """No stage reads a file of data (a taxonomy, a template, a shard) that it does not depend on."""
    stages = reproduced.stages()
    assert Path("segdata/taxonomies/cityscapes-20.yaml") in opened(reproduced, "prepare@cityscapes-20")
    for name, stage in stages.items():
        assert not undeclared(reproduced, name, stage), name


def test_undeclared_data_is_found(reproduced: Workspace) -> None:
    """A stage from which a dependency was taken does not pass."""
    stage = reproduced.stages()["prepare@cityscapes-20"]
    bare = stage._replace(deps=[path for path in stage.deps if not path.startswith("segdata/taxonomies")])
    assert undeclared(reproduced, "prepare@cityscapes-20", bare) == {Path("segdata/taxonomies/cityscapes-20.yaml")}


def test_nothing_connects_to_a_network(reproduced: Workspace) -> None:
    """Neither DVC nor any stage looks up a host, or connects to anything but a socket in the file system."""
    rows = [(who, event, what) for who, event, what in reproduced.trace() if event.startswith("socket.")]
    assert [row for row in rows if not row[2].startswith(("'/", "b'/"))] == []
