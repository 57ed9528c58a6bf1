"""The one step that points the pipeline at a real dataset; painted ones stand in, laid out as the real ones come."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from segdata.synth import paint
from segmodels.config.config import TrainConfig
from tests.pipelines.parsing import parse
from tests.pipelines.workspace import ROOT, Workspace, copy_of_repository

SETS = {
    "cityscapes": ["cityscapes-20", "cityscapes-34", "cityscapes-20-half", "cityscapes-10-quarter"],
    "tas500": ["tas500-10"],
    "camvid": ["camvid-11"],
}


@pytest.fixture
def whole(tmp_path: Path) -> Workspace:
    """The repository's own pipeline, not reduced; nothing of it has run."""
    return copy_of_repository(tmp_path / "pipeline")


def point_at(workspace: Workspace, dataset: str, root: Path) -> str:
    return workspace.run(sys.executable, "pipelines/real.py", dataset, str(root))


def kinds(workspace: Workspace) -> dict[str, list[str]]:
    """The instances of every kind of stage."""
    found: dict[str, list[str]] = {}
    for name in workspace.stages():
        kind, _, instance = name.partition("@")
        found.setdefault(kind, []).append(instance)
    return found


def test_one_dataset_after_the_other(
    whole: Workspace,
    tmp_path: Path,
    trained: list[TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After each step the pipeline has the datasets given so far and nothing painted; every command is understood."""
    sets: list[str] = []
    for dataset, new in SETS.items():
        point_at(whole, dataset, tmp_path)
        sets += new
        stages = kinds(whole)
        assert stages["prepare"] == stages["stats"] == sets
        assert "synth" not in stages
        assert stages["train"] == stages["evaluate"]
    monkeypatch.chdir(tmp_path)
    for name in sets:
        (tmp_path / "data/shards" / name).mkdir(parents=True)
    for stage in whole.stages().values():
        for command in (each for each in stage.commands if each.startswith("seg")):
            assert f"--root {tmp_path}" in command or " prepare " not in command
            parse(command)
    published = {config.network for config in trained if config.recipe == "published"}
    assert len(published) == 24
    assert {config.recipe for config in trained if "camvid" in config.out.name} == {"default"}
    sets_of = {config.out.name: config.shards.name for config in trained}
    assert (sets_of["percentile"], sets_of["clusternet"]) == ("cityscapes-10-quarter", "cityscapes-34")
    second = {config.out.name: config.network_options for config in trained if config.epochs == 250}
    assert sorted(second) == [*(f"iterative_v{n}-250" for n in (1, 4, 6)), "iterative_v6-250-x2", "res_hourglass-250"]
    assert second["iterative_v6-250-x2"]["prenet"] == "x2"
    (tas500,) = (each.commands for name, each in whole.stages().items() if name == "prepare@tas500-10")
    assert any("--rule stride" in command for command in tas500)
    assert not any(config.steps and config.steps < 10_000 for config in trained)


def test_what_was_painted_goes(whole: Workspace, tmp_path: Path) -> None:
    """What the pipeline made of painted sets is removed, and nothing else: the report is of what is built now."""
    painted = ("data/painted/tas500", "data/shards/tas500-10", "runs/percentile", "data/scores/hourglass")
    for folder in (*painted, "runs/mine", "data/code"):
        (whole.path / folder / "a folder").mkdir(parents=True)
    (whole.path / "data/stats").mkdir()
    (whole.path / "data/stats/tas500-10.json").touch()
    point_at(whole, "camvid", tmp_path)
    assert sorted(str(path.relative_to(whole.path)) for path in whole.path.glob("data/*/*")) == ["data/code/a folder"]
    assert [path.name for path in (whole.path / "runs").iterdir()] == ["mine"]


def test_a_folder_that_is_not_there(whole: Workspace, tmp_path: Path) -> None:
    """The step says so in one line, and changes nothing."""
    before = (whole.path / "pipelines/data.yaml").read_bytes()
    process = whole.start(sys.executable, "pipelines/real.py", "camvid", str(tmp_path / "nowhere"))
    said, _ = process.communicate()
    assert process.returncode == 1
    assert said.startswith("Error: no ")
    assert said.count("\n") == 1
    assert (whole.path / "pipelines/data.yaml").read_bytes() == before


@pytest.mark.parametrize("dataset", ["tas500", pytest.param("cityscapes", marks=pytest.mark.slow)])
@pytest.mark.parametrize("zips", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["zips", "folders"])
def test_prepared_as_downloaded(dataset: str, zips: bool, whole: Workspace, tmp_path: Path) -> None:
    """Shards come out of the folder or the zips as downloaded; nothing is written there, nothing of it copied."""
    root = tmp_path / "downloaded"
    paint(dataset, root, train=2, val=1, test=1, size=(384, 768), seed=1, zips=zips)
    before = contents(root)
    point_at(whole, dataset, root)
    name = SETS[dataset][-1]
    assert whole.repro(f"verify@{name}") == ["code", f"prepare@{name}", f"verify@{name}"]
    assert whole.read(f"data/checks/{name}.json")["samples"] == {"train": 2, "val": 1}
    assert contents(root) == before
    kept = {path.stat().st_size for path in (whole.path / ".dvc/cache").rglob("*") if path.is_file()}
    assert not kept & {size for size, _ in before.values() if size > 10_000}


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.mark.slow
@pytest.mark.skipif("SEGDATA_CAMVID" not in os.environ, reason="SEGDATA_CAMVID names no folder of real frames")
def test_camvid(whole: Workspace) -> None:
    """CamVid by the documented step: prepared, verified, two networks trained for a few steps, scored, reported."""
    point_at(whole, "camvid", Path(os.environ["SEGDATA_CAMVID"]))
    runs = whole.read("pipelines/runs.yaml")
    few = {"steps": 2, "batch-size": 2, "crop": "256x384"}
    chosen = {
        "camvid-dilated_unet": few | {"option": ["width_factor=0.25"]},
        "camvid-iterative_v6": few | {"option": ["width=8", "depth=2", "steps=2"]},
    }
    runs["runs"] = {name: runs["runs"][name] | {"options": options} for name, options in chosen.items()}
    runs["sweeps"] = {"camvid-iterative_v6": runs["sweeps"]["camvid-iterative_v6"]}
    whole.write("pipelines/runs.yaml", runs)
    assert whole.repro()[-1] == "report"
    assert whole.read("data/checks/camvid-11.json")["samples"] == {"train": 367, "val": 101, "test": 233}
    (board,) = whole.read("report/results.json")["boards"]
    assert sorted(row["run"] for row in board["rows"]) == sorted(chosen)
    assert not board["painted"]


def test_the_table_of_memory() -> None:
    """The README's rows are those of the result file, which has every run of real.yaml."""
    found = json.loads((ROOT / "benchmarks/results/memory.json").read_text())
    runs = [run for row in yaml.safe_load((ROOT / "pipelines/real.yaml").read_text()).values() for run in row["runs"]]
    assert list(found) == runs
    readme = (ROOT / "pipelines/README.md").read_text()
    table = readme.partition("<!-- memory -->\n")[2].partition("<!-- /memory -->")[0]
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    rows = {run.strip(" `"): cells for names, *cells in shown for run in names.split(",")}
    assert rows == {run: [row["size"], str(row["batch"]), f"{row['GiB']:.1f}"] for run, row in found.items()}
