"""Every command ends in one line: each option and argument of both programs with values that it should not have."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import segdata.cli
import segdata.cli.entry
import segmodels.cli
from segmodels.errors import SegmodelsError

OLD = Path(__file__).parent / "old" / "0.1.0"
PROGRAMS = {"segdata": segdata.cli.cli, "segmodels": segmodels.cli.cli}

# A line of each command that works, as far as its work is not stopped (below). Options of the walk come behind it.
LINES = {
    "segdata list": "",
    "segdata taxonomy": "cityscapes-20",
    "segdata synth": "camvid --out new --size 32x32 --train 1 --val 1 --test 0 --workers 1",
    "segdata init": "raw --out new.yaml",
    "segdata check": "camvid --root raw",
    "segdata prepare": "camvid --root raw --out new --engine serial",
    "segdata verify": "shards --workers 1",
    "segdata stats": "shards",
    "segdata show": "shards --out sheet.png --count 1",
    "segdata diff": "shards shards",
    "segdata unpack": "shards --out new",
    "segdata publish": "shards memory://walk/set",
    "segdata revisions": "memory://walk/set",
    "segmodels list": "",
    "segmodels summary": "dilated_unet --classes 20 --size 32x32",
    "segmodels check": "percentile --size 8x8 --json new.json",
    "segmodels weights": "run --json new.json",
    "segmodels train": "dilated_unet --shards shards --out new --steps 1 --crop 32x32 --device cpu",
    "segmodels verify": "run --shards shards --device cpu",
    "segmodels evaluate": "run --shards shards --out new --workers 0 --device cpu",
    "segmodels predict": "run street.png --out pictures --device cpu",
    "segmodels export": "run --out new.pt2 --size 32x32",
    "segmodels bench": "run --device cpu --seconds 0 --largest-batch 1",
    "segmodels sweep": "run --knob steps --shards shards --out new --device cpu",
    "segmodels calibrate": "run --shards shards --out new.json --budget 0.5 --device cpu",
    "segmodels report": "--runs run --scores scores --stats stats.json --shards shards --out page",
}

SLOW = ("bench", "sweep", "calibrate", "export", "predict")  # they read RUN as `evaluate` does

# What no option takes, or few: all of them harmless where one is taken.
WRONG = (
    *("", "none", "none/none", "note.txt", "note.txt/none", ".hidden", "empty", "hidden.png", "x" * 300, "loop"),
    *("²", "-1", "=", ",", "a\x1b[31mred\nb\rc", os.fsdecode(b"\xff"), "http://", "s3://", "http://[x", "file://x"),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a set, a run, an image, a dataset, and what else a name can lead to."""
    monkeypatch.chdir(tmp_path)
    for name in ("shards", "run"):
        shutil.copytree(OLD / name, tmp_path / name)
    for folder in ("raw/CamVid/train", "raw/CamVid/trainannot", "raw/CamVid/val", "raw/CamVid/valannot"):
        Path(folder).mkdir(parents=True)
        picture = np.full((32, 32) if "annot" in folder else (32, 32, 3), 3, np.uint8)
        Image.fromarray(picture).save(Path(folder, "a.png"))
    Image.fromarray(np.full((48, 96, 3), 90, np.uint8)).save("street.png")
    Path("note.txt").write_text("no picture\n")
    Path("hidden.png").write_text("no picture either\n")
    Path(".hidden").write_text("a file whose name begins with a dot\n")
    Path("empty").mkdir()
    Path("loop").symlink_to("loop")
    return tmp_path


@pytest.fixture(autouse=True)
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long ends where it would begin."""

    def enough(*arguments: object, **options: object) -> None:
        raise SegmodelsError("enough of it")

    for place in (
        "segmodels.training.train.make_optimizer",
        "segmodels.scoring.evaluate.predict_maps",
        "segmodels.bench.rows._first",
        "segmodels.knobs.sweep._look",
        "segmodels.contract.case.Case.build",
    ):
        monkeypatch.setattr(place, enough)


def ended(program: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of a command, run in this process as its console script runs it."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    with pytest.raises(SystemExit) as ending:
        segdata.cli.entry.run(PROGRAMS[program], program)
    return int(ending.value.code or 0)


def walk(program: str, command: click.Command, line: str) -> Iterator[list[str]]:
    """The line with each wrong value of each option behind it, and in the place of each argument."""
    words = line.split()
    places = range(sum(isinstance(param, click.Argument) for param in command.params))
    for wrong in WRONG:
        for place in places:
            yield [wrong if i == place else word for i, word in enumerate(words)]
        for option in command.params:
            if is_free(option) or (isinstance(option, click.Option) and not option.is_flag and wrong == "²"):
                yield [*without(words, option.opts[-1]), f"{option.opts[-1]}={wrong}"]


def is_free(option: click.Parameter) -> bool:
    """Whether it takes any text; of numbers, choices and switches `test_command_lines.py` tries more."""
    closed = (click.types.IntParamType, click.types.FloatParamType, click.Choice)
    return isinstance(option, click.Option) and not option.is_flag and not isinstance(option.type, closed)


def without(words: list[str], name: str) -> list[str]:
    """The line without an option and its value."""
    at = words.index(name) if name in words else len(words)
    return words[:at] + words[at + 2 :]


def test_every_command_has_a_line() -> None:
    """None is forgotten."""
    assert set(LINES) == {f"{program} {name}" for program, group in PROGRAMS.items() for name in group.commands}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name.split()[1] in SLOW else ()) for name in LINES]
)
def test_wrong_values_end_in_one_line(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and in the last line neither a control character nor another line; no empty folder for results."""
    program, verb = name.split()
    wrong = []
    for arguments in walk(program, PROGRAMS[program].commands[verb], LINES[name]):
        try:
            code = ended(program, [verb, *arguments], monkeypatch)
        except Exception as error:
            code = f"{type(error).__name__}: {error}"
        said = capfd.readouterr().err
        last = ["", *said.splitlines()][-1]
        ends = code == 0 or (code in {1, 2} and re.match(rf"({program}|Error): .*\w.*\w.*\w", last))
        if not ends or not all(each.isprintable() or each in "\n\t\r" for each in said):
            wrong.append((arguments, code, said))
        if code and (here / "new").is_dir() and not any((here / "new").iterdir()):
            wrong.append((arguments, code, "left an empty folder"))
        for place in ("new", "new.pt2", "sheet.png", "pictures", "page"):
            unlink(here / place)
    assert not wrong


def unlink(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
