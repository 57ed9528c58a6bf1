"""Card `tests`: what the project's own tests say on this device; those marked `cuda` skip everywhere else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.device.card import Bench, CardError, OutOfTimeError, Row

ROOT = Path(__file__).parents[3]
CLOSING = 10.0  # seconds before the limit in which pytest writes its report
NO_TESTS = 5  # the exit status where all skip while they are collected
SHOWN = 5  # names of failed tests in a line


def tests(bench: Bench) -> Iterator[Row]:
    """Passed, failed and skipped; warnings do not fail here, for versions are not those of `make test`."""
    report = bench.scratch / "junit.xml"
    words = ["-m", "cuda", "tests/segmodels", "--ignore=tests/segmodels/report", "--continue-on-collection-errors"]
    words += ["-q", "--tb=short", "-n", "8", "-W", "default", "-p", "no:cacheprovider", f"--junitxml={report}"]
    pytest = subprocess.Popen(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        stdout=subprocess.PIPE,
        text=True,
    )
    in_time = True
    try:
        printed = pytest.communicate(timeout=max(1.0, bench.seconds - CLOSING))[0]
    except subprocess.TimeoutExpired:
        in_time = False
        pytest.send_signal(signal.SIGINT)  # it still reports what it has
        printed = pytest.communicate()[0]
    print(printed)
    if not report.is_file():
        raise CardError(f"pytest ended with status {pytest.returncode} and wrote no report: see the log")
    cases = list(ElementTree.parse(report).iter("testcase"))
    names = {
        kind: [
            f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}" for case in cases if _is(case, kind)
        ]
        for kind in ("failure", "error", "skipped")
    }
    wrong = names["failure"] + names["error"]
    slowest = sorted(cases, key=lambda case: -float(case.get("time", 0)))[:SHOWN]
    yield {
        "passed": _passed(printed),
        "failed": wrong,
        "skipped": len(names["skipped"]),
        "slowest": {str(case.get("name")): float(case.get("time", 0)) for case in slowest},
    }
    if not wrong and not in_time:
        raise OutOfTimeError("stopped before all tests had ended")
    if not wrong and pytest.returncode not in (0, NO_TESTS):
        raise CardError(f"pytest ended with status {pytest.returncode} after {len(cases)} tests: see the log")
    if wrong:
        more = f" (and {len(wrong) - SHOWN} more)" if len(wrong) > SHOWN else ""
        raise CardError(f"{len(wrong)} of {len(cases)} failed: {', '.join(wrong[:SHOWN])}{more}")


def says(rows: Sequence[Row]) -> str:
    return f"{rows[0]['passed']} passed, {len(rows[0]['failed'])} failed, {rows[0]['skipped']} skipped"


def _passed(printed: str) -> int:
    """As pytest's last line has it; the report of an interrupted run has cases that did not end."""
    found = re.findall(r"\b(\d+) passed\b", printed)
    return int(found[-1]) if found else 0


def _is(case: ElementTree.Element, kind: str) -> bool:
    return case.find(kind) is not None
