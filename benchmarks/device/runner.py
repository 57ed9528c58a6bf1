"""Work through cards within a budget of seconds; each in a process of its own, its result kept as soon as it ends.

A card that fails, hangs or takes too long is told and passed over. Nothing is asked of the device in this process, so
that a card may begin with a fork of it: torch is imported once.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from benchmarks.device.card import Bench, Card, CardError, Row

CLOSING = 2.0  # seconds kept back for the table
BESIDE = 4  # cards at the same time, at most
FORK = multiprocessing.get_context("fork")
Ending = tuple[str, str]  # status, and why


@dataclass
class Result:
    """What became of a card. Status: done, partial (stopped, with rows), failed or stopped."""

    card: str
    status: str
    error: str
    seconds: float
    rows: list[Row] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)  # cards that ran at the same time
    about: dict[str, Any] = field(default_factory=dict)  # commit, versions, device, seed

    @property
    def document(self) -> dict[str, Any]:
        """As a line of results.jsonl and a file of results/cuda have it."""
        own = {name: value for name, value in asdict(self).items() if name != "about"}
        return own | self.about


def run(
    cards: Sequence[Card],
    bench: Bench,
    budget: float,
    out: Path,
    *,
    about: dict[str, Any],
    done: Collection[str] = (),
) -> list[Result]:
    """Begin each card that is not done and fits into what is left of `budget` seconds, in their order.

    Appends a line to out/results.jsonl as each ends, and what the cards print to out/log.txt. Returns the results.
    """
    end = monotonic() + budget - CLOSING
    out.mkdir(parents=True, exist_ok=True)
    bench.scratch.mkdir(parents=True, exist_ok=True)
    results = []
    for turn in turns(card for card in cards if not _is_done(card, done)):
        for result in _side_by_side(turn, bench, end, out):
            result.about, result.beside = about, [card.name for card in turn if card.name != result.card]
            results.append(result)
            _append(out / "results.jsonl", result.document)
            _tell(f"{result.card}: {result.status} after {result.seconds:.1f} s {result.error}".rstrip())
    return results


def turns(cards: Iterable[Card]) -> Iterator[list[Card]]:
    """Cards that need the device to themselves one by one; the others beside their neighbours, a few at a time."""
    for alone, group in groupby(cards, key=lambda card: card.alone):
        together = list(group)
        size = 1 if alone else BESIDE
        yield from (together[first : first + size] for first in range(0, len(together), size))


def _side_by_side(turn: Sequence[Card], bench: Bench, end: float, out: Path) -> Iterator[Result]:
    """The results of a turn's cards, each as it ends: by itself, at its limit, or when the budget is over."""
    under_way: list[Attempt] = []
    try:
        for card in turn:
            if card.estimate > (left := end - monotonic()):
                _tell(f"{card.name}: needs {card.estimate:.0f} s, {max(0, left):.0f} are left")
            else:
                under_way.append(Attempt(card, bench, left, out))
        while under_way:
            wait([each for attempt in under_way for each in attempt.signs], min(each.left for each in under_way))
            for attempt in [each for each in under_way if each.follow()]:
                under_way.remove(attempt)
                yield attempt.close()
    finally:
        for attempt in under_way:
            attempt.close()


class Attempt:
    """A card in a process of its own, and its end at the limit whatever it does."""

    def __init__(self, card: Card, bench: Bench, left: float, out: Path) -> None:
        self.card, self.began, self.limit = card, monotonic(), min(card.limit, left)
        self.rows: list[Row] = []
        self.ending: Ending | None = None
        self._scratch = TemporaryDirectory(dir=bench.scratch, ignore_cleanup_errors=True)
        own = replace(bench, scratch=Path(self._scratch.name), seconds=self.limit)
        self._log, self._all_logs = out / f"log-{card.name}.txt", out / "log.txt"
        self._pipe, its = FORK.Pipe(duplex=False)
        self._process = FORK.Process(target=_inside, args=(card, own, its, self._log))
        self._process.start()
        its.close()

    @property
    def signs(self) -> tuple[Connection, int]:
        """What becomes ready when there is news."""
        return self._pipe, self._process.sentinel

    @property
    def left(self) -> float:
        """Seconds until the limit, never negative."""
        return max(0.0, self.began + self.limit - monotonic())

    def follow(self) -> bool:
        """Take in what it says; whether it has ended."""
        while self.ending is None and (self._pipe.poll() or not self._process.is_alive()):
            try:
                kind, value = self._pipe.recv() if self._pipe.poll() else ("died", "")
            except EOFError:
                kind, value = "died", ""
            if kind == "row":
                self.rows.append(value)
            elif kind == "died":
                self._process.join()
                self.ending = "failed", f"its process ended with {_exit(self._process.exitcode)}"
            else:
                self.ending = kind, value
        if self.ending is None and not self.left:
            self.ending = "partial" if self.rows else "stopped", "stopped at its limit"
        return self.ending is not None

    def close(self) -> Result:
        """End it with all that it started, and clear away what it left."""
        _kill(self._process.pid)
        self._process.join()
        self._pipe.close()
        seconds = round(monotonic() - self.began, 1)
        self._scratch.cleanup()
        with self._all_logs.open("ab") as together:
            together.write(self._log.read_bytes() if self._log.is_file() else b"")
        self._log.unlink(missing_ok=True)
        return Result(self.card.name, *(self.ending or ("stopped", "ended from outside")), seconds, self.rows)


def _append(path: Path, document: dict[str, Any]) -> None:
    """A line more, on the disk when this returns; what a visit before was cut off at stays a line of its own."""
    whole = not path.is_file() or path.read_bytes()[-1:] in (b"", b"\n")
    with path.open("a") as file:
        file.write(("" if whole else "\n") + json.dumps(document) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _inside(card: Card, bench: Bench, pipe: Connection, log: Path) -> None:
    """The card's process: what it prints goes to the log, its rows to the runner."""
    os.setsid()  # with its own processes it can be ended at once
    with log.open("ab", buffering=0) as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
        print(f"==== {card.name}", flush=True)
        try:
            for row in card.work(bench):
                pipe.send(("row", json.loads(json.dumps(row))))  # whole, as the file will have it
            ending = "done", ""
        except CardError as error:
            ending = "failed", str(error)
        except BaseException as error:
            traceback.print_exc()
            ending = "failed", f"{type(error).__name__}: {_first_line(error)}"
        sys.stdout.flush()
        pipe.send(ending)
        pipe.close()
        os._exit(0)  # neither atexit of what was imported nor a thread that waits may keep the device


def apart(work: Any, *arguments: Any) -> Any:
    """What `work(*arguments)` returns, from a process of its own: of a card that has not touched the device yet."""
    (result,) = side_by_side([(work, *arguments)])
    return result


def side_by_side(calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """What each (work, *arguments) returns, all at the same time, each in a process of its own. None: it was killed."""
    started = []
    for work, *arguments in calls:
        ours, its = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_send, args=(its, work, arguments))
        process.start()
        its.close()
        started.append((process, ours))
    return [_received(process, ours) for process, ours in started]


def _send(pipe: Connection, work: Any, arguments: Sequence[Any]) -> None:
    try:
        answer = "value", work(*arguments)
    except BaseException as error:
        traceback.print_exc()
        answer = "error", f"{type(error).__name__}: {_first_line(error)}"
    sys.stdout.flush()
    pipe.send(answer)
    pipe.close()
    os._exit(0)


def _received(process: Any, pipe: Connection) -> Any:
    try:
        kind, value = pipe.recv()
    except EOFError:
        kind, value = "value", None
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise CardError(f"a process of it ended with {_exit(process.exitcode)}")
    if kind == "error":
        raise CardError(value)
    return value


def results_in(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a results.jsonl; a last line that was cut off is passed over."""
    if path.is_file():
        for line in path.read_text().splitlines():
            with suppress(ValueError):
                yield json.loads(line)


def table(cards: Sequence[Card], results: Sequence[Result]) -> str:
    """A line a result: card, status, seconds, and what it says."""
    by_name = {card.name: card for card in cards}
    lines = []
    for result in results:
        try:
            says = by_name[result.card].says(result.rows) if result.rows else ""
        except Exception as error:
            says = f"(no words for it: {error!r})"
        words = " | ".join(part for part in (result.error, says) if part)
        lines.append(f"{result.card:<22} {result.status:<8} {result.seconds:>6.1f} s  {words}".rstrip())
    return "\n".join(lines)


def _is_done(card: Card, done: Collection[str]) -> bool:
    if card.name in done:
        _tell(f"{card.name}: done before")
    return card.name in done


def _tell(line: str) -> None:
    print(line, flush=True)


def _kill(group: int | None) -> None:
    """The card's process and all that it started."""
    for end in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            end(group or 0, signal.SIGKILL) if group else None


def _exit(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"status {code}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
