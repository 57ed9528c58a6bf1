"""Work that several threads do ahead, whose results come in order all the same."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2

from segdata.base.memory import keep_freed_memory

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item], workers: int, ahead: int) -> Iterator[Result]:
    """`work(item)` for every item, in their order: here, or by so many threads with `ahead` results under way."""
    if not workers:
        yield from map(work, items)
        return
    cv2.setNumThreads(1)  # the threads share the processors already
    keep_freed_memory()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # whoever stops in between waits for no more
