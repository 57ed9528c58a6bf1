"""`--split-list`: the frames of each split by lists, from whatever official splits they lie in."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from segdata.checking.verify import verify
from segdata.cli import cli
from segdata.errors import OptionError, SegdataError, SourceError
from segdata.findings import FindingsError
from segdata.format.manifest import CARD, read_manifest
from segdata.making.convert import Converter
from segdata.making.job import Job
from segdata.making.prepare import Prepared, prepare
from segdata.making.survey import PAINTED, look
from segdata.raw.tree import open_tree
from segdata.reading.shardset import ShardSet
from segdata.sources import source
from segdata.splits.division import read_division

Draw = Callable[[str], Path]
MakeJob = Callable[..., Job]
Lists = dict[str, list[str]]

CAMVID: Lists = {"train": ["train_0000", "test_0001", "val_0001"], "val": ["test_0000", "train_0003"]}
CITY = ("aachen_000000_000019", "bochum_000001_000019", "lindau_000000_000019", "munster_000001_000019")
TAS = [str(1527245932460366848 + i) for i in range(1, 10)]  # four of train, three of val, two of test
LISTS: dict[str, tuple[Lists, dict[str, int]]] = {  # of a drawn dataset: the lists, and what they leave out
    "camvid": (CAMVID, {"train": 2, "val": 2}),
    "cityscapes": (
        {"train": [CITY[3], CITY[0]], "val": [CITY[1]], "test": ["bonn_000001_000019"]},
        {"train": 2, "val": 2, "test": 1},
    ),
    "tas500": ({"train": TAS[:4], "val": TAS[4:5], "test": TAS[5:7]}, {"test": 2}),  # val in two, as a source has it
}


@pytest.fixture
def given(tmp_path: Path) -> Callable[..., list[str]]:
    """given({"train": [key, …]}): what is typed behind --split-list, one value a list."""

    def write(lists: Lists, suffix: str = ".txt", end: str = "\n") -> list[str]:
        for split, lines in lists.items():
            (tmp_path / f"{split}{suffix}").write_bytes("".join(f"{line}{end}" for line in lines).encode())
        return [f"{split}={tmp_path / f'{split}{suffix}'}" for split in lists]

    return write


# ---- what is made -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LISTS)
def test_lists_make_the_splits(
    name: str,
    draw: Draw,
    make_job: MakeJob,
    given: Callable[..., list[str]],
    finished: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """Each split holds the listed frames with the bytes that they have in the official set, and only the name of
    their split is another; the rest is counted, in dataset.json, in the card and in one line."""
    (lists, left_out), said = LISTS[name], list[str]()
    prepare(make_job(name, draw(name), tmp_path / "set", split_lists=given(lists)), say=said.append)
    official = {
        key: (shards, i)
        for split in source(name).splits
        for shards in [ShardSet(finished(name, splits=source(name).splits), split)]
        for i, key in enumerate(shards.keys)
    }
    document = read_manifest(tmp_path / "set").document
    assert document["splits"].keys() == lists.keys()
    for split, keys in lists.items():
        shards = ShardSet(tmp_path / "set", split)
        assert sorted(shards.keys) == sorted(keys)
        for i, key in enumerate(shards.keys):
            before, j = official[key]
            assert shards.parts == before.parts
            pictures = [part for part in shards.parts if part != "json"]
            assert [shards.bytes(i, part) for part in pictures] == [before.bytes(j, part) for part in pictures]
            assert shards.meta(i) == before.meta(j) | {"split": split}
        counts = document["split_lists"]["splits"][split]["official"]
        assert counts == {
            part: n for part in source(name).splits if (n := sum(official[key][0].split == part for key in keys))
        }
    assert document["split_lists"]["left_out"] == left_out
    assert [line for line in said if "stand" in line and f"{sum(left_out.values())} frames" in line]
    assert "not the official ones" in (tmp_path / "set" / CARD).read_text()
    assert not verify(tmp_path / "set", pixels=True)


def test_a_set_is_known_by_its_keys(
    draw: Draw, make_job: MakeJob, given: Callable[..., list[str]], tmp_path: Path
) -> None:
    """Other names and orders of the lists, comments, file names, a zip, two workers and a kill change no byte; another
    list makes another set, which takes the place only with --replace."""
    root, out = draw("camvid"), tmp_path / "set"
    job = make_job("camvid", root, out, split_lists=given(CAMVID))
    real, converted = Converter.convert, list[str]()

    def killed(self: Converter, scene: object) -> object:
        converted.append("")
        if len(converted) == 4:
            raise KeyboardInterrupt
        return real(self, scene)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Converter, "convert", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare(job)
    assert prepare(job).reused >= 1
    fingerprint = read_manifest(out).fingerprint
    with zipfile.ZipFile(tmp_path / "camvid.zip", "w") as archive:
        for path in sorted(root.rglob("*.png")):
            archive.write(path, path.relative_to(root).as_posix())
    shutil.rmtree(root)
    (packed := tmp_path / "packed").mkdir()
    (tmp_path / "camvid.zip").rename(packed / "camvid.zip")
    (packed / PAINTED).write_text("{}")
    other = {
        "val": ["# two frames", "", "train/train_0003.png", " test_0000  # the first"],
        "train": ["/data/val/val_0001.png /data/valannot/val_0001.png", "test_0001.PNG", "train_0000"],
    }
    lists = given(other, ".lst", "\r\n")
    again = prepare(make_job("camvid", packed, out, split_lists=lists, engine="local", workers=2))
    assert not again.changed
    prepare(make_job("camvid", packed, tmp_path / "new", split_lists=lists, engine="local", workers=2))
    assert read_manifest(tmp_path / "new").fingerprint == fingerprint
    for lists in ([], given({**CAMVID, "train": CAMVID["train"][:2]})):
        with pytest.raises(SegdataError, match=r"holds another set: .*split lists is train [0-9a-f]{16}, val"):
            prepare(make_job("camvid", packed, out, split_lists=lists))
    changed = prepare(make_job("camvid", packed, out, split_lists=lists, replace=True))
    assert changed.reused == 1  # the shard of val
    assert "split lists train" in changed.change


# ---- what is no list ----------------------------------------------------------------------------------------

BAD: list[tuple[str, Lists, str]] = [
    (
        "camvid",
        {"train": ["train_0000", "", "nix", "nor_this"]},
        r"train\.txt line 3: there is no frame 'nix' in .*nor 1",
    ),
    ("camvid", {"train": ["train_0000.gif"]}, r"line 1: there is no frame 'train_0000\.gif' .*such as train_0000\.$"),
    ("camvid", {"train": ["train_0000 train_0001"]}, r"line 1: there is no frame 'train_0000 train_0001'"),
    ("camvid", {"train": ["val_0000"], "val": ["#", "val_0000"]}, r"val\.txt line 2: 'val_0000' .*train\.txt line 1"),
    ("camvid", {"train": ["val_0000", "val/val_0000.png"]}, r"train\.txt line 2: 'val_0000' stands in line 1 too"),
    ("camvid", {"train": ["# none", ""]}, r"train\.txt: no frame in it"),
    ("camvid", {"tain": ["val_0000"]}, r"no split 'tain'; expected one of train, val, test"),
    ("cityscapes", {"train": [CITY[0], "bonn_000001_000019"]}, r"train\.txt line 2: bonn_000001_000019 has no label"),
    ("cityscapes", {"test": [CITY[0], "bonn_000001_000019"]}, r"test\.txt line 2: bonn_000001_000019 has no label"),
    ("tas500", {"val": TAS[6:]}, rf"val\.txt line 2: {TAS[7]} has no label \(as do 1 more\)"),
]


@pytest.mark.parametrize(("name", "lists", "found"), BAD, ids=lambda each: each if isinstance(each, str) else "")
def test_a_list_that_is_refused(
    name: str, lists: Lists, found: str, draw: Draw, make_job: MakeJob, given: Callable[..., list[str]], tmp_path: Path
) -> None:
    """One line that names the file and its line, and nothing is written."""
    with pytest.raises(SegdataError) as refused:
        prepare(make_job(name, draw(name), tmp_path / "set", split_lists=given(lists)))
    assert re.search(found, str(refused.value)) and "\n" not in str(refused.value)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("values", "options", "found"),
    [
        (["by-drive"], {"splits": ("val",)}, "--split chooses official splits"),
        (["by-drive", "train=a.txt"], {}, "give it alone"),
        (["by-night"], {}, "expected SPLIT=FILE, such as train=train.txt, or a division of camvid .*: by-drive"),
        (["train="], {}, "expected SPLIT=FILE"),
        (["train=a.txt", "train=b.txt"], {}, "train has a list already"),
        ("by-drive", {}, "expected a list of values"),
    ],
)
def test_a_value_that_is_refused(
    values: list[str], options: dict[str, tuple[str, ...]], found: str, make_job: MakeJob, tmp_path: Path
) -> None:
    """As a usage error of the command, before a file is read."""
    with pytest.raises(OptionError, match=found):
        make_job("camvid", tmp_path, tmp_path / "set", split_lists=values, **options)
    with pytest.raises(SourceError, match="no file nowhere"):
        make_job("camvid", tmp_path, tmp_path / "set", split_lists=["train=nowhere"])


def test_every_line_that_names_no_frame_is_a_finding(
    draw: Draw, given: Callable[..., list[str]], tmp_path: Path
) -> None:
    """By the command: with its list and line, and the frame that may be meant; of a list that is all wrong the first
    lines and a count. SARIF has them, and nothing is written."""
    others = [f"other_{i:04d}" for i in range(25)]
    lists = given({"train": ["train_0000", "train_000l", "", "nix"], "val": others})
    options = [text for value in lists for text in ("--split-list", value)]
    command = ["prepare", "camvid", "--root", draw("camvid"), "--out", tmp_path / "set", "--sarif", tmp_path / "sarif"]
    refused = CliRunner().invoke(cli, [str(each) for each in (*command, *options)])
    assert isinstance(refused.exception, FindingsError) and refused.exit_code == 1
    assert "train.txt line 2: there is no frame 'train_000l'" in str(refused.exception)
    results = json.loads((tmp_path / "sarif").read_text())["runs"][0]["results"]
    found = [each["message"]["text"].partition(". Expected")[0] for each in results]
    assert {each["ruleId"] for each in results} == {"unknown-frame"} and len(found) == 2 + 20 + 1
    assert found[:2] == [
        f"{tmp_path / 'train.txt'}: line 2: no frame 'train_000l' in the dataset; the nearest is train_0003",
        f"{tmp_path / 'train.txt'}: line 4: no frame 'nix' in the dataset",
    ]
    assert found[-1] == f"{tmp_path / 'val.txt'}: 5 more lines, from line 21 on, name no frame of the dataset"
    assert not (tmp_path / "set").exists()


def test_faults_of_other_frames_do_not_count(
    draw: Draw, make_job: MakeJob, given: Callable[..., list[str]], tmp_path: Path
) -> None:
    """A damaged frame that no list names is not read, and an official split of which it names none may be incomplete; a
    listed one without its label is told as such, and quarantined; one frame in two official splits is an error."""
    root = draw("camvid")

    def made(**options: str) -> Prepared:
        return prepare(make_job("camvid", root, tmp_path / "set", split_lists=given(CAMVID), **options))

    shutil.move(root / "testannot", tmp_path)
    with pytest.raises(FindingsError, match=r"line 2: .* no frame 'test_0001'.* Nothing was found of testannot\.$"):
        made()
    others = given({"train": ["train_0000"], "val": ["val_0000"]})
    assert not prepare(make_job("camvid", root, tmp_path / "others", split_lists=others)).findings
    shutil.move(tmp_path / "testannot", root)
    (root / "train/train_0001.png").write_bytes(b"damaged")
    (root / "testannot/test_0000.png").write_bytes((root / "testannot/test_0000.png").read_bytes()[:60])
    (root / "valannot/val_0001.png").unlink()
    with pytest.raises(FindingsError) as told:
        made()
    assert {(each.code, each.where) for each in told.value.findings} == {
        ("bad-image", "testannot/test_0000.png"),
        ("missing-label", "val/val_0001.png"),
    }
    result = made(on_error="quarantine")
    assert result.samples == {"train": 2, "val": 1}
    shutil.copy(root / "train/train_0000.png", root / "val/train_0000.png")
    shutil.copy(root / "trainannot/train_0000.png", root / "valannot/train_0000.png")
    with pytest.raises(FindingsError) as told:
        made()
    assert ("duplicate-key", "val/train_0000.png") in {(each.code, each.where) for each in told.value.findings}


# ---- what ships ---------------------------------------------------------------------------------------------


def test_camvid_by_drive() -> None:
    """No drive in two splits, and none of the official val clip, whose numbers are odd, in any."""
    division = read_division(source("camvid"), ["by-drive"])
    assert division and division.name == "by-drive"
    counts = {each.split: len(each.lines) for each in division.lists}
    assert counts == {"train": 328, "val": 101, "test": 171}
    drives = {each.split: {key.partition("_")[0] for key in each.lines} for each in division.lists}
    assert drives == {"train": {"0016E5", "0001TP"}, "val": {"0006R0"}, "test": {"Seq05VD"}}
    numbers = [int(key.rpartition("_")[2].removeprefix("f")) for each in division.lists for key in each.lines]
    assert not [number for number in numbers if number % 30 and 7900 < number < 8200]


def test_real_camvid_by_drive(camvid: Path) -> None:
    """The lists follow from the folders: all frames of the four drives but the official val clip."""
    division = read_division(source("camvid"), ["by-drive"])
    survey = look(source("camvid"), open_tree(camvid), (), division)
    homes = {"0016E5": "train", "0001TP": "train", "0006R0": "val", "Seq05VD": "test"}
    due: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for path in (*camvid.glob("train/*.png"), *camvid.glob("test/*.png")):
        due[homes[path.stem.partition("_")[0]]].add(path.stem)
    assert {split: {scene.key for scene in scenes} for split, scenes in survey.scenes.items()} == due
    assert survey.divided and survey.divided.left_out == {"val": 101}
    assert survey.divided.taken["train"] == {"train": 266, "test": 62}
    assert not survey.findings
    clip = sorted(int(path.stem.rpartition("_")[2]) for path in camvid.glob("val/*.png"))
    assert (clip[-1] - clip[0]) / 30 == pytest.approx(6.7, abs=0.05)  # seconds, at 30 frames a second


def test_the_leak_of_camvids_official_splits_is_told(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """In a line and in the card, of real frames in official splits alone."""
    root, camvid = draw("camvid"), source("camvid")
    told = camvid.cautions(camvid.splits)
    assert told.keys() == {"val", "test"} and "6.7 seconds" in told["val"] and "62 of the 233" in told["test"]

    def said(name: str, **options: object) -> str:
        lines = list[str]()
        prepare(make_job("camvid", root, tmp_path / name, **options), say=lines.append)
        return "\n".join(lines) + (tmp_path / name / CARD).read_text()

    assert not [caution for caution in told.values() if caution in said("painted")]
    (root / PAINTED).unlink()
    assert all(text.count(caution) == 2 for text in [said("real")] for caution in told.values())
    alone = said("train", splits=("train",))
    assert not [caution for caution in told.values() if caution in alone]
