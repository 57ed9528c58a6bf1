"""How much memory a figure takes, and how much there is."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

STATUS, MEMORY, RESET = Path("/proc/self/status"), Path("/proc/meminfo"), Path("/proc/self/clear_refs")


def resident() -> int:
    """Bytes of memory that this process holds now; 0 where the system does not tell."""
    return _field(STATUS, "VmRSS")


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
    return _field(STATUS, "VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def available() -> int | None:
    """Bytes that new work on the CPU may take; None where the system does not tell."""
    return _field(MEMORY, "MemAvailable") or None


_UNIT = 1 if sys.platform == "darwin" else 1024


def _field(path: Path, name: str) -> int:
    """`VmRSS:   2148 kB`."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(found[0]) if found else 0
