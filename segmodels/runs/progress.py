"""How a training is doing: what it tells while it runs, and where its time went."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from math import isnan
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, TextIO, TypeVar

import torch

from segdata.base.files import parsing
from segmodels.documents import make, read_json
from segmodels.errors import SegmodelsError

Item = TypeVar("Item")

REDRAW_SECONDS = 0.1  # a bar on a terminal
REPEAT_SECONDS = 30.0  # a line in a log
BAR = 24  # characters


class Status(NamedTuple):
    """One step after it was taken."""

    step: int  # steps done, of all sessions
    total: int
    epoch: int
    loss: float  # mean of the epoch so far
    lr: float
    images_per_second: float  # of this session, validation included
    seconds_left: float


class Pace:
    """How fast a session goes, validation included."""

    def __init__(self, first: int, total: int, batch_size: int) -> None:
        self.first, self.total, self.batch_size = first, total, batch_size
        self.started = perf_counter()

    def status(self, step: int, epoch: int, loss: float, lr: float) -> Status:
        seconds_a_step = (perf_counter() - self.started) / (step - self.first)
        left = (self.total - step) * seconds_a_step
        return Status(step, self.total, epoch, loss, lr, self.batch_size / seconds_a_step, left)


Show = Callable[[Status | str], None]  # a status replaces the last one; a text stays


def silent(news: Status | str) -> None:
    """Say nothing."""


class Console:
    """A bar on a terminal, which redraws itself; elsewhere a line every half minute."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self._shown_at = -REPEAT_SECONDS
        self._width = 0

    def __call__(self, news: Status | str) -> None:
        if isinstance(news, str):
            self._write(news + "\n")
            self._width = 0
            return
        now = perf_counter()
        pause = REDRAW_SECONDS if self.live else REPEAT_SECONDS
        if now - self._shown_at >= pause or news.step == news.total:
            self._shown_at = now
            line = _line(news, bar=self.live)
            self._write(line if self.live else line + "\n")
            self._width = len(line)

    def _write(self, text: str) -> None:
        start = "\r" + " " * self._width + "\r" if self.live else ""
        self.stream.write(start + text)
        self.stream.flush()


def _line(news: Status, *, bar: bool) -> str:
    filled = BAR * news.step // news.total
    parts = [
        f"epoch {news.epoch + 1}",
        f"[{'#' * filled}{' ' * (BAR - filled)}]" if bar else "",
        f"step {news.step}/{news.total}",
        "" if isnan(news.loss) else f"loss {news.loss:.4f}",  # read a step late: none yet at an epoch's first
        f"lr {news.lr:.2e}",
        f"{news.images_per_second:.1f} images/s",
        f"{_duration(news.seconds_left)} left",
    ]
    return "  ".join(part for part in parts if part)


def _duration(seconds: float) -> str:
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"


@dataclass
class Timing:
    """Where the time of a run went, over all its sessions up to their last checkpoint."""

    sessions: int = 0
    images: int = 0
    seconds: float = 0.0  # of the loop, with what follows
    waiting_seconds: float = 0.0  # for the next batch
    validating_seconds: float = 0.0
    peak_memory_bytes: int = 0  # of the device; on the CPU, of the process

    def waited(self, batches: Iterator[Item]) -> Iterator[Item]:
        """The same batches, timed: from one request to the next it is the loop, within one it is waiting."""
        asked = perf_counter()
        for batch in batches:
            self.waiting_seconds += perf_counter() - asked
            try:
                yield batch
            finally:
                self.seconds += perf_counter() - asked
                asked = perf_counter()

    @contextmanager
    def looping(self) -> Iterator[None]:
        """What is done inside belongs to the loop, before its first batch."""
        start = perf_counter()
        yield
        self.seconds += perf_counter() - start

    @contextmanager
    def validating(self) -> Iterator[None]:
        """What is done inside is validation."""
        start = perf_counter()
        yield
        self.validating_seconds += perf_counter() - start

    def document(self, device: torch.device) -> dict[str, Any]:
        """As timing.json has it."""
        self.peak_memory_bytes = max(self.peak_memory_bytes, _peak_memory(device))
        training = self.seconds - self.validating_seconds
        derived = {
            "images_per_second": self.images / training if training > 0 else None,
            "waiting_share": self.waiting_seconds / training if training > 0 else None,
        }
        return asdict(self) | derived


def read_timing(path: Path) -> Timing:
    """The sums so far, to go on with; all 0 where there is no file yet. Raises SegmodelsError."""
    if not path.exists():
        return Timing()
    advice = "Remove it: the times begin anew, the weights are the same."
    document = read_json(path, advice)
    with parsing(path, SegmodelsError, advice):
        return make(Timing, {each.name: document[each.name] for each in fields(Timing)})


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux; macOS counts bytes
    return kilobytes if sys.platform == "darwin" else 1024 * kilobytes
