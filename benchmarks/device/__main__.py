"""python -m benchmarks.device pack | run | collect: what a CUDA machine must show, in the minutes that it is there.

`pack` builds, where there is a network, what the machine needs beside the checkout. `run`, there, works through the
cards in order of value and goes on where an earlier visit ended. `collect` brings the results into benchmarks/results.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import disk_usage, rmtree
from tempfile import mkdtemp
from time import monotonic

from segdata.base.numbers import number
from segdata.cli.script import Parser

PACK, VISIT = Path(".device/pack"), Path(".device/visit")
PARTS = ("wheels", "camvid", "streets")
LACKING = ("blake3", "isal", "zlib_ng", "cityscapesscripts", "webdataset")
BEGAN, SCRATCH = "SEGDATA_DEVICE_BEGAN", "SEGDATA_DEVICE_SCRATCH"  # handed on when the wheels are installed
ROOM = 16 * 2**30  # bytes


def main() -> int:
    began = float(os.environ.get(BEGAN, monotonic()))  # the clock of the system: it goes on through an exec
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda number, _: sys.exit(128 + number))
    parser = Parser(
        prog="python -m benchmarks.device", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    pack = commands.add_parser("pack", help="build the folder that travels with the checkout")
    pack.add_argument("--folder", type=Path, default=PACK, help=f"git ignores it [default: {PACK}]")
    pack.add_argument("--camvid", type=Path, help="the folder CamVid, as the SegNet tutorial made it")
    pack.add_argument("--again", action="append", default=[], choices=PARTS, help="build this part anew; repeatable")
    run = commands.add_parser("run", help="work through the cards; exit status 1 where one fails or is stopped")
    run.add_argument("--budget", type=seconds, metavar="SECONDS", help="for all of it [default: 360; to rehearse 3600]")
    run.add_argument("--out", type=Path, default=VISIT, metavar="DIR", help=f"[default: {VISIT}]")
    run.add_argument("--pack", type=Path, default=PACK, metavar="DIR", help=f"[default: {PACK}]")
    run.add_argument("--only", nargs="+", default=[], metavar="CARD", help="only these, in this order; * is anything")
    run.add_argument("--again", nargs="+", default=[], metavar="CARD", help="these too, even if they are done")
    run.add_argument("--rehearse", action="store_true", help="tiny, on the CPU: does every card run?")
    run.add_argument("--list", action="store_true", help="print the cards and their estimates, and run none")
    collect = commands.add_parser("collect", help="results.jsonl to benchmarks/results/cuda/GPU/CARD.json")
    collect.add_argument("results", type=Path, nargs="?", default=VISIT / "results.jsonl", metavar="RESULTS.JSONL")
    options = parser.parse_args()
    if options.command == "pack":
        from benchmarks.device.pack import pack as build

        try:
            build(options.folder, options.camvid, options.again)
        except subprocess.CalledProcessError as error:
            return error.returncode  # the command has said why
        return 0
    if options.command == "run":
        return _run(options, began)
    from benchmarks.device.collect import collect as bring

    lines = options.results / "results.jsonl" if options.results.is_dir() else options.results
    if not lines.is_file() or not (told := bring(lines)):
        sys.exit(f"collect: no results in {lines}, expected the results.jsonl of a run's --out")
    print("\n".join(told))
    return 0


def seconds(text: str) -> float:
    try:
        value = number(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no budget, expected a positive number of seconds")
    return value


def _run(options: argparse.Namespace, began: float) -> int:
    scratch = Path(os.environ.get(SCRATCH) or mkdtemp(prefix="segdata-device-", dir=_roomy()))
    try:
        missing = [name for name in LACKING if find_spec(name) is None]
        if missing and SCRATCH not in os.environ:
            _begin_again(options.pack / "wheels", scratch, missing, began)
        from benchmarks.device.visit import visit

        return visit(options, scratch / "cards", began)
    finally:
        rmtree(scratch, ignore_errors=True)


def _roomy() -> Path | None:
    """Memory as a disk, where there is much of it: checkpoints of a gigabyte then cost no time."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and disk_usage(memory).free > ROOM else None


def _begin_again(wheels: Path, scratch: Path, missing: list[str], began: float) -> None:
    """The same command in this process's place, with the pack's wheels installed beside what is there."""
    found = sorted(map(str, wheels.glob("*.whl")))
    if not found:
        sys.exit(
            f"{wheels} has no wheels, and {', '.join(missing)} are not installed. "
            "Build it where there is a network: python -m benchmarks.device pack --camvid CamVid"
        )
    site = scratch / "site"
    install = ["install", "-q", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--target", str(site)]
    if subprocess.run([sys.executable, "-m", "pip", *install, *found], check=False).returncode:
        sys.exit(f"pip could not install {wheels}: build it anew with --again wheels, for Python {sys.version[:4]}")
    paths = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    there = {**os.environ, "PYTHONPATH": paths, SCRATCH: str(scratch), BEGAN: str(began)}
    os.execve(sys.executable, [sys.executable, "-m", "benchmarks.device", *sys.argv[1:]], there)


if __name__ == "__main__":
    sys.exit(main())
