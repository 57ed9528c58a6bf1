"""What a library builds, declared as a network: its size rule is measured, its sizes and outputs are checked."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from torch import nn

from segmodels.adapters.library import Library, asking, said
from segmodels.errors import SegmodelsError
from segmodels.plugins.measure import SIDE, measured
from segmodels.plugins.wrap import wrapped
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
    if geometry.fixed_size and not torch.empty(0).is_meta:
        _try(name, build, size, tuple(sorted(options.items())))
    return wrapped(_ask(name, build, geometry.fixed_size, classes, size, **options), geometry, classes, size)


def _ask(name: str, build: Build, fixed_size: bool, classes: int, size: Size, **options: Any) -> nn.Module:
    """The library builds it. Some read numbers of tensors meanwhile, which those without memory do not have."""
    with asking(name):
        asked = partial(build, classes, size if fixed_size else None, **options)
        if not torch.empty(0).is_meta:
            return asked()
        try:
            return asked()
        except (RuntimeError, NotImplementedError):
            with torch.device("cpu"), torch.random.fork_rng(devices=[]):
                return asked().to("meta")


@lru_cache(maxsize=256)
def _try(name: str, build: Build, size: Size, options: tuple[tuple[str, Any], ...]) -> None:
    """Raise SegmodelsError where a network is built for a size that it does not take after all: not a square one."""
    with torch.device("meta"), torch.no_grad():
        network = _ask(name, build, True, 2, size, **dict(options)).eval()
        try:
            network(torch.empty(1, 3, *size))
        except Exception as error:  # each library has its own kinds
            raise SegmodelsError(f"{name} takes no images of {size[0]}x{size[1]}: {said(error)}") from error


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
