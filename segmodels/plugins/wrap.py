"""A foreign network under the contract of ours: sizes that do not fit are refused, logits become a Prediction.

By hooks, so that the names of its tensors stay its own, and its weights load without segmodels too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from segmodels.blocks import check_image
from segmodels.errors import SegmodelsError
from segmodels.prediction import Prediction
from segmodels.spec import Geometry, Size


def wrapped(network: nn.Module, geometry: Geometry, classes: int, size: Size) -> nn.Module:
    """The same network, which returns a Prediction, or raises SegmodelsError where its logits have another shape."""
    _check_network(network)
    network.register_forward_pre_hook(partial(_check, geometry=geometry, size=size))
    network.register_forward_hook(partial(_answer, stride=geometry.stride, classes=classes))
    for module in network.modules():
        if isinstance(module, nn.MaxUnpool2d):
            module.forward = partial(_unpool, module)  # type: ignore[method-assign]
    return network


def as_prediction(output: Any) -> Prediction:
    """What a network returned. Raises SegmodelsError where it is neither logits nor a Prediction."""
    if isinstance(output, Tensor):
        output = Prediction(output, (output,), {})
    if isinstance(output, Prediction):
        _check_fields(output)
        return output
    raise SegmodelsError(
        f"the network returns {type(output).__name__}, expected a tensor of logits, or with several outputs "
        "segmodels.Prediction(logits, steps, extras), where `steps` are all outputs that the loss sees"
    )


def _check_fields(prediction: Prediction) -> None:
    """Raise SegmodelsError where a Prediction of others holds something else than its fields say."""
    logits, steps, extras = prediction
    found = ""
    if (
        not isinstance(steps, tuple | list)
        or not steps
        or not all(isinstance(each, Tensor) for each in (logits, *steps))
    ):
        found = (
            f"logits is {type(logits).__name__}, and steps {_listed(steps)}; expected a tensor, and one tensor or more"
        )
    elif not all(each.is_floating_point() for each in (logits, *steps)):
        found = f"its logits are {logits.dtype}, expected numbers such as torch.float32"
    elif not isinstance(extras, dict) or not all(isinstance(each, Tensor) for each in extras.values()):
        found = f"extras is {_listed(extras)}, expected tensors by their names, or {{}}"
    if found:
        raise SegmodelsError(f"what the network returns is no Prediction: {found}")


def _listed(values: Any) -> str:
    if not isinstance(values, tuple | list | dict):
        return type(values).__name__
    inside = values.values() if isinstance(values, dict) else values
    return f"a {type(values).__name__} of {', '.join(type(each).__name__ for each in inside) or 'nothing'}"


def _check_network(network: nn.Module) -> None:
    """Raise SegmodelsError where a network cannot be trained and kept as the tensors that it has from the beginning."""
    name = type(network).__name__
    lazy = [path for path, each in network.named_parameters() if nn.parameter.is_lazy(each)]
    lazy += [path for path, each in network.named_buffers() if nn.parameter.is_lazy(each)]
    if lazy:
        raise SegmodelsError(f"{name}: {lazy[0]} has no shape before the first image: give its number of channels")
    if not any(True for _ in network.parameters()):
        raise SegmodelsError(f"{name} has no parameters: there is nothing to train")
    other = [path for path, each in network.state_dict().items() if not isinstance(each, Tensor)]
    if other:
        raise SegmodelsError(
            f"{name}: its state_dict() holds {other[0]}, which is no tensor: weights are tensors alone"
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
    if network.training and torch.is_grad_enabled() and not all(each.requires_grad for each in prediction.steps):
        raise SegmodelsError(
            f"{type(network).__name__}: its outputs have no gradient in training, so nothing can be learned: look for "
            "detach() and no_grad(), and for parameters that do not require one"
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
