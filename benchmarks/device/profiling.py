"""Cards `profile-NETWORK`: what the time of a training step goes to, operation by operation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

import segmodels
from benchmarks.device.card import Bench, Row
from benchmarks.device.training import BATCH, let_go
from benchmarks.train import SMALL
from segmodels.bench.clock import clocked, times
from segmodels.config import TrainConfig
from segmodels.data import Batch
from segmodels.device import arithmetic, choose_device
from segmodels.optim import clip_gradients, make_optimizer
from segmodels.train import _backward

SHOWN = 14  # operations
CLASSES = 20


def profile(bench: Bench, network: str) -> Iterator[Row]:
    """The operations of a training step that take the device longest: reproducible, then fast; bf16, channels last."""
    device = choose_device(bench.device)
    size = (64, 128) if bench.rehearsal else (512, 1024)
    declared = segmodels.spec(network)
    options = declared.resolve(SMALL[network] if bench.rehearsal else {})
    stride = declared.geometry(options).stride
    config = TrainConfig(network, bench.streets, bench.scratch, precision="bf16", channels_last=True)
    config = replace(config, batch_size=1 if bench.rehearsal else BATCH.get(network, 8))
    for fast in (False, True):
        with arithmetic(fast=fast):
            model = declared.build(CLASSES, size, options).train()
            model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            optimizer = make_optimizer(config.optimizer, model, config.lr, momentum=0.9, weight_decay=0.01)
            images = torch.randint(256, (config.batch_size, *size, 3), dtype=torch.uint8)
            targets = torch.randint(CLASSES, (config.batch_size, *(side // stride for side in size)), dtype=torch.uint8)
            batch = Batch((), images.to(device), targets.to(device))

            def step(model=model, optimizer=optimizer, batch=batch) -> None:  # type: ignore[no-untyped-def]
                optimizer.zero_grad()
                _backward(model, batch, config, declared.step_weights, None, device)
                clip_gradients(model, config.clip)
                optimizer.step()

            for _ in range(3):
                step()
            ms = [clocked(step, device)[1] for _ in range(3)]
            kinds = [torch.profiler.ProfilerActivity.CPU]
            kinds += [torch.profiler.ProfilerActivity.CUDA] if device.type == "cuda" else []
            with torch.profiler.profile(activities=kinds) as taken:
                step()
                if device.type == "cuda":
                    torch.cuda.synchronize()
            events = taken.key_averages()
            print(events.table(sort_by="self_device_time_total", row_limit=30, max_name_column_width=90))
            spent = {event.key: event.self_device_time_total or event.self_cpu_time_total for event in events}
            top = sorted(spent, key=lambda key: -spent[key])[:SHOWN]
            yield {
                "network": network,
                "fast": fast,
                "step_ms": times(ms).median,
                "operations_ms": {key[:120]: spent[key] / 1000 for key in top},
            }
            del model, optimizer, batch, step
        let_go(bench.device)


def says(rows: Sequence[Row]) -> str:
    return "; ".join(
        f"{'fast' if row['fast'] else 'reproducible'} {row['step_ms']:.0f} ms: "
        + ", ".join(f"{name[:40]} {ms:.1f}" for name, ms in list(row["operations_ms"].items())[:6])
        for row in rows
    )
