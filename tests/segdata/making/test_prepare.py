"""`prepare`: the same bytes whatever runs it and however often it is killed; nothing half-written is published."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segdata import ShardSet
from segdata.base.lock import locked
from segdata.errors import LockedError, SourceError
from segdata.format.manifest import read_manifest
from segdata.making.convert import Converter
from segdata.making.job import Job
from segdata.making.plan import plan_split
from segdata.making.prepare import prepare
from segdata.making.survey import look
from segdata.raw.tree import open_tree
from segdata.sources import source

Painted = Callable[..., Path]
MakeJob = Callable[..., Job]


def sums(folder: Path) -> str:
    """SHA256SUMS and dataset.json: together they pin every byte of the folder."""
    return (folder / "SHA256SUMS").read_text() + (folder / "dataset.json").read_text()


@pytest.fixture(scope="module")
def reference(painted: Painted, make_job: MakeJob, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "set"
    prepare(make_job("cityscapes", painted("cityscapes"), out))
    return out


def test_published_sums_hold(reference: Path) -> None:
    """`sha256sum -c` accepts the folder, and the list names every file but itself and the manifest."""
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=reference, check=True)
    listed = {line.split("  ")[1] for line in (reference / "SHA256SUMS").read_text().splitlines()}
    there = {path.relative_to(reference).as_posix() for path in reference.rglob("*") if path.is_file()}
    assert there - listed == {"SHA256SUMS", "dataset.json"}
    assert not listed - there


@pytest.mark.parametrize("engine, workers", [("serial", 1), ("local", 1), ("local", 2), ("local", 4)])
def test_workers_change_no_byte(
    engine: str, workers: int, painted: Painted, make_job: MakeJob, reference: Path, tmp_path: Path
) -> None:
    """One SHA256SUMS for every engine and number of workers."""
    prepare(make_job("cityscapes", painted("cityscapes"), tmp_path / "set", engine=engine, workers=workers))
    assert sums(tmp_path / "set") == sums(reference)


SHUFFLED = """
import os, random, sys
real = os.scandir
class Shuffled:
    def __init__(self, path):
        entries = list(real(path))
        random.Random(5).shuffle(entries)
        self.entries = iter(entries)
    def __enter__(self): return self
    def __exit__(self, *a): pass
    def __iter__(self): return self.entries
    def __next__(self): return next(self.entries)
os.scandir = Shuffled
listdir = os.listdir
os.listdir = lambda *a: random.Random(6).sample(names := listdir(*a), len(names))
from segdata.cli import main
main()
"""


def test_the_moment_changes_no_byte(painted: Painted, reference: Path, tmp_path: Path) -> None:
    """Umask, time zone, locale, hash seed, working folder and order of directory listings do not show."""
    old = os.umask(0o077)
    try:
        subprocess.run(
            [sys.executable, "-c", SHUFFLED, "prepare", "cityscapes", "--root", painted("cityscapes")]
            + ["--out", "set", "--samples-per-shard", "2", "--engine", "serial"]
            + [f"--scale={scale}" for scale in (8, 2, 1, 4)],
            cwd=tmp_path,
            env={**os.environ, "TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "77"}
            | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *filter(None, sys.path)])},
            check=True,
            capture_output=True,
        )
    finally:
        os.umask(old)
    assert sums(tmp_path / "set") == sums(reference)


@pytest.mark.parametrize("layout", [{"zips": True}, {"nested": True}])
def test_layouts_change_no_byte(
    layout: dict[str, bool], painted: Painted, make_job: MakeJob, reference: Path, tmp_path: Path
) -> None:
    """The zips as downloaded, and the extra *_trainvaltest/ level, give the same shards as the tree."""
    prepare(make_job("cityscapes", painted("cityscapes", **layout), tmp_path / "set"))
    assert sums(tmp_path / "set") == sums(reference)


def test_tas500_from_tree_and_zip(painted: Painted, make_job: MakeJob, tmp_path: Path) -> None:
    """TAS500: tree, zip, and the zip itself as the root give the same shards; the painted foreign colour is no
    trouble, since id masks come first."""
    roots = [painted("tas500"), zips := painted("tas500", zips=True), *zips.glob("*.zip")]
    made = []
    for number, root in enumerate(roots):
        prepare(make_job("tas500", root, out := tmp_path / str(number)))
        made.append((out / "SHA256SUMS").read_text())
    assert len(made) == 3
    assert made[0] == made[1]
    shards = [[line for line in text.splitlines() if line.endswith(".tar")] for text in made]
    assert shards[0] == shards[2]  # the marker of painted data lies beside the zip: side files may differ


# ---- killed, and run again ----------------------------------------------------------------------------------


def test_a_finished_shard_is_not_made_again(
    painted: Painted, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill between shards, the second run converts only the scenes of unfinished ones."""
    job = make_job("cityscapes", painted("cityscapes"), tmp_path / "set", splits=("train",))
    converted: list[str] = []
    real = Converter.convert

    def counting(self: Converter, scene: object) -> object:
        converted.append(scene.key)  # type: ignore[attr-defined]
        if len(converted) == 5:
            raise KeyboardInterrupt
        return real(self, scene)  # type: ignore[arg-type]

    monkeypatch.setattr(Converter, "convert", counting)
    with pytest.raises(KeyboardInterrupt):
        prepare(job)
    assert not job.out.exists()
    result = prepare(job)
    assert result.reused == 2
    assert len(converted) == 5 + 2


@pytest.mark.slow
def test_killed_at_random_times_with_workers(painted: Painted, reference: Path, tmp_path: Path) -> None:
    """SIGKILL to the driver of two workers at random moments, until a run survives: the bytes are the same."""
    command = [sys.executable, "-m", "segdata", "prepare", "cityscapes", "--root", str(painted("cityscapes"))]
    command += ["--out", str(tmp_path / "set"), "--samples-per-shard", "2", "--workers", "2"]
    command += [f"--scale={scale}" for scale in (1, 2, 4, 8)]
    moments = random.Random(0)
    for _ in range(12):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.2, 2.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, capture_output=True)
    assert sums(tmp_path / "set") == sums(reference)


@pytest.fixture
def changed_root(painted: Painted, tmp_path: Path) -> Iterator[Path]:
    """A copy of the painted data in which one training frame has become another one."""
    root = tmp_path / "changed"
    shutil.copytree(painted("cityscapes"), root)
    images = sorted((root / "leftImg8bit" / "train").rglob("*.png"))
    shutil.copy(images[1], images[0])
    yield root


def test_one_changed_frame_rewrites_one_shard(
    painted: Painted, make_job: MakeJob, changed_root: Path, tmp_path: Path
) -> None:
    """The other shards of the published version stand again, unread by the encoder, and keep their bytes."""
    out = tmp_path / "set"
    prepare(make_job("cityscapes", painted("cityscapes"), out))
    before = read_manifest(out)
    result = prepare(make_job("cityscapes", changed_root, out))
    after = read_manifest(out)
    changed = [
        new.name
        for split in after.splits
        for old, new in zip(before.shards(split), after.shards(split), strict=True)
        if old.sha256 != new.sha256
    ]
    assert len(changed) == 1
    assert result.reused == result.shards - 1
    prepare(make_job("cityscapes", changed_root, tmp_path / "fresh"))
    assert sums(out) == sums(tmp_path / "fresh")


def test_running_again_changes_nothing(painted: Painted, make_job: MakeJob, tmp_path: Path) -> None:
    """A second run finds everything done and leaves even the modification times alone."""
    job = make_job("cityscapes", painted("cityscapes"), tmp_path / "set")
    prepare(job)
    times = {path: path.stat().st_mtime_ns for path in job.out.rglob("*")}
    result = prepare(job)
    assert not result.changed
    assert result.reused == result.shards
    assert {path: path.stat().st_mtime_ns for path in job.out.rglob("*")} == times


def test_what_was_checked_by_these_rules_is_not_decoded_again(
    painted: Painted, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished set says by which rules its sources were checked; a set of older rules is reviewed."""
    job = make_job("cityscapes", painted("cityscapes"), tmp_path / "set")
    prepare(job)
    reviewed: list[str] = []
    review = Converter.review
    monkeypatch.setattr(Converter, "review", lambda self, scene: reviewed.append(scene.key) or review(self, scene))
    assert not prepare(job).changed
    assert reviewed == []
    monkeypatch.setattr("segdata.making.build.RULES", 2)
    result = prepare(job)
    assert (result.reused, len(reviewed)) == (result.shards, 9)


def test_a_damaged_published_shard_is_made_again(painted: Painted, make_job: MakeJob, tmp_path: Path) -> None:
    """A receipt without the bytes it promises counts for nothing."""
    job = make_job("cityscapes", painted("cityscapes"), tmp_path / "set")
    prepare(job)
    good = sums(job.out)
    shard = next(job.out.glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    result = prepare(job)
    assert result.reused == result.shards - 1
    assert sums(job.out) == good
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=job.out, check=True)


def test_a_damaged_published_receipt_counts_for_nothing(painted: Painted, make_job: MakeJob, tmp_path: Path) -> None:
    """What it says of class counts, places and pixels would go into the next version's index and statistics."""
    job = make_job("cityscapes", painted("cityscapes"), tmp_path / "set")
    prepare(job)
    good = sums(job.out)
    path = next((job.out / ".segdata" / "receipts").glob("*train-000000.json"))
    receipt = json.loads(path.read_bytes())
    receipt["counts"]["pixels"][0] += 1
    path.write_text(json.dumps(receipt))
    result = prepare(job)
    assert result.reused == result.shards - 1
    assert sums(job.out) == good


def test_other_options_share_no_shard(painted: Painted, make_job: MakeJob, tmp_path: Path) -> None:
    """A work folder left by one configuration gives nothing to another."""
    first = make_job("cityscapes", painted("cityscapes"), tmp_path / "set")
    prepare(first)
    result = prepare(make_job("cityscapes", painted("cityscapes"), tmp_path / "set", rule="stride", replace=True))
    assert result.reused == 0


def test_the_second_writer_is_told_who_is_first(painted: Painted, make_job: MakeJob, tmp_path: Path) -> None:
    """A held lock names process, host and command."""
    with (
        locked(tmp_path / ".set.lock", "segdata prepare here"),
        pytest.raises(LockedError, match=rf"process {os.getpid()} on .*segdata prepare here"),
    ):
        prepare(make_job("cityscapes", painted("cityscapes"), tmp_path / "set"))


# ---- plan and splits ----------------------------------------------------------------------------------------


def test_plan_is_balanced_and_independent_of_input_order(painted: Painted) -> None:
    """Shards differ by at most one sample and do not depend on the order in which scenes were found."""
    survey = look(source("cityscapes"), open_tree(painted("cityscapes")), ("train",))
    scenes = list(survey.scenes["train"])
    plan = plan_split("set", "train", scenes, 4, 0)
    lengths = [len(shard.scenes) for shard in plan]
    assert sum(lengths) == 6
    assert max(lengths) - min(lengths) <= 1
    random.Random(1).shuffle(scenes)
    assert plan_split("set", "train", scenes, 4, 0) == plan
    assert plan_split("set", "train", scenes, 4, 1) != plan


def test_the_test_split_has_images_alone(painted: Painted, make_job: MakeJob, tmp_path: Path) -> None:
    """Cityscapes' dummy test labels never become targets; without asking, the split is not written at all."""
    prepare(make_job("cityscapes", painted("cityscapes"), tmp_path / "usual"))
    assert read_manifest(tmp_path / "usual").splits == ("train", "val")
    prepare(make_job("cityscapes", painted("cityscapes"), tmp_path / "asked", splits=("test",)))
    manifest = read_manifest(tmp_path / "asked")
    assert manifest.parts("test") == ("image.png", "json")
    assert manifest.samples("test") == 2


def test_coarse_annotations(painted: Painted, make_job: MakeJob, tmp_path: Path) -> None:
    """gtCoarse gives train, train_extra and val."""
    root = painted("cityscapes", coarse=True)
    result = prepare(make_job("cityscapes-coarse", root, tmp_path / "set"))
    assert set(result.samples) == {"train", "train_extra", "val"}


def test_missing_folders_say_what_to_do(tmp_path: Path, make_job: MakeJob) -> None:
    """The message has what was found, what was expected and which zip to place."""
    (tmp_path / "root" / "gtFine").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"no leftImg8bit/val in .*found: gtFine.*leftImg8bit_trainvaltest.zip"):
        prepare(make_job("cityscapes", tmp_path / "root", tmp_path / "set", splits=("val",)))


def test_real_camvid(camvid: Path, make_job: MakeJob, tmp_path: Path) -> None:
    """Real frames: 367/101/233 samples, and the shares of road, building and sky in training."""
    result = prepare(make_job("camvid", camvid, tmp_path / "set", scales=(1, 8), engine="local", workers=2))
    assert result.samples == {"train": 367, "val": 101, "test": 233}
    assert not result.findings
    counts = read_manifest(tmp_path / "set").document["splits"]["train"]["classes"]["pixels"]
    published = {3: 31.7, 1: 23.3, 0: 16.9}  # road, building, sky; per cent
    for index, share in published.items():
        assert 100 * counts[index] / sum(counts) == pytest.approx(share, abs=0.1)


@pytest.mark.parametrize(("fit", "size"), [("pad", (12, 20)), ("crop", (20, 28))])
def test_a_fitted_size_that_is_the_frames_own(
    fit: str, size: tuple[int, int], draw: Callable[[str], Path], make_job: MakeJob, tmp_path: Path
) -> None:
    """Frames of 16x24 that are resized, then padded or cropped to 16x24: labels are resized as the image is."""
    prepare(make_job("camvid", draw("camvid"), tmp_path / "set", size=size, fit=fit, scales=(1, 8)))
    record = ShardSet(tmp_path / "set", "train").read(0)
    original = np.asarray(Image.open(tmp_path / "camvid" / str(record.meta["label_file"])))
    y, x = (((2 * np.arange(new) + 1) * old) // (2 * new) for old, new in zip((16, 24), size, strict=True))
    due = np.pad(original[y][:, x], [(0, max(0, 16 - size[0])), (0, max(0, 24 - size[1]))], constant_values=255)
    assert np.array_equal(record.targets[1], np.where(due[:16, :24] == 11, 255, due[:16, :24]))
