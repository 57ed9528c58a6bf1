"""What a library builds, declared as a network: its size rule is measured, its sizes and outputs are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from segmodels.adapters.library import Library, asking, said
from segmodels.errors import SegmodelsError
from segmodels.plugins.measure import SIDE, measured
from segmodels.plugins.wrap import as_prediction, wrapped
from segmodels.spec import Geometry, ModelSpec, Options, Size

SMALLEST = 32  # pixels a side: most encoders halve the image five times
Build = Callable[..., nn.Module]  # build(classes, size or None where any will do, **options): logits or a Prediction


def fitted(
    name: str,
    library: Library,
    build: Build,
    *,
    fixed_size: bool | None = False,
    rule: Callable[[Options], Geometry] | None = None,
    **fields: Any,
) -> ModelSpec:
    """The declaration of the network `name`, which `build` has the library make.

    `fixed_size`: it takes images of the size that it is built for and no others; None: it does where no rule for other
    sizes is found. `rule` is the size rule where it is known beforehand. `fields` are those of ModelSpec.
    """
    rule = rule or partial(_rule, name, build, fixed_size)
    factory = partial(_build, name, build, rule)
    return ModelSpec(name=name, family=library.extra, factory=factory, rule=rule, origin=library.origin, **fields)


def _build(
    name: str, build: Build, rule: Callable[[Options], Geometry], classes: int, size: Size, **options: Any
) -> nn.Module:
    geometry = rule(options)
    network = _ask(name, build, geometry.fixed_size, classes, size, **options)
    if not torch.empty(0).is_meta:
        seen = size if geometry.fixed_size else (SIDE, SIDE)
        unused = _unused(name, build, geometry.fixed_size, seen, tuple(sorted(options.items())))
        for path, parameter in network.named_parameters():
            parameter.requires_grad_(path not in unused)
    return wrapped(network, geometry, classes, size)


def _ask(name: str, build: Build, fixed_size: bool, classes: int, size: Size, **options: Any) -> nn.Module:
    """The library builds it. Some read numbers of tensors meanwhile, which those without memory do not have."""
    with asking(name):
        asked = partial(build, classes, size if fixed_size else None, **options)
        if not torch.empty(0).is_meta:
            return asked()
        try:
            return asked()
        except (RuntimeError, NotImplementedError):
            with _Readable():
                return asked()


class _Readable(TorchFunctionMode):
    """Inside, a row of numbers such as the rates of stochastic depth can be read, though nothing has memory."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        here = {"device": "cpu"} if func is torch.linspace else {}
        return func(*args, **here | dict(kwargs or {}))


@lru_cache(maxsize=256)
def _unused(
    name: str, build: Build, fixed_size: bool, size: Size, options: tuple[tuple[str, Any], ...]
) -> frozenset[str]:
    """The parameters on which no output depends: a library builds more of an encoder than a decoder uses.

    Raises SegmodelsError where the network does not take images of this size after all: some take only square ones.
    """
    with torch.inference_mode(False), torch.enable_grad(), torch.device("meta"):  # whoever builds it, wherever
        network = _ask(name, build, fixed_size, 2, size, **dict(options)).train()
        try:
            outputs = as_prediction(network(torch.empty(2, 3, *size))).steps
        except Exception as error:  # each library has its own kinds
            raise SegmodelsError(f"{name} takes no images of {size[0]}x{size[1]}: {said(error)}") from error
        named = dict(network.named_parameters())
        total = torch.stack([each.sum() for each in outputs]).sum()
        gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    return frozenset(path for path, each in zip(named, gradients, strict=True) if each is None)


def _rule(name: str, build: Build, fixed_size: bool | None, options: Options) -> Geometry:
    """Stride and size rule, as networks without memory show them. Raises SegmodelsError."""
    return _measure(name, build, fixed_size, tuple(sorted(options.items())))


@lru_cache(maxsize=256)
def _measure(name: str, build: Build, fixed_size: bool | None, options: tuple[tuple[str, Any], ...]) -> Geometry:
    asked = partial(_ask, name, build, bool(fixed_size))
    try:
        with asking(name):
            if fixed_size:
                return measured(asked, SMALLEST, True, dict(options))
            found = measured(asked, 1, False, dict(options))
            return found._replace(min_size=max(SMALLEST, found.size_multiple))
    except SegmodelsError as error:
        if fixed_size is None:
            return _measure(name, build, True, options)
        if error.__cause__ is None or str(error).startswith(name):
            raise
        why = said(error.__cause__)
        raise SegmodelsError(f"{name} takes no images of {SIDE}x{SIDE} with these options: {why}") from error
