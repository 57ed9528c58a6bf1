"""Batches: a pure function of (seed, epoch, step), whoever reads them; and what evaluation needs."""

import json
import threading
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

import segdata
from segdata import SegdataError, ShardSet
from segdata.base.arrays import U8
from segdata.synth import paint
from segmodels.data.augment import Augmentation, draw
from segmodels.data.batches import Batch, Batches, crop_size
from segmodels.data.images import in_order, normalise, pad, samples, windows
from segmodels.errors import SegmodelsError
from segmodels.spec import Geometry

FRAMES = 11
PLAIN = Augmentation((32, 64))
EVERYTHING = Augmentation(
    (32, 64),
    scale=(0.5, 2.0),
    rotations=(15.0, 30.0),
    flip=True,
    vertical_flip=True,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    fill=(90, 100, 110),
)
MakeShards = Callable[..., ShardSet]


@pytest.fixture(scope="session")
def make_shards(tmp_path_factory: pytest.TempPathFactory) -> MakeShards:
    """make_shards(split="train", scales=(1, 8), rule="majority", …): small painted Cityscapes as shards."""
    folder = tmp_path_factory.mktemp("data")
    paint("cityscapes", folder / "raw", train=FRAMES, val=3, test=2, size=(64, 128))

    def make(split: str = "train", **options: Any) -> ShardSet:
        out = folder / sha256(repr(sorted(options.items())).encode()).hexdigest()[:16]
        if not out.exists():
            chosen = {"scales": (1, 2, 4, 8), "image_codec": "png", "taxonomy": "cityscapes-20", **options}
            splits = ("train", "val", "test")
            job = segdata.make_job(
                "cityscapes", root=folder / "raw", out=out, name="painted", splits=splits, samples_per_shard=4,
                engine="serial", **chosen,
            )  # fmt: skip
            segdata.prepare(job)
        return ShardSet(out, split)

    return make


@pytest.fixture(scope="session")
def shards(make_shards: MakeShards) -> ShardSet:
    return make_shards()


def digest(batch: Batch) -> str:
    content = [repr(batch.keys).encode(), batch.images.numpy().tobytes(), batch.targets.numpy().tobytes()]
    return sha256(b"".join(content)).hexdigest()


def batches(shards: ShardSet, how: Augmentation = EVERYTHING, stride: int = 1, **options: Any) -> Batches:
    return Batches(shards, Geometry(stride=stride), how, **{"batch_size": 4, "seed": 7, **options})


def majority(labels: U8, scale: int) -> U8:
    """A naive loop over the cells: the most frequent id, ties to the smallest."""
    height, width = (side // scale for side in labels.shape)
    out = np.empty((height, width), np.uint8)
    for row in range(height):
        for column in range(width):
            cell = labels[row * scale : (row + 1) * scale, column * scale : (column + 1) * scale]
            out[row, column] = np.bincount(cell.ravel(), minlength=256).argmax()
    return out


def stride(labels: U8, scale: int) -> U8:
    return labels[::scale, ::scale]


def coverage(labels: U8, scale: int) -> U8:
    """Pixels of each of the 20 classes in each cell, the ignored last."""
    cells = [labels[y::scale, x::scale] for y in range(scale) for x in range(scale)]
    return np.stack([sum((cell == id_) for cell in cells) for id_ in [*range(20), 255]]).astype(np.uint8)


# ---- a pure function of (seed, epoch, step) -------------------------------------------------------------


@pytest.mark.parametrize("how", [PLAIN, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_number_of_workers_changes_no_byte(shards: ShardSet, how: Augmentation, workers: int) -> None:
    """Keys, pixels and targets over three epochs are those that one process reads by itself."""
    expected = [digest(batch) for batch in batches(shards, how).between(0, 6)]
    assert len(set(expected)) == 6
    assert [digest(batch) for batch in batches(shards, how, workers=workers).between(0, 6)] == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_share_the_batch_of_one(shards: ShardSet, workers: int) -> None:
    """The parts of two ranks, joined, are the batch that one rank has, in the same order."""
    halves = [batches(shards, rank=rank, ranks=2, workers=workers).between(0, 4) for rank in (0, 1)]
    for whole, left, right in zip(batches(shards).between(0, 4), *halves, strict=True):
        joined = Batch(
            left.keys + right.keys,
            torch.cat([left.images, right.images]),
            torch.cat([left.targets, right.targets]),
        )
        assert digest(joined) == digest(whole)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_goes_on_anywhere(shards: ShardSet, workers: int) -> None:
    """From any step on, the batches are the rest of the uninterrupted sequence; `[step]` is one of them."""
    expected = [digest(batch) for batch in batches(shards).between(0, 6)]
    for start in range(6):
        resumed = batches(shards, workers=workers)
        assert [digest(batch) for batch in resumed.between(start, 6)] == expected[start:]
        assert digest(resumed[start]) == expected[start]


def test_an_epoch_visits_each_sample_at_most_once_in_an_order_of_its_own(shards: ShardSet) -> None:
    """11 samples in batches of 4: two steps of 8 different keys, the keyed order's first; 3 are left out."""
    read = batches(shards, PLAIN)
    assert read.steps_per_epoch == 2
    epochs = []
    for epoch in range(5):
        keys = [key for batch in read.between(2 * epoch, 2 * epoch + 2) for key in batch.keys]
        assert keys == [shards.key(i) for i in list(shards.order(7, epoch))[:8]]
        assert len(set(keys)) == 8
        epochs.append(tuple(keys))
    assert len(set(epochs)) == 5


def test_without_shuffling_every_epoch_has_the_order_of_the_keys(shards: ShardSet) -> None:
    """11 samples in batches of 4: the first 8 keys, sorted, whatever epoch and seed; crops differ as ever."""
    read = batches(shards, shuffle=False)
    assert [key for batch in read.between(2, 4) for key in batch.keys] == sorted(shards.keys)[:8]
    assert read.keys(0) == batches(shards, seed=8, shuffle=False).keys(4) == sorted(shards.keys)[:4]
    assert digest(read[0]) != digest(read[2])


def test_seeds_differ(shards: ShardSet) -> None:
    """Another seed, another order and other crops."""
    assert digest(batches(shards)[0]) != digest(batches(shards, seed=8)[0])


def test_another_epoch_draws_anew(shards: ShardSet) -> None:
    """The same frame in two epochs is cropped and coloured differently."""
    found: dict[str, list[U8]] = {}
    for batch in batches(shards).between(0, 4):
        for key, image in zip(batch.keys, batch.images, strict=True):
            found.setdefault(key, []).append(image.numpy())
    twice = [pair for pair in found.values() if len(pair) == 2]
    assert len(twice) >= 5  # 8 of 11, twice
    assert not any(np.array_equal(first, second) for first, second in twice)


# ---- targets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_plain_crops_are_windows_of_the_stored_sample(shards: ShardSet, scale: int) -> None:
    """Image and target are cut from the whole stored image and target, on the target's grid."""
    for batch in batches(shards, PLAIN, scale).between(0, 2):
        for key, image, target in zip(*batch, strict=True):
            top, left, *_ = draw(PLAIN, 7, 0, key, (64, 128), grid=scale).window
            assert top % scale == left % scale == 0
            whole = shards.read(shards.keys.index(key))
            assert np.array_equal(image, whole.image[top : top + 32, left : left + 64])
            y, x = top // scale, left // scale
            part = whole.targets[scale][y : y + 32 // scale, x : x + 64 // scale]
            assert np.array_equal(target, part)


@pytest.mark.parametrize(("rule", "naive"), [("majority", majority), ("stride", stride), ("coverage", coverage)])
@pytest.mark.parametrize("scale", [2, 8])
@pytest.mark.parametrize("how", [EVERYTHING, Augmentation((32, 64), scale=(2.0, 2.0))], ids=["everything", "doubled"])
def test_augmented_labels_pass_through_the_rule(
    make_shards: MakeShards, rule: str, naive: Callable[[U8, int], U8], scale: int, how: Augmentation
) -> None:
    """Scaled, turned and flipped: the target is what the shards' rule makes of the augmented x1 labels."""
    of_rule = make_shards(rule=rule)
    labels = batches(of_rule, how).between(0, 2)
    targets = batches(of_rule, how, scale).between(0, 2)
    for fine, coarse in zip(labels, targets, strict=True):
        assert torch.equal(fine.images, coarse.images)
        for ids, target in zip(fine.targets, coarse.targets, strict=True):
            assert np.array_equal(naive(ids.numpy(), scale), target)


@pytest.mark.parametrize("rule", ["majority", "stride", "coverage"])
@pytest.mark.parametrize("how", [PLAIN, Augmentation((32, 64), flip=True, vertical_flip=True)], ids=["plain", "flips"])
def test_stored_targets_are_only_a_short_cut(make_shards: MakeShards, rule: str, how: Augmentation) -> None:
    """Shards with x1 alone give the same batches as shards that hold the network's scale too."""
    short, long = make_shards(rule=rule, scales=(1, 8)), make_shards(rule=rule, scales=(1,))
    for a, b in zip(batches(short, how, 8).between(0, 4), batches(long, how, 8).between(0, 4), strict=True):
        assert digest(a) == digest(b)


def test_without_resampling_the_labels_are_not_needed(make_shards: MakeShards) -> None:
    """Shards that hold x8 alone serve a network of stride 8, flips included."""
    how = Augmentation((32, 64), flip=True)
    only, all_ = batches(make_shards(scales=(8,)), how, 8), batches(make_shards(), how, 8)
    assert [digest(b) for b in only.between(0, 4)] == [digest(b) for b in all_.between(0, 4)]


def test_only_the_window_is_decoded(shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read is the crop, and of the targets the network's own."""
    asked: list[tuple[Any, Any]] = []
    decode = ShardSet.decode

    def spy(self: ShardSet, i: int, part: Any, window: Any = None, scales: Any = None) -> Any:
        asked.append((window, scales))
        return decode(self, i, part, window, scales)

    monkeypatch.setattr(ShardSet, "decode", spy)
    batches(shards, PLAIN, 8)[0]
    assert len(asked) == 4
    assert all(window[2:] == (32, 64) and scales == (8,) for window, scales in asked)


@pytest.mark.parametrize("rule", ["majority", "coverage"])
def test_whole_images_are_padded_to_what_the_network_takes(make_shards: MakeShards, rule: str) -> None:
    """56x120 for multiples of 16: 64x128, the image at the top left, the rest ignored by every target."""
    small = make_shards(size=(56, 120), rule=rule)
    geometry = Geometry(stride=8, size_multiple=16)
    size = crop_size(small, geometry, None)
    assert size == (64, 128)
    batch = Batches(small, geometry, Augmentation(size, fill=(9, 8, 7)), 2, 0)[0]
    for key, image, target in zip(*batch, strict=True):
        whole = small.read(small.keys.index(key))
        assert np.array_equal(image[:56, :120], whole.image)
        assert (image[56:].reshape(-1, 3) == torch.tensor([9, 8, 7])).all()
        assert np.array_equal(target[..., :7, :15], whole.targets[8])
        ignored = target[-1] == 64 if rule == "coverage" else target == 255
        assert ignored[7:].all() and ignored[:, 15:].all()


# ---- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crop", "geometry", "message"),
    [
        ((40, 64), Geometry(size_multiple=16), r"--crop 40x64 .* multiples of 16.* 32x64 and 48x64"),
        ((72, 64), Geometry(), r"--crop 72x64 is larger than the images of train: 64x128"),
        ((4, 8), Geometry(min_size=8), r"at least 8"),
    ],
)
def test_crops_that_cannot_be(shards: ShardSet, crop: tuple[int, int], geometry: Geometry, message: str) -> None:
    """The error names what was given, what the network or the images allow, and the next that fit."""
    with pytest.raises(SegmodelsError, match=message):
        crop_size(shards, geometry, crop)


def test_crops_that_fit(shards: ShardSet) -> None:
    """A crop up to the whole image; a network that resizes takes any."""
    assert crop_size(shards, Geometry(size_multiple=32), (64, 96)) == (64, 96)
    assert crop_size(shards, Geometry(size_multiple=8, resizes=True), (57, 63)) == (57, 63)


def test_images_of_several_sizes_need_a_crop(shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole images of different size make no batch; a crop that fits in all of them does."""
    monkeypatch.setitem(shards.manifest.document["splits"]["train"], "sizes", [[64, 128], [48, 256]])
    with pytest.raises(SegmodelsError, match=r"48x256 to 64x128.*--crop 48x128 or less, or --pad"):
        crop_size(shards, Geometry(), None)
    with pytest.raises(SegmodelsError, match=r"larger than the images of train: 48x128.*a smaller one, or --pad"):
        crop_size(shards, Geometry(), (64, 64))
    assert crop_size(shards, Geometry(), (48, 128)) == (48, 128)
    assert crop_size(shards, Geometry(), (640, 64), pad=True) == (640, 64)
    assert crop_size(shards, Geometry(size_multiple=48), None, pad=True) == (96, 288)


@pytest.mark.parametrize(
    ("options", "how", "scale", "message"),
    [
        ({"scales": (8,)}, PLAIN, 4, r"learns from x4, but train has only x8.*--scale 1 --scale 4"),
        ({"scales": (8,)}, EVERYTHING, 8, r"start from x1, but train has only x8.*--scale 1 --scale 8"),
        ({"scales": (8,), "rule": "stride"}, Augmentation((32, 64), flip=True), 8, "start from x1"),
        ({"split": "test"}, PLAIN, 1, "test has no labels"),
    ],
)
def test_targets_that_are_not_there(
    make_shards: MakeShards, options: dict[str, Any], how: Augmentation, scale: int, message: str
) -> None:
    """The error names what the shards hold and the option of prepare that adds what is missing."""
    with pytest.raises(SegmodelsError, match=message):
        batches(make_shards(**options), how, scale, batch_size=1)


def test_batches_that_cannot_be(shards: ShardSet) -> None:
    """More samples than the split has, or a batch that the ranks cannot share."""
    with pytest.raises(SegmodelsError, match="11 samples, fewer than a batch of 12"):
        batches(shards, batch_size=12)
    with pytest.raises(SegmodelsError, match="--batch-size 4 is not a multiple of the 3"):
        batches(shards, ranks=3)


def test_an_empty_split_is_refused(shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither training nor evaluation starts on a split without samples."""
    monkeypatch.setattr(ShardSet, "__len__", lambda self: 0)
    with pytest.raises(SegmodelsError, match="train is empty"):
        batches(shards)
    with pytest.raises(SegmodelsError, match="train is empty"):
        samples(shards, (1,))


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_is_read_past_the_end(shards: ShardSet, workers: int) -> None:
    """From the last step on, or beyond it, there are no batches."""
    read = batches(shards, workers=workers)
    assert list(read.between(5, 5)) == list(read.between(6, 5)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_damage_stops_at_its_batch(make_shards: MakeShards, workers: int) -> None:
    """A damaged image raises what names its key, in the step that needs it and not before; no thread stays."""
    copy = make_shards(scales=(1,))
    threads = threading.active_count()
    read = batches(copy, PLAIN, workers=workers)
    bad = copy.order(7, 0)[5]  # second step
    broken = ShardSet.bytes

    def bytes_(self: ShardSet, i: int, part: str) -> bytes:
        data = broken(self, i, part)
        return data[:60] + bytes(40) + data[100:] if i == bad and part.startswith("image") else data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShardSet, "bytes", bytes_)
        steps = read.between(0, 4)
        assert len(next(steps).keys) == 4
        with pytest.raises(SegdataError, match=copy.key(bad)):
            next(steps)
    assert threading.active_count() == threads


# ---- evaluation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_are_whole_and_in_stored_order(shards: ShardSet, workers: int) -> None:
    """Every sample once, as it is stored; two ranks share them alternately."""
    records = list(samples(shards, (1, 8), workers=workers))
    assert [record.key for record in records] == shards.keys
    for i, record in enumerate(records):
        stored = shards.read(i)
        assert np.array_equal(record.image, stored.image)
        assert set(record.targets) == {1, 8}
        assert all(np.array_equal(record.targets[scale], stored.targets[scale]) for scale in (1, 8))
    for rank in (0, 1):
        part = samples(shards, (1,), workers=workers, rank=rank, ranks=2)
        assert [record.key for record in part] == shards.keys[rank::2]


def test_evaluation_says_what_the_shards_lack(make_shards: MakeShards) -> None:
    """A missing scale names the options of prepare; so does a split without labels."""
    with pytest.raises(SegmodelsError, match=r"x1, but val has x4, x8.*--scale 1 --scale 4 --scale 8"):
        samples(make_shards("val", scales=(4, 8)), (1,))
    with pytest.raises(SegmodelsError, match="test has no labels"):
        samples(make_shards("test"), (1,))


def test_whoever_stops_leaves_no_thread(shards: ShardSet) -> None:
    """A consumer that breaks off ends the reading."""
    threads = threading.active_count()
    for _ in samples(shards, (1,), workers=2):
        break
    for _ in batches(shards, workers=2).between(0, 1000):
        break
    assert threading.active_count() == threads


def test_results_come_in_order_and_no_more_than_asked_ahead() -> None:
    """However long each takes: the order of the items, and a bound on what is taken from the source."""
    taken: list[int] = []
    gate = threading.Event()

    def source_of_items() -> Any:
        for i in range(20):
            taken.append(i)
            yield i

    def work(i: int) -> int:
        if i == 0:
            gate.wait(10)  # the first is the last to finish
        return i * i

    results = in_order(work, source_of_items(), 3, ahead=5)
    threading.Timer(0.05, gate.set).start()
    first = next(results)
    assert first == 0 and len(taken) == 6
    assert [first, *results] == [i * i for i in range(20)]


@pytest.mark.parametrize("size", [(56, 120), (64, 128), (65, 1)])
def test_padding_is_never_scored(size: tuple[int, int]) -> None:
    """The padded image fits the network; its first H rows and W columns are the image, the rest is zero."""
    image = torch.rand(2, 3, *size)
    padded = pad(image, Geometry(size_multiple=16))
    assert padded.shape == (2, 3, -(-size[0] // 16) * 16, -(-size[1] // 16) * 16)
    assert torch.equal(padded[..., : size[0], : size[1]], image)
    assert padded.count_nonzero() == image.count_nonzero()


@pytest.mark.parametrize("size", [(64, 128), (100, 64), (64, 64), (1024, 2048), (65, 127)])
@pytest.mark.parametrize("window", [(64, 64), (48, 64)])
def test_windows_cover_the_image(size: tuple[int, int], window: tuple[int, int]) -> None:
    """Every pixel lies in a window, every window in the image; neighbours share at least a third."""
    covered = np.zeros(size, int)
    cut = windows(size, window)
    for top, left, height, width in cut:
        assert (height, width) == window and top >= 0 and left >= 0
        assert top + height <= size[0] and left + width <= size[1]
        covered[top : top + height, left : left + width] += 1
    assert covered.min() >= 1
    for axis in (0, 1):
        starts = sorted({each[axis] for each in cut})
        assert all(b - a <= window[axis] * 2 / 3 + 1 for a, b in pairwise(starts))
        # none is superfluous: one less could not cover with that overlap
        assert (len(starts) - 2) * window[axis] * 2 / 3 < size[axis] - window[axis] or len(starts) == 1


def test_windows_lie_on_the_stride() -> None:
    """So that logits at 1/8 of the image can be put together; what cannot be covered is refused."""
    cut = windows((96, 168), (64, 64), stride=8)
    assert all(top % 8 == left % 8 == 0 for top, left, *_ in cut)
    assert max(top for top, *_ in cut) == 32 and max(left for _, left, *_ in cut) == 104
    for size in ((60, 64), (100, 64)):
        with pytest.raises(SegmodelsError, match="pad the image"):
            windows(size, (64, 64), stride=8)


def test_normalised_images() -> None:
    """(image / 255 - mean) / std for every channel, channels first in shape and last in memory."""
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = (images.double() / 255 - torch.tensor(mean)) / torch.tensor(std)
    found = normalise(images, mean, std)
    assert found.shape == (2, 3, 5, 7) and found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.double(), expected.permute(0, 3, 1, 2), rtol=0, atol=1e-6)


def test_fixture_is_what_the_tests_think(shards: ShardSet) -> None:
    """11 frames of 64x128 in shards of at most 4, all scales, more than one class in every one."""
    assert len(shards) == FRAMES and shards.size == (64, 128) and shards.scales == (1, 2, 4, 8)
    assert len(json.loads((shards.path / "dataset.json").read_bytes())["splits"]["train"]["shards"]) == 3
    assert all(len(np.unique(shards.read(i).targets[1])) > 3 for i in range(FRAMES))
