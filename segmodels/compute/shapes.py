"""Networks that have shapes and no numbers: to count, to compare, to recognise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode


@contextmanager
def without_memory() -> Iterator[None]:
    """Networks that are built inside take no memory, and nothing is drawn for them, which would take most of the time.

    Their tensors have names, shapes and types. torch's generators stay where they are.
    """
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    FILLED = frozenset({init.kaiming_uniform_, Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return next(iter((*args, *kwargs.values()))) if func in self.FILLED else func(*args, **kwargs)
