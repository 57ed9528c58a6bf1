"""`check`: every promise of the contract asked of one network, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch

from segmodels.compute.deterministic import refused
from segmodels.compute.device import arithmetic
from segmodels.contract.case import CLASSES, Case, size_for
from segmodels.contract.cuda import deterministic_on_cuda
from segmodels.contract.exports import exported_onnx, exported_pt2
from segmodels.contract.promises import (
    alone_as_in_a_batch,
    bfloat16,
    deterministic_on_cpu,
    evaluated_twice,
    every_gradient,
    parameters,
    published,
    same_weights,
    shapes,
)
from segmodels.contract.result import BrokenError, Found, NotAskedError, Report, Result
from segmodels.errors import SegmodelsError
from segmodels.spec import ModelSpec, Size

CHECKS: dict[str, Callable[[Case], Found]] = {
    "count": published,
    "shapes": shapes,
    "gradients": every_gradient,
    "bytes": same_weights,
    "batch": alone_as_in_a_batch,
    "twice": evaluated_twice,
    "bf16": bfloat16,
    "pt2": exported_pt2,
    "onnx": exported_onnx,
    "cpu": deterministic_on_cpu,
    "cuda": deterministic_on_cuda,
}


def check(
    declared: ModelSpec,
    classes: int = CLASSES,
    size: Size | None = None,
    options: Mapping[str, object] | None = None,
    only: Collection[str] = tuple(CHECKS),
) -> Report:
    """Ask a network what the contract promises, built for so many classes and a small size that fits it.

    only: the names of the checks to do; the others are not in the report. Raises SegmodelsError where the network
    cannot be built at all. torch's random numbers and arithmetic are afterwards as they were.
    """
    resolved = declared.resolve(options or {})
    case = Case(declared, classes, size or size_for(declared.rule(resolved)), resolved)
    with torch.random.fork_rng(), arithmetic(fast=False):
        count = parameters(case.build())
        results = {name: _result(ask, case) for name, ask in CHECKS.items() if name in only}
    return Report(declared.name, classes, case.size, resolved, count, results)


def _result(ask: Callable[[Case], Found], case: Case) -> Result:
    """What a check says; what a network raises is an answer too."""
    try:
        with refused(case.declared.name):
            found = ask(case)
    except BrokenError as broken:
        return Result("wrong", str(broken))
    except NotAskedError as reason:
        return Result("not asked", str(reason))
    except SegmodelsError as error:
        return Result("wrong", str(error))
    except Exception as error:  # a foreign network raises whatever its author or library does
        return Result("wrong", f"it raises {type(error).__name__}: {first_line(error)}")
    return Result("ok", found.detail, found.figure)


def first_line(error: Exception) -> str:
    """Of what an exception says."""
    return (str(error).strip() or "without a word").splitlines()[0]
