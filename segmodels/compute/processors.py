"""The processors that this process may use, and how threads on them wait for each other. Nothing here imports torch.

What else runs on the machine has no say: the same machine and command compute with the same number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path, PurePosixPath

# Between two parts of a computation a thread waits for the others. By default it asks 300,000 times whether they are
# done (it spins), then sleeps. Beside other work it so keeps the processor from the very thread that it waits for.
WAITING = {
    "OMP_WAIT_POLICY": "passive",  # every OpenMP: sleep instead
    "GOMP_SPINCOUNT": "20000",  # GNU's, which torch brings on Linux: ask for half a millisecond first (docs/speed.md)
}
WAITING_CHOICES = (*WAITING, "KMP_BLOCKTIME", "KMP_LIBRARY")  # KMP_: Intel's and LLVM's
NUMBER_CHOICES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def wait_passively(variables: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep soon, unless the user chose how they wait. OpenMP reads this as torch starts."""
    if not any(name in variables for name in WAITING_CHOICES):
        variables.update(WAITING)


def most_threads(root: Path = Path("/")) -> int | None:
    """As many threads of this process as can run at a time: the processors it may run on, and its cgroups' quota.

    None where the user chose a number in the environment.
    """
    if any(name in os.environ for name in NUMBER_CHOICES):
        return None
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, int(min(_quotas(root), default=allowed))))


def _quotas(root: Path) -> Iterator[float]:
    """How many processors each cgroup of this process, and each cgroup around one, may use at a time, if limited."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:  # `0::/path` is version 2, `4:cpu,cpuacct:/path` version 1
        _, controllers, path = line.split(":", 2)
        if not controllers:
            folder, read = root / "sys/fs/cgroup", _quota_v2
        elif "cpu" in controllers.split(","):
            folder, read = root / "sys/fs/cgroup" / controllers, _quota_v1
        else:
            continue
        own = PurePosixPath(path.lstrip("/"))  # in a container often that of the host, which is not there
        for inside in (own, *own.parents):
            try:
                quota, period = read(folder / inside)
                if quota > 0 and period > 0:
                    yield quota / period
            except (OSError, ValueError):  # no such file, or `max`
                continue


def _quota_v2(group: Path) -> tuple[int, int]:
    quota, period = (group / "cpu.max").read_text().split()
    return int(quota), int(period)


def _quota_v1(group: Path) -> tuple[int, int]:
    quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
    return int(quota), int(period)
