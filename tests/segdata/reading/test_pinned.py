"""Every byte of a set that is used has a checked digest, and a set that was opened stays one version."""

import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segdata import ShardSet
from segdata.errors import ShardError
from segdata.format.manifest import SUMS
from segdata.format.pinned import Opened, PinnedFile
from segdata.labels.taxonomy import load_taxonomy
from segdata.looking.stats import stats
from segdata.making.job import Job
from segdata.making.prepare import prepare

MakeJob = Callable[..., Job]
Painted = Callable[..., Path]
REPLACED = "replaced while open"


@pytest.fixture(scope="module", params=["jpeg", "webp", "png"])
def coded(
    request: pytest.FixtureRequest, painted: Painted, make_job: MakeJob, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A set of one codec, whose samples lie in several shards."""
    folder = tmp_path_factory.mktemp("coded") / request.param
    prepare(make_job("cityscapes", painted("cityscapes"), folder, image_codec=request.param, scales=(1, 8)))
    return folder


@pytest.fixture
def folder(coded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(coded, tmp_path / "set"))


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Where it lies, as a disk does."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def everything(shards: ShardSet) -> list[object]:
    read = [shards.read(i) for i in range(len(shards))]
    return [shards.keys, [(each.key, each.image.tobytes(), each.targets[8].tobytes(), each.meta) for each in read]]


@pytest.mark.parametrize("opened", ["before", "after"])
def test_a_flipped_bit_of_any_member(folder: Path, opened: str) -> None:
    """The sample that has it is refused, whether the set was read before or not; all others are as they were."""
    draw = random.Random(0)
    shards = ShardSet(folder, "train")
    good = everything(shards)
    for _ in range(25):
        i, part = draw.randrange(len(shards)), draw.choice(shards.parts)
        number, start, size = shards._files.index.place(i, part)
        flipped = folder / shards.manifest.shards("train")[number].name, start + draw.randrange(size), draw.randrange(8)
        flip(*flipped)
        reader = shards if opened == "before" else ShardSet(folder, "train")
        for use in (reader.read, reader.meta, lambda k, part=part, reader=reader: reader.bytes(k, part)):
            with pytest.raises(ShardError, match="damaged"):
                use(i)
        assert all(reader.read(k).key == good[0][k] for k in range(len(shards)) if k != i)
        flip(*flipped)
        assert everything(reader) == good


@pytest.mark.parametrize("column", ["keys", "places", "samples", "pixels.target8.png"])
def test_a_flipped_bit_of_the_index(folder: Path, column: str) -> None:
    """Of the last row, so that the first sample would still be read: the set does not open, or stay open, with it."""
    shards, path = ShardSet(folder, "train"), folder / ".segdata" / f"train.{column}.npy"
    good = everything(shards)
    at = path.stat().st_size - 1
    flip(path, at)
    uses: list[Callable[[ShardSet], object]] = [lambda each: each.pixel_digests("target8.png")]
    if "pixels" not in column:
        uses += [len, lambda each: each.keys, lambda each: each.key(0), lambda each: each.size_of(0)]
        uses += [lambda each: each.read(0)]
    for use in uses:
        with pytest.raises(ShardError, match=r"SHA256SUMS lists"):
            use(ShardSet(folder, "train"))
        if "pixels" not in column and use is not uses[0]:
            with pytest.raises(ShardError, match=REPLACED):
                use(shards)
    flip(path, at)
    assert everything(shards) == good


@pytest.mark.parametrize("name", [SUMS, "taxonomy.yaml"])
def test_a_flipped_bit_beside_the_shards(folder: Path, name: str) -> None:
    flip(folder / name, 70)
    with pytest.raises(ShardError, match=f"{name}: not the bytes that SHA256SUMS lists"):
        _ = ShardSet(folder, "train").taxonomy


def swapped() -> str:
    """cityscapes-20 with two classes in each other's place."""
    lines = load_taxonomy("cityscapes-20").yaml().splitlines(keepends=True)
    first, second = [i for i, line in enumerate(lines) if line.startswith("  - ")][:2]
    lines[first], lines[second] = lines[second], lines[first]
    return "".join(lines)


@pytest.fixture
def replace_set(painted: Painted, make_job: MakeJob, tmp_path: Path) -> Callable[[Path], None]:
    """replace_set(folder): `prepare` puts a version of other classes in its place."""

    def replace(folder: Path) -> None:
        (tmp_path / "swapped.yaml").write_text(swapped())
        job = make_job(
            "cityscapes",
            painted("cityscapes"),
            folder,
            taxonomy=str(tmp_path / "swapped.yaml"),
            scales=(1, 8),
            replace=True,
        )
        prepare(job)

    return replace


def test_a_set_that_is_replaced_while_it_is_open(folder: Path, replace_set: Callable[[Path], None]) -> None:
    """What was open goes on as it was; what was not, and what another process opens, is refused; no old and new mix."""
    whole, begun, unread = (ShardSet(folder, "train") for _ in range(3))
    good = everything(whole)
    first = begun.read(0)
    carried = pickle.dumps(unread)
    replace_set(folder)
    assert everything(whole) == good
    assert np.array_equal(begun.read(0).targets[1], first.targets[1])
    other = next(
        i for i in range(len(begun)) if begun._files.index.places[i]["shard"] != begun._files.index.places[0]["shard"]
    )
    for use in (
        lambda: begun.read(other),
        lambda: unread.read(0),
        lambda: unread.taxonomy,
        lambda: pickle.loads(carried),
    ):
        with pytest.raises(ShardError, match=REPLACED):
            use()
    assert everything(ShardSet(folder, "train")) != good


def test_shards_that_are_written_over_where_they_lie(
    folder: Path, coded: Path, replace_set: Callable[[Path], None], tmp_path: Path
) -> None:
    """As `cp` and `rsync --inplace` do, to all files or to one that gets shorter: an error, never a mixture."""
    other = tmp_path / "other"
    replace_set(other)
    shards = ShardSet(folder, "train")
    everything(shards)
    for path in other.rglob("*"):
        if path.is_file():
            (folder / path.relative_to(other)).write_bytes(path.read_bytes())
    for use in (lambda: shards.read(0), lambda: shards.keys, lambda: shards.shard(0)):
        with pytest.raises(ShardError, match=REPLACED):
            use()
    shutil.rmtree(folder)
    shutil.copytree(coded, folder)
    shards = ShardSet(folder, "train")
    everything(shards)
    name = shards.manifest.shards("train")[0].name
    os.truncate(folder / name, 1000)
    with pytest.raises(ShardError, match=r"1000 bytes, dataset\.json says"):
        shards.read(0)
    os.truncate(folder / ".segdata/train.places.npy", 100)
    with pytest.raises(ShardError, match=REPLACED):
        shards.read(1)


def test_a_file_that_is_only_touched_is_still_the_same(folder: Path) -> None:
    shards = ShardSet(folder, "train")
    good = everything(shards)
    for path in folder.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (0, 0))
    assert shards.shard(0)
    for path in folder.rglob("*"):
        path.chmod(0o755)
    assert everything(shards) == good


def test_splits_of_two_versions_are_no_set(
    folder: Path, replace_set: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What opens one split after the other gets them of one version, or says so."""
    opened = ShardSet.__init__

    def replaced_after_the_first(self: ShardSet, *args: object, **options: object) -> None:
        opened(self, *args, **options)  # type: ignore[arg-type]
        monkeypatch.undo()
        replace_set(folder)

    monkeypatch.setattr(ShardSet, "__init__", replaced_after_the_first)
    with pytest.raises(ShardError, match=REPLACED):
        stats(folder)


def test_more_shards_than_may_be_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were read first are closed, and opened and checked again when they are read."""
    monkeypatch.setattr("segdata.reading.local.most_open", lambda: 1)
    shards = ShardSet(folder, "train")
    good = everything(shards)
    assert everything(shards) == good
    assert len(shards._files._open) == 1  # type: ignore[attr-defined]


def test_an_empty_file_has_a_digest(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    file = Opened(os.open(tmp_path / "empty", os.O_RDONLY))
    with pytest.raises(ShardError, match="damaged"):
        PinnedFile("empty", file, "0" * 64)
