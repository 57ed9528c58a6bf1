"""A foreign network under the contract of ours: sizes that do not fit are refused, logits become a Prediction.

By hooks, so that the names of its tensors stay its own, and its weights load without segmodels too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from segmodels.blocks import check_image
from segmodels.errors import SegmodelsError
from segmodels.prediction import Prediction
from segmodels.spec import Geometry, Size


def wrapped(network: nn.Module, geometry: Geometry, classes: int, size: Size) -> nn.Module:
    """The same network, which returns a Prediction, or raises SegmodelsError where its logits have another shape."""
    network.register_forward_pre_hook(partial(_check, geometry=geometry, size=size))
    network.register_forward_hook(partial(_answer, stride=geometry.stride, classes=classes))
    for module in network.modules():
        if isinstance(module, nn.MaxUnpool2d):
            module.forward = partial(_unpool, module)  # type: ignore[method-assign]
    return network


def as_prediction(output: Any) -> Prediction:
    """What a network returned. Raises SegmodelsError where it is neither logits nor a Prediction."""
    if isinstance(output, Prediction):
        return output
    if isinstance(output, Tensor):
        return Prediction(output, (output,), {})
    raise SegmodelsError(
        f"the network returns {type(output).__name__}, expected a tensor of logits, or with several outputs "
        "segmodels.Prediction(logits, steps, extras), where `steps` are all outputs that the loss sees"
    )


def _check(network: nn.Module, inputs: tuple[Any, ...], geometry: Geometry, size: Size) -> None:
    check_image(inputs[0], geometry, size)


def _answer(network: nn.Module, inputs: tuple[Any, ...], output: Any, stride: int, classes: int) -> Prediction:
    prediction = as_prediction(output)
    batch, _, height, width = inputs[0].shape
    wanted = (batch, classes, height // stride, width // stride)
    outputs = {"logits": prediction.logits} | {f"steps[{i}]": each for i, each in enumerate(prediction.steps)}
    for name, each in outputs.items():
        if tuple(each.shape) != wanted:
            also = (
                "" if name == "logits" else ". All outputs in `steps` have the shape of the logits: resize it to them"
            )
            raise SegmodelsError(
                f"{type(network).__name__}: {name} of shape {tuple(each.shape)} for an image of {height}x{width}, "
                f"expected {wanted}: {classes} classes at stride {stride}{also}"
            )
    return prediction


def _unpool(module: nn.MaxUnpool2d, x: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
    """What SegNet does instead of enlarging: each of (B, C, h, w) goes where max pooling found it: (B, C, H, W).

    torch's own has no deterministic version, on no device.
    """
    sides = zip(x.shape[2:], *map(_pair, (module.kernel_size, module.stride, module.padding)), strict=True)
    height, width = output_size[-2:] if output_size else [(h - 1) * s - 2 * p + k for h, k, s, p in sides]
    empty = x.new_zeros(*x.shape[:2], height * width)
    return empty.scatter(2, indices.flatten(2), x.flatten(2)).view(*x.shape[:2], height, width)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)
