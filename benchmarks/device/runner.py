"""Work through cards within a budget of seconds; each in a process of its own, its result kept as soon as it ends.

A card that fails, hangs, dies or takes too long is reported, and the next one runs. A card writes its rows to a file;
this process waits for the card's end and for the clock, and for nothing that a card could do or leave undone.
Nothing is asked of the device here, so that a card may begin with a fork of this process: torch is imported once.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import traceback
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from multiprocessing.connection import wait
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from time import monotonic
from typing import Any

from benchmarks.device.card import Bench, Card, CardError, OutOfTimeError, Row
from benchmarks.device.processes import (
    FORK,
    adopt_orphans,
    die_with_parent,
    end_orphans,
    exit_words,
    first_line,
    kill_group,
)

CLOSING = 2.0  # seconds kept back for the table
GLANCE = 0.25  # seconds between looks at the cards
BESIDE = 4  # cards at the same time, at most
LOG_BYTES = 2**20  # the end of what a card printed that is kept


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


# ---- a visit -------------------------------------------------------------------------------------------------


def run(
    cards: Sequence[Card],
    bench: Bench,
    budget: float,
    out: Path,
    *,
    about: dict[str, Any],
    done: Collection[str] = (),
    results: list[Result] | None = None,
) -> list[Result]:
    """Begin each card that is not done and fits into what is left of `budget` seconds, in their order.

    Appends a line to out/results.jsonl as each ends, and what the cards print to out/log.txt. Returns the results,
    which are also appended to `results`: whoever ends this from outside has there what was found until then.
    """
    end = monotonic() + budget - CLOSING
    results = [] if results is None else results
    bench.scratch.mkdir(parents=True, exist_ok=True)
    adopt_orphans()  # what a card leaves behind becomes a child of this process, and is ended
    under_way: list[Attempt] = []

    def note(result: Result) -> None:
        result.about = about
        results.append(result)
        _keep(out, result)

    if before := [card.name for card in cards if card.name in done]:
        _tell(f"done before: {', '.join(before)}")
    waiting: list[str] = []
    try:
        for turn in turns(card for card in cards if card.name not in done):
            for result in _side_by_side(turn, bench, end, out, under_way, waiting):
                note(result)
            end_orphans()
        if waiting:
            _tell(f"no time was left for: {', '.join(waiting)}")
    except (KeyboardInterrupt, SystemExit):
        for attempt in under_way:
            note(replace(attempt.close(under_way), error="ended from outside"))
        raise
    finally:
        end_orphans()
    return results


def turns(cards: Iterable[Card]) -> Iterator[list[Card]]:
    """Cards that need the device to themselves one by one; the others beside their neighbours, a few at a time."""
    for alone, group in groupby(cards, key=lambda card: card.alone):
        together = list(group)
        size = 1 if alone else BESIDE
        yield from (together[first : first + size] for first in range(0, len(together), size))


def _side_by_side(
    turn: Sequence[Card], bench: Bench, end: float, out: Path, under_way: list[Attempt], waiting: list[str]
) -> Iterator[Result]:
    """The results of a turn's cards, each as it ends: by itself, at its limit, or when the budget is over.

    Those for which too little is left are `waiting`.
    """
    for card in turn:
        if card.estimate > (left := end - monotonic()):
            waiting.append(f"{card.name} ({card.estimate:.0f} s)")
            continue
        try:
            under_way.append(Attempt(card, bench, left, out))
        except OSError as error:
            yield Result(card.name, "failed", f"cannot begin: {error}", 0.0)
    begun = list(under_way)
    while under_way:
        # Not for the sentinels alone: a process that a card left behind may hold them open.
        wait([each.sentinel for each in under_way], min(GLANCE, *(each.left for each in under_way)))
        for attempt in [each for each in under_way if each.over]:
            result = attempt.close(begun)
            under_way.remove(attempt)
            yield result


class Attempt:
    """A card in a process of its own, and its end at the limit whatever it does."""

    def __init__(self, card: Card, bench: Bench, left: float, out: Path) -> None:
        self.card, self.began, self.limit = card, monotonic(), min(card.limit, left)
        self._out = out
        self._home = Path(mkdtemp(prefix=f"{card.name}-", dir=bench.scratch))  # rows, log, and the card's scratch
        (self._home / "scratch").mkdir()
        own = replace(bench, scratch=self._home / "scratch", seconds=self.limit)
        self._process = FORK.Process(target=_inside, args=(card, own, self._home))
        self._process.start()

    @property
    def sentinel(self) -> int:
        """What becomes ready when the process ends."""
        return self._process.sentinel

    @property
    def left(self) -> float:
        """Seconds until the limit, never negative."""
        return max(0.0, self.began + self.limit - monotonic())

    @property
    def over(self) -> bool:
        """Whether it has ended, or must."""
        return not self._process.is_alive() or not self.left

    def end(self) -> None:
        """Kill it with all that it started."""
        kill_group(self._process.pid)
        self._process.join()

    def close(self, begun: Sequence[Attempt]) -> Result:
        """End it; what it wrote, and what it printed behind the log of all. Clears away what it left."""
        ended = not self._process.is_alive()
        self.end()
        seconds = round(monotonic() - self.began, 1)
        rows, ending = _written(self._home / "rows")
        if ending is None and ended:
            ending = "failed", f"its process ended with {exit_words(self._process.exitcode)}"
        why = "stopped at its limit" if self.limit == self.card.limit else "stopped, for the budget was over"
        status, error = ending or ("partial" if rows else "stopped", why)
        with suppress(OSError):
            _append_log(self._out / "log.txt", self._home / "log")
        rmtree(self._home, ignore_errors=True)
        beside = [other.card.name for other in begun if other is not self]
        return Result(self.card.name, status, error, seconds, rows, beside)


# ---- inside a card's process ---------------------------------------------------------------------------------


def _inside(card: Card, bench: Bench, home: Path) -> None:
    """What the card prints goes to a log, its rows to a file, a line each; the last line says how it ended."""
    os.setsid()  # with its own processes it can be ended at once
    die_with_parent()  # and it does not outlive the runner
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_DFL)
    with (home / "log").open("ab", buffering=0) as log, (home / "rows").open("a") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
        print(f"==== {card.name}", flush=True)
        try:
            for row in card.work(bench):
                file.write(json.dumps({"row": _plain(row)}) + "\n")
                file.flush()
            ending = "done", ""
        except CardError as error:
            ending = "failed", str(error)
        except OutOfTimeError as error:
            ending = "partial", str(error)
        except BaseException as error:
            traceback.print_exc()
            ending = "failed", f"{type(error).__name__}: {first_line(error)}"
        file.write(json.dumps({"ending": ending}) + "\n")
        file.flush()
        with suppress(ValueError, OSError):
            sys.stdout.flush()
        os._exit(0)  # neither atexit of what was imported nor a thread that waits may keep the device


def _written(path: Path) -> tuple[list[Row], tuple[str, str] | None]:
    """The rows of a card, and how it ended where it could say so. Half a line at the end is passed over."""
    rows: list[Row] = []
    ending = None
    for document in lines_of(path):
        if "row" in document:
            rows.append(document["row"])
        else:
            ending = document["ending"][0], document["ending"][1]
    return rows, ending


def _plain(value: Any) -> Any:
    """As JSON has it: null for what is no finite number."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ---- what is kept --------------------------------------------------------------------------------------------


def _keep(out: Path, result: Result) -> None:
    """A line in results.jsonl, and one for whoever looks on; a full disk is said, and the visit goes on."""
    _tell(f"{result.card}: {result.status} after {result.seconds:.1f} s {result.error}".rstrip())
    try:
        out.mkdir(parents=True, exist_ok=True)
        _append(out / "results.jsonl", result.document)
    except OSError as error:
        _tell(f"{out / 'results.jsonl'}: {error.strerror}, so that it lacks {result.card}")


def _append(path: Path, document: dict[str, Any]) -> None:
    """A line more, on the disk when this returns; what a visit before was cut off at stays a line of its own."""
    whole = not path.is_file() or path.read_bytes()[-1:] in (b"", b"\n")
    with path.open("a") as file:
        file.write(("" if whole else "\n") + json.dumps(document) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _append_log(path: Path, log: Path) -> None:
    """The end of a card's log."""
    with log.open("rb") as file, path.open("ab") as together:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_BYTES))
        together.write((b"[...]\n" if size > LOG_BYTES else b"") + file.read())


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, a line each; what is cut off or damaged is passed over."""
    if path.is_file():
        for line in path.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                document = json.loads(line)
                if isinstance(document, dict):
                    yield document


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


def _tell(line: str) -> None:
    print(line, flush=True)
