"""python -m benchmarks.device pack | run | collect: what a CUDA machine must show, in the minutes that it is there.

`pack` builds, where there is a network, what the machine needs beside the checkout. `run`, there, works through the
cards in order of value and goes on where an earlier visit ended. `collect` brings the results into benchmarks/results.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory

PACK = Path(".device/pack")
PARTS = ("wheels", "camvid", "streets")
LACKING = ("blake3", "isal", "zlib_ng", "cityscapesscripts", "webdataset")
ROOM = 16 * 2**30  # bytes
SITE = "SEGDATA_DEVICE_SITE"  # set once the wheels are installed, where to


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.device", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    pack = commands.add_parser("pack", help="build the folder that travels with the checkout")
    pack.add_argument("--folder", type=Path, default=PACK, help=f"git ignores it [default: {PACK}]")
    pack.add_argument("--camvid", type=Path, help="the folder CamVid, as the SegNet tutorial made it")
    pack.add_argument("--again", action="append", default=[], choices=PARTS, help="build this part anew; repeatable")
    run = commands.add_parser("run", help="work through the cards")
    run.add_argument("--budget", type=float, default=360, metavar="SECONDS", help="for all of it [default: 360]")
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="for results.jsonl and log.txt")
    run.add_argument("--pack", type=Path, default=PACK, metavar="DIR", help=f"[default: {PACK}]")
    run.add_argument(
        "--only", nargs="+", default=["*"], metavar="CARD", help="these alone, in this order; * is anything"
    )
    run.add_argument("--again", nargs="+", default=[], metavar="CARD", help="even if they are done")
    run.add_argument("--rehearse", action="store_true", help="tiny, on the CPU: does every card run?")
    run.add_argument("--list", action="store_true", help="print the cards and their estimates, and run none")
    collect = commands.add_parser("collect", help="results.jsonl to benchmarks/results/cuda/GPU/CARD.json")
    collect.add_argument("results", type=Path, metavar="RESULTS.JSONL")
    options = parser.parse_args()
    if options.command == "pack":
        from benchmarks.device.pack import pack as build

        build(options.folder, options.camvid, options.again)
    elif options.command == "run":
        _run(options)
    else:
        from benchmarks.device.collect import collect as bring

        print("\n".join(bring(options.results)) or f"{options.results}: no results")


def _run(options: argparse.Namespace) -> None:
    with TemporaryDirectory(prefix="segdata-device-", dir=_roomy()) as scratch:
        if (missing := [name for name in LACKING if find_spec(name) is None]) and SITE not in os.environ:
            _begin_again(options.pack / "wheels", Path(scratch) / "site", missing)
        from benchmarks.device.visit import visit

        visit(options, Path(scratch))


def _roomy() -> Path | None:
    """Memory as a disk, where there is much of it: checkpoints of a gigabyte then cost no time."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and disk_usage(memory).free > ROOM else None


def _begin_again(wheels: Path, site: Path, missing: list[str]) -> None:
    """The same command, with the pack's wheels installed beside what is there."""
    found = sorted(map(str, wheels.glob("*.whl")))
    if not found:
        sys.exit(f"{wheels} has no wheels, and {', '.join(missing)} are not installed. Build it: {_command('pack')}")
    install = ["install", "-q", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", *install, *found], check=True)
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    there = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), SITE: str(site)}
    sys.exit(
        subprocess.run([sys.executable, "-m", "benchmarks.device", *sys.argv[1:]], env=there, check=False).returncode
    )


def _command(name: str) -> str:
    return f"python -m benchmarks.device {name} --camvid CamVid"


if __name__ == "__main__":
    main()
