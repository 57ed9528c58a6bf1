"""Workers, and the process that they are forked from: what they hear of the terminal."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from segdata.engines.local import Local
from segdata.errors import SegdataError

INTERRUPTS = 1 << (signal.SIGINT - 1)


def blocked(process: int) -> int:
    """The signals that a process does not hear, as the bits that Linux tells."""
    found = re.search(r"^SigBlk:\s*([0-9a-f]+)$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1], 16)


def of_worker_and_its_parent(unit: int) -> tuple[int, int]:
    return blocked(os.getpid()), blocked(os.getppid())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells which signals are blocked")
def test_ctrl_c_is_never_a_workers() -> None:
    """From its first instruction on, also while it imports, where Python would print a traceback; ours is as before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with Local(of_worker_and_its_parent, 1) as engine:
        engine.give(0)
        found: list[tuple[int, int]] = []
        while not found:
            found = [event.outcome for event in engine.wait(60.0) if hasattr(event, "outcome")]
    assert all(bits & INTERRUPTS for bits in found[0])
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, []) or signal.SIGINT in before


@pytest.mark.parametrize("error", [EOFError(), ConnectionRefusedError(111, "Connection refused"), BrokenPipeError()])
def test_no_worker_can_be_started(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the process that they are forked from has died at once: not taken for the end of a terminal's input,
    nor for the end of whoever reads our lines."""

    def refuse(process: object) -> None:
        raise error

    monkeypatch.setattr("multiprocessing.context.ForkServerProcess.start", refuse)
    with Local(of_worker_and_its_parent, 1) as engine, pytest.raises(SegdataError, match="--engine serial") as caught:
        engine.give(0)
    assert str(caught.value).startswith("no worker process can be started: ")
