"""Splits of a source file whose frames lie in the same places: by lists, by shares, and by both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segdata.findings import Finding
from segdata.raw.member import Member
from segdata.raw.scene import Listing, Scene
from segdata.sources import source
from segdata.sources.file import read_source
from segdata.sources.source import Source
from segdata.splits.membership import by_split
from segdata.splits.splitlist import parse_list

KEYS = tuple(f"{drive}-{i:02d}" for drive in "abcde" for i in range(6))


def source_of(home: Path, splits: str) -> Source:
    text = f"""
name: drives
labels: [{{id: 0, name: road, color: [128, 64, 128]}}, {{id: 1, name: sky, color: [70, 130, 180]}}]
image: "rgb/{{drive}}-{{frame}}.png"
annotation: "gt/{{drive}}-{{frame}}.png"
key: "{{drive}}-{{frame}}"
group: "{{drive}}"
splits: {splits}
"""
    return read_source(text.encode(), "drives.yaml", home)


def split_of(source: Source, *findings: Finding) -> tuple[dict[str, set[str]], list[Finding]]:
    """split -> keys, and all findings."""
    scenes = tuple(Scene(key, "all", Member(f"rgb/{key}.png", Path(), key), None) for key in KEYS)
    (pool,) = source.pools
    found: Any = dict(by_split(source, pool, Listing(scenes, findings)))
    keys = {split: {scene.key for scene in listing.scenes} for split, listing in found.items()}
    return keys, list(dict.fromkeys(finding for listing in found.values() for finding in listing.findings))


def test_shares_cut_no_drive(tmp_path: Path) -> None:
    """Neither between themselves, nor one of which a list has a frame: the rest of that is in no split, and told."""
    (tmp_path / "test.txt").write_text("a-00\nrgb/a-03.png\n")
    keys, findings = split_of(source_of(tmp_path, "{train: {share: 0.75}, val: {share: 0.25}, test: {list: test.txt}}"))
    assert keys["test"] == {"a-00", "a-03"} and (len(keys["train"]), len(keys["val"])) == (18, 6)
    assert keys["train"] | keys["val"] == {key for key in KEYS if not key.startswith("a")}
    assert {key[0] for key in keys["train"]}.isdisjoint({key[0] for key in keys["val"]})
    assert [(each.code, each.found) for each in findings] == [
        ("no-split", "4 frames belong to none of train, val, test: a-01, a-02, a-04, …")
    ]


def test_all_that_a_list_leaves(tmp_path: Path) -> None:
    """Is a share of 1: every frame of every other group."""
    (tmp_path / "val.txt").write_text("a-00\n")
    keys, _ = split_of(source_of(tmp_path, "{train: {share: 1}, val: {list: val.txt}}"))
    assert keys == {"train": {key for key in KEYS if not key.startswith("a")}, "val": {"a-00"}}


@pytest.mark.parametrize("path", ["gt/a-09.png", ""])
def test_lines_of_a_list_that_name_no_frame(path: str, tmp_path: Path) -> None:
    """A finding each, but for a frame of which another finding says what it lacks."""
    (tmp_path / "val.txt").write_text("b-00\na-09\nnix\n")
    source = source_of(tmp_path, "{train: {where: {drive: [a]}}, val: {list: val.txt}}")
    keys, findings = split_of(source, *([Finding("missing-image", path, "no image")] if path else []))
    assert keys["val"] == {"b-00"}
    unknown = [each.found for each in findings if each.code == "unknown-frame"]
    wrong = "line 2: no frame 'a-09' in the dataset; the nearest is a-05"
    assert unknown == [*([] if path else [wrong]), "line 3: no frame 'nix' in the dataset"]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("train/run 1/0016E5_00390.png  # fog", "0016E5_00390"),
        ("/SegNet/train/0016E5_00390.png /SegNet/trainannot/0016E5_00390.png", "0016E5_00390"),
        ("train/0016E5_00390.png trainannot/0016E5_00420.png", "train/0016E5_00390.png trainannot/0016E5_00420.png"),
    ],
)
def test_a_line_with_spaces(line: str, key: str) -> None:
    """A path with spaces, an image and its label, or files of two frames, which the message shows as they stand."""
    assert parse_list("train", "list.txt", line, source("camvid").folders).lines == {key: 1}
