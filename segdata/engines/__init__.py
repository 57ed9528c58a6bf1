"""Run independent work units: here, on all cores, on a Ray cluster. An engine maps units to outcomes, in any order.

`driver.py` gives the units out and has retries and time-outs, once for every engine; an engine is a file.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

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
) -> Iterator[R]:
    """Outcomes of all units as they finish.

    workers: as many as there are processors by default, on the cluster at `address` as many as that has. limit:
    the seconds that a unit may take before another worker gets it (`serial` has no other). Raises SegdataError for
    a unit that is lost again and again, and what the function raises.
    """
    with _opened(engine, function, workers, address) as opened:
        yield from drive(opened, units, name, limit)


def _opened(
    engine: str, function: Callable[[U], R], workers: int | None, address: str | None
) -> AbstractContextManager[Engine[U, R]]:
    if engine == "serial":
        from segdata.engines.serial import Serial

        return nullcontext(Serial(function))
    if engine == "local":
        from segdata.engines.local import Local

        return Local(function, workers or default_workers())
    if engine == "ray":
        from segdata.engines.ray import Ray

        return Ray(function, workers, address or os.environ.get("RAY_ADDRESS"))
    raise SegdataError(f"no engine {engine!r}: there are {', '.join(ENGINES)}.")
