"""Run independent work units: here, on all cores, on a Ray cluster. An engine maps units to outcomes, in any order.

`driver.py` gives the units out and has retries and time-outs, once for every engine that has workers. `local.py`
and `ray.py` are an engine each, `worker.py` is the process that both use; `serial` is here.

What a unit computes does not belong here.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from segdata.base.memory import keep_freed_memory
from segdata.engines.driver import drive
from segdata.engines.engine import Engine, R, U, default_workers
from segdata.errors import SegdataError

__all__ = ["ENGINES", "default_workers", "run"]
ENGINES = ("serial", "local", "ray")


def run(
    engine: str,
    function: Callable[[U], R],
    units: Iterable[U],
    workers: int | None = None,
    *,
    name: Callable[[U], str] = str,
    limit: Callable[[U], float] = lambda unit: math.inf,
    address: str | None = None,
    kernels: bool = False,
) -> Iterator[R]:
    """Outcomes of all units as they finish.

    workers: as many as there are processors by default, on the cluster at `address` as many as that has. limit:
    the seconds that a unit may take before another worker gets it. kernels: whether the function calls
    some, then numba is imported once for all local workers. `serial` computes in this process, one unit after the
    other, where nobody can end a unit that hangs. Raises SegdataError for a unit that is lost again and again, and what
    the function raises.
    """
    opened: AbstractContextManager[Engine[U, R]]
    if engine == "serial":
        keep_freed_memory()
        yield from map(function, units)
        return
    if engine == "local":
        from segdata.engines.local import Local

        opened = Local(function, workers or default_workers(), kernels)
    elif engine == "ray":
        from segdata.engines.ray import Ray

        opened = Ray(function, workers, address or os.environ.get("RAY_ADDRESS"))
    else:
        raise SegdataError(f"no engine {engine!r}: there are {', '.join(ENGINES)}.")
    with opened as ready:
        yield from drive(ready, units, name, limit)
