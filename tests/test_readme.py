"""What the README shows works, and its figures are those of the result files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a new user types the commands of the README's `sh` blocks, one after the other."""
    folder = tmp_path_factory.mktemp("readme")
    for block in blocks("sh"):
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(["bash", "-euc", block], cwd=folder, check=True, env={**os.environ, "PATH": path})
    return folder


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


def test_the_commands_work(folder: Path) -> None:
    """They leave verified shards, a contact sheet, a finished run, its scores and pictures behind."""
    assert (folder / "shards" / "dataset.json").is_file()
    assert (folder / "run" / "model.safetensors").is_file()
    assert (folder / "scores" / "metrics.json").is_file()
    assert len(list((folder / "pictures").iterdir())) >= 4
    assert (folder / "sheet.png").stat().st_size > 10_000


COMMENTS = [  # what the comments in the README's Python blocks say
    "record.image.shape == (64, 128, 3) and record.targets[8].shape == (8, 16)",
    "tuple(prediction.logits.shape) == (1, 20, 16, 32) and len(prediction.steps) == 3",
]


@pytest.mark.parametrize("number", range(len(COMMENTS)))
def test_the_python_works(number: int, folder: Path) -> None:
    """Each Python block runs, and what its comments say of shapes is true."""
    assert len(blocks("python")) == len(COMMENTS)
    code = f"{blocks('python')[number]}\nassert {COMMENTS[number]}"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)


def test_the_taxonomy_is_read() -> None:
    """The YAML in the README is a taxonomy in itself (it leaves most raw labels without a place)."""
    from segdata.taxonomy import read_taxonomy

    assert [row.name for row in read_taxonomy(blocks("yaml")[0].encode(), "README").classes] == ["drivable", "rest"]


def test_figures_are_those_of_the_results() -> None:
    """`python benchmarks/tables.py` would change nothing."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from tables import filled
    finally:
        sys.path.pop(0)
    text = (ROOT / "README.md").read_text()
    assert filled(text) == text
