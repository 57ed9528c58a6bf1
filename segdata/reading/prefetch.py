"""Fetch what will be asked for next, by threads of its own, so that a reader does not wait for the network."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

THREADS = 8  # connections at a time
AHEAD = 32  # samples that are under way, or wait to be taken


class Prefetch:
    """Results of `fetch(i)`, started early. What was announced and never taken gives way to what is announced."""

    def __init__(self, fetch: Callable[[int], bytes]) -> None:
        self._fetch = fetch
        self._pool: ThreadPoolExecutor | None = None
        self._lock = Lock()
        self._waiting: dict[int, Future[bytes]] = {}  # the oldest first

    def announce(self, wanted: Iterable[int]) -> None:
        """Start to fetch these; more than fit are left to be fetched when they are taken."""
        with self._lock:
            self._pool = self._pool or ThreadPoolExecutor(THREADS, "segdata-prefetch")
            for i in wanted:
                if i in self._waiting:
                    continue
                if len(self._waiting) >= AHEAD and not self._forget_one():
                    return
                self._waiting[i] = self._pool.submit(self._fetch, i)

    def take(self, i: int) -> bytes:
        """The sample, as soon as it is there; fetched now if it was not announced."""
        with self._lock:
            started = self._waiting.pop(i, None)
        return self._fetch(i) if started is None else started.result()

    def _forget_one(self) -> bool:
        for i, started in self._waiting.items():
            if started.done():
                del self._waiting[i]
                return True
        return False
