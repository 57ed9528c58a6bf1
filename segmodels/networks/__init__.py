"""The registry: every file or folder here declares its networks in a tuple `SPECS`; nothing else registers them.

What more than one of them uses belongs in `blocks.py`. `facts.json` says how large each network is, so that
`segmodels list` builds none; `python -m segmodels.bench.facts` writes it.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from segdata.requirements import need
from segmodels.adapters import adapt, is_adapted
from segmodels.errors import SegmodelsError
from segmodels.plugins import is_reference, plug_in
from segmodels.plugins.plug import told_versions
from segmodels.spec import OURS, ModelSpec, Origin, Size, nearest

if TYPE_CHECKING:
    from torch import nn


def families() -> tuple[str, ...]:
    """The files and folders here, by their module names. Nothing is imported."""
    return tuple(sorted(each.name for each in iter_modules(__path__)))


def specs_of(family: str) -> tuple[ModelSpec, ...]:
    """What a file or folder here declares. It is imported, and torch with it."""
    specs: tuple[ModelSpec, ...] = import_module(f"{__name__}.{family}").SPECS
    return specs


def digest_family(family: str) -> str:
    """SHA-256 of the text of a file, or of all files of a folder, and of what families share (`blocks`, `trunks`).

    Another one says that somebody changed them.
    """
    place, package = Path(__path__[0]) / family, Path(__path__[0]).parent
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    files += [package / "blocks.py", *sorted((package / "trunks").glob("*.py"))]
    texts = (file.read_text(encoding="utf-8") for file in files if file.is_file())
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@cache
def _registry() -> dict[str, ModelSpec]:
    """All specs by name. The network files are imported, and torch with them, at the first call.

    Raises RequirementError where torch is not installed.
    """
    need("segmodels", "models", ["torch"])
    return {each.name: each for family in families() for each in specs_of(family)}


def names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(_registry())


def spec(name: str, origin: Origin = OURS) -> ModelSpec:
    """The declaration of one network: of ours by its name, of others by a reference (`plugins`, `adapters`).

    `origin` is what a run has recorded of the code of its network: then only that code will do. Raises SegmodelsError
    with the nearest names.
    """
    if name in _registry():
        return _registry()[name]
    if is_adapted(name):
        declared = adapt(name)
        told_versions(name, origin, declared.origin)
        return declared
    if is_reference(name):
        return plug_in(name, origin)
    raise SegmodelsError(
        f"no network {name!r}{nearest(name, names())}. `segmodels list` names them: {', '.join(names())}. "
        "One of your own is FILE.py:NAME."
    )


def build(name: str, classes: int, size: Size, **options: object) -> nn.Module:
    """The network `name`, one of ours or a reference, for `classes` classes and images of `size` (H, W).

    `forward` maps an image (B, 3, H, W) to a `Prediction`. The weights come from torch's global
    generator: the same seed gives the same bytes. Raises SegmodelsError where the name, the number
    of classes, the size or an option does not fit.
    """
    return spec(name).build(classes, size, options)
