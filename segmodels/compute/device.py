"""Where a network runs, and with which arithmetic."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from segmodels.compute.deterministic import refused
from segmodels.compute.processors import most_threads
from segmodels.errors import SegmodelsError
from segmodels.prediction import Prediction

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # read by cuBLAS when CUDA starts: without it its sums may differ between runs
WORKSPACE = ":4096:8"


def choose_device(name: str) -> torch.device:
    """The device of `auto`, `cpu`, `cuda` or `cuda:N`; `auto` is CUDA where there is one.

    Without a number it is the first, and for a process of torchrun that of its place on the machine.

    Raises SegmodelsError where CUDA is asked for and absent.
    """
    kind, colon, index = name.partition(":")
    if kind == "auto" and not colon:
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cpu" and not colon:
        return torch.device("cpu")
    if kind != "cuda" or (colon and not index.isdecimal()):
        raise SegmodelsError(f"--device is {name!r}, expected auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available():
        why = "torch was built without CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
        raise SegmodelsError(f"--device is {name}, but {why}. Use --device cpu, or auto")
    number = int(index or os.environ.get("LOCAL_RANK", "0"))
    if number >= torch.cuda.device_count():
        raise SegmodelsError(f"--device is {name}, but there are {torch.cuda.device_count()}: cuda:0 is the first")
    return torch.device("cuda", number)


@contextmanager
def arithmetic(*, fast: bool) -> Iterator[None]:
    """Inside: the same bits for the same work, or (`fast`) whatever is fastest; outside: as it was.

    Whatever the process that calls has set in torch (default type and device, precision of products, oneDNN, cuDNN,
    denormal numbers), inside it is as torch starts.

    Reproducible means deterministic algorithms, no timing of kernels against each other, and float32 that is
    float32 (cuDNN takes TF32 for it by default). Enter it before anything touches CUDA.

    The debug mode is what `use_deterministic_algorithms` sets, without the two seconds in which that imports torch's
    compiler to tell it as well: `compiled` does so. With deterministic algorithms torch also fills all memory that it
    allocates, for code that reads memory before writing it. This code does not, and on a GPU that was a kernel for each
    of thousands of tensors a step, a tenth to a fifth of the time.
    """
    os.environ.setdefault(CUBLAS, WORKSPACE)
    with _as_torch_starts(), _deterministic(fast), refused():
        yield


def default_threads() -> int:
    """Threads of the CPU where no number is given: torch's own, but no more than can run at a time."""
    return min(torch.get_num_threads(), most_threads() or torch.get_num_threads())


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Inside so many threads of the CPU, among which sums are split; None: as many as there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _as_torch_starts() -> Iterator[None]:
    """The state of torch that a fresh process has, as far as it has a say in the bits."""
    mkldnn, cudnn, matmul = torch.backends.mkldnn, torch.backends.cudnn, torch.backends.cuda.matmul
    places: list[tuple[Any, str, Any]] = [
        (mkldnn, "enabled", True),
        (cudnn, "enabled", True),
        (matmul, "allow_bf16_reduced_precision_reduction", True),
        (matmul, "allow_fp16_reduced_precision_reduction", True),
        *((each, "fp32_precision", "ieee") for each in _precisions() if each.fp32_precision not in {"none", "ieee"}),
    ]
    before = [getattr(place, name) for place, name, _ in places]
    numbers, device = torch.get_default_dtype(), torch.get_default_device()
    products, flushes = _products(), not torch.tensor([1e-310], dtype=torch.float64, device="cpu").mul(1).item()
    for place, name, value in places:
        setattr(place, name, value)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_flush_denormal(False)
    if products != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        for (place, name, _), value in zip(places, before, strict=True):
            setattr(place, name, value)
        torch.set_default_dtype(numbers)
        torch.set_default_device(None if device.type == "cpu" else device)
        torch.set_flush_denormal(flushes)
        if products != "highest":
            torch.set_float32_matmul_precision(products)


def _precisions() -> list[Any]:
    """What float32 is computed as, beside products: torch has it since 2.9."""
    backends = torch.backends
    found = (backends, backends.mkldnn, getattr(backends.mkldnn, "conv", None))
    return [each for each in found if hasattr(each, "fp32_precision")]


def _products() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set in the old way and in the new one, so that torch has no word for it
        return "high"


@contextmanager
def _deterministic(fast: bool) -> Iterator[None]:
    cudnn, matmul, memory = torch.backends.cudnn, torch.backends.cuda.matmul, torch.utils.deterministic
    before = (cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32, torch.get_deterministic_debug_mode())
    fills = memory.fill_uninitialized_memory  # type: ignore[attr-defined]  # torch adds it by a class of its own
    cudnn.benchmark = cudnn.allow_tf32 = matmul.allow_tf32 = fast
    torch.set_deterministic_debug_mode("default" if fast else "error")
    memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32, mode = before
        torch.set_deterministic_debug_mode(mode)
        memory.fill_uninitialized_memory = fills  # type: ignore[attr-defined]


def compiled(network: nn.Module) -> Callable[[Tensor], Prediction]:
    """The network as `torch.compile` makes it, under the present arithmetic."""
    torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())
    return cast(Callable[[Tensor], Prediction], torch.compile(network))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """`bf16` computes convolutions and products in bfloat16; weights, α, β and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch ran out of memory: it has a class for that on CUDA, and words on the CPU."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(each in str(error) for each in words)


@contextmanager
def enough_memory(image: object) -> Iterator[None]:
    """Show an image to a network inside; raises SegmodelsError where the memory is too small for so large a one."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise SegmodelsError(
            f"{image}: the memory is too small for so large an image. Give --window, which shows it in parts"
        ) from None
