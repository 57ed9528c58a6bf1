"""How far long work is: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable
from typing import Any


class ProgressBar:
    """A bar on a terminal, a plain line every tenth elsewhere: called with (done, total)."""

    def __init__(self, unit: str) -> None:
        self.unit, self.tenth = unit, 0
        self.bar: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        return self._update

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def _update(self, done: int, total: int) -> None:
        if sys.stderr.isatty():
            if self.bar is None:
                from tqdm import tqdm

                self.bar = tqdm(total=total, unit=self.unit, leave=False)
            self.bar.update(done - self.bar.n)
        elif total and done * 10 // total > self.tenth:
            self.tenth = done * 10 // total
            print(f"{done}/{total} {self.unit}", file=sys.stderr, flush=True)
