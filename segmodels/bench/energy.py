"""What a CUDA device has drawn, by its own counter (NVML; NVIDIA GPUs since Volta)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from segdata.requirements import advice

Joules = Callable[[], float]  # drawn by the device since its driver was loaded


class Meter(NamedTuple):
    """The counter, or the word that says why there is none."""

    read: Joules | None
    why_not: str = ""


def meter(device: torch.device) -> Meter:
    """The energy counter of a device. It moves every 20 to 100 ms: measure for a second at least."""
    if device.type != "cuda":
        return Meter(None, "no counter for the CPU")
    try:
        import pynvml
    except ImportError:
        return Meter(None, f"nvidia-ml-py is not installed. Run: {advice('energy')}")
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError as error:
        return Meter(None, f"NVML: {error}")
    return Meter(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000)  # counted in mJ
