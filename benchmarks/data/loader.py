"""How fast batches of random 512x1024 crops come, by reader: samples a second with two workers, in one run.

    python benchmarks/data/loader.py                                # paints its data, about four minutes
    python benchmarks/data/loader.py --data DIR --rounds 9 --out benchmarks/results/cpu/loader.json

`--data` keeps what was painted and converted for the next run. The readers take turns, and each ratio is the
median over the rounds of the ratio within a round: what else the machine does meets all of them. All read the
image and the labels at full resolution, and come from a warm page cache.

litdata takes part where it can be imported. It asks for torchvision, so install it without its dependencies and
apart: pip install --no-deps --target PEERS litdata lightning-utilities boto3 botocore s3transfer jmespath tifffile
obstore; then run this with PYTHONPATH=PEERS.
"""

import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from itertools import count, cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from crop import checking, costs
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import segdata
from segdata import ShardSet
from segdata.cli.script import Parser
from segdata.synth import paint
from segmodels.data.augment import Augmentation
from segmodels.data.batches import Batches
from segmodels.data.images import in_order
from segmodels.spec import Geometry

FRAMES, SHARD, BATCH, WORKERS = 32, 8, 4, 2
CROP = 512, 1024
SETS = {"keep": ("keep", None), "png": ("png", None), "jpeg": ("jpeg", None), "small": ("png", CROP)}
PACKAGES = ("numpy", "numba", "torch", "pillow", "opencv-python-headless", "isal", "webdataset", "litdata")
BASE = "webdataset + Pillow: keep"
GOALS = {"segmodels: keep": 3.7, "segmodels: png": 4.5, "segmodels: jpeg": 6.0}  # times BASE
DRAINED = 6  # batches that a reader can have made while it was not its turn
SECONDS, LEAST = 1.5, 8  # of a turn; batches of a turn

Pair = tuple[np.ndarray, np.ndarray]


# ---- the data ---------------------------------------------------------------------------------------------


def make_data(folder: Path) -> dict[str, ShardSet]:
    """Painted Cityscapes as shards of every kind, besides as PNG files, raw pixels and litdata's chunks."""
    if not (folder / "raw" / "segdata-synth.json").exists():
        paint("cityscapes", folder / "raw", train=FRAMES, val=0, test=0, workers=WORKERS)
    sets = {name: converted(folder, name, codec, size) for name, (codec, size) in SETS.items()}
    for name in ("keep", "small"):
        if not (folder / f"files-{name}").exists():
            write_files(sets[name], folder / f"files-{name}")
    if not (folder / "raw-pixels").exists():
        records = [sets["png"].read(i, None, (1,)) for i in range(FRAMES)]
        (folder / "raw-pixels").mkdir()
        np.save(folder / "raw-pixels" / "images.npy", np.stack([record.image for record in records]))
        np.save(folder / "raw-pixels" / "labels.npy", np.stack([record.targets[1] for record in records]))
    return sets


def converted(folder: Path, name: str, codec: str, size: tuple[int, int] | None) -> ShardSet:
    job = segdata.make_job(
        "cityscapes", root=folder / "raw", out=folder / name, name=name, splits=("train",), size=size,
        image_codec=codec, samples_per_shard=SHARD, workers=WORKERS, on_error="quarantine",
    )  # fmt: skip
    segdata.prepare(job)
    return ShardSet(folder / name, "train")


def write_files(shards: ShardSet, folder: Path) -> None:
    """The bytes of the shards as one file an image, one file a label map."""
    folder.mkdir()
    for i in range(len(shards)):
        for part in ("image.png", "target1.png"):
            (folder / f"{shards.key(i)}.{part}").write_bytes(shards.bytes(i, part))


# ---- the readers: endless iterators over batches of (B, 512, 1024, 3) and (B, 512, 1024) ---------------------


def ours(shards: ShardSet) -> Iterator[Any]:
    batches = Batches(shards, Geometry(), Augmentation(CROP), BATCH, 0, workers=WORKERS)
    return batches.between(0, 10**9)


class StepsOfBatches(Dataset[Any]):
    def __init__(self, shards: ShardSet) -> None:
        self.batches = Batches(shards, Geometry(), Augmentation(CROP), BATCH, 0)

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, step: int) -> Any:
        batch = self.batches[step]
        return batch.images, batch.targets


def ours_in_processes(shards: ShardSet) -> Iterator[Any]:
    """The same batches, made by processes instead of threads."""
    return iter(DataLoader(StepsOfBatches(shards), batch_size=None, num_workers=WORKERS))


def ours_decoded_whole(shards: ShardSet) -> Iterator[Any]:
    """What a crop would cost without windows."""

    def work(i: int) -> Pair:
        record = shards.read(i, None, (1,))
        return cropped(record.image, record.targets[1])

    return stacked(in_order(work, cycle(range(len(shards))), WORKERS, ahead=2 * BATCH + WORKERS))


def raw_pixels(folder: Path) -> Iterator[Any]:
    """The floor: nothing is decoded, the crop is copied from mapped memory."""
    images, labels = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "labels"))
    pairs = in_order(lambda i: cropped(images[i], labels[i]), cycle(range(FRAMES)), WORKERS, ahead=2 * BATCH + WORKERS)
    return stacked(pairs)


class Files(Dataset[Pair]):
    def __init__(self, folder: Path) -> None:
        self.images = sorted(folder.glob("*.image.png"))

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, i: int) -> Pair:
        path = self.images[i % len(self.images)]
        labels = path.with_name(path.name.replace(".image.", ".target1."))
        return by_pillow(path.read_bytes(), labels.read_bytes())


def files(folder: Path) -> Iterator[Any]:
    return iter(DataLoader(Files(folder), BATCH, num_workers=WORKERS))


def webdataset(shards: ShardSet) -> Iterator[Any]:
    from webdataset import WebDataset

    def decoded(sample: dict[str, Any]) -> Pair:
        image = next(name for name in sample if name.startswith("image."))
        return by_pillow(sample[image], sample["target1.png"])

    urls = [str(shards.path / row.name) for row in shards.manifest.shards(shards.split)]
    dataset = WebDataset(urls, resampled=True, shardshuffle=False).map(decoded)
    return iter(DataLoader(dataset, BATCH, num_workers=WORKERS))


def litdata(shards: ShardSet, folder: Path) -> Iterator[Any]:
    from litdata import StreamingDataLoader, StreamingDataset, optimize

    if not (folder / "index.json").exists():
        pairs = [(shards.bytes(i, "image.png"), shards.bytes(i, "target1.png")) for i in range(len(shards))]
        optimize(tuple, pairs, str(folder), chunk_bytes="32MB", num_workers=1, start_method="fork", verbose=False)
    dataset = StreamingDataset(str(folder), transform=lambda sample: by_pillow(*sample))
    loader = StreamingDataLoader(dataset, batch_size=BATCH, num_workers=WORKERS, persistent_workers=True)
    return (batch for _ in count() for batch in loader)


def by_pillow(image: bytes, labels: bytes) -> Pair:
    with Image.open(BytesIO(image)) as first, Image.open(BytesIO(labels)) as second:
        return cropped(np.asarray(first), np.asarray(second))


def cropped(image: np.ndarray, labels: np.ndarray) -> Pair:
    top, left = random.randint(0, image.shape[0] - CROP[0]), random.randint(0, image.shape[1] - CROP[1])
    part = slice(top, top + CROP[0]), slice(left, left + CROP[1])
    return image[part].copy(), labels[part].copy()


def stacked(pairs: Iterator[Pair]) -> Iterator[Any]:
    while True:
        images, labels = zip(*(next(pairs) for _ in range(BATCH)), strict=True)
        yield np.stack(images), np.stack(labels)


# ---- measuring ------------------------------------------------------------------------------------------------


def make_readers(folder: Path, sets: dict[str, ShardSet]) -> dict[str, Iterator[Any]]:
    """Readers of processes first: they fork, and threads do not survive that."""
    readers: dict[str, Callable[[], Iterator[Any]]] = {
        **{f"webdataset + Pillow: {name}": lambda shards=shards: webdataset(shards) for name, shards in sets.items()},
        "PNG files + Pillow: keep": lambda: files(folder / "files-keep"),
        "PNG files + Pillow: small": lambda: files(folder / "files-small"),
        "litdata + Pillow: keep": lambda: litdata(sets["keep"], folder / "litdata"),
        "segmodels in processes: png": lambda: ours_in_processes(sets["png"]),
        **{f"segmodels: {name}": lambda shards=shards: ours(shards) for name, shards in sets.items()},
        **{f"decoded whole: {name}": lambda name=name: ours_decoded_whole(sets[name]) for name in ("keep", "png")},
        "raw pixels": lambda: raw_pixels(folder / "raw-pixels"),
    }
    started = {}
    for name, start in readers.items():
        try:
            started[name] = start()
            check(name, next(started[name]))
        except ImportError as error:
            print(f"{name}: left out ({error})")
            started.pop(name, None)
    return started


def check(name: str, batch: Any) -> None:
    images, labels = batch[-2:]
    found = tuple(images.shape), tuple(labels.shape), str(images.dtype).removeprefix("torch.")
    assert found == ((BATCH, *CROP, 3), (BATCH, *CROP), "uint8"), f"{name}: {found}"


def rate(reader: Iterator[Any]) -> float:
    """Samples a second, after what lay ready is gone."""
    for _ in range(DRAINED):
        next(reader)
    start, batches = time.perf_counter(), 0
    while batches < LEAST or time.perf_counter() - start < SECONDS:
        next(reader)
        batches += 1
    return batches * BATCH / (time.perf_counter() - start)


def measure(readers: dict[str, Iterator[Any]], rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for done in range(1, rounds + 1):
        for name, reader in readers.items():
            rates[name].append(rate(reader))
        print(f"round {done} of {rounds}")
    return rates


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="keep the painted data here (default: a temporary folder)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        sets = make_data(folder)
        cpu = {name: costs(shards, CROP) for name, shards in sets.items() if name != "small"}
        checks = {name: checking(sets[name]) for name in cpu}
        rates = measure(make_readers(folder, sets), options.rounds)
    times = {
        name: statistics.median(own / base for own, base in zip(values, rates[BASE], strict=True))
        for name, values in rates.items()
    }
    print(f"\n{'reader':34}{'samples/s':>10}{'times ' + BASE:>34}{'goal':>6}")
    for name, values in rates.items():
        print(f"{name:34}{statistics.median(values):10.1f}{times[name]:34.2f}{GOALS.get(name, ''):>6}")
    print("\nCPU ms of a crop, one thread, and shares")
    for name, spent in cpu.items():
        shares = (f"{step} {value:.2f} ({value / spent['all']:.0%})" for step, value in spent.items() if step != "all")
        print(f"  {name:6} {spent['all']:.2f}:", "  ".join(shares), f"  checked at first: {checks[name]:.2f} more")
    results = {
        "machine": {"processors": os.cpu_count(), "kind": platform.machine(), "python": platform.python_version()},
        "versions": {package: installed(package) for package in PACKAGES},
        "setting": {"crop": CROP, "batch": BATCH, "workers": WORKERS, "rounds": options.rounds, "base": BASE},
        "times_base": {name: round(value, 2) for name, value in times.items()},
        "goals": GOALS,
        "samples_per_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "samples_per_second_range": {name: [round(min(v), 1), round(max(v), 1)] for name, v in rates.items()},
        "cpu_ms_of_a_crop": cpu,
        "cpu_ms_of_checking_a_sample": checks,
    }
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
