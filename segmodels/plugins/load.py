"""Imports the code of a plug-in, and takes the network out of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from segmodels.errors import SegmodelsError
from segmodels.plugins.beside import Beside
from segmodels.plugins.code import siblings
from segmodels.plugins.declare import declare
from segmodels.plugins.reference import Reference
from segmodels.plugins.run import running
from segmodels.spec import ModelSpec, nearest


def load_file(path: Path, code: str) -> ModuleType:
    """The module of a file, which runs; `code` is its digest. Raises SegmodelsError where it cannot be imported."""
    name = f"segmodels_plugin_{path.stem}_{code[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    beside = Beside(path, siblings(path))
    spec = beside.spec(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with running(f"{path} cannot be imported"), beside.own():
        sys.modules[name] = module  # first, as dataclasses and pickles look it up there
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return module


def load_module(name: str) -> ModuleType:
    """A module of a package, which runs. Raises SegmodelsError where it cannot be imported."""
    with running(f"{name} cannot be imported"):
        return import_module(name)


def take(module: ModuleType, reference: Reference) -> ModelSpec:
    """The declaration under that name, or one made of the class. Raises SegmodelsError."""
    with running(f"{reference.where} has no network {reference.attribute!r}"):  # a module may answer by a function
        found = getattr(module, reference.attribute, None)
    if found is None:
        known = [*_networks(module)]
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise SegmodelsError(
            f"{reference.where} has no network {reference.attribute!r}{nearest(reference.attribute, known)}: {has}"
        )
    if isinstance(found, ModelSpec):
        return found
    if not _is_network(found) and not _is_function(found, module):
        raise SegmodelsError(
            f"{reference.where}: {reference.attribute} is {type(found).__name__}, expected a class of networks "
            "(torch.nn.Module), or what segmodels.declare makes"
        )
    return declare(found)


def _networks(module: ModuleType) -> Iterator[str]:
    """What in a module can be trained: declarations, and classes of its own."""
    for name, value in vars(module).items():
        own = getattr(value, "__module__", "") == module.__name__
        if isinstance(value, ModelSpec) or (own and _is_network(value)):
            yield name


def _is_network(value: Any) -> bool:
    from torch import nn

    return isinstance(value, type) and issubclass(value, nn.Module)


def _is_function(value: Any, module: ModuleType) -> bool:
    """A function of a user's own file, which builds a network. One of a package has to be declared.

    For whoever writes a run's files could name any function of any package, with any options.
    """
    return (
        callable(value)
        and module.__name__.startswith("segmodels_plugin_")
        and getattr(value, "__module__", "") == module.__name__
    )
