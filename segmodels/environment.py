"""What a result was computed with: versions, device, commit. Written into run.json, compared by `verify`."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("segdata", "torch", "numpy", "opencv-python-headless", "numba", "safetensors", "isal", "webdataset")


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Commit, versions and device."""
    return {"commit": commit(), "versions": versions(), "device": describe_device(device)}


def versions() -> dict[str, str]:
    """Of everything whose arithmetic, decoding or order has a say in the weights; what is absent is left out."""
    found = {"python": platform.python_version(), "cuda": str(torch.version.cuda or "none")}
    if torch.backends.cudnn.is_available():  # type: ignore[no-untyped-call]
        found["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def describe_device(device: torch.device) -> dict[str, Any]:
    """Name of the device; on the CPU also the number of threads, for sums depend on it."""
    if device.type == "cuda":
        return {"kind": "cuda", "name": torch.cuda.get_device_name(device)}
    return {"kind": "cpu", "name": _processor(), "threads": torch.get_num_threads()}


def commit() -> str | None:
    """The commit that this code was checked out from, `+changes` behind it if files differ; None outside git."""
    here = Path(__file__)
    if _git("ls-files", "--error-unmatch", here.name) is None:
        return None
    head = _git("rev-parse", "HEAD")
    return head and head + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    """The processor's own name where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
