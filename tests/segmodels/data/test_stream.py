"""`--reader stream`: webdataset's own order, every sample checked, and what is then still promised."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import torch

from segdata import SegdataError, ShardSet
from segdata.format.manifest import read_manifest
from segdata.publishing.upload import publish
from segdata.stores.opening import open_store
from segdata.stores.url import Url
from segmodels.config.config import TrainConfig
from segmodels.data.augment import Augmentation
from segmodels.data.batches import Batches
from segmodels.data.stream import Stream, open_stream
from segmodels.errors import SegmodelsError
from segmodels.runs.run import Run
from segmodels.spec import Geometry
from segmodels.training.train import train
from segmodels.training.verify import verify

webdataset = pytest.importorskip("webdataset", reason="the extra remote is not installed")
Lesson = Callable[..., TrainConfig]


def batches(shards: ShardSet, batch_size: int = 4, workers: int = 0, streamed: bool = True) -> Batches:
    stream = Stream(shards, 3, batch_size)
    how = Augmentation((32, 64), scale=(0.5, 2.0), flip=True, brightness=0.2)
    return Batches(shards, Geometry(), how, batch_size, 3, workers=workers, stream=stream.between if streamed else None)


def results(run: Run) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in (run.weights, run.history, run.metrics))


def test_an_epoch_is_every_sample_once(lessons: Path) -> None:
    """In another order each time, and in another one than that of random access."""
    shards = ShardSet(lessons, "train")
    found = [batch.keys for batch in batches(shards).between(0, 9)]
    epochs = [sum(found[start : start + 3], ()) for start in (0, 3, 6)]
    assert all(sorted(epoch) == sorted(shards.keys) for epoch in epochs)
    assert len(set(epochs)) == 3
    assert epochs[0] != sum((batch.keys for batch in batches(shards, streamed=False).between(0, 3)), ())


def test_the_order_is_webdatasets(lessons: Path) -> None:
    """That of its own reader and shuffle on the same files, with the epoch's seed; files that we close ourselves."""
    shards = ShardSet(lessons, "train")
    files = {row.name: (lessons / row.name).read_bytes() for row in read_manifest(lessons).shards("train")}
    for epoch in (0, 1):
        names = webdataset.shuffle(len(files), initial=len(files), rng=random.Random(3 + epoch))(iter(sorted(files)))
        opened = ({"url": name, "stream": BytesIO(files[name])} for name in names)
        samples = webdataset.tariterators.group_by_keys(webdataset.tariterators.tar_file_expander(opened))
        shuffled = webdataset.shuffle(256, initial=256, rng=random.Random(3 + epoch))(samples)
        ours = [shards.key(s.i) for step in Stream(shards, 3, 4).between(3 * epoch, 3 * epoch + 3) for s in step]
        assert ours == [sample["__key__"] for sample in shuffled]


def test_a_sample_is_the_same_either_way(lessons: Path) -> None:
    """The pixels of a crop depend on (seed, epoch, key), not on who read it."""
    shards = ShardSet(lessons, "train")
    pixels: list[dict[str, bytes]] = []
    for streamed in (True, False):
        rows: dict[str, bytes] = {}
        for batch in batches(shards, streamed=streamed).between(0, 3):
            for key, image, target in zip(*batch, strict=True):
                rows[key] = image.numpy().tobytes() + target.numpy().tobytes()
        pixels.append(rows)
    assert pixels[0] == pixels[1]


@pytest.mark.parametrize("start", [1, 2, 5])
def test_it_can_begin_anywhere(lessons: Path, start: int) -> None:
    """L1 and L2 of batches: from any step on, with any number of threads, they are those of the whole."""
    shards = ShardSet(lessons, "train")
    whole = list(batches(shards, batch_size=5).between(0, 6))[start:]
    later = list(batches(shards, batch_size=5, workers=3).between(start, 6))
    assert len(later) == 6 - start
    for a, b in zip(whole, later, strict=True):
        assert a.keys == b.keys
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.targets, b.targets)


def test_training(lesson: Lesson, lessons: Path) -> None:
    """L0, L1, L2: the same bytes twice, stopped and continued from a store; another run than with --reader shards."""
    said: list[str] = []
    whole = train(lesson("whole", reader="stream"), show=said.append).run
    assert any(f"the order is that of webdataset {webdataset.__version__}" in line for line in said)
    url = Url(f"memory://{os.urandom(6).hex()}/set")
    publish(lessons, url)
    train(lesson("pieces", reader="stream"), until=2)
    pieces = train(lesson("pieces", reader="stream", shards=url, workers=2)).run
    assert results(pieces) == results(whole)
    assert not verify(whole.path, steps=2).wrong
    assert whole.document()["versions"]["webdataset"] == webdataset.__version__
    other = lesson("whole")
    with pytest.raises(SegmodelsError, match="reader is stream there, shards here"):
        train(other)
    assert train(replace(other, out=other.out / "other")).run.weights.read_bytes() != whole.weights.read_bytes()


def test_a_server_without_ranges(lesson: Lesson, lessons: Path, web: Callable[[Path], str], tmp_path: Path) -> None:
    """Where only streaming will do: the same bytes through nginx that sends whole files only."""
    (tmp_path / "whole").symlink_to(lessons)
    there = train(lesson("there", reader="stream", steps=3, shards=Url(web(tmp_path) + "/whole"))).run
    assert results(there) == results(train(lesson("here", reader="stream", steps=3)).run)


def test_a_changed_shard_is_refused(lesson: Lesson, lessons: Path, tmp_path: Path) -> None:
    """By its name, before anything is learnt from it."""
    url = Url(f"memory://{os.urandom(6).hex()}/set")
    publish(lessons, url)
    shards = ShardSet(url, "train")
    data = bytearray(shards.shard(1))
    data[700] ^= 1
    store, name = open_store(url), shards.manifest.shards("train")[1].name
    (path,) = (path for path in store.files() if path.endswith(name))
    store.write(path, bytes(data))
    with pytest.raises(SegdataError, match=rf"{name}: not the bytes"):
        train(lesson(reader="stream", shards=url))


def test_one_process(lesson: Lesson, lessons: Path) -> None:
    """Ranks would each need shards of their own: refused."""
    with pytest.raises(SegmodelsError, match="--reader stream is for one process, found 2"):
        open_stream(lesson(reader="stream"), ShardSet(lessons, "train"), 2, print)


def test_without_webdataset(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to install; the other reader needs nothing of it."""
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(SegmodelsError) as caught:
        train(lesson(reader="stream"))
    assert "needs the extra `remote`: webdataset is not installed. Run: pip install" in str(caught.value)
    assert "\n" not in str(caught.value)
    train(lesson(steps=1))
