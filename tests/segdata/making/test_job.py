"""`make_job`: the options of `segdata prepare` from Python, and the same answers where they do not fit."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import segdata
from segdata.base.canonical import digest_file
from segdata.cli.prepare import prepare as command
from segdata.errors import OptionError

MISFITS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"address": "auto"}, ("--address", "auto")),
    ({"turn": True}, ("--turn",)),
    ({"image_codec": "keep", "size": (32, 64)}, ("--image-codec", "keep", "--size", "32x64")),
    ({"jpeg_quality": 90}, ("--jpeg-quality", "90")),
    ({"jpeg_quality": 90, "image_codec": "png"}, ("--jpeg-quality", "90", "--image-codec", "png")),
]


@pytest.mark.parametrize(("options", "arguments"), MISFITS, ids=lambda each: " ".join(map(str, each)))
def test_what_does_not_fit(options: dict[str, Any], arguments: tuple[str, ...], tmp_path: Path) -> None:
    """One line, in Python an OptionError, of the command the usage error of the same words."""
    with pytest.raises(OptionError) as refused:
        segdata.make_job("cityscapes", root=tmp_path, out=tmp_path / "set", **options)
    where = ("cityscapes", "--root", str(tmp_path), "--out", str(tmp_path / "set"))
    with pytest.raises(click.UsageError) as said:
        CliRunner().invoke(command, [*where, *arguments], standalone_mode=False, catch_exceptions=False)
    assert said.value.format_message() == str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rule", "mean"),
        ("fit", "stretch"),
        ("image_codec", "gif"),
        ("engine", "dask"),
        ("on_error", "ignore"),
        ("scales", (1, 3)),
        ("scales", ()),
        ("scales", (1, 1)),
        ("splits", "val"),
        ("samples_per_shard", 0),
        ("seed", -1),
        ("workers", 0),
        ("jpeg_quality", 101),
        ("timeout", math.nan),
        ("size", (0, 64)),
    ],
)
def test_no_such_value(option: str, value: Any, tmp_path: Path) -> None:
    """What the command's parser would refuse, `make_job` refuses, with what it expected."""
    with pytest.raises(OptionError, match="expected "):
        segdata.make_job("camvid", root=tmp_path, out=tmp_path / "set", **{option: value})


def test_a_store_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="is a store"):
        segdata.make_job("camvid", root=tmp_path, out="s3://bucket/set")


def test_defaults(tmp_path: Path) -> None:
    """Names stand for the source and its taxonomy; the codec follows from whether sizes change."""
    job = segdata.make_job("cityscapes", root=str(tmp_path), out=str(tmp_path / "set"), scales=(8, 1))
    assert (job.name, job.root, job.out) == ("cityscapes-20", tmp_path, tmp_path / "set")
    assert (job.conversion.scales, job.conversion.codec) == ((1, 8), "keep")
    for changed in ({"size": (32, 64)}, {"fit": "pad"}):
        assert segdata.make_job("cityscapes", root=tmp_path, out=tmp_path, **changed).conversion.codec == "png"


def test_the_same_as_the_command(painted: Callable[..., Path], tmp_path: Path) -> None:
    """Every file of the set has the same bytes, from Python and from the command line."""
    root = painted("cityscapes")
    job = segdata.make_job(
        "cityscapes", root=root, out=tmp_path / "a" / "set", scales=(1, 2), fit="pad", engine="serial"
    )
    assert segdata.prepare(job).samples == {"train": 6, "val": 3}
    options = ["--scale", "1", "--scale", "2", "--pad", "--engine", "serial"]
    arguments = ["cityscapes", "--root", str(root), "--out", str(tmp_path / "b" / "set"), *options]
    CliRunner().invoke(command, arguments, standalone_mode=False, catch_exceptions=False)
    digests = [
        {path.relative_to(home): digest_file(path) for path in home.rglob("*") if path.is_file()}
        for home in (tmp_path / "a", tmp_path / "b")
    ]
    assert digests[0] == digests[1] and digests[0]


def test_the_import_is_light() -> None:
    """`import segdata` loads nothing of what it exports, and no numpy."""
    code = "import sys, segdata; print(sorted({'numba', 'numpy', 'cv2', 'segdata.making'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert set(segdata.__all__) >= {"Job", "make_job", "prepare", "ShardSet"}
    for name in segdata.__all__:
        assert getattr(segdata, name)
