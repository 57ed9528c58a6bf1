"""How many threads compute, and how they wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segmodels.compute import processors
from segmodels.compute.device import default_threads
from segmodels.compute.processors import NUMBER_CHOICES, WAITING, WAITING_CHOICES, most_threads, wait_passively

V2, V1 = "0::{}\n", "3:cpuset:/x\n4:cpu,cpuacct:{}\n0::/\n"  # proc/self/cgroup
FILES = {  # files below the root, and how many threads that is, of eight processors
    "v2, a container's own": ({"proc/self/cgroup": V2.format("/"), "sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3),
    "v2, no limit": ({"proc/self/cgroup": V2.format("/"), "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
    "v2, the group around it is smaller": (
        {
            "proc/self/cgroup": V2.format("/a/b"),
            "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            "sys/fs/cgroup/a/b/cpu.max": "600000 100000\n",
        },
        2,
    ),
    "v2, the host's path": (
        {"proc/self/cgroup": V2.format("/docker/0123"), "sys/fs/cgroup/cpu.max": "500000 100000\n"},
        5,
    ),
    "v2, half a processor": ({"proc/self/cgroup": V2.format("/"), "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
    "v1": (
        {
            "proc/self/cgroup": V1.format("/a"),
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
        },
        2,
    ),
    "v1, no limit": (
        {
            "proc/self/cgroup": V1.format("/"),
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        8,
    ),
    "more than there are": ({"proc/self/cgroup": V2.format("/"), "sys/fs/cgroup/cpu.max": "9000000 100000\n"}, 8),
    "no Linux": ({}, 8),
}


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a user who chose nothing, on eight processors."""
    for name in (*NUMBER_CHOICES, *WAITING_CHOICES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


@pytest.mark.parametrize(("files", "expected"), FILES.values(), ids=FILES.keys())
def test_quota(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    """No more threads than a cgroup, or one around it, lets run at a time: versions 1 and 2."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert most_threads(tmp_path) == expected


def test_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the processors that the process may run on; where no system call tells them, all there are."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5})
    assert most_threads(tmp_path) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert most_threads(tmp_path) == 6


def test_the_default_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own number, bounded by what can run; the user's variable is not bounded."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        for most, expected in ((2, 2), (8, 4), (None, 4)):
            monkeypatch.setattr("segmodels.compute.device.most_threads", lambda most=most: most)
            assert default_threads() == expected
    finally:
        torch.set_num_threads(before)
    for name in NUMBER_CHOICES:
        with monkeypatch.context() as patch:
            patch.setenv(name, "7")
            assert processors.most_threads() is None


def test_the_users_way_to_wait_is_kept() -> None:
    """Whichever variable of whichever OpenMP says it."""
    nothing: dict[str, str] = {}
    wait_passively(nothing)
    assert nothing == WAITING
    for name in WAITING_CHOICES:
        chosen = {name: "active"}
        wait_passively(chosen)
        assert chosen == {name: "active"}


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings GNU's OpenMP on Linux")
@pytest.mark.parametrize(("given", "expected"), [({}, WAITING["GOMP_SPINCOUNT"]), ({"GOMP_SPINCOUNT": "77"}, "77")])
def test_openmp_reads_it(given: dict[str, str], expected: str) -> None:
    """The library that torch loads says how it waits: it was told in time, by the program's entry."""
    plain = {name: value for name, value in os.environ.items() if name not in WAITING_CHOICES}
    command = [sys.executable, "-m", "segmodels", "train", "nothing", "--shards", "a", "--out", "b"]
    variables = plain | given | {"OMP_DISPLAY_ENV": "verbose"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert f"GOMP_SPINCOUNT = '{expected}'" in done.stderr
    assert "no network 'nothing'" in done.stderr
