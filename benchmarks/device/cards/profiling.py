"""Cards `profile-NETWORK`: what the time of a training step goes to, operation by operation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

import segmodels
from benchmarks.device.card import Bench, Row
from benchmarks.device.cards.training import BATCH
from benchmarks.networks.train import SMALL
from segmodels.bench.clock import clocked, times
from segmodels.compute.device import arithmetic, choose_device
from segmodels.config.config import TrainConfig
from segmodels.data.batches import Batch
from segmodels.training.ema import start_ema, update_ema
from segmodels.training.losses import backward
from segmodels.training.optim import clip_gradients, make_optimizer

SHOWN = 60  # operations
CLASSES = 20


def profile(bench: Bench, network: str) -> Iterator[Row]:
    """What takes the device longest in a reproducible training step: by operation, and by operation and shapes."""
    device = choose_device(bench.device)
    size = (64, 128) if bench.rehearsal else (512, 1024)
    declared = segmodels.spec(network)
    options = declared.resolve(SMALL[network] if bench.rehearsal else {})
    stride = declared.geometry(options).stride
    config = TrainConfig(network, bench.streets, bench.scratch, precision="bf16", channels_last=True)
    config = replace(config, batch_size=1 if bench.rehearsal else BATCH.get(network, 8))
    with arithmetic(fast=False):
        model = declared.build(CLASSES, size, options).train()
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = make_optimizer(config.optimizer, model, config.lr, momentum=0.9, weight_decay=0.01)
        average = start_ema(model)
        images = torch.randint(256, (config.batch_size, *size, 3), dtype=torch.uint8)
        targets = torch.randint(CLASSES, (config.batch_size, *(side // stride for side in size)), dtype=torch.uint8)
        batch = Batch((), images.to(device), targets.to(device))

        def step() -> None:
            optimizer.zero_grad()
            backward(model, batch, config, declared.step_weights, None, device)
            clip_gradients(model, config.clip)
            optimizer.step()
            update_ema(average, model, config.ema, 0)

        for _ in range(3):
            step()
        ms = [clocked(step, device)[1] for _ in range(5)]
        kinds = [torch.profiler.ProfilerActivity.CPU]
        kinds += [torch.profiler.ProfilerActivity.CUDA] if device.type == "cuda" else []
        with torch.profiler.profile(activities=kinds, record_shapes=True) as taken:
            step()
            if device.type == "cuda":
                torch.cuda.synchronize()
    spent: dict[str, list[float]] = {}
    for shapes in (False, True):
        events = taken.key_averages(group_by_input_shape=shapes)
        for event in events:
            took = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
            name = f"{event.key[:90]} {event.input_shapes if shapes else ''}"[:220]
            spent[name] = [took / 1000, event.self_cpu_time_total / 1000, event.count]
    top = sorted(spent, key=lambda name: -spent[name][0])[:SHOWN]
    yield {
        "network": network,
        "batch_size": config.batch_size,
        "step_ms": times(ms).median,
        "operations": {name: [round(each, 2) for each in spent[name]] for name in top},  # device ms, host ms, calls
    }


def says(rows: Sequence[Row]) -> str:
    (row,) = rows
    found = (f"{name[:40]} {took[0]:.1f}" for name, took in list(row["operations"].items())[:6])
    return f"{row['step_ms']:.0f} ms: {', '.join(found)}"
