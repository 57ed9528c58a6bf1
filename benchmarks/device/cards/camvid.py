"""Cards `camvid-NETWORK`: train on real frames for so many seconds, score every step on the test split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import segmodels
from benchmarks.device.card import Bench, Row
from benchmarks.device.processes import apart
from benchmarks.networks.camvid import plan, row, trial, within
from benchmarks.networks.camvid import says as words
from benchmarks.networks.train import SMALL
from segdata import ShardSet
from segmodels.compute.device import arithmetic, choose_device
from segmodels.inference.trained import load_trained
from segmodels.scoring.evaluate import evaluate
from segmodels.training.train import train


def camvid(bench: Bench, network: str, seconds: float, seed: int = 0) -> Iterator[Row]:
    """One row: the training, its scores on the 233 test frames, and the score after each stage or iteration."""
    options = segmodels.spec(network).resolve(SMALL[network] if bench.rehearsal else {})
    given: dict[str, Any] = {
        "options": tuple(sorted(options.items())),
        "precision": "bf16",
        "workers": 12,
        "device": bench.device,
        "seed": seed,
        "batch_size": 2 if bench.rehearsal else 8,
    }
    config = plan(network, bench.camvid, bench.scratch / "trial", given)
    seconds = 2.0 if bench.rehearsal else seconds
    config = within(config, seconds, apart(trial, config), bench.scratch / "run")
    print(train(config).metrics)
    device = choose_device(bench.device)
    with arithmetic(fast=False):
        split = ShardSet(bench.camvid, "val" if bench.rehearsal else "test")
        found = evaluate(load_trained(config.out, device), split, bench.scratch / "scores", workers=8)
    assert found
    yield row(config, seconds, found.document)


def says(rows: Sequence[Row]) -> str:
    steps = ", ".join(f"{miou:.3f}" for miou in rows[0]["steps_miou"])
    return words(rows[0]) + (f"; after each step {steps}" if steps else "")
