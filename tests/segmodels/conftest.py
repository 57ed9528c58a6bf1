"""Painted Cityscapes as shards, and run folders of untrained networks: what evaluation, prediction and export need."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

import segdata
import segmodels
from segdata import ShardSet
from segdata.labels.taxonomy import load_taxonomy
from segdata.synth import paint
from segmodels.config.config import TrainConfig
from segmodels.runs.checkpoint import save_weights
from segmodels.runs.identity import about_weights
from segmodels.runs.run import Run, write_document

SIZE = (64, 128)  # of the painted frames
MEAN, STD = (0.3, 0.35, 0.3), (0.2, 0.2, 0.2)


@pytest.fixture(scope="session")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Painted Cityscapes as it comes: leftImg8bit and gtFine, instances included."""
    root = tmp_path_factory.mktemp("streets")
    paint("cityscapes", root, train=1, val=3, test=2, size=SIZE, seed=3)
    return root


@pytest.fixture(scope="session")
def make_street_shards(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """make_street_shards("cityscapes-34", scales=(1, 2), rule=…, size=…, fit=…): made once, not to be changed."""
    home = tmp_path_factory.mktemp("street-shards")

    def make(taxonomy: str = "cityscapes-20", **options: Any) -> Path:
        out = home / sha256(repr((taxonomy, sorted(options.items()))).encode()).hexdigest()[:16]
        if not out.exists():
            chosen = {"scales": (1, 2, 4, 8), "image_codec": "png", "name": "painted", **options}
            splits = ("train", "val", "test")
            job = segdata.make_job(
                "cityscapes", root=streets, out=out, taxonomy=taxonomy, splits=splits, samples_per_shard=2,
                engine="serial", **chosen,
            )  # fmt: skip
            segdata.prepare(job)
        return out

    return make


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """make_run("dilated_unet", size=(64, 128), width_factor=0.25): a finished run's folder, as far as its users look.

    The weights are random, and such that the classes are mixed.
    """
    home = tmp_path_factory.mktemp("runs")

    def make(name: str, size: tuple[int, int] = SIZE, taxonomy: str = "cityscapes-20", **options: Any) -> Path:
        folder = home / sha256(repr((name, size, taxonomy, sorted(options.items()))).encode()).hexdigest()[:16]
        run = Run(folder)
        if folder.exists():
            return folder
        folder.mkdir()
        classes, complete = load_taxonomy(taxonomy), segmodels.spec(name).resolve(options)
        chosen = tuple(sorted(complete.items()))
        config = TrainConfig(name, Path("shards"), folder, chosen, mean=MEAN, std=STD, device="cpu")
        document = {"config": config.document(), "taxonomy": classes.document(), "id": "0" * 64}
        save_weights(run.weights, mixed(name, len(classes.classes), size, complete), about_weights(document, size, 1))
        for path in {*run.files} - {run.weights}:
            write_document(path, {})
        write_document(run.about, document)
        return folder

    return make


def mixed(name: str, classes: int, size: tuple[int, int], options: Any) -> dict[str, torch.Tensor]:
    """Random weights; α and β away from 0; norms with the statistics of a batch, so that no class wins everywhere."""
    torch.manual_seed(1)
    network = segmodels.build(name, classes, size, **options)
    with torch.no_grad():
        for path, parameter in network.named_parameters():
            if path.rpartition(".")[2] in {"alpha", "beta"}:
                parameter.fill_(0.5)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        network.train()(torch.randn(4, 3, *size))
    return network.state_dict()


@pytest.fixture(scope="session")
def val(make_street_shards: Callable[..., Path]) -> ShardSet:
    return ShardSet(make_street_shards(), "val")


# ---- training ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def make_lessons(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """make_lessons("tas500"): shards to learn from, twelve painted frames and three for validation, made once."""
    home = tmp_path_factory.mktemp("lessons")

    def make(name: str) -> Path:
        out = home / f"{name}-shards"
        if not out.exists():
            paint(name, home / name, train=12, val=3, test=1, size=SIZE, seed=5)
            taxonomy = {"cityscapes": "cityscapes-20", "tas500": "tas500-10"}[name]
            job = segdata.make_job(
                name, root=home / name, out=out, taxonomy=taxonomy, name="painted", splits=("train", "val"),
                scales=(1, 2, 4, 8), samples_per_shard=4, engine="serial",
            )  # fmt: skip
            segdata.prepare(job)
        return out

    return make


@pytest.fixture(scope="session")
def lessons(make_lessons: Callable[[str], Path]) -> Path:
    """Shards of painted streets; not to be changed."""
    return make_lessons("cityscapes")


@pytest.fixture
def lesson(lessons: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """lesson(out="run", lr=0.1, …): six steps (two epochs) of a small network with dropout and running statistics."""

    def make(out: str = "run", network: str = "dilated_unet", **values: Any) -> TrainConfig:
        options = {"width_factor": 0.25} if network == "dilated_unet" else {}
        chosen = tuple(sorted((options | values.pop("options", {})).items()))
        small: dict[str, Any] = {"steps": 6, "epochs": None, "batch_size": 4, "crop": (32, 64), "workers": 0}
        shards = values.pop("shards", lessons)
        return TrainConfig(network, shards, tmp_path / out, chosen, **small | {"device": "cpu"} | values)

    return make
