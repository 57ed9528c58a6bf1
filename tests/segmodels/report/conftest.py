"""A small pipeline's results: five runs on two sets, trained for two steps, scored, counted, one swept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segdata import ShardSet
from segdata.base.canonical import pretty_json
from segdata.looking.stats import stats
from segmodels.config.config import TrainConfig
from segmodels.inference.trained import load_trained
from segmodels.networks import spec
from segmodels.report import report
from segmodels.report.read.collect import Folders
from segmodels.runs.run import Run
from segmodels.scoring.evaluate import evaluate
from segmodels.training.train import train

SMALL = {"width": 8, "depth": 2, "steps": 2}
RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "dilated_unet": ("dilated_unet", "streets", {"width_factor": 0.125}),
    "percentile": ("percentile", "streets", {"width_factor": 0.0625}),
    "iterative_v6": ("iterative_v6", "wilds", SMALL),
    "res_hourglass": ("res_hourglass", "wilds", SMALL),
    "distill_x2": ("distill_x2", "wilds", {"width": 8, "depth": 2}),
}


@pytest.fixture(scope="session")
def pipeline(make_lessons: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """What `dvc repro` leaves: not to be changed."""
    home = tmp_path_factory.mktemp("pipeline")
    folders = Folders(home / "runs", home / "scores", home / "stats", home / "shards", home / "bench")
    for folder in (folders.runs, folders.scores, folders.stats, folders.shards):
        folder.mkdir()
    for name, dataset in (("streets", "cityscapes"), ("wilds", "tas500")):
        (folders.shards / name).symlink_to(make_lessons(dataset))
        (folders.stats / f"{name}.json").write_bytes(pretty_json(stats(folders.shards / name)))
    for name, (network, shards, options) in RUNS.items():
        train_and_score(folders, name, network, folders.shards / shards, options)
    (home / "bench" / "percentile").mkdir(parents=True)
    write_sweep(folders, "percentile", folders.shards / "streets")
    return folders


def train_and_score(folders: Folders, name: str, network: str, shards: Path, options: dict[str, Any]) -> None:
    """Two steps of training, then the scores on val."""
    chosen = tuple(sorted(spec(network).resolve(options).items()))
    few: dict[str, Any] = {"epochs": None, "steps": 2, "batch_size": 4, "workers": 0, "ema": 0.0, "scale": (1.0, 1.0)}
    few["train_scores"] = 2
    train(TrainConfig(network, shards, folders.runs / name, chosen, device="cpu", **few))
    segmenter = load_trained(folders.runs / name, torch.device("cpu"))
    evaluate(segmenter, ShardSet(shards, "val"), folders.scores / name)


def write_sweep(folders: Folders, run: str, shards: Path) -> None:
    """sweep.json as `segmodels sweep --knob q` has it."""
    rows = [
        {"value": q, "shares": [1.0, q, q * q], "macs": int(1e7 * (1 + q)), "ms_median": 3 + q, "ms_p95": 5 + q}
        | {"miou": 0.1 + q / 100, "run": Run(folders.runs / run).document()["id"], "network": "percentile"}
        for q in (0.0, 0.5, 1.0)
    ]
    images = ShardSet(shards, "val")
    document = {
        "format": 1,
        "run": rows[0]["run"],
        "network": "percentile",
        "knob": "q",
        "split": "val",
        "shards": {"name": images.manifest.name, "fingerprint": images.digest},
        "device": "a processor",
        "threads": 2,
        "full_macs": 20_000_000,
        "rows": rows,
    }
    assert folders.bench
    (folders.bench / run / "sweep.json").write_bytes(pretty_json(document))


@pytest.fixture
def copied(pipeline: Folders, tmp_path: Path) -> Folders:
    """The same, to be damaged."""
    assert pipeline.bench
    for folder in (pipeline.runs, pipeline.scores, pipeline.stats, pipeline.bench, pipeline.shards):
        shutil.copytree(folder, tmp_path / folder.name, symlinks=True)
    return Folders(*(tmp_path / each for each in ("runs", "scores", "stats", "shards", "bench")))


@pytest.fixture
def edit() -> Callable[..., None]:
    """edit(path, name=value, …): a JSON file with other values; `...` takes a name away."""

    def change(path: Path, **values: Any) -> None:
        document = json.loads(path.read_text()) | values
        kept = {name: value for name, value in document.items() if value is not ...}
        path.write_bytes(pretty_json(kept))

    return change


@pytest.fixture(scope="session")
def written(pipeline: Folders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the small pipeline, made on one thread: sums depend on how many there are."""
    out = tmp_path_factory.mktemp("report")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    report(pipeline, out, 2)
    torch.set_num_threads(before)
    return out
