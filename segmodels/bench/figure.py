"""One figure, measured in this process: forwards of one case at one batch size."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from segmodels.bench.case import Case
from segmodels.bench.clock import series, warm_up
from segmodels.bench.energy import meter
from segmodels.bench.memory import forget_peak, peak, resident
from segmodels.compute.device import arithmetic, autocast, choose_device, compiled
from segmodels.prediction import Prediction
from segmodels.runs.environment import describe_environment


class Figure(NamedTuple):
    """What was measured."""

    batch: int
    ms: list[float]  # of single forwards
    peak_memory_bytes: int  # see `memory.peak`
    base_memory_bytes: int  # of these, what was there before the network: the interpreter and its packages
    joules_per_image: float | None
    no_energy: str  # why there is no energy
    environment: dict[str, Any]


def measure(case: Case, batch: int, seconds: float) -> Figure:
    """Time forwards of `batch` images: from normalised images on the device to logits at the network's stride.

    The images are noise, the same every time. Raises SegmodelsError, and torch's errors where memory ends.
    """
    setting = case.setting
    if setting.threads:
        torch.set_num_threads(setting.threads)
    device = choose_device(setting.device)
    with arithmetic(fast=setting.arithmetic == "fast"), torch.inference_mode():
        base = resident() if device.type == "cpu" else 0
        network = case.subject.build(case.size).to(device)
        network.to(memory_format=setting.memory_format)  # type: ignore[call-overload]  # torch has no signature for it
        run = compiled(network) if setting.compile else network
        noise = torch.randn(batch, 3, *case.size, generator=torch.Generator().manual_seed(0))
        images = noise.to(device, memory_format=setting.memory_format)
        del noise

        def forward() -> Prediction:
            with autocast(device, setting.precision):
                prediction: Prediction = run(images)
            return prediction

        warm_up(forward, device)
        forget_peak(device)
        counter = meter(device)
        before = counter.read() if counter.read else 0.0
        ms = series(forward, device, seconds)
        joules = (counter.read() - before) / (batch * len(ms)) if counter.read else None
        return Figure(batch, ms, peak(device), base, joules, counter.why_not, describe_environment(device))
