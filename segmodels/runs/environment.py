"""What a result was computed with: versions, device, commit, settings of the process. Written into run.json, compared
by `verify` and whenever a killed run goes on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from segmodels.compute.device import CUBLAS, WORKSPACE

PACKAGES = ("segdata", "torch", "numpy", "opencv-python-headless", "numba", "safetensors", "isal", "webdataset")

# Variables by which a library takes other kernels, and so other sums, on the same machine.
VARIABLES = (
    *("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS", "DNNL_CPU_ISA_HINTS"),
    *("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"),
    *("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "MKL_DYNAMIC", "OMP_DYNAMIC", "OMP_THREAD_LIMIT"),
    *("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES", "GLIBC_TUNABLES"),
    *("OPENCV_CPU_DISABLE", "OPENCV_IPP", "JSIMD_FORCENONE", "JSIMD_FORCESSE2", "JSIMD_FORCEAVX2"),
    *(CUBLAS, "CUBLASLT_WORKSPACE_SIZE", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
    *("TORCH_BLAS_PREFER_CUBLASLT", "NCCL_ALGO", "NCCL_PROTO"),
)


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Commit, versions, device and settings."""
    return {"commit": commit(), "versions": versions(), "device": describe_device(device), "settings": settings()}


def settings() -> dict[str, str]:
    """What else the bits hang on: instructions that torch takes, the C library's functions, the decoders of JPEG and
    WebP that OpenCV brings, and those of VARIABLES that are set to something else than `arithmetic` sets."""
    import cv2

    decoders = re.findall(r"^\s*(JPEG|WEBP):\s*(.+?)\s*$", cv2.getBuildInformation(), re.MULTILINE)
    found = {
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "libc": " ".join(platform.libc_ver()),
        "opencv": cv2.__version__,
    }
    given = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    if given.get(CUBLAS) == WORKSPACE:
        del given[CUBLAS]
    return found | {name.lower(): version for name, version in decoders} | given


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
