"""Run independent work units: here, or on all cores. An engine maps units to outcomes, in any order.

Retries live in `run`, once for every engine: a unit whose worker was lost is given out again.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

from segdata.errors import SegdataError
from segdata.memory import keep_freed_memory

U = TypeVar("U")
R = TypeVar("R")

TRIES = 3  # how often a unit is given out before its lost workers are blamed on it


def run(
    engine: str, function: Callable[[U], R], units: Iterable[U], workers: int, name: Callable[[U], str] = str
) -> Iterator[R]:
    """Outcomes of all units as they finish. Raises SegdataError for a unit whose workers die again and again."""
    pending = list(units)
    for _ in range(TRIES):
        lost = []
        for unit, outcome in ENGINES[engine](function, pending, workers):
            if outcome is None:
                lost.append(unit)
            else:
                yield outcome
        if not lost:
            return
        pending = lost
    raise SegdataError(
        f"workers died {TRIES} times on {name(pending[0])} (killed by the system for memory?). "
        "Run the command again with fewer --workers: finished shards are kept."
    )


def serial(function: Callable[[U], R], units: list[U], workers: int) -> Iterator[tuple[U, R | None]]:
    """One unit after the other, in this process."""
    keep_freed_memory()
    for unit in units:
        yield unit, function(unit)


def local(function: Callable[[U], R], units: list[U], workers: int) -> Iterator[tuple[U, R | None]]:
    """On `workers` processes of this machine; at most two units a worker are in flight."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["segdata.build"])
    waiting = iter(units)
    given: dict[Future[R], U] = {}
    with ProcessPoolExecutor(workers, context, _start_worker) as pool:
        given.update((pool.submit(function, unit), unit) for unit in islice(waiting, 2 * workers))
        while given:
            done, _ = wait(given, return_when=FIRST_COMPLETED)
            for future in done:
                unit = given.pop(future)
                try:
                    yield unit, future.result()
                    more = list(islice(waiting, 1))
                    given.update((pool.submit(function, next_unit), next_unit) for next_unit in more)
                except BrokenProcessPool:
                    yield unit, None
                    yield from ((rest, None) for rest in [*given.values(), *waiting])
                    return


ENGINES = {"serial": serial, "local": local}


def default_workers() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0))


def _start_worker() -> None:
    """Workers of a killed driver must not go on writing beside the run that continues its work."""
    keep_freed_memory()
    parent = parent_process()
    if parent is not None:
        sentinel = parent.sentinel
        threading.Thread(target=lambda: (connection.wait([sentinel]), os._exit(1)), daemon=True).start()
