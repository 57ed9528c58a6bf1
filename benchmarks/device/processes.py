"""Processes of cards: begun by a fork, ended with all that they began."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.device.card import CardError
from segdata import SegdataError
from segmodels.errors import SegmodelsError

SUBREAPER, DEATH_SIGNAL = 36, 1  # of Linux's prctl
FORK = multiprocessing.get_context("fork")


def apart(work: Any, *arguments: Any, seconds: float | None = None) -> Any:
    """What `work(*arguments)` returns, from a process of its own: of a card that has not touched the device yet."""
    (result,) = side_by_side([(work, *arguments)], seconds)
    return result


def side_by_side(calls: Sequence[tuple[Any, ...]], seconds: float | None = None) -> list[Any]:
    """What each (work, *arguments) returns, all at the same time, each in a process of its own. None: it was killed.

    Raises CardError where one fails, or has not ended after so many seconds.
    """
    started = []
    for work, *arguments in calls:
        ours, its = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_send, args=(its, work, arguments))
        process.start()
        its.close()
        started.append((process, ours))
    try:
        return [_received(process, ours, seconds) for process, ours in started]
    finally:
        for process, _ in started:
            process.kill()


def _send(pipe: Any, work: Any, arguments: Sequence[Any]) -> None:
    die_with_parent()
    try:
        answer = "value", work(*arguments)
    except (SegdataError, SegmodelsError) as error:
        answer = "error", first_line(error)
    except BaseException as error:
        traceback.print_exc()
        answer = "error", f"{type(error).__name__}: {first_line(error)}"
    with suppress(ValueError, OSError):
        sys.stdout.flush()
    pipe.send(answer)
    pipe.close()
    os._exit(0)


def _received(process: Any, pipe: Any, seconds: float | None) -> Any:
    if not pipe.poll(seconds):
        raise CardError(f"no answer within {seconds:.0f} s")
    try:
        kind, value = pipe.recv()
    except EOFError:
        kind, value = "value", None
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise CardError(f"a process of it ended with {exit_words(process.exitcode)}")
    if kind == "error":
        raise CardError(value)
    return value


def adopt_orphans() -> None:
    """What a child leaves behind becomes a child of this process, so that `end_orphans` finds it."""
    _prctl(SUBREAPER, 1)


def die_with_parent() -> None:
    """This process ends when the one that forked it does."""
    _prctl(DEATH_SIGNAL, signal.SIGKILL)


def _prctl(what: int, value: int) -> None:
    """Linux alone has it; elsewhere a card that is orphaned lives on."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


def kill_group(group: int | None) -> None:
    """The card's process and all that it started, but for what left its group."""
    for end in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            end(group, signal.SIGKILL) if group else None


def end_orphans() -> None:
    """Whatever left its card's group: between turns this process has no children of its own."""
    while left := _children():
        for child in left:
            with suppress(ProcessLookupError, PermissionError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def _children() -> list[int]:
    """Processes whose parent this is; none where there is no /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(stat.parent.name))
    return found


def exit_words(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"status {code}"


def first_line(error: BaseException) -> str:
    try:
        return (str(error).strip().splitlines() or [""])[0][:300]
    except Exception:
        return "(without words)"
