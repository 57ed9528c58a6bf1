"""Kernels are compiled once, with a line that says so; without a writable or whole cache they compute all the same."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba import config
from numba.core.caching import CacheImpl

from segdata.base import kernels
from segdata.base.kernels import ONCE, UNKEPT, Kernel

ROOT = Path(__file__).parents[3]


def increased(number: int) -> int:
    return number + 1


def call() -> int:
    """As a process that begins: a kernel that is not compiled yet."""
    kernels._SAID.clear()
    return int(Kernel("int64(int64)", increased)(1))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """numba's cache, empty."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def test_the_first_run_says_that_it_compiles(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line where nothing is compiled yet, none where it is, one again where a file of the cache is damaged."""
    assert call() == 2
    assert caplog.messages == [ONCE]
    assert call() == 2
    assert caplog.messages == [ONCE]
    for path in cache.rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[:40])
    assert call() == 2
    assert caplog.messages == [ONCE, ONCE]


@pytest.mark.parametrize("fault", ["no folder", "full disk"])
def test_a_cache_that_cannot_be_written_keeps_nobody_from_computing(
    fault: str, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another user, a read-only installation, no home, no space: the answer comes, and one line with advice."""
    if fault == "no folder":
        monkeypatch.setattr(CacheImpl, "_locator_classes", [])  # as numba is left where it can write nowhere
    else:
        monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._save_data", _full)
    assert call() == 2
    assert caplog.messages == [UNKEPT if fault == "no folder" else ONCE]


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "code",
    [
        "import segdata; segdata.ShardSet, segdata.prepare, segdata.make_job",
        "import segdata.looking.stats, segdata.checking.verify, segdata.looking.show",
    ],
)
def test_numba_waits_for_the_first_kernel(code: str) -> None:
    """What decodes no picture imports no numba: readers, `stats`, and all that `prepare` and `verify` are made of."""
    script = f"{code}\nimport sys; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


WORKERS = """
import sys, time
from pathlib import Path
from segdata.base.kernels import kernel

@kernel("int64(int64)")
def increased(number):
    return number + 1

def increased_together(number):
    set_up = "numba" in sys.modules
    Path(f"begun-{number}").touch()
    while len(list(Path.cwd().glob("begun-*"))) < 2:
        time.sleep(0.01)
    return increased(number), set_up
"""


def test_workers_that_begin_together_compile_once(tmp_path: Path) -> None:
    """numba is imported before they are forked, one of them compiles, the other takes it from the cache; one line."""
    (tmp_path / "workers.py").write_text(WORKERS)
    script = (
        "import workers; from segdata.engines import run\n"
        "print(sorted(run('local', workers.increased_together, range(2), 2, kernels=True)))"
    )
    where = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT))), "NUMBA_CACHE_DIR": "cache"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=where | {"NUMBA_DEBUG_CACHE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("data saved to") == done.stdout.count("data loaded from") == 1
    assert done.stdout.splitlines()[-1] == "[(1, True), (2, True)]"
    assert done.stderr in {f"{ONCE}\n", ""}  # none where the second had compiled before the first asked


def test_of_workers_one_speaks(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The line comes from the process itself or from its first worker, on standard error."""
    monkeypatch.setattr(kernels, "parent_process", object)
    for name, lines in (("ForkServerProcess-2", 0), ("ForkServerProcess-1", 1)):
        monkeypatch.setattr(kernels, "current_process", lambda name=name: type("Process", (), {"name": name}))
        kernels._SAID.clear()
        kernels._say(ONCE)
        assert len(caplog.messages) == lines
    assert logging.lastResort is not None and logging.lastResort.level <= logging.WARNING
