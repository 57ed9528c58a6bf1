"""Card `tests`: what the project's own tests say on this device; those marked `cuda` skip everywhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.device.card import Bench, CardError, Row

ROOT = Path(__file__).parents[2]
SHOWN = 5  # names of failed tests in a line


def tests(bench: Bench, slow: bool = False) -> Iterator[Row]:
    """Passed, failed and skipped; warnings do not fail here, for versions are not those of `make test`."""
    report = bench.scratch / "junit.xml"
    words = [
        "--ignore=tests/segmodels/report",
        "--continue-on-collection-errors",
        "-q",
        "-n",
        "4",
        "-W",
        "default",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
        "-o",
        "timeout=300",
    ]
    marks = "cuda and slow" if slow else "cuda and not slow"
    command = [sys.executable, "-m", "pytest", "-m", marks, "tests/segmodels", *words]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "2"}, check=False).returncode
    if not report.is_file():
        raise CardError(f"pytest ended with status {ended} and wrote no report: see the log")
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
        "passed": len(cases) - len(wrong) - len(names["skipped"]),
        "failed": wrong,
        "skipped": len(names["skipped"]),
        "slowest": {str(case.get("name")): float(case.get("time", 0)) for case in slowest},
    }
    if wrong:
        more = f" (and {len(wrong) - SHOWN} more)" if len(wrong) > SHOWN else ""
        raise CardError(f"{len(wrong)} of {len(cases)} failed: {', '.join(wrong[:SHOWN])}{more}")


def says(rows: Sequence[Row]) -> str:
    return f"{rows[0]['passed']} passed, {len(rows[0]['failed'])} failed, {rows[0]['skipped']} skipped"


def _is(case: ElementTree.Element, kind: str) -> bool:
    return case.find(kind) is not None
