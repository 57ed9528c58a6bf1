"""The registry: every file or folder here declares its networks in a tuple `SPECS`; nothing else registers them.

What more than one of them uses belongs in `blocks.py`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from segdata.requirements import need
from segmodels.errors import SegmodelsError
from segmodels.spec import ModelSpec, Size, nearest

if TYPE_CHECKING:
    from torch import nn


@cache
def _registry() -> dict[str, ModelSpec]:
    """All specs by name. The network files are imported, and torch with them, at the first call.

    Raises RequirementError where torch is not installed.
    """
    need("segmodels", "models", ["torch"])
    files = sorted(file.name for file in iter_modules(__path__))
    specs = [each for file in files for each in import_module(f"{__name__}.{file}").SPECS]
    return {each.name: each for each in specs}


def names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(_registry())


def spec(name: str) -> ModelSpec:
    """The declaration of one network. Raises SegmodelsError with the nearest names."""
    if name not in _registry():
        raise SegmodelsError(
            f"no network {name!r}{nearest(name, names())}. `segmodels list` names them: {', '.join(names())}."
        )
    return _registry()[name]


def build(name: str, classes: int, size: Size, **options: object) -> nn.Module:
    """The network `name` for `classes` classes and images of `size` (H, W).

    `forward` maps an image (B, 3, H, W) to a `Prediction`. The weights come from torch's global
    generator: the same seed gives the same bytes. Raises SegmodelsError where the name, the number
    of classes, the size or an option does not fit.
    """
    return spec(name).build(classes, size, options)
