"""Processor seconds and wall seconds of every command on tiny painted data, with a cold and a warm cache of numba:

    python benchmarks/startup.py --out benchmarks/results/cpu/startup.json    # about three minutes, Linux

Processor seconds are those of all processes that a command starts, until the last one ends. Each command is run first
with an empty cache and then WARM times with what it left there; a command that leaves nothing there uses no kernels,
and its first run does not count. The data: 12 frames of 64x128, a small network, 2 steps of training.

    PYTHONPATH=OLD python benchmarks/startup.py --out …    # of another checkout; commands that it lacks are left out
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from segdata.cli.script import Parser

WARM = {"segdata": 2, "segmodels": 1}  # the least of them counts: other work on the machine only adds
FRAMES, SIZE, STEPS = {"train": 8, "val": 4}, "64x128", 2
PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h: orphans below this process become its children, and are counted
COMMANDS = f"""
segdata --help
segdata list
segdata taxonomy cityscapes-20
segdata synth cityscapes --out synth{{n}} --train {FRAMES["train"]} --val {FRAMES["val"]} --test 0 --size {SIZE}
segdata prepare cityscapes --root synth0 --out prepare{{n}}
segdata prepare cityscapes --root synth0 --out serial{{n}} --engine serial
segdata prepare cityscapes --root synth0 --out resized{{n}} --size 32x64 --image-codec png
segdata stats prepare0 --json stats.json
segdata verify prepare0
segdata verify prepare0 --pixels
segdata show prepare0 --out sheet{{n}}.png
segdata diff prepare0 prepare0
segmodels --help
segmodels list
segmodels summary percentile --classes 20 --size {SIZE}
segmodels train percentile --shards prepare0 --out train{{n}} --steps {STEPS} --batch-size 2 --crop {SIZE} \
--option width_factor=0.125
segmodels evaluate train0 --shards prepare0 --out evaluate{{n}}
segmodels predict train0 synth0/leftImg8bit/val --out predict{{n}}
segmodels verify train0
segmodels report --runs train0 --scores evaluate0 --stats stats.json --shards prepare0 --out report{{n}}
segmodels calibrate train0 --shards prepare0 --budget 0.9 --out calibrate{{n}}.json
segmodels sweep train0 --knob q --values 0.5 --shards prepare0 --forwards 1 --out sweep{{n}}
segmodels bench percentile --classes 20 --size {SIZE} --seconds 0 --largest-batch 1
segmodels export train0 --out export{{n}}.pt2
""".strip().splitlines()  # publish and revisions are missing: they need an object store


def taken(command: str, folder: Path, cache: Path) -> dict[str, float]:
    """Seconds of one run in `folder`. Raises CalledProcessError where the command fails."""
    program, *words = shlex.split(command)
    variables = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    start, before = time.perf_counter(), used_by_children()
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *words],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - start
    with suppress(ChildProcessError):
        while True:  # helpers that end after the command
            os.wait()
    done.check_returncode()
    return {"processor": round(used_by_children() - before, 2), "wall": round(wall, 2)}


def used_by_children() -> float:
    """Processor seconds of all children that ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(command: str, folder: Path) -> dict[str, dict[str, float]]:
    """Seconds with a warm cache, and with a cold one where the command makes use of it."""
    cache = Path(tempfile.mkdtemp(dir=folder))
    cold, *warm = (taken(command.format(n=n), folder, cache) for n in range(1 + WARM[command.partition(" ")[0]]))
    least = {kind: min(each[kind] for each in warm) for kind in cold}
    return {"cold": cold, "warm": least} if any(cache.rglob("*.nbi")) else {"warm": least}


def result(folder: Path) -> dict[str, object]:
    """Every command in its turn, since later ones need what earlier ones made."""
    load = os.getloadavg()[0]
    commands = {}
    for command in COMMANDS:
        shown = command.replace("{n}", "")
        try:
            commands[shown] = measured(command, folder)
        except subprocess.CalledProcessError as error:
            print(f"left out: {shown}: {error.stderr.strip()[-300:]}", file=sys.stderr)
            continue
        print(f"{shown}: {commands[shown]}", file=sys.stderr)
    return {
        "frames": sum(FRAMES.values()),
        "size": SIZE,
        "steps": STEPS,
        "processors": len(os.sched_getaffinity(0)),
        "load": [round(each, 1) for each in (load, os.getloadavg()[0])],
        "seconds": commands,
    }


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(result(Path(folder)), indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
