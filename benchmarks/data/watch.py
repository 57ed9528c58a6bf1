"""What a command and all its processes take while they run: processor time and memory, as /proc tells it."""

import os
import threading
from pathlib import Path


class Watch(threading.Thread):
    """Samples memory (PSS) and CPU time of a process and its descendants, which need not be its own to reap."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.done = pid, 0, threading.Event()
        self.cpu: dict[int, float] = {}
        self.start()

    def run(self) -> None:
        while not self.done.wait(0.02):
            family = descendants(self.pid)
            self.peak = max(self.peak, sum(map(pss, family)))
            self.cpu.update((pid, seconds) for pid in family if (seconds := cpu_seconds(pid)))

    def stop(self) -> None:
        self.done.set()
        self.join()


def descendants(pid: int) -> list[int]:
    found, pending = [], [pid]
    while pending:
        pid = pending.pop()
        found.append(pid)
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                pending += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
