"""Which of torch's operations a network calls, forward and backward, and which of them CUDA refuses.

The table is that of torch 2.13: `torch.use_deterministic_algorithms` names the operations that raise an error under it,
and the names in torch's CUDA library agree. Operations that become deterministic under it are not in the table
(convolutions, index_put, scatter_add, replication padding, attention, …), nor is the loss, which is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

Where = dict[str, list[str]]  # operation → the modules that call it, each once; "" is the network itself


def _always(arguments: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    return True


def _is_float(arguments: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    return bool((options.get("dtype") or arguments[0].dtype).is_floating_point)


def _is_weighted(arguments: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    return (arguments[1] if len(arguments) > 1 else options.get("weights")) is not None


def _multiplies(arguments: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    return "prod" in {*filter(_is_text, arguments), options.get("reduce")}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _reduces(arguments: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    return bool(arguments[3] if len(arguments) > 3 else options.get("reduction", 1))


RAISES: dict[str, Callable[[tuple[Any, ...], Mapping[str, Any]], bool]] = {
    **dict.fromkeys(
        (
            *("avg_pool3d_backward",),
            *("_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward"),
            *("adaptive_max_pool2d_backward", "adaptive_max_pool3d_backward"),
            *("fractional_max_pool2d_backward", "fractional_max_pool3d_backward"),
            *("max_unpool2d", "max_unpool3d"),
            *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_trilinear3d_backward"),
            *("upsample_bicubic2d_backward", "_upsample_bilinear2d_aa_backward", "_upsample_bicubic2d_aa_backward"),
            *("reflection_pad1d_backward", "reflection_pad2d_backward", "reflection_pad3d_backward"),
            *("grid_sampler_2d_backward", "grid_sampler_3d_backward"),
            *("_ctc_loss_backward", "histc", "put", "put_", "median.dim", "nanmedian.dim"),
            *("torchvision::_roi_align_backward", "torchvision::_roi_pool_backward"),
            *("torchvision::_ps_roi_align_backward", "torchvision::_ps_roi_pool_backward"),
            "torchvision::_deform_conv2d_backward",
        ),
        _always,
    ),
    "cumsum": _is_float,
    "bincount": _is_weighted,
    "scatter_reduce": _multiplies,
    "scatter_reduce_": _multiplies,
    "nll_loss2d_forward": _reduces,
}


class Listed(TorchDispatchMode):
    """Inside, operations of RAISES are noted with the module that calls them; of a backward pass, with no module."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.forward: Where = {}  # every operation
        self.found: Where = {}  # those of RAISES
        self._network = network
        self._inside = [""]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        here = [self._inside[-1]] if self._inside else []
        _note(self.forward, name, here)
        for key in (name, f"{name}.{func._overloadname}"):
            if key in RAISES and RAISES[key](args, options):
                _note(self.found, name, here or self.forward.get(_forward_of(name), []))
        return func(*args, **options)

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Inside, the network's modules say when they are called."""
        handles = []
        for path, module in self._network.named_modules():
            handles.append(module.register_forward_pre_hook(partial(self._enter, path)))
            handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def backward(self, loss: Tensor) -> None:
        """The backward pass, whose operations belong to those modules that called their forward ones."""
        self._inside = []
        loss.backward()  # type: ignore[no-untyped-call]

    def _enter(self, path: str, module: nn.Module, inputs: object) -> None:
        self._inside.append(path)

    def _leave(self, module: nn.Module, inputs: object, output: object) -> None:
        self._inside.pop()


def _note(where: Where, name: str, modules: list[str]) -> None:
    known = where.setdefault(name, [])
    known.extend(each for each in modules if each not in known)


def _forward_of(name: str) -> str:
    """The operation whose backward pass this is."""
    return name.removesuffix("_backward").replace("torchvision::_", "torchvision::")


def offenders(network: nn.Module, loss_of: Callable[[nn.Module], Tensor]) -> Where:
    """Operations of one training step, forward and backward, that raise on CUDA, with the modules that call them."""
    listed = Listed(network)
    with listed:
        with listed.naming():
            loss = loss_of(network)
        listed.backward(loss)
    return listed.found
