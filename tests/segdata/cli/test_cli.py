"""The command line: what it prints, its exit status, and that asking for help costs nothing."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from segdata import ShardSet
from segdata.cli import cli

Painted = Callable[..., Path]


def segdata(*arguments: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real command; its standard error never holds a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "segdata", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    return done


def test_help_imports_nothing_heavy() -> None:
    """`segdata --help` and every command's help import neither numba nor OpenCV nor torch."""
    code = (
        "import sys\nfrom segdata.cli import cli\n"
        f"for name in [None, *{sorted(cli.commands)!r}]:\n"
        "    try: cli(([name] if name else []) + ['--help'])\n"
        "    except SystemExit as done: assert done.code == 0\n"
        "print(sorted({'numba', 'cv2', 'torch', 'numpy', 'PIL', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_whole_way(painted: Painted, tmp_path: Path) -> None:
    """prepare, verify, stats, show, diff: each ends with one line that says what is where."""
    out = tmp_path / "set"
    options = ["--scale", 1, "--scale", 8, "--samples-per-shard", 2]
    done = segdata("prepare", "cityscapes", "--root", painted("cityscapes"), "--out", out, *options)
    assert done.stdout == f"{out}: train 6, val 3 samples in 5 shards\n"
    assert "9/9 samples" in done.stderr
    again = segdata("prepare", "cityscapes", "--root", painted("cityscapes"), "--out", out, *options)
    assert again.stdout == f"{out}: train 6, val 3 samples in 5 shards (5 stood already), unchanged\n"
    assert segdata("verify", out, "--pixels").stdout.startswith(f"{out}: bytes and pixels of 9 samples as written")
    done = segdata("stats", out, "--json", tmp_path / "stats.json")
    assert done.stdout.splitlines()[-1] == f"{out}: train 6, val 3; numbers in {tmp_path / 'stats.json'}"
    rows = json.loads((tmp_path / "stats.json").read_text())["splits"]["train"]["classes"]
    assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-4)
    assert segdata("show", out, "--out", tmp_path / "sheet.png", "--count", 2).stdout.endswith("2 samples of train\n")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1400  # image and two targets beside each other
    assert segdata("diff", out, out).stdout == f"{out} and {out}: the same content\n"


def test_a_path_that_loaders_take_for_a_pattern(painted: Painted, tmp_path: Path) -> None:
    """The set is written, and one line says why another place is better."""
    options = ["--root", painted("cityscapes"), "--split", "val"]
    done = segdata("prepare", "cityscapes", *options, "--out", tmp_path / "run[1]*")
    assert "run[1]*: other loaders take []* in a path for a pattern, and may read other folders too" in done.stderr
    assert "other loaders" not in segdata("prepare", "cityscapes", *options, "--out", tmp_path / "run 1").stderr


def test_scales_and_codec_are_as_asked(painted: Painted, tmp_path: Path) -> None:
    """--size resizes and turns the codec to PNG; --pad and --crop make TAS500's odd size divisible."""
    segdata(
        "prepare",
        "tas500",
        "--root",
        painted("tas500"),
        "--out",
        tmp_path / "a",
        "--size",
        "60x100",
        "--scale",
        8,
        "--pad",
    )
    segdata(
        "prepare",
        "tas500",
        "--root",
        painted("tas500"),
        "--out",
        tmp_path / "b",
        "--size",
        "60x100",
        "--scale",
        8,
        "--crop",
    )
    sizes = {
        name: json.loads((tmp_path / name / "dataset.json").read_text())["splits"]["train"]["sizes"] for name in "ab"
    }
    assert sizes == {"a": [[64, 104]], "b": [[56, 96]]}


def test_jpeg_quality(painted: Painted, tmp_path: Path) -> None:
    """A lower quality makes smaller images and is an option of the set; 95 goes unsaid, so older sets stay the same."""
    command = ["prepare", "cityscapes", "--root", painted("cityscapes"), "--split", "val", "--image-codec", "jpeg"]
    for name, asked in {"usual": [], "asked": ["--jpeg-quality", 95], "small": ["--jpeg-quality", 60]}.items():
        segdata(*command, "--out", tmp_path / name, *asked)
    usual, small = ShardSet(tmp_path / "usual", "val"), ShardSet(tmp_path / "small", "val")
    assert usual.parts[0] == "image.jpg"
    for i in range(3):
        assert len(small.bytes(i, "image.jpg")) < len(usual.bytes(i, "image.jpg"))
    assert small.manifest.document["options"]["jpeg_quality"] == 60
    assert "jpeg_quality" not in usual.manifest.document["options"]
    same = [(tmp_path / name / "dataset.json").read_bytes() for name in ("usual", "asked")]
    assert same[0] == same[1]
    told = segdata("diff", tmp_path / "usual", tmp_path / "small", code=1).stdout
    assert "option jpeg_quality: 95 -> 60\n" in told


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["prepare", "cityscape", "--root", "raw", "--out", "x"], 1, "did you mean cityscapes"),
        (
            ["prepare", "cityscapes", "--root", "nowhere", "--out", "x"],
            1,
            "/nowhere (found: no such folder)",
        ),
        (
            ["prepare", "cityscapes", "--root", "raw", "--out", "x", "--taxonomy", "cityscapes-2"],
            1,
            "did you mean cityscapes-",
        ),
        (["prepare", "cityscapes", "--root", "raw", "--out", "x", "--taxonomy", "tas500-10"], 1, "have no destination"),
        (["prepare", "cityscapes", "--root", "raw", "--out", "x", "--name", "a/b"], 1, "--name 'a/b'"),
        (["prepare", "cityscapes", "--root", "raw", "--out", "x", "--split", "dev"], 1, "has no split 'dev'"),
        (["prepare", "cityscapes", "--root", "raw", "--out", "x", "--size", "8"], 2, "'8' is not HxW, as in 256x512"),
        (["prepare", "cityscapes", "--root", "raw", "--out", "x", "--turn"], 2, "--turn is for --size"),
        (["synth", "tas500", "--out", "x", "--size", "128x64"], 1, "did you mean 64x128"),
        (
            ["prepare", "cityscapes", "--root", "raw", "--out", "x", "--size", "8x8", "--image-codec", "keep"],
            2,
            "Choose png",
        ),
        (
            ["prepare", "cityscapes", "--root", "raw", "--out", "x", "--jpeg-quality", "95"],
            2,
            "--jpeg-quality is for --image-codec jpeg, this is without it",
        ),
        (
            ["prepare", "cityscapes", "--root", "raw", "--out", "x", "--image-codec", "webp", "--jpeg-quality", "9"],
            2,
            "--jpeg-quality is for --image-codec jpeg, this is --image-codec webp",
        ),
        (["prepare", "cityscapes", "--root", "."], 2, "Missing option '--out'"),
        (["verify", "."], 1, "no dataset.json"),
        (["show", ".", "--out", "x.png"], 1, "no dataset.json"),
        (["show", ".", "--out", "x.pdf"], 2, "a PNG file is written, so name it x.png"),
        (["taxonomy", "cityscapes-20", "--source", "tas500"], 1, "have no destination"),
        (["nothing"], 2, "No such command"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 1 for what was found, 2 for how it was asked; the message says what to do."""
    monkeypatch.chdir(tmp_path)
    done = segdata(*arguments, code=code, PYTHONPATH=str(Path(__file__).parents[3]))
    assert message in done.stderr
    if code == 1:
        assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_indivisible_size_names_the_options(painted: Painted, tmp_path: Path) -> None:
    """Nothing is cut silently: a size that the largest scale does not divide lists every frame and stops."""
    options = ["--size", "60x100", "--scale", 8]
    done = segdata("prepare", "tas500", "--root", painted("tas500"), "--out", tmp_path / "set", *options, code=1)
    assert "60x100 (HxW) is not a multiple of 8; give --size, --pad or --crop" in done.stderr
    assert "Mend the files" not in done.stderr
    assert not (tmp_path / "set").exists()


def test_a_turned_size_needs_a_word(painted: Painted, tmp_path: Path) -> None:
    """Height and width the wrong way round are refused and named; --turn says that they are meant."""
    command = ["prepare", "tas500", "--root", painted("tas500"), "--out", tmp_path / "set", "--size", "100x60"]
    said = segdata(*command, code=1).stderr
    assert "(HxW) would be squashed to 100x60; did you mean --size 60x100?" in said
    assert "nothing was published. Give --size the other way round, or --turn.\n" in said
    left_out = segdata(*command, "--on-error", "quarantine", code=1).stderr
    assert "never left out unasked: nothing was published. Give --size the other way round, or --turn.\n" in left_out
    assert not (tmp_path / "set").exists()
    segdata(*command, "--turn")
    assert ShardSet(tmp_path / "set", "train").read(0).image.shape == (100, 60, 3)
    assert "turn" not in ShardSet(tmp_path / "set", "train").manifest.document["options"]


def test_findings_go_to_sarif(painted: Painted, tmp_path: Path) -> None:
    """--sarif writes all findings for tools, also when the command fails."""
    options = ["--size", "60x100", "--scale", 8, "--sarif", tmp_path / "found.sarif"]
    segdata("prepare", "tas500", "--root", painted("tas500"), "--out", tmp_path / "set", *options, code=1)
    results = json.loads((tmp_path / "found.sarif").read_text())["runs"][0]["results"]
    assert {row["ruleId"] for row in results} == {"indivisible-size"}
    assert len(results) == 9


def test_engine_and_workers_come_from_the_environment(painted: Painted, tmp_path: Path) -> None:
    """SEGDATA_ENGINE and SEGDATA_WORKERS serve a DVC stage, whose command must not change with them."""
    arguments = ["prepare", "tas500", "--root", painted("tas500"), "--out", tmp_path / "set"]
    done = segdata(*arguments, code=2, SEGDATA_ENGINE="cluster")
    assert "'cluster' is not one of 'serial', 'local'" in done.stderr
    segdata(*arguments, SEGDATA_ENGINE="local", SEGDATA_WORKERS="2")


def test_list_and_taxonomy_print_what_ships() -> None:
    """Every source and taxonomy is listed; a taxonomy proves its completeness."""
    listed = segdata("list").stdout
    assert "4 sources, 9 taxonomies" in listed
    shown = segdata("taxonomy", "cityscapes-20").stdout
    assert "complete for cityscapes, cityscapes-coarse" in shown.splitlines()[-1]
    assert len([line for line in shown.splitlines() if " <- " in line]) == 20


def test_synth_paints_what_prepare_reads(tmp_path: Path) -> None:
    """The two commands of the first day, from nothing to shards."""
    segdata("synth", "tas500", "--out", tmp_path / "raw", "--train", 2, "--val", 1, "--test", 0, "--size", "64x96")
    done = segdata("prepare", "tas500", "--root", tmp_path / "raw", "--out", tmp_path / "set")
    assert "train 2, val 1 samples" in done.stdout


def test_what_is_no_folder(tmp_path: Path) -> None:
    """A file is not said to be missing."""
    (tmp_path / ".set").write_text("a file")
    for name, why in ((".set", "is a file, expected a folder"), ("set", "does not exist")):
        assert f"'{tmp_path / name}' {why}" in segdata("stats", tmp_path / name, code=2).stderr


@pytest.mark.parametrize("name", ["dataset.json", "README.md"])
def test_what_cannot_be_read_is_not_made_anew(name: str, finished: Callable[..., Path], tmp_path: Path) -> None:
    """`verify` says that it is not checked; here a link to itself."""
    folder = Path(shutil.copytree(finished("camvid"), tmp_path / "set"))
    (folder / name).unlink()
    (folder / name).symlink_to(name)
    told = segdata("verify", folder, code=1).stderr
    assert "error[unreadable]" in told and told.endswith("make it readable, then run verify again.\n")
