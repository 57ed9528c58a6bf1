"""Processes: how many may run at once, and that they find modules where this one does, and nowhere else.

Python puts the working folder first where it is started with -c or -m, as multiprocessing starts its helpers: a file of
that folder would run as soon as anything imports a module of its name, and libraries try many names.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_LOCK = Lock()


def usable_processors() -> int:
    """The processors that this process may use: those of its affinity on Linux, else all of the machine's."""
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment() -> dict[str, str]:
    """The variables of this process for one that it starts, with its own sys.path for that one's."""
    return os.environ | _path()


@contextmanager
def environment_set() -> Iterator[None]:
    """The same around what starts processes without asking for variables, as multiprocessing does."""
    with _LOCK:
        before = {name: os.environ.get(name) for name in _path()}
        os.environ.update(_path())
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _path() -> dict[str, str]:
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
