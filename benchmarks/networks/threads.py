"""One thread of the CPU or two, on a quiet machine and beside other work, by how threads wait for each other:

    python benchmarks/networks/threads.py --out benchmarks/results/cpu/threads.json    # about five minutes, two cores

For one network of every family, a training step of its small version is timed in each of SETTINGS, beside each number
of busy loops. Every setting has a process of its own, which lives through all loads, and the settings take turns.
Between two parts of a step, a thread waits for the others: it asks again and again (spins) so many times, then sleeps
until the system wakes it. Beside other work, a spinning thread keeps the processor from the thread that it waits for.
A process that has not taken its three steps within CAP seconds is stopped: the result has null there.

A turn during which processes of somebody else took more than a tenth of a processor is repeated, TRIES times at most;
the row says how much they took in the turns that count.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.networks.train import SMALL
from segdata.cli.script import Parser
from segmodels.compute.processors import WAITING

NETWORKS = ("percentile", "dilated_unet", "distill_x8", "iterative_v6", "res_hourglass", "pspnet", "clusternet")
NETWORKS = (*NETWORKS, "fcn_resnet_v2")
CROP, BATCH, CLASSES = (64, 128), 4, 20
LOADS = (0, 2, 6)  # busy loops
ROUNDS, SECONDS, FEWEST = 2, 0.7, 3  # turns of each setting; what a turn takes; steps that it takes at least
CAP, TRIES, OTHERS = 6.0, 2, 0.1  # seconds in which a turn has to end; turns at most; processors that others may take
TICKS = os.sysconf("SC_CLK_TCK")  # a second, in the files of /proc
BUSY = "import time\nend = time.time() + 600\nwhile time.time() < end: pass"


class Waiting(NamedTuple):
    """How many threads there are, and how they wait; the variables are read by GNU's OpenMP, which torch brings."""

    threads: int
    variables: dict[str, str]


SETTINGS = {
    "1": Waiting(1, {}),
    "2, as torch starts": Waiting(2, {}),  # asks 300,000 times: milliseconds
    "2, as segmodels starts": Waiting(2, WAITING),
    "2, passive": Waiting(2, {"OMP_WAIT_POLICY": "passive"}),  # sleeps at once
}


# ---- one setting, in a process of its own ----------------------------------------------------------------------


def answer(network: str, threads: int) -> None:
    """Take steps for as many seconds as each line of standard input says, and print how many ms each step took."""
    import torch

    from segmodels.compute.device import arithmetic

    torch.set_num_threads(threads)
    with arithmetic(fast=False):
        steps = training(network)
        next(steps)
        print("ready", flush=True)
        for line in sys.stdin:
            end, taken = time.perf_counter() + float(line), list[float]()
            while len(taken) < FEWEST or time.perf_counter() < end:
                start = time.perf_counter()
                next(steps)
                taken.append(1000 * (time.perf_counter() - start))
            print(json.dumps(taken), flush=True)


def training(network: str) -> Iterator[None]:
    """A step of training each time: forward, backward, optimiser, on the same black images."""
    import torch

    from segmodels.config.recipes import make_config
    from segmodels.data.batches import Batch
    from segmodels.networks import spec
    from segmodels.training.losses import backward
    from segmodels.training.optim import make_optimizer

    declared, device = spec(network), torch.device("cpu")
    options = declared.resolve(SMALL[network])
    config = make_config(network, None, {"shards": Path(), "out": Path(), "options": tuple(options.items())})
    model = declared.build(CLASSES, CROP, options).train()
    optimizer = make_optimizer(config.optimizer, model, config.lr, momentum=config.momentum, weight_decay=0.0)
    stride = declared.geometry(options).stride
    images = torch.zeros(BATCH, *CROP, 3, dtype=torch.uint8)
    targets = torch.zeros(BATCH, *(side // stride for side in CROP), dtype=torch.uint8)
    while True:
        backward(model, Batch((), images, targets), config, declared.step_weights, None, device)
        optimizer.step()
        optimizer.zero_grad()
        yield


# ---- all of them -----------------------------------------------------------------------------------------------


class Child:
    """The process of one setting, until it was too slow."""

    def __init__(self, network: str, setting: Waiting) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
        command = [sys.executable, "-m", "benchmarks.networks.threads", "--answer", network, str(setting.threads)]
        self.process = subprocess.Popen(
            command, env=plain | setting.variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.stopped = False

    def read(self, seconds: float) -> str:
        """The next line; empty where there is none in time, and then the process is ended."""
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.stopped = True
            self.process.kill()
            return ""
        return self.process.stdout.readline()

    def turn(self, loops: Sequence[int]) -> tuple[list[float], float]:
        """Milliseconds of each step, none where they did not end in time; and the processors that others took."""
        if self.stopped:
            return [], 0.0
        assert self.process.stdin
        start, before = time.perf_counter(), used_by_others((*loops, self.process.pid))
        self.process.stdin.write(f"{SECONDS}\n")
        self.process.stdin.flush()
        line = self.read(CAP)
        after = before if self.stopped else used_by_others((*loops, self.process.pid))
        return list(json.loads(line or "[]")), (after - before) / (time.perf_counter() - start)


def used_by_others(ours: Sequence[int]) -> float:
    """Processor time of all processes but these, in seconds since the machine started."""
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split()[1:9])
    mine = 0
    for process in ours:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        mine += int(fields[11]) + int(fields[12])
    return (user + nice + system + sum(interrupts[:2]) - mine) / TICKS


@contextmanager
def children(network: str) -> Iterator[dict[str, Child]]:
    """One of every setting, ready."""
    started = {name: Child(network, setting) for name, setting in SETTINGS.items()}
    try:
        for child in started.values():
            assert child.read(120.0) == "ready\n", network
        yield started
    finally:
        for child in started.values():
            child.process.kill()
            child.process.communicate()


@contextmanager
def busy(count: int) -> Iterator[list[int]]:
    """Beside so many processes that do nothing but compute."""
    loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        time.sleep(0.3 if loops else 0)
        yield [loop.pid for loop in loops]
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def rows_of(network: str) -> Iterator[dict[str, Any]]:
    """A row for every load: milliseconds of a step by setting, the median; null where it was stopped."""
    with children(network) as settings:
        for load in LOADS:
            taken: dict[str, list[float]] = {name: [] for name in settings}
            others = 0.0
            with busy(load) as loops:
                for _ in range(ROUNDS):
                    for name, child in settings.items():
                        steps, used = undisturbed(child, loops)
                        taken[name] += steps
                        others = max(others, used)
            ms = {name: None if settings[name].stopped else statistics.median(each) for name, each in taken.items()}
            yield {"network": network, "busy_loops": load, "step_ms": ms, "others": round(others, 2)}


def undisturbed(child: Child, loops: Sequence[int]) -> tuple[list[float], float]:
    """A turn beside little else, or the best of TRIES."""
    turns = []
    for _ in range(TRIES):
        turns.append(child.turn(loops))
        if child.stopped or turns[-1][1] < OTHERS:
            return turns[-1]
    return min(turns, key=lambda turn: turn[1])


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON; rows of other networks stay")
    parser.add_argument("--answer", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer:
        answer(given.answer[0], int(given.answer[1]))
        return
    line = "{:<16} {:>10}" + " {:>23}" * len(SETTINGS) + " {:>7}"
    print(line.format("ms of a step", "busy loops", *SETTINGS, "others"))
    for network in given.networks:
        rows = []
        for row in rows_of(network):
            shown = ["stopped" if ms is None else f"{ms:.0f}" for ms in row["step_ms"].values()]
            print(line.format(network, row["busy_loops"], *shown, row["others"]), flush=True)
            rows.append(row)
        if given.out:
            write(given.out, rows)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """The rows of a network, behind those of other networks that are there."""
    import torch

    from segmodels.runs.environment import describe_environment

    old = json.loads(path.read_text())["rows"] if path.exists() else []
    new = {row["network"] for row in rows}
    kept = [row for row in old if row["network"] not in new]
    setting = {"crop": CROP, "batch_size": BATCH, "processors": os.cpu_count(), "cap_s": CAP}
    about = describe_environment(torch.device("cpu")) | setting
    path.write_text(json.dumps(about | {"rows": kept + rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
