"""`--split-share` and `--fold`: which groups form which split, against naive counting; the sets that follow."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from segdata.cli import cli
from segdata.errors import OptionError, SegdataError, SourceError
from segdata.format.manifest import CARD, Manifest, read_manifest
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.making.survey import Survey, look
from segdata.raw.member import Member
from segdata.raw.scene import Listing, Scene
from segdata.raw.tree import open_tree
from segdata.sources import source
from segdata.sources.file import read_source
from segdata.splits.divide import divide
from segdata.splits.division import read_division
from segdata.splits.shares import LEFT_OUT, Fold, Shares, in_digits, of_fold, ranked, share_out
from segdata.splits.splitlist import write_lists

Draw = Callable[[str], Path]
MakeJob = Callable[..., Job]


def some_groups(seed: int, count: int, largest: int) -> dict[str, int]:
    """group -> frames."""
    draw = random.Random(seed)
    return {f"drive_{i:03d}": draw.randint(1, largest) for i in range(count)}


def frames_of(split_of: Mapping[str, str], sizes: Mapping[str, int]) -> Counter[str]:
    """split -> frames, counted one by one."""
    return Counter(split_of[group] for group, size in sizes.items() for _ in range(size))


# ---- groups to splits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shares", ["train 4/5 val 1/5", "train 7/10 val 3/20 test 3/20", "val 1/10", "train 1/2 val 1/3"]
)
@pytest.mark.parametrize(("count", "largest"), [(5, 40), (40, 1), (60, 30), (300, 9)])
def test_shares_are_within_one_group_of_what_was_asked(shares: str, count: int, largest: int) -> None:
    """Each group in one split; no split has a whole group more than its share, nor is empty; another order of the
    groups changes nothing, another seed does."""
    words = shares.split()
    of = {split: Fraction(share) for split, share in zip(words[::2], words[1::2], strict=True)}
    different = 0
    for seed in range(12):
        sizes = some_groups(seed, count, largest)
        found = share_out(Shares(of, seed), sizes)
        assert found.keys() == sizes.keys() and {*found.values()} <= {*of, LEFT_OUT}
        frames, total, most = frames_of(found, sizes), sum(sizes.values()), max(sizes.values())
        assert all(0 < frames[split] < share * total + most for split, share in of.items())
        assert frames[LEFT_OUT] < (1 - sum(of.values())) * total + most
        short = [share * total - frames[split] for split, share in of.items()]
        assert max(short) < most * len(of)  # what the other splits can have too much
        shuffled = random.Random(seed).sample(sorted(sizes.items()), len(sizes))
        assert share_out(Shares(of, seed), dict(shuffled)) == found
        different += share_out(Shares(of, seed + 1), sizes) != found
    assert count == 5 or different > 8  # of a few large groups there is one good way


def test_small_groups_come_in_their_random_order_and_large_ones_first() -> None:
    """Against a loop in floats: in the order of the hash, each to the split that lacks most."""
    sizes = some_groups(3, 50, 4)
    lacks = {"train": 0.75 * sum(sizes.values()), "val": 0.25 * sum(sizes.values())}  # exact in binary
    naive = {}
    for group in ranked(9, sizes):
        naive[group] = "train" if lacks["train"] >= lacks["val"] else "val"
        lacks[naive[group]] -= sizes[group]
    assert share_out(Shares({"train": Fraction(3, 4), "val": Fraction(1, 4)}, 9), sizes) == naive
    drives = {"0016E5": 305, "0001TP": 124, "0006R0": 101, "Seq05VD": 171}  # CamVid's: every seed gives the same
    of = {"train": Fraction("0.7"), "val": Fraction("0.15"), "test": Fraction("0.15")}
    for seed in range(8):
        found = share_out(Shares(of, seed), drives)
        assert found == {"0016E5": "train", "Seq05VD": "train", "0001TP": "val", "0006R0": "test"}


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
@pytest.mark.parametrize(("count", "largest"), [(10, 50), (97, 1), (60, 12)])
def test_every_frame_is_val_in_exactly_one_fold(folds: int, count: int, largest: int) -> None:
    """And train in all others; the folds' frames differ by less than the largest group."""
    for seed in range(4):
        sizes = some_groups(seed, count, largest)
        found = [share_out(of_fold(Fold(number, folds), seed), sizes) for number in range(1, folds + 1)]
        for group in sizes:
            assert sorted(each[group] for each in found) == ["train"] * (folds - 1) + ["val"]
        frames = [frames_of(each, sizes)["val"] for each in found]
        assert sum(frames) == sum(sizes.values()) and 0 <= max(frames) - min(frames) <= max(sizes.values())
        shuffled = random.Random(seed).sample(sorted(sizes.items()), len(sizes))
        assert share_out(of_fold(Fold(1, folds), seed), dict(shuffled)) == found[0]


def test_folds_are_filled_as_scikit_learn_fills_them() -> None:
    """GroupKFold: the largest group first, each to the lightest fold; here with a loop over folds."""
    sizes = {group: 2**i for i, group in enumerate("abcdefgh")}
    loads = [0, 0, 0]
    home = {}
    for group in sorted(sizes, key=lambda each: -sizes[each]):
        home[group] = loads.index(min(loads))
        loads[home[group]] += sizes[group]
    for number in range(3):
        found = share_out(of_fold(Fold(number + 1, 3)), sizes)
        assert {group for group, split in found.items() if split == "val"} == {g for g in home if home[g] == number}


def test_the_hash_is_pinned() -> None:
    """Another salt would give everybody other splits: undo it, or say in CHANGELOG.md that shares are others."""
    groups = dict.fromkeys((f"drive_{i}" for i in range(8)), 1)
    assert [group[-1] for group in ranked(0, groups)] == list("06741253")
    assert [group[-1] for group in ranked(7, groups)] == list("47562031")


@pytest.mark.parametrize(
    ("share", "shown"), [("0.8", "0.8"), ("4/5", "0.8"), ("0.80", "0.8"), ("1/3", "1/3"), ("1", "1"), (".125", "0.125")]
)
def test_a_share_has_one_name(share: str, shown: str) -> None:
    """Sets of the same share are the same, however it was typed."""
    division = read_division(source("camvid"), shares=[f"train={share}"])
    assert division and division.options["split_shares"] == [f"train {shown}"] and in_digits(Fraction(share)) == shown


# ---- frames to splits ---------------------------------------------------------------------------------------


# Two official splits with labels, one without; clips of 100 frames, and whole drives that shares do not cut.
SOURCE = read_source(
    rb"""
name: drives
labels: [{id: 0, name: road, color: [128, 64, 128]}, {id: 1, name: sky, color: [70, 130, 180]}]
image: "{split}/{drive}-{frame}.png"
annotation: "{split}_labels/{drive}-{frame}.png"
fields: {frame: '\d+'}
key: "{drive}-{frame}"
group: "{drive}/{frame//100}"
split_by: "{drive}"
splits: {train: {}, val: {}, test: {annotated: false}}
""",
    "drives.yaml",
    Path(),
)


def listings_of(drives: Mapping[str, Mapping[str, int]]) -> dict[str, Listing]:
    """official split -> drive -> frames, as `list_split` gives them."""
    label = Member("label", None, None)  # type: ignore[arg-type]
    found = {}
    for first, (split, of_split) in enumerate(drives.items()):
        keys = [f"{drive}-{first}{i:02d}" for drive, count in of_split.items() for i in range(count)]
        annotation = None if split == "test" else label
        found[split] = Listing(tuple(Scene(key, split, label, annotation) for key in keys))
    return found


OFFICIAL = {"train": {"a": 20, "b": 6, "c": 9}, "val": {"c": 3, "d": 12}, "test": {"a": 2, "e": 5}}


def divided(**values: Any) -> Any:
    """Those listings, divided by these values of the options."""
    division = read_division(SOURCE, **values)
    assert division
    tree: Any = SimpleNamespace(root="ROOT", faults=())
    return divide(division, SOURCE, tree, listings_of(OFFICIAL))


def test_a_drive_is_in_one_split_and_unlabelled_frames_in_none(tmp_path: Path) -> None:
    """Whichever official splits it lies in; what is not shared out is counted, and said where it is far from asked."""
    found = divided(shares=["val=0.25", "train=0.5"])
    homes = defaultdict(set)
    for split, scenes in found.scenes.items():
        assert [scene.key for scene in scenes] == sorted(scene.key for scene in scenes)
        assert {scene.split for scene in scenes} == {split} and all(scene.labels for scene in scenes)
        for scene in scenes:
            homes[scene.key.partition("-")[0]].add(split)
    assert list(found.scenes) == ["train", "val"] and all(len(splits) == 1 for splits in homes.values())
    document = found.document()
    assert document["shares"] == {
        "split_shares": ["train 0.5", "val 0.25"], "split_seed": 0, "split_by": "{drive}",
        "frames": 50, "groups": len(homes), "kept_out": 0,
    }  # fmt: skip
    for split, row in document["splits"].items():
        keys = sorted(scene.key for scene in found.scenes[split])
        assert row["sha256"] == sha256("".join(f"{key}\n" for key in keys).encode()).hexdigest()
        assert sum(row["official"].values()) == len(keys) and row["share"] in {"0.5", "0.25"}
        assert f"| `{row['sha256']}` |" in found.card()
    assert sum(document["left_out"].values()) == 57 - sum(map(len, found.scenes.values()))
    assert document["left_out"]["test"] == 7 and found.drawn == {"train", "val"}


def test_what_resembles_a_listed_frame_is_in_no_share(tmp_path: Path) -> None:
    """Lists first; the rest of a listed frame's drive stays out, and this is said. A fold goes with lists too."""
    (tmp_path / "test.txt").write_text("a-003\nc-102\n")
    for how in ({"shares": ["train=0.6", "val=0.4"]}, {"fold": "1/2"}):
        found = divided(lists=[f"test={tmp_path / 'test.txt'}"], **how)
        assert list(found.scenes) == ["train", "val", "test"]
        assert {scene.key for scene in found.scenes["test"]} == {"a-003", "c-102"}
        assert {scene.key[0] for split in ("train", "val") for scene in found.scenes[split]} == {"b", "d"}
        assert found.document()["shares"]["kept_out"] == 19 + 11  # of a and c; the unlabelled ones of a are out anyway
        assert any("30 of them belong to groups of listed frames" in note for note in found.notes())
    with pytest.raises(SourceError, match=r"shares of 2 splits need 2 groups of frames at least, here are 0 groups"):
        (tmp_path / "test.txt").write_text("a-003\nb-000\nc-000\nd-100\n")
        divided(lists=[f"test={tmp_path / 'test.txt'}"], shares=["train=0.6", "val=0.4"])


def test_a_share_that_is_missed_is_told() -> None:
    """One line, with the group that cannot be cut."""
    notes = divided(shares=["train=0.95", "val=0.05"]).notes()
    assert [note for note in notes if note.startswith("val has 12 % of the frames, 5 % were asked for")]
    assert all("the largest (a) has 20 of 50 frames" in note for note in notes if "asked" in note)
    assert not [note for note in divided(shares=["train=0.64", "val=0.36"]).notes() if "asked" in note]
    with pytest.raises(SourceError, match=r"^5 folds need 5 groups .*, here are 4 groups \(a, b, c, …\), and"):
        divided(fold="5/5")


def test_the_groups_of_a_source() -> None:
    """What it says for shares, else its clips; without either each frame is alone. dataset.json says which."""
    for changed, part, rule in (
        (SOURCE, "a", "{drive}"),
        (replace(SOURCE, split_by_rule=None), "a/1", "{drive}/{frame//100}"),
        (replace(SOURCE, split_by_rule=None, group_rule=None), "a-103", "each frame alone"),
    ):
        division = read_division(changed, fold="1/2")
        assert changed.split_group("a-103") == part and division and division.options["split_by"] == rule
    assert source("camvid").split_group("0016E5_00390") == "0016E5"


# ---- sets ---------------------------------------------------------------------------------------------------

DRIVES = {  # of the drawn CamVid: names that have a drive
    "train": ["a_00000", "a_00030", "b_00000", "b_00030"],
    "val": ["a_00060", "c_00000", "c_00030"],
    "test": ["d_00000", "c_00060"],
}


@pytest.fixture
def drives(draw: Draw) -> Path:
    """Nine frames of four drives, of which two lie in several official splits."""
    root = draw("camvid")
    for split, keys in DRIVES.items():
        for i, key in enumerate(keys):
            for folder in (split, f"{split}annot"):
                (root / folder / f"{split}_{i:04d}.png").rename(root / folder / f"{key}.png")
    return root


def keys_of(survey: Survey) -> dict[str, list[str]]:
    return {split: [scene.key for scene in scenes] for split, scenes in survey.scenes.items()}


def shards_of(manifest: Manifest) -> dict[str, list[str]]:
    return {split: [row.sha256 for row in manifest.shards(split)] for split in manifest.splits}


def test_a_set_by_shares_and_the_same_by_lists(drives: Path, make_job: MakeJob, tmp_path: Path) -> None:
    """By the command. dataset.json and the card say how the splits were made; another seed is another set; the lists
    that are written out give the same shards, byte by byte; a list that somebody made is not written over."""
    out = tmp_path / "set"
    command = ["prepare", "camvid", "--root", drives, "--out", out, "--samples-per-shard", 2]
    shares = ["--split-share", "train=2/3", "--split-share", "val=1/3"]

    def run(*more: object) -> Any:
        return CliRunner().invoke(cli, [str(each) for each in (*command, *shares, *more)])

    made = run("--engine", "serial")
    assert made.exit_code == 0, made.output
    assert "groups by {drive} (66.7 % for 2/3), from the official" in made.output
    manifest = read_manifest(out)
    about = manifest.document["split_lists"]["shares"]
    assert about["split_shares"] == ["train 2/3", "val 1/3"] and (about["frames"], about["groups"]) == (9, 4)
    assert manifest.document["options"].items() >= {"split_seed": 0, "split_by": about["split_by"]}.items()
    assert "made by shares (train 2/3, val 1/3 of the frames; seed 0)" in (out / CARD).read_text()
    assert ", unchanged" in run("--workers", 2).output
    refused = run("--split-seed", 3)
    assert refused.exit_code == 1 and "split seed is 0 there, 3 here" in str(refused.exception)
    division = read_division(source("camvid"), shares=["val=1/3", "train=2/3"])
    scenes = look(source("camvid"), open_tree(drives), (), division).scenes
    lists = write_lists(tmp_path / "lists", scenes)
    assert [path.name for path in lists] == ["train.txt", "val.txt"] and write_lists(tmp_path / "lists", scenes)
    given = [f"{path.stem}={path}" for path in lists]
    prepare(make_job("camvid", drives, tmp_path / "again", split_lists=given, scales=(1,)))
    again = read_manifest(tmp_path / "again")
    assert shards_of(again) == shards_of(manifest)
    digests = {split: row["sha256"] for split, row in manifest.document["split_lists"]["splits"].items()}
    assert digests == {path.stem: sha256(path.read_bytes()).hexdigest() for path in lists}
    assert digests == {split: row["sha256"] for split, row in again.document["split_lists"]["splits"].items()}
    lists[1].write_text("a_00000\n")
    with pytest.raises(SegdataError, match=r"--lists .*val\.txt is there already, and is another list\. Name another"):
        write_lists(tmp_path / "lists", scenes)
    assert lists[1].read_text() == "a_00000\n"


def test_folds_of_a_set(drives: Path) -> None:
    """Every frame is val once, no drive is cut, and --seed is not asked: the order in the shards is its own matter."""
    found = [
        keys_of(look(source("camvid"), open_tree(drives), (), read_division(source("camvid"), fold=f"{number}/4")))
        for number in (1, 2, 3, 4)
    ]
    every = sorted(key for keys in DRIVES.values() for key in keys)
    assert sorted(key for each in found for key in each["val"]) == every
    for each in found:
        assert sorted(each["train"] + each["val"]) == every
        assert not {key[0] for key in each["train"]} & {key[0] for key in each["val"]}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"split_shares": ["train=0.8", "val=0.3"]}, r"--split-share: 0\.8 \+ 0\.3 is more than 1"),
        ({"split_shares": ["train=80%"]}, r"--split-share 'train=80%': expected a number above 0 and up to 1, such as"),
        ({"split_shares": ["train=0"]}, "expected a number above 0"),
        ({"split_shares": ["train=1/0"]}, "expected a number above 0"),
        ({"split_shares": ["train=nan"]}, "expected a number above 0"),
        ({"split_shares": ["train"]}, r"--split-share 'train': expected SPLIT=NUMBER, such as train=0\.8"),
        ({"split_shares": ["tain=1"]}, r"no split 'tain'; expected one of train, val, test"),
        ({"split_shares": ["train=0.1", "train=0.2"]}, "train has a share already"),
        ({"split_shares": "train=0.1"}, "expected a list of values"),
        ({"split_shares": ["train=0.8"], "fold": "1/5"}, "--split-share and --fold both say"),
        ({"split_shares": ["train=0.8"], "splits": ["val"]}, "--split chooses official splits, --split-share makes"),
        ({"split_shares": ["train=0.8"], "split_lists": ["by-drive"]}, "has the lists of all its splits"),
        ({"fold": "0/5"}, r"--fold '0/5': expected NUMBER/COUNT, such as 2/5"),
        ({"fold": "6/5"}, "expected NUMBER/COUNT"),
        ({"fold": "1/1"}, "expected NUMBER/COUNT"),
        ({"fold": "2"}, "expected NUMBER/COUNT"),
        ({"fold": "1/5", "split_lists": ["val=README.md"]}, "val has a list, and by --fold also other frames"),
        ({"split_seed": 1}, "--split-seed is for --split-share and --fold"),
        ({"split_seed": -1, "fold": "1/5"}, "--split-seed -1: expected a whole number from 0"),
    ],
)
def test_a_value_that_is_refused(options: dict[str, Any], found: str, make_job: MakeJob, tmp_path: Path) -> None:
    """As a usage error of the command, before a dataset is looked at."""
    with pytest.raises(OptionError, match=found):
        make_job("camvid", tmp_path, tmp_path / "set", **options)
