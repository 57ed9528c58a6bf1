"""What a run's bytes follow from, from version to version: its identity, crops, batches, files and weights."""

from __future__ import annotations

import json
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import segmodels
from segdata import ShardSet
from segdata.format.receipt import FORMAT as SHARDS
from segdata.labels.coding import RULES
from segmodels.bench.report import FORMAT as BENCH
from segmodels.config.config import TrainConfig, config_from_document, decisive, run_id
from segmodels.config.recipes import make_config
from segmodels.data.augment import Augmentation, augmentation, draw
from segmodels.data.batches import Batches
from segmodels.data.images import normalise
from segmodels.data.stream import BUFFER
from segmodels.knobs.quantiles import FORMAT as QUANTILES
from segmodels.knobs.sweep_report import FORMAT as SWEEP
from segmodels.report.page.leaderboard import FORMAT as LEADERBOARD
from segmodels.report.read.latency import FORMAT as LATENCY
from segmodels.report.read.sweep import FORMAT as SWEEP_READ
from segmodels.runs.checkpoint import Checkpoint, save_weights, weights_digest
from segmodels.runs.run import FORMAT as RUNS
from segmodels.runs.run import write_document, write_history
from segmodels.scoring.intervals import intervals
from segmodels.spec import Geometry
from segmodels.training.train import train
from tests.support.frames import prepare, write_dataset
from tests.support.pinning import check, digest, libraries

ADVICE = "Undo it, or raise segmodels.runs.run.FORMAT and say in CHANGELOG.md that unfinished runs have to start anew"
IDENTITY = (
    "Undo it, unless it is a new option: then say in CHANGELOG.md that runs of before are other runs. "
    "segmodels.runs.run.FORMAT is raised where run.json cannot be read any more"
)
FILES = "Undo it, or see that files of before are still read, and say it in CHANGELOG.md"

CROP = (32, 64)
HOWS = {
    "crop": Augmentation(CROP),
    "centre": Augmentation(CROP, centre_crop=True, flip=True),
    "scale": Augmentation(CROP, scale=(0.5, 2.0), flip=True, fill=(1, 2, 3)),
    "turn": Augmentation(CROP, scale=(0.8, 1.25), rotations=(15.0, 30.0), flip=True, vertical_flip=True),
    "colour": Augmentation(CROP, brightness=0.2, contrast=0.3, saturation=0.4),
}
CONFIG = TrainConfig("dilated_unet", Path("shards"), Path("out"), (("width_factor", 0.25),), device="cpu")
OTHERS: dict[str, Any] = {"seed": 7, "crop": (32, 64), "rotations": (15.0,), "loss": "ohem", "optimizer": "sgd"}


# ---- what a step sees ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOWS)
def test_what_is_drawn(name: str) -> None:
    """Window, angle, flips and colours of samples, by seed, epoch, key, size and grid; the region that they need."""
    found = []
    for seed, epoch, key, size, grid in (
        *((0, epoch, f"key_{i}", (64, 128), 8) for epoch in range(2) for i in range(12)),
        *((2**40, 99, f"key_{i}", (40, 56), 1) for i in range(12)),
        *((1, 3, "straße_000000_000019", (24, 200), grid) for grid in (1, 2, 4)),
    ):
        drawn = draw(HOWS[name], seed, epoch, key, size, grid)
        found.append(f"{astuple(drawn)} {drawn.region(size)}")
    check(f"draws {name}", digest(*found), ADVICE)


@pytest.mark.parametrize("name", HOWS)
def test_what_a_draw_makes(name: str) -> None:
    """Crops of an image and of its labels, as OpenCV computes them."""
    y, x = np.mgrid[:40, :80]
    image, labels = np.stack([x * 3, y * 5, x ^ y], axis=2).astype(np.uint8), (x // 7 + y // 5).astype(np.uint8)
    found = []
    for i in range(8):
        drawn = draw(HOWS[name], 0, 0, f"key_{i}", (40, 80))
        top, left, height, width = region = drawn.region((40, 80))
        for made, pixels in ((drawn.image, image), (drawn.labels, labels)):
            found.append(made(np.ascontiguousarray(pixels[top : top + height, left : left + width]), region).tobytes())
    check(f"crops {name}", digest(*found), ADVICE, libraries("processor", "opencv"))


def test_what_the_options_mean() -> None:
    """The augmentation of a configuration, and how an image becomes the network's input."""
    made = [augmentation(each, CROP) for each in (CONFIG, replace(CONFIG, mean=(0.1, 0.5, 0.9), **OTHERS))]
    assert {each.rotation_probability for each in made} == {0.5}  # the last field, which the pin is older than
    found = [str(astuple(each)[:-1]) for each in made]
    pixels = torch.arange(2 * 3 * 4 * 3, dtype=torch.uint8).reshape(2, 3, 4, 3) * 3
    normal = normalise(pixels, CONFIG.mean, CONFIG.std).contiguous().numpy().tobytes()
    check("options", digest(*found, normal), ADVICE)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pins")
    write_dataset("cityscapes", home / "root", (40, 72))
    prepare("cityscapes", home / "root", home / "set")
    return home / "set"


@pytest.mark.parametrize("rank", [0, 1])
def test_the_batches(shards: Path, rank: int) -> None:
    """Keys, images and targets of the steps of three epochs, on each of two ranks."""
    how = Augmentation(CROP, flip=True, vertical_flip=True)
    batches = Batches(ShardSet(shards, "train"), Geometry(), how, 2, seed=3, rank=rank, ranks=2)
    found: list[str | bytes] = []
    for step in range(3 * batches.steps_per_epoch):
        keys, images, targets = batches[step]
        found += [*batches.keys(step), *keys, images.numpy().tobytes(), targets.numpy().tobytes()]
    check(f"batches {rank}", digest(*found), ADVICE)


# ---- who a run is, and what it writes -----------------------------------------------------------------------


def test_the_identity_of_a_run() -> None:
    """Digest of a configuration, the part of it that counts, the id of the run; the recipes of publications."""
    published = [
        make_config(name, "published", {"shards": Path("s"), "out": Path("o")}, no_init=True)
        for name in ("pspnet", "percentile")
    ]
    configs = [CONFIG, replace(CONFIG, **OTHERS), replace(CONFIG, device="cuda:1", workers=9), *published]
    found = [f"{each.digest} {run_id(each, 'shards', None)} {run_id(each, 'shards', 'init')}" for each in configs]
    found += [json.dumps(decisive(each.document())) for each in configs]
    assert config_from_document(json.loads(json.dumps(CONFIG.document()))).digest == CONFIG.digest
    check("identity", digest(*found), IDENTITY)


def test_the_files_of_a_run(tmp_path: Path) -> None:
    """The bytes of weights, history and JSON; what weights are known by; what a checkpoint holds."""
    weights = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([7]), "c": torch.ones(2, dtype=torch.bfloat16)}
    save_weights(tmp_path / "weights", weights, {"network": "none", "size": [1, 2]})
    write_history(tmp_path / "history", [{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": 1e-7, "miou": 0.5}])
    write_document(tmp_path / "document", {"b": [0.1, None], "a": "é"})
    held = [each.name for each in fields(Checkpoint)]
    written = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    check("files", digest(*written, weights_digest(weights), *held), FILES)


def test_the_revisions() -> None:
    """Those of all formats: a raised one makes the folders and files of before unreadable, or lets them be reviewed."""
    found = {"shards": SHARDS, "rules of labels": RULES, "runs": RUNS, "calibrations": QUANTILES, "bench": BENCH}
    found |= {
        "sweep": SWEEP,
        "sweep, as read": SWEEP_READ,
        "latency": LATENCY,
        "leaderboard": LEADERBOARD,
        "buffer of --reader stream": BUFFER,
    }
    advice = "If one was raised on purpose, say in CHANGELOG.md what has to be made again"
    check("revisions", ", ".join(f"{name} {number}" for name, number in found.items()), advice)


def test_the_intervals_of_scores() -> None:
    """Of sixty images in twenty groups."""
    split = (np.arange(60 * 9).reshape(60, 3, 3) * 7 % 11).astype(np.int64)
    groups = [i // 3 for i in range(60)]
    found = {
        name: [round(each, 9) for each in pair] for name, pair in intervals(split, groups, [True, True, False]).items()
    }
    advice = "Undo it, or say in CHANGELOG.md that intervals of before were computed otherwise"
    check("intervals", digest(json.dumps(found, sort_keys=True)), advice, libraries("numpy"))


# ---- weights ------------------------------------------------------------------------------------------------

KIND = ("processor", "instructions", "torch", "opencv", "numpy")  # equal ones compute equal bits


def test_the_weights_that_a_network_starts_with() -> None:
    """Names, types, shapes and bytes of small networks of each file."""
    found = []
    for name, options in (("dilated_unet", {"width_factor": 0.25}), ("distill_x2", {"width": 4, "depth": 2})):
        torch.manual_seed(5)
        found.append(weights_digest(segmodels.build(name, 5, CROP, **options).state_dict()))
    check("start", digest(*found), ADVICE, libraries(*KIND))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ddrnet23_slim", {"width": 4, "pyramid_width": 8, "head_width": 4}),
        ("segformer_b0", {"head_channels": 4, "decoder_channels": 8}),
    ],
)
def test_the_weights_that_a_network_of_the_field_starts_with(name: str, options: dict[str, int]) -> None:
    """Each by itself, so that another network changes no pin."""
    torch.manual_seed(5)
    weights = segmodels.build(name, 5, CROP, **options).state_dict()
    check(f"start {name}", weights_digest(weights), ADVICE, libraries(*KIND))


def test_the_weights_after_two_steps(shards: Path, tmp_path: Path) -> None:
    """Of a small network with dropout, running statistics and an average: after each step, and as published."""
    config = replace(CONFIG, shards=shards, out=tmp_path / "run", steps=2, epochs=None, crop=CROP, batch_size=4, seed=3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        outcome = train(config)
    finally:
        torch.set_num_threads(threads)
    assert outcome.digests.keys() == {"1", "2"}
    written = (outcome.run.weights, outcome.run.history, outcome.run.metrics)
    check(
        "steps", digest(*outcome.digests.values(), *(path.read_bytes() for path in written)), ADVICE, libraries(*KIND)
    )
