"""Small datasets in the layouts of all three sources, and what converts them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segdata.convert import Conversion
from segdata.prepare import PAINTED, Job
from segdata.sources import source
from segdata.taxonomy import load_taxonomy

SHAPE = (16, 24)  # height, width: the largest scale divides both
SPLITS = {"train": 4, "val": 3, "test": 2}
CITIES = {"train": ("aachen", "bochum"), "val": ("lindau", "munster"), "test": ("berlin", "bonn")}
LABELS = {"camvid": 12, "cityscapes": 34, "tas500": 23}  # ids 0 … n-1

MakeJob = Callable[..., Job]


def frame(seed: int, ids: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """An image (H, W, 3) and labels (H, W) with regions of several classes."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*SHAPE, 3), np.uint8)
    blocks = rng.integers(0, ids, (SHAPE[0] // 4, SHAPE[1] // 4), np.uint8)
    labels = np.kron(blocks, np.ones((4, 4), np.uint8))
    labels[5:9, 3:20] = rng.integers(0, ids, (4, 17), np.uint8)
    labels[0, 0] = 8  # evaluated in each of the three datasets' own taxonomies
    return image, labels


def write(path: Path, picture: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, "PNG")


def draw(name: str, root: Path) -> Path:
    """A dataset in the layout of its source, with the marker of painted data: no official lists apply."""
    root.mkdir(parents=True)
    (root / PAINTED).write_text("{}")
    seed = 0
    for split, count in SPLITS.items():
        for i in range(count):
            seed += 1
            image, labels = frame(seed, LABELS[name])
            if name == "camvid":
                write(root / split / f"{split}_{i:04d}.png", image)
                write(root / f"{split}annot" / f"{split}_{i:04d}.png", labels)
            elif name == "cityscapes":
                city = CITIES[split][i % 2]
                key = f"{city}_{i:06d}_000019"
                write(root / f"leftImg8bit/{split}/{city}/{key}_leftImg8bit.png", image)
                write(root / f"gtFine/{split}/{city}/{key}_gtFine_labelIds.png", labels * (split != "test"))
            else:
                stamp = f"{1527245932460366848 + seed}.png"
                write(root / split / stamp, image)
                if split != "test":
                    write(root / f"{split}_labels_ids" / stamp, labels)
                    palette = np.zeros((256, 3), np.uint8)
                    palette[:23] = [label.color for label in source("tas500").labels[:23]]
                    write(root / f"{split}_labels" / stamp, palette[labels])
    return root


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    return draw("camvid", tmp_path / "camvid")


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    return draw("cityscapes", tmp_path / "cityscapes")


@pytest.fixture
def tas500(tmp_path: Path) -> Path:
    return draw("tas500", tmp_path / "tas500")


@pytest.fixture
def job(tmp_path: Path) -> MakeJob:
    """Make a Job: `job(name, root, scales=(1, 8), quarantine=True, …)`; fields of Conversion and of Job alike."""

    def make(name: str, root: Path, out: str = "set", taxonomy: str = "", **options: Any) -> Job:
        found = source(name)
        of_conversion = {key: options.pop(key) for key in list(options) if key in Conversion.__dataclass_fields__}
        conversion = Conversion(
            source=found.name,
            labels=found.labels,
            palette_labels=found.palette_labels,
            taxonomy=load_taxonomy(taxonomy or found.default_taxonomy),
        )
        options = {"samples_per_shard": 2, "engine": "serial", "name": "tiny", **options}
        return Job(
            source=found,
            root=root,
            out=tmp_path / out,
            conversion=replace(conversion, **{"scales": (1, 2, 4, 8), **of_conversion}),
            **options,
        )

    return make
