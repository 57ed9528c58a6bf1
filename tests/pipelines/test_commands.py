"""Every command of dvc.yaml is one that its program takes: options, networks and values, before anything has run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import segmodels.cli
from segdata.errors import SegdataError
from segmodels.config.config import TrainConfig
from segmodels.errors import SegmodelsError
from tests.pipelines.parsing import PROGRAMS, parse
from tests.pipelines.workspace import ROOT, Stage, copy_of_repository

ALLOWED = {("rm", "-r"), ("mkdir", "-p"), ("touch", "-a")}


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stage]:
    """The stages of the repository's own pipeline, all of them; and those of a set whose splits come from lists."""
    whole = copy_of_repository(tmp_path_factory.mktemp("whole") / "pipeline")
    data = whole.read("pipelines/data.yaml")
    options = {"scale": [1, 8], "split-list": ["train=pipelines/lists/a.txt", "val=pipelines/lists/b.txt"]}
    data["sets"]["listed"] = data["sets"]["cityscapes-20"] | {"options": options}
    whole.write("pipelines/data.yaml", data)
    return whole.stages()


@pytest.fixture
def commands(stages: dict[str, Stage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The commands of every stage, where the folders that they read are."""
    for folder in (Path(path) for stage in stages.values() for path in stage.deps if not Path(path).suffix):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return {name: stage.commands for name, stage in stages.items()}


def ours(commands: dict[str, list[str]]) -> Iterator[str]:
    return (each for of_stage in commands.values() for each in of_stage if shlex.split(each)[0] in PROGRAMS)


def test_the_commands_are_understood(commands: dict[str, list[str]], trained: list[TrainConfig]) -> None:
    """Every command of every stage is parsed by the real one; every run of runs.yaml makes a configuration."""
    for command in ours(commands):
        parse(command)
    assert [f"train@{config.out.name}" for config in trained] == [name for name in commands if name[:6] == "train@"]


def test_lists_make_the_splits(stages: dict[str, Stage]) -> None:
    """A set names a list for each split, and is made again when a file of their folder changes."""
    (command,) = stages["prepare@listed"].commands
    assert shlex.split(command)[-4:] == [
        *("--split-list", "train=pipelines/lists/a.txt"),
        *("--split-list", "val=pipelines/lists/b.txt"),
    ]
    assert "pipelines/lists" in stages["prepare@listed"].deps and (ROOT / "pipelines/lists").is_dir()


def test_every_network_is_trained(commands: dict[str, list[str]], trained: list[TrainConfig]) -> None:
    """Every network of `segmodels list` has a run."""
    for command in ours(commands):
        if command.startswith("segmodels train"):
            parse(command)
    assert {config.network for config in trained} == set(segmodels.names())


def test_other_commands_are_scripts_of_the_pipeline(commands: dict[str, list[str]]) -> None:
    """What is neither segdata nor segmodels is a script under pipelines/, or one of three that every system has."""
    for command in (each for of_stage in commands.values() for each in of_stage):
        first, second, *_ = shlex.split(command)
        assert first in PROGRAMS or (first == "python" and (ROOT / second).is_file()) or (first, second) in ALLOWED


@pytest.mark.parametrize(
    ("found", "planted"),
    [
        ("--replace", "--replac"),
        ("--replace", "--replace --rows 3"),
        ("width_factor=", "width_factr="),
        ("train percentile", "train percentil"),
        ("--rule majority", "--rule majorty"),
        ("--knob q", "--knob p"),
    ],
)
def test_faults_are_found(found: str, planted: str, commands: dict[str, list[str]], trained: list[TrainConfig]) -> None:
    """A command that is misspelt anywhere is not understood."""
    command = next(each for each in ours(commands) if found in each)
    with pytest.raises((click.UsageError, SegmodelsError, SegdataError)):
        parse(command.replace(found, planted))


def test_paths_agree(stages: dict[str, Stage]) -> None:
    """Where a stage says what it needs and makes, its command says the same: every path in it is one of them."""
    for name, stage in stages.items():
        declared = [Path(path) for path in (*stage.deps, *stage.outs)]
        for command in (each for each in stage.commands if shlex.split(each)[0] in PROGRAMS):
            for word in (Path(word) for word in shlex.split(command) if word.startswith(("data/", "runs", "report"))):
                near = [path for path in declared if path == word or word in path.parents or path in word.parents]
                assert near, f"{name}: {word} in its command is neither among its deps nor its outs"
