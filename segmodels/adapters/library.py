"""A library of networks: whether it is installed, its versions, and its errors in one line.

Nothing is ever loaded from the internet: the libraries are imported as if there were none.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from segdata.requirements import EXTRAS, need
from segmodels.errors import SegmodelsError
from segmodels.spec import Origin

OFFLINE = "HF_HUB_OFFLINE"  # read by huggingface_hub, once, when it is imported
SAID = 200  # characters of a library's own error that are told


class Library(NamedTuple):
    """One library, by the extra that brings it; `packages` are those whose code a network of it runs."""

    extra: str
    packages: tuple[str, ...]

    @property
    def origin(self) -> Origin:
        """The versions: other ones make another run."""
        return Origin(tuple((package, _version(package)) for package in self.packages))

    def load(self, name: str) -> Any:
        """Its module, for the network `name`.

        Raises RequirementError where it is not installed, and SegmodelsError where it is and cannot be imported: a
        torchvision that was built for another torch, for instance.
        """
        (module,) = EXTRAS[self.extra]
        need(name, self.extra)
        with _offline(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return import_module(module)
            except Exception as error:  # a library that is half there fails in its own way
                raise SegmodelsError(
                    f"{name}: {module} {_version(self.packages[0])} is installed and cannot be imported beside torch "
                    f"{_version('torch')}: {said(error)}. Install versions that fit together"
                ) from error


@contextmanager
def asking(name: str) -> Iterator[None]:
    """The library builds the network `name`: what it refuses becomes one line, what it warns of is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except SegmodelsError:
            raise
        except Exception as error:  # each library has its own kinds
            raise SegmodelsError(f"{name} cannot be built: its library says {said(error)}") from error


def said(error: BaseException) -> str:
    """An error of a library in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:SAID]}{'…' * (len(text) > SAID)}" if text else type(error).__name__


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


@contextmanager
def _offline() -> Iterator[None]:
    """Nothing that is imported inside will reach for the internet; the environment is as before afterwards."""
    before = os.environ.get(OFFLINE)
    os.environ[OFFLINE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[OFFLINE]
        else:
            os.environ[OFFLINE] = before
