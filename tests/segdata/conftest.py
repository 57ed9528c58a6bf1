"""Painted datasets that many tests share, painted once a session; and jobs that convert them."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import segdata
from segdata.base.canonical import digest_file
from segdata.base.files import open_regular
from segdata.errors import ShardError
from segdata.format.pinned import Opened, PinnedFile
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.making.survey import PAINTED
from segdata.sources import source
from segdata.synth import paint

SIZE = (64, 128)


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """painted("cityscapes", zips=True): the root of a small painted dataset of these options."""
    roots: dict[tuple[Any, ...], Path] = {}

    def get(name: str, **options: Any) -> Path:
        key = (name, *sorted(options.items()))
        if key not in roots:
            root = tmp_path_factory.mktemp(name)
            paint(name, root, **{"train": 6, "val": 3, "test": 2, "size": SIZE, "seed": 0, **options})
            roots[key] = root
        return roots[key]

    return get


@pytest.fixture(scope="session")
def columns() -> Callable[[Path], Callable[[str], PinnedFile]]:
    """columns(folder): what opens the columns of an index by their names, with the digests that they have."""

    def find(folder: Path, name: str) -> PinnedFile:
        file = Opened(open_regular(folder / name, error=ShardError))
        return PinnedFile(folder / name, file, digest_file(folder / name))

    return lambda folder: partial(find, folder)


@pytest.fixture(scope="session")
def make_job() -> Callable[..., Job]:
    """make_job("cityscapes", root, out, scales=(1, 8), workers=2, …): options by their names."""

    def make(name: str, root: Path, out: Path, **options: Any) -> Job:
        few = {"engine": "serial", "workers": 1, "samples_per_shard": 2, "scales": (1, 2, 4, 8)}
        return segdata.make_job(name, root=root, out=out, **few | options)

    return make


@pytest.fixture(scope="session")
def camvid() -> Path:
    """The unpacked real frames, where they are at hand."""
    path = os.environ.get("SEGDATA_CAMVID")
    if not path:
        pytest.skip("SEGDATA_CAMVID does not name an unpacked CamVid folder")
    return Path(path)


# ---- drawn datasets: nine frames of 24x16 in the layouts of all three sources -------------------------------

SHAPE = (16, 24)  # height, width: the largest scale divides both
SPLITS = {"train": 4, "val": 3, "test": 2}
CITIES = {"train": ("aachen", "bochum"), "val": ("lindau", "munster"), "test": ("berlin", "bonn")}
IDS = {"camvid": 12, "cityscapes": 34, "tas500": 23}


@pytest.fixture
def draw(tmp_path: Path) -> Callable[[str], Path]:
    """draw("camvid"): the root of the test's own tiny dataset, with the marker that no official lists apply."""
    return lambda name: _draw(name, tmp_path / name)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, make_job: Callable[..., Job]) -> Callable[..., Path]:
    """finished("camvid", rule="stride", …): a shard folder of a drawn dataset, made once; not to be changed."""
    made: dict[str, Path] = {}

    def get(name: str, **options: Any) -> Path:
        wanted = f"{name} {sorted(options.items())}"
        if wanted not in made:
            home = tmp_path_factory.mktemp("finished")
            prepare(make_job(name, _draw(name, home / "dataset"), home / "set", **options))
            made[wanted] = home / "set"
        return made[wanted]

    return get


@pytest.fixture
def shards(tmp_path: Path, finished: Callable[..., Path]) -> Callable[..., Path]:
    """shards("camvid", rule="stride", …): the test's own copy of such a folder."""

    def copy(name: str = "camvid", **options: Any) -> Path:
        return Path(shutil.copytree(finished(name, **options), tmp_path / f"copy{len(list(tmp_path.iterdir()))}"))

    return copy


def _draw(name: str, root: Path) -> Path:
    root.mkdir(parents=True)
    (root / PAINTED).write_text("{}")
    frames = [(split, i) for split, count in SPLITS.items() for i in range(count)]
    for seed, (split, i) in enumerate(frames, start=1):
        image, labels = _frame(seed, IDS[name])
        if name == "camvid":
            files = {f"{split}/{split}_{i:04d}.png": image, f"{split}annot/{split}_{i:04d}.png": labels}
        elif name == "cityscapes":
            city = CITIES[split][i % 2]
            key = f"{city}_{i:06d}_000019"
            files = {
                f"leftImg8bit/{split}/{city}/{key}_leftImg8bit.png": image,
                f"gtFine/{split}/{city}/{key}_gtFine_labelIds.png": labels * (split != "test"),
            }
        else:
            stamp = f"{1527245932460366848 + seed}.png"
            files = {f"{split}/{stamp}": image}
            if split != "test":
                colors = np.array([label.color for label in source("tas500").labels[:23]], np.uint8)
                files |= {f"{split}_labels_ids/{stamp}": labels, f"{split}_labels/{stamp}": colors[labels]}
        for path, picture in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(root / path, "PNG")
    return root


def _frame(seed: int, ids: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """An image (H, W, 3) and labels (H, W) of cells with one id, a patch of many, and one id that always scores."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*SHAPE, 3), np.uint8)
    labels = np.kron(rng.integers(0, ids, (SHAPE[0] // 4, SHAPE[1] // 4), np.uint8), np.ones((4, 4), np.uint8))
    labels[5:9, 3:20] = rng.integers(0, ids, (4, 17), np.uint8)
    labels[0, 0] = 8  # evaluated in the default taxonomy of each of the three
    return image, labels
