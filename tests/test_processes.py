"""No process that a command starts looks for modules in the working folder, where anybody's file may lie."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from segdata.base.processes import environment, environment_set

HOOK = """
import os
import sys

seen = set()


def note(event, arguments):
    # Called by Python itself (PEP 578), here before every module that is looked for.
    if event == "import":
        there = {"", ".", os.environ["FOLDER"]} & set(sys.path)
        row = f"{os.getpid()} {'inside' if there else 'outside'} {sys.orig_argv[1:]}"
        if row not in seen:
            seen.add(row)
            with open(os.environ["NOTES"], "a") as notes:
                notes.write(row.replace(chr(10), " ") + chr(10))


sys.addaudithook(note)
"""
LOADED = "raise SystemExit('a module of the working folder was run')"  # numba tries this one
EVALUATOR = (
    "from pathlib import Path; from segmodels.scoring.official import official_scores; official_scores(Path('nowhere'))"
)
SYNTH = "segdata synth cityscapes --out raw --train 1 --val 1 --test 1 --size 64x128 --workers 2"
PREPARE = "segdata prepare cityscapes --root raw --out set --samples-per-shard 1 --scale 1 --workers 2"
VERIFY = "segdata verify set --pixels --workers 2"
Run = Callable[..., list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the commands are run."""
    path = tmp_path / "folder"
    path.mkdir()
    (path / "coverage.py").write_text(LOADED)
    return path


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Run:
    """run(line): a command in a process of its own; the notes of all its processes, each with its command line."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(HOOK)
    notes = tmp_path / "notes"
    variables = os.environ | {"PYTHONPATH": str(tmp_path / "hook"), "FOLDER": str(folder), "NOTES": str(notes)}

    def run(command: str | list[str], code: int = 0) -> list[str]:
        notes.write_text("")
        program, *words = command.split() if isinstance(command, str) else command
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *words],
            cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return notes.read_text().splitlines()

    return run


def check(notes: list[str], *expected: str) -> None:
    """All looked elsewhere, and each expected word stands in the command line of one of them."""
    assert not [note for note in notes if note.split()[1] == "inside"]
    for word in expected:
        assert any(word in note for note in notes), (word, notes)


def test_it_would_be_noted(run: Run) -> None:
    """Python itself does look there."""
    assert [note.split()[1] for note in run(["python", "-c", "import colorsys"])][-1:] == ["inside"]


def test_workers(run: Run) -> None:
    """Those of `synth`, `prepare` and `verify`, with the servers that multiprocessing starts."""
    check(run(SYNTH), "spawn_main", "resource_tracker")
    check(run(PREPARE), "forkserver", "resource_tracker")
    check(run(VERIFY), "forkserver", "resource_tracker")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")
def test_ray(run: Run) -> None:
    """The broker and the whole cluster that it starts."""
    check(run(SYNTH))
    check(run(f"{PREPARE} --engine ray"), "spawn_main", "default_worker.py")


@pytest.mark.slow
def test_the_evaluator(run: Run) -> None:
    """cityscapesScripts', which finds nothing to evaluate here."""
    check(run(["python", "-P", "-c", EVALUATOR], code=1), "evalPixelLevelSemanticLabeling")


@pytest.mark.slow
def test_bench(run: Run) -> None:
    """Every figure has a process of its own."""
    check(run("segmodels bench dilated_unet --size 32x64 --seconds 0.01 --largest-batch 1"), "segmodels.bench.child")


def test_modules_are_found_where_the_starter_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is on sys.path by the program's own doing; afterwards its variables are what they were."""
    (tmp_path / "found_by_us.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(os.environ)
    with environment_set():
        subprocess.run([sys.executable, "-c", "import found_by_us"], check=True)
    assert dict(os.environ) == before != environment()
