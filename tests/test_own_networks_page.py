"""docs/own-networks.md: a network that nobody planned for goes from a file to the report by the page."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import segdata.cli
import segmodels.cli
from segdata import make_job, prepare
from segdata.synth import paint
from segmodels.errors import CodeError
from segmodels.runs.run import Run

PAGE = (Path(__file__).parents[1] / "docs" / "own-networks.md").read_text()
RUNS = yaml.safe_load((Path(__file__).parents[1] / "pipelines" / "runs.yaml").read_text())["runs"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Painted shards, and the files of the page; the current folder."""
    monkeypatch.chdir(tmp_path)
    paint("cityscapes", tmp_path / "raw", train=4, val=2, test=0, size=(64, 128), seed=1)
    splits = ("train", "val")
    job = make_job(
        "cityscapes", root=tmp_path / "raw", out=tmp_path / "shards", taxonomy="cityscapes-20", splits=splits,
        scales=(1,), engine="serial",
    )  # fmt: skip
    prepare(job)
    for name, text in zip(("my.py", "two.py"), blocks("python"), strict=True):
        (tmp_path / name).write_text(text)
    return tmp_path


def call(line: str, env: dict[str, str] | None = None) -> str:
    program, *arguments = shlex.split(line)
    cli = {"segdata": segdata.cli.cli, "segmodels": segmodels.cli.cli}[program]
    result = CliRunner().invoke(cli, arguments, env=env or {}, catch_exceptions=False)
    assert result.exit_code == 0, f"{line}: {result.output}"
    return result.stdout


def test_the_page_works(home: Path) -> None:
    """Every command of it, in its order; the code is then moved away, and found again."""
    *commands, elsewhere = [line for block in blocks("sh") for line in block.splitlines()]
    assert [line for line in commands if "my.py:Small" in line] and [line for line in commands if "two.py" in line]
    for line in commands:
        call(line)
    assert Run(home / "runs" / "two").finished
    assert (home / "small.pt2").is_file()
    assert "my.py:Small" in (home / "report" / "results.json").read_text()
    variable, _, line = elsewhere.partition(" ")
    name, _, folder = variable.partition("=")
    (home / folder).mkdir()
    (home / "my.py").rename(home / folder / "my.py")
    with pytest.raises(CodeError, match=rf"my\.py is not there\. .*{name}=FOLDER"):
        call(line)
    call(line, {name: folder})


def test_what_else_the_page_shows_is_right() -> None:
    """The entry points are those that are read; the line of the pipeline has the fields of the others."""
    (text,) = blocks("toml")
    assert [*tomllib.loads(text)["project"]["entry-points"]] == ["segmodels.networks", "segdata.sources"]
    (text,) = blocks("yaml")
    (row,) = yaml.safe_load(text).values()
    assert row.keys() == next(iter(RUNS.values())).keys()
    assert (Path(__file__).parents[1] / row["network"].partition("my.py")[0]).is_dir()
