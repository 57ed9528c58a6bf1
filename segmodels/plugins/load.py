"""Imports the code of a plug-in, and takes the network out of it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from segmodels.errors import SegmodelsError
from segmodels.plugins.code import siblings
from segmodels.plugins.declare import declare
from segmodels.plugins.reference import Reference
from segmodels.spec import ModelSpec, nearest


def load_file(path: Path, code: str) -> ModuleType:
    """The module of a file, which runs; `code` is its digest. Raises SegmodelsError where it cannot be imported."""
    name = f"segmodels_plugin_{path.stem}_{code[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SegmodelsError(f"{path} is no file of Python")
    module = module_from_spec(spec)
    with _in_folder(path), importing(str(path)):
        sys.modules[name] = module  # first, as dataclasses and pickles look it up there
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return module


def load_module(name: str) -> ModuleType:
    """A module of a package, which runs. Raises SegmodelsError where it cannot be imported."""
    with importing(name):
        return import_module(name)


def take(module: ModuleType, reference: Reference) -> ModelSpec:
    """The declaration under that name, or one made of the class. Raises SegmodelsError."""
    if not hasattr(module, reference.attribute):
        known = [*_networks(module)]
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise SegmodelsError(
            f"{reference.where} has no network {reference.attribute!r}{nearest(reference.attribute, known)}: {has}"
        )
    found = getattr(module, reference.attribute)
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
    return callable(value) and module.__name__.startswith("segmodels_plugin_") and value.__module__ == module.__name__


@contextmanager
def importing(what: str) -> Iterator[None]:
    """Raise SegmodelsError in a line where the code inside ends in any error, and say where."""
    try:
        yield
    except SegmodelsError:
        raise
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        at = f" ({last.filename}, line {last.lineno})" if last.lineno else ""
        said = " ".join(str(error).split())
        raise SegmodelsError(f"{what} cannot be imported: {type(error).__name__}: {said}{at}") from error


@contextmanager
def _in_folder(path: Path) -> Iterator[None]:
    """Inside, a file imports what lies beside it, as `python my.py` does, and never another module of that name."""
    home = path.parent
    beside = {each.relative_to(home).parts[0].removesuffix(".py") for each in siblings(path)} - {path.stem}
    others = {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in beside}
    sys.path.insert(0, str(home))
    try:
        yield
    finally:
        sys.path.remove(str(home))
        for name in [name for name in sys.modules if name.partition(".")[0] in beside]:
            del sys.modules[name]
        sys.modules.update(others)
