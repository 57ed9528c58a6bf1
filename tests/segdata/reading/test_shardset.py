"""Reading shards: what was written comes back, whole or as a window, in any process."""

import io
import json
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segdata import Record, ShardSet
from segdata.errors import ShardError
from segdata.format.shard import ShardWriter
from segdata.making.job import Job
from segdata.making.prepare import prepare

Painted = Callable[..., Path]
MakeJob = Callable[..., Job]


@pytest.fixture(scope="module", params=["keep", "png", "jpeg", "webp"])
def folder(
    request: pytest.FixtureRequest, painted: Painted, make_job: MakeJob, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("sets") / request.param
    prepare(make_job("cityscapes", painted("cityscapes"), out, image_codec=request.param))
    return out


def test_write_then_read_is_the_identity(folder: Path, painted: Painted) -> None:
    """Images equal the source's pixels (JPEG nearly), x1 equals the mapped labels, in every codec."""
    from cityscapesscripts.helpers.labels import id2label

    shards, root = ShardSet(folder, "val"), painted("cityscapes")
    train_id = np.array([id2label[i].trainId if id2label[i].trainId < 255 else 19 for i in range(34)], np.uint8)
    for i, key in enumerate(shards.keys):
        record = shards.read(i)
        city = key.split("_")[0]
        image = np.asarray(Image.open(root / f"leftImg8bit/val/{city}/{key}_leftImg8bit.png"))
        labels = np.asarray(Image.open(root / f"gtFine/val/{city}/{key}_gtFine_labelIds.png"))
        assert np.array_equal(record.targets[1], train_id[labels])
        if folder.name == "jpeg":
            assert np.abs(record.image.astype(int) - image).mean() < 4
        else:
            assert np.array_equal(record.image, image)
        assert record.meta["key"] == record.key == key
        assert (record.meta["height"], record.meta["width"]) == image.shape[:2]


def test_a_window_is_the_crop_of_the_whole(folder: Path) -> None:
    """Image and every target scale, over many windows."""
    shards = ShardSet(folder, "train")
    rng = np.random.default_rng(0)
    for _ in range(20):
        i = int(rng.integers(len(shards)))
        top, left = (8 * int(v) for v in rng.integers(0, (6, 12)))
        height, width = (8 * int(v) for v in rng.integers(1, (8 - top // 8 + 1, 16 - left // 8 + 1)))
        whole, part = shards.read(i), shards.read(i, (top, left, height, width), scales=(1, 8))
        assert np.array_equal(part.image, whole.image[top : top + height, left : left + width])
        assert set(part.targets) == {1, 8}
        for scale, target in part.targets.items():
            rows, columns = slice(top // scale, (top + height) // scale), slice(left // scale, (left + width) // scale)
            assert np.array_equal(target, whole.targets[scale][rows, columns])


def test_coverage_windows(painted: Painted, make_job: MakeJob, tmp_path: Path) -> None:
    """Counts have K+1 planes; a window of them is the crop of the whole."""
    prepare(make_job("cityscapes", painted("cityscapes"), tmp_path / "set", rule="coverage", scales=(1, 4)))
    shards = ShardSet(tmp_path / "set", "train")
    whole, part = shards.read(0), shards.read(0, (16, 32, 32, 64))
    assert whole.targets[4].shape == (21, 16, 32)
    assert (whole.targets[4].sum(0) == 16).all()
    assert np.array_equal(part.targets[4], whole.targets[4][:, 4:12, 8:24])
    assert shards.rule == "coverage"


def read_all(shards: ShardSet) -> list[Record]:
    return [shards.read(i) for i in range(len(shards))]


def test_it_travels_to_other_processes(folder: Path) -> None:
    """Pickled, spawned and forked copies read the same samples."""
    shards = ShardSet(folder, "val")
    expected = [record.image.sum() for record in read_all(shards)]
    assert [record.image.sum() for record in read_all(pickle.loads(pickle.dumps(shards)))] == expected
    for method in ("fork", "spawn"):
        with get_context(method).Pool(1) as pool:
            records = pool.apply(read_all, (shards,))
        assert [record.image.sum() for record in records] == expected


def test_what_is_there(folder: Path) -> None:
    """len, keys, sizes, scales, taxonomy, statistics and digest."""
    shards = ShardSet(folder, "train")
    assert len(shards) == 6 == len(set(shards.keys))
    assert shards.size == shards.size_of(0) == (64, 128)
    assert shards.scales == (1, 2, 4, 8)
    assert shards.taxonomy.name == "cityscapes-20"
    counts, sums = shards.statistics
    targets = np.concatenate([record.targets[1].ravel() for record in read_all(shards)])
    assert counts is not None
    assert counts.pixels[:20].tolist() == np.bincount(targets, minlength=20).tolist()
    assert (sums is None) == (folder.name == "keep")
    if sums is not None:
        pixels = np.concatenate([record.image.reshape(-1, 3) for record in read_all(shards)]) / 255
        assert sums.mean == pytest.approx(pixels.mean(0))
        assert sums.deviation == pytest.approx(pixels.std(0))
    assert len(shards.digest) == 64


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda s: s.read(0, (0, 0, 100, 8)), "leaves .* of 64x128"),
        (lambda s: s.read(0, (4, 0, 8, 8)), "not on the grid of x8: 8 must divide"),
        (lambda s: s.read(0, scales=(3,)), r"no targets x3 in train \(it has x1, x2, x4, x8\)"),
        (lambda s: ShardSet(s.path, "dev"), "no split 'dev'; it has train, val"),
        (lambda s: ShardSet(s.path.parent, "train"), "no dataset.json"),
    ],
)
def test_wrong_requests_are_told_apart(folder: Path, call: Callable[[ShardSet], object], message: str) -> None:
    """What cannot be read is one clear error."""
    with pytest.raises(ShardError, match=message):
        call(ShardSet(folder, "train"))


def test_a_truncated_shard_is_an_error(painted: Painted, make_job: MakeJob, tmp_path: Path) -> None:
    """A shard of another length than the manifest's is refused before anything of it is used."""
    prepare(make_job("cityscapes", painted("cityscapes"), tmp_path / "set"))
    for shard in (tmp_path / "set").glob("*-val-*.tar"):
        shard.write_bytes(shard.read_bytes()[:-512])
    with pytest.raises(ShardError, match=r"bytes, dataset\.json says"):
        ShardSet(tmp_path / "set", "val").read(0)


def test_shards_are_plain_ustar(folder: Path) -> None:
    """tarfile reads them: fixed owner, mode and time, members of a sample adjacent and sorted, names from keys."""
    shards = ShardSet(folder, "train")
    names = []
    for entry in shards.manifest.shards("train"):
        with tarfile.open(folder / entry.name) as archive:
            assert archive.format in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT)
            for member in archive:
                assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)
                names.append(member.name)
    expected = [f"{key}.{part}" for key in shards.keys for part in sorted(shards.parts)]
    assert names == expected


def test_the_writer_writes_what_tarfile_writes(tmp_path: Path) -> None:
    """Byte for byte the archive that the standard library makes of the same members."""
    parts = [("a.png", b"x" * 700), ("json", b"{}"), ("target1.png", b"")]
    with ShardWriter(tmp_path / "ours.tar") as writer:
        places = writer.add("key", parts)
        writer.close()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for part, data in parts:
            info = tarfile.TarInfo(f"key.{part}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert (tmp_path / "ours.tar").read_bytes() == buffer.getvalue()
    at, size = places["json"]
    assert buffer.getvalue()[at : at + size] == b"{}"


def test_reading_needs_no_foreign_package(folder: Path) -> None:
    """Neither webdataset nor cityscapesScripts nor torch is imported by reading a sample."""
    code = (
        "import sys, json; from segdata import ShardSet; "
        f"ShardSet({str(folder)!r}, 'train').read(0); print(json.dumps(sorted(sys.modules)))"
    )
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert not {"torch", "webdataset", "cityscapesscripts", "PIL"} & set(loaded)
