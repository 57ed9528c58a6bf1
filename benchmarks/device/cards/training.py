"""Cards `train-NETWORK` and `memory`: images a second of the real loop at 512x1024, and memory beside the counted."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

import segmodels
from benchmarks.device.card import Bench, Row
from benchmarks.networks import memory as counting
from benchmarks.networks.train import SMALL, measure
from segmodels.config.config import TrainConfig

STEPS, SECONDS = 12, 2.5  # of each figure once warm, at most
BATCH = {"percentile": 4}  # elsewhere 8: its 9x9 convolutions at full size are 18 TFLOP an image
RESULT = Path(__file__).parents[2] / "results" / "memory.json"


class Variant(NamedTuple):
    """How a training computes."""

    precision: str = "bf16"
    channels_last: bool = True
    fast: bool = False
    compile: bool = False
    held: bool = False  # one batch again and again


# The first is what the others are compared with, and is measured once more: what the clock drifts by.
VARIANTS = (Variant(), Variant(held=True), Variant(channels_last=False), Variant(), Variant(precision="fp32"))
DETERMINISM = (Variant(), Variant(fast=True), Variant(precision="fp32"), Variant(precision="fp32", fast=True))
COMPILED = (Variant(), Variant(compile=True), Variant(compile=True, fast=True))


def training(bench: Bench, network: str, variants: Sequence[Variant] = VARIANTS) -> Iterator[Row]:
    """A row for each variant: the loop as `segmodels train` runs it, from painted streets of 1024x2048."""
    options = segmodels.spec(network).resolve(SMALL[network] if bench.rehearsal else {})
    base = TrainConfig(
        network,
        bench.streets,
        bench.scratch,
        tuple(sorted(options.items())),
        epochs=None,
        steps=10**6,
        validate_every=10**6,
        batch_size=2 if bench.rehearsal else BATCH.get(network, 8),
        crop=(64, 128) if bench.rehearsal else (512, 1024),
        workers=12,
        device=bench.device,
    )
    for number, variant in enumerate(variants):
        how = {name: value for name, value in variant._asdict().items() if name != "held"}
        config = replace(base, out=bench.scratch / str(number), **how)
        figures = measure(config, 1 if bench.rehearsal else STEPS, SECONDS, held=variant.held)
        yield {
            "network": network,
            **variant._asdict(),
            "crop": config.crop,
            "batch_size": config.batch_size,
            "workers": config.workers,
            **figures,
        }
        let_go(bench.device)


def says(rows: Sequence[Row]) -> str:
    """Images a second of the first; what determinism costs; waiting for data."""
    first = rows[0]
    words = [f"{first['images_per_second']:.1f} images/s, waiting {first['waiting_share']:.1%}"]
    for row in rows[1:]:
        changed = [name for name in Variant._fields if row[name] != first[name]]
        what = " ".join(str(row[name]) if name == "precision" else name for name in changed) or "again"
        words.append(f"{what.replace('channels_last', 'contiguous')} x{first['step_ms'] / row['step_ms']:.2f}")
    return ", ".join([*words, f"{first['peak_memory_bytes'] / 2**30:.1f} GiB"])


def memory(bench: Bench) -> Iterator[Row]:
    """What two steps of every full recipe take, beside what benchmarks/networks/memory.py counted without computing."""
    counted = json.loads(RESULT.read_text())
    recipes = list(counting.recipes())
    if bench.rehearsal:
        recipes = [(run, replace(config, batch_size=1), classes, (96, 96)) for run, config, classes, _ in recipes[3:5]]
    for run, config, classes, size in recipes:
        taken = counting.taken(config, classes, size, torch.device(bench.device))
        yield {"run": run, "size": size, "batch_size": config.batch_size, "counted_GiB": counted[run]["GiB"]} | taken
        let_go(bench.device)


def says_memory(rows: Sequence[Row]) -> str:
    shares = sorted(row["GiB"] / row["counted_GiB"] for row in rows)
    return f"{len(rows)} recipes, measured over counted {shares[0]:.2f} to {shares[-1]:.2f}"


def let_go(device: str) -> None:
    """What the last figure held on the device."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
