"""Kernels: loops over arrays that numba compiles, when the first of them is called and not before.

What is compiled is kept in numba's cache (NUMBA_CACHE_DIR, else `__pycache__` beside the source, else the user's cache
folder). Where none of these can be written, or what lies there cannot be read, a kernel is compiled again. Processes
that start together wait for each other, so that each kernel is compiled once.

Compiling takes seconds, most of it for numpy's functions: in a kernel, loops over elements are compiled several times
faster than slices, sums and assignments of arrays, and run as fast.
"""

import functools
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from multiprocessing import current_process, parent_process
from threading import RLock
from typing import Any

PATIENCE = 60.0  # seconds for another process that compiles: it may have been stopped, then each compiles for itself

ONCE = "segdata: compiling for this machine, which takes a few seconds; later runs take it from the cache."
UNKEPT = (
    "segdata: compiling, which takes a few seconds in every run: no folder for numba's cache can be written. Set "
    "NUMBA_CACHE_DIR to one that can."
)

_BUILDING = RLock()  # kernels call kernels: one thread builds them all
_HELD: set[str] = set()  # folders whose lock this process has
_SAID: set[str] = set()


class Kernel:
    """A function that is compiled, or loaded from the cache, when it is called or another kernel needs it.

    `signature` has the types of its arguments in numba's words. From Python it must be called with exactly these.
    """

    def __init__(self, signature: str, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.signature, self.function = signature, function

    def __call__(self, *arguments: Any) -> Any:
        return self._compiled(*arguments)

    @cached_property
    def _compiled(self) -> Any:
        with _BUILDING:
            return self.__dict__.get("_compiled") or self._built()

    def _built(self) -> Any:
        from numba import njit

        dispatcher: Any = njit(nogil=True, error_model="numpy")(self.function)
        cache = _cache_of(self.function)
        if cache is None:
            _say(UNKEPT)
            dispatcher.compile(self.signature)
        else:
            dispatcher._cache = cache
            self._load_or_compile(dispatcher, cache)
        dispatcher.disable_compile()
        return dispatcher

    def _load_or_compile(self, dispatcher: Any, cache: Any) -> None:
        if cache.load_overload(self.signature, dispatcher.targetctx) is None:
            _say(ONCE)  # also where another process compiles it, and this one waits
            with _alone(cache.cache_path):
                dispatcher.compile(self.signature)  # or takes what was compiled meanwhile
        else:
            dispatcher.compile(self.signature)  # takes what was loaded

    @property
    def _numba_type_(self) -> Any:
        """What numba takes it for in a kernel that calls it."""
        from numba.core.types import Dispatcher

        return Dispatcher(self._compiled)


def kernel(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Make a function a kernel with these types: `@kernel("int64(uint8[:, ::1], int64)")`."""
    return functools.partial(Kernel, signature)


class Intrinsic:
    """What LLVM is told in its own words, for kernels to call: numba's `intrinsic`, made when a kernel needs it."""

    def __init__(self, define: Callable[..., Any]) -> None:
        self._define = define

    def __call__(self, *arguments: Any) -> Any:
        raise NotImplementedError("only a kernel can call an intrinsic")

    @cached_property
    def _numba_type_(self) -> Any:
        from numba.core.registry import cpu_target
        from numba.extending import intrinsic

        made = intrinsic(self._define)
        cpu_target.typing_context.refresh()
        return cpu_target.typing_context.resolve_value_type(made)


# ---- the cache -----------------------------------------------------------------------------------------------


def _cache_of(function: Callable[..., Any]) -> Any:
    """numba's cache of the function, whose faults are no reason to stop; None where no folder can be written."""
    from numba.core.caching import FunctionCache

    class Cache(FunctionCache):
        found: Any = None

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            """What is there; a file that was cut off or written over counts as nothing."""
            try:
                self.found = self.found or super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
            except Exception:
                with suppress(OSError):
                    self.flush()  # type: ignore[no-untyped-call]  # else it could not be written anew
            return self.found

        def save_overload(self, sig: Any, data: Any) -> None:
            """A full disk keeps nobody from computing; numba removes what is half written."""
            with suppress(OSError):
                super().save_overload(sig, data)  # type: ignore[no-untyped-call]

    try:
        return Cache(function)  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError):  # "no locator available": numba's word for no folder
        return None


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Keep other processes from compiling for the same folder, as far as this system and this disk have locks."""
    if folder in _HELD:  # a kernel that another one needs
        yield
        return
    descriptor = _locked(folder)
    _HELD.add(folder)
    try:
        yield
    finally:
        _HELD.remove(folder)
        if descriptor is not None:
            os.close(descriptor)


def _locked(folder: str) -> int | None:
    """The folder, opened and locked; None without locks, or when another process has held it for too long."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    stop = time.monotonic() + PATIENCE
    while time.monotonic() < stop:
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
            return descriptor
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:
            break
    os.close(descriptor)
    return None


def _say(line: str) -> None:
    """Once in a process, and of several workers only the first: on standard error, where no program sets up logging."""
    if not _SAID and (parent_process() is None or current_process().name.endswith("-1")):
        logging.getLogger("segdata").warning(line)
    _SAID.add(line)
