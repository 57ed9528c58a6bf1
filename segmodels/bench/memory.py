"""How much memory a figure takes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

from segmodels.compute.memory import field

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident() -> int:
    """Bytes of memory that this process holds now; 0 where the system does not tell."""
    return field(STATUS, "VmRSS")


def forget_peak(device: torch.device) -> None:
    """The peak starts again from what is held now (on the CPU where Linux allows it)."""
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # torch refuses where nothing was computed there yet
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        RESET.write_text("5")
    except OSError:
        return


def peak(device: torch.device) -> int:
    """Bytes: on CUDA what tensors held at most, on the CPU what this process held at most."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # not ru_maxrss where it can be helped: Linux lets a new process begin with its parent's
    return field(STATUS, "VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


_UNIT = 1 if sys.platform == "darwin" else 1024
