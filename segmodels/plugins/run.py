"""Runs code of others: its errors become one line, and what it sets for all of torch is undone."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from segmodels.errors import SegmodelsError
from segmodels.plugins.beside import FromSource

SAID = 300  # characters of an error of others that are told


@contextmanager
def running(what: str) -> Iterator[None]:
    """Raise SegmodelsError, `what` and why, where the code inside ends in any error; torch's settings stay."""
    import torch

    dtype, threads, grad = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    exact, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    except SegmodelsError:
        raise
    except (Exception, SystemExit) as error:
        raise SegmodelsError(f"{what}: {said(error)}") from error
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.use_deterministic_algorithms(exact, warn_only=warns)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def said(error: BaseException) -> str:
    """An error of others in one line, with the line of theirs in which it was raised."""
    text = " ".join(str(error).split())
    text = f": {text[:SAID]}{'…' * (len(text) > SAID)}" if text else ""
    place = _place(error.__traceback__)
    return f"{type(error).__name__}{text}{f' ({place})' if place else ''}"


def own_error(error: BaseException) -> str | None:
    """What the code of a plug-in's file has ended with, in one line; None where the error is of other code."""
    return said(error) if any(_is_own(frame) for frame, _ in traceback.walk_tb(error.__traceback__)) else None


def _is_own(frame: object) -> bool:
    return isinstance(getattr(frame, "f_globals", {}).get("__loader__"), FromSource)


def _place(trace: TracebackType | None) -> str:
    """The last line of a plug-in's own file on the way to the error, or else the last of all."""
    frames = [*traceback.walk_tb(trace)]
    for frame, line in [*reversed([each for each in frames if _is_own(each[0])]), *frames[-1:]]:
        if line and not frame.f_code.co_filename.startswith("<"):
            return f"{frame.f_code.co_filename}, line {line}"
    return ""
