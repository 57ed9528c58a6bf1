"""docs/datasets.md: folders that nobody planned for go from `init` to a trained network by the page, and back."""

from __future__ import annotations

import io
import re
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

import segmodels.cli
from segdata import ShardSet
from segdata.cli import cli
from segdata.sources.file import read_source

PAGE = (Path(__file__).parents[1] / "docs" / "datasets.md").read_text()
COLORS = np.array([[128, 64, 128], [107, 142, 35], [0, 0, 0]], np.uint8)
SHAPE = (64, 96)
Scene = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def scene(seed: int) -> Scene:
    """Road below, grass on one side, nothing on the other: image and ids."""
    rng = np.random.default_rng(seed)
    ids = np.full(SHAPE, 2, np.uint8)
    ids[:28, : rng.integers(60, 90)] = 1
    ids[28:] = 0
    return (COLORS[ids] + rng.integers(0, 20, (*SHAPE, 3))).astype(np.uint8), ids


def encoded(pixels: NDArray[np.uint8], kind: str, palette: list[int] | None = None) -> bytes:
    data = io.BytesIO()
    image = Image.fromarray(pixels)
    if palette:
        image = Image.frombytes("P", SHAPE[::-1], pixels.tobytes())
        image.putpalette(palette)
    image.save(data, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return data.getvalue()


def drives() -> dict[str, bytes]:
    """JPEG beside colours, a folder for each drive."""
    files = {}
    for number in range(24):
        image, ids = scene(number)
        home, name = f"drive_{number // 6 + 1:02d}", f"{number % 6 + 1:06d}"
        files[f"{home}/frames/{name}.jpg"] = encoded(image, "JPEG")
        files[f"{home}/masks/{name}.png"] = encoded(COLORS[ids], "PNG")
    return files


def flat() -> dict[str, bytes]:
    """All in one folder, labels with the suffix _mask."""
    made = {f"frame{number:04d}": scene(number) for number in range(10)}
    files = {f"{name}.png": encoded(image, "PNG") for name, (image, _) in made.items()}
    return files | {f"{name}_mask.png": encoded(ids, "PNG") for name, (_, ids) in made.items()}


def palettes() -> dict[str, bytes]:
    """Palette PNGs and lists of splits, as tools of Pascal VOC write them."""
    files = {}
    for number in range(10):
        image, ids = scene(number)
        files[f"JPEGImages/{number:06d}.jpg"] = encoded(image, "JPEG")
        files[f"SegmentationClass/{number:06d}.png"] = encoded(ids, "PNG", [0, 0, 0, 128, 0, 0, 0, 128, 0])
    for split, numbers in {"train": range(7), "val": range(7, 10)}.items():
        files[f"ImageSets/Segmentation/{split}.txt"] = "".join(f"{number:06d}\n" for number in numbers).encode()
    return files


def put(root: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def run(*words: str | Path) -> None:
    """A command of segdata, in this process."""
    cli.main([str(word) for word in words], standalone_mode=False)


def filled_in(draft: str) -> str:
    """The draft with a value for each ???, as somebody would write it in."""
    names = iter(["road", "grass", "unlabelled"])
    lines = [
        line.replace('name: "???"', f"name: {next(names)}") if 'name: "???"' in line else line
        for line in draft.replace("licence: ???", "licence: mine").splitlines()
    ]
    return "\n".join(lines).replace('"???"', "thing") + "\n"


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands, one after the other: the draft is as the page says, and a network is trained, scored, unpacked."""
    put(tmp_path / "my-drives", drives())
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    monkeypatch.chdir(tmp_path)

    def typed(line: str) -> str:
        """In this process: torch is loaded once."""
        program, *words = shlex.split(line)
        group = {"segdata": cli, "segmodels": segmodels.cli.cli}[program]
        done = CliRunner().invoke(group, words, catch_exceptions=False, standalone_mode=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "24 pairs" in typed(commands[0])
    draft, due = (tmp_path / "my-drives.yaml").read_text(), blocks("yaml")[0]
    ours, theirs = (read_source(text.encode(), "m.yaml", tmp_path) for text in (filled_in(draft), due))
    assert [(each.role, each.template.text) for each in ours.folders] == [
        (each.role, each.template.text) for each in theirs.folders
    ]
    assert (ours.coding, ours.members, ours.title) == (theirs.coding, theirs.members, theirs.title)
    assert [(row.id, row.name, row.color) for row in ours.labels] == [
        (row.id, row.name, row.color) for row in theirs.labels
    ]
    (tmp_path / "my-drives.yaml").write_text(due)
    for line in commands[1:]:
        typed(line)
    assert (tmp_path / "scores" / "metrics.json").is_file() and (tmp_path / "sheet.png").is_file()
    assert set(ShardSet(tmp_path / "shards", "val").groups or ()).isdisjoint(
        ShardSet(tmp_path / "shards", "train").groups or ()
    )
    assert_back_again(tmp_path)


@pytest.mark.parametrize("kind", [flat, palettes])
def test_other_folders(kind: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flat ones and zips: drafted, filled in, checked, prepared, unpacked, and prepared again to the same pixels."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data"
    if kind is flat:
        put(root, flat())
    else:
        root = tmp_path / "data.zip"
        with zipfile.ZipFile(root, "w") as archive:
            for path, data in palettes().items():
                archive.writestr(path, data)
    run("init", root, "--out", "data.yaml")
    Path("data.yaml").write_text(filled_in(Path("data.yaml").read_text()))
    run("check", "data.yaml", "--root", root)
    run("prepare", "data.yaml", "--root", root, "--out", "shards", "--engine", "serial")
    sets = [ShardSet("shards", split) for split in ("train", "val")]
    assert sum(map(len, sets)) == 10
    numbers = {int(key.removeprefix("frame")): (shards, i) for shards in sets for i, key in enumerate(shards.keys)}
    for number, (shards, i) in numbers.items():
        assert np.array_equal(shards.read(i).targets[1], scene(number)[1])
    assert kind is flat or set(map(int, sets[1].keys)) == {7, 8, 9}
    run("unpack", "shards", "--out", "plain")
    assert_back_again(tmp_path)


def assert_back_again(home: Path) -> None:
    """What was unpacked to `plain` is prepared to the same keys and pixels."""
    out = home / "again"
    run("prepare", home / "plain/source.yaml", "--root", home / "plain", "--out", out, "--engine", "serial")
    for split in ("train", "val"):
        one, other = ShardSet(home / "shards", split), ShardSet(out, split)
        assert sorted(one.keys) == sorted(other.keys)
        for i, key in enumerate(one.keys):
            ours, theirs = one.read(i), other.read(other.keys.index(key))
            assert np.array_equal(ours.image, theirs.image) and np.array_equal(ours.targets[1], theirs.targets[1])
