"""One visit to a device: what it is, which cards are left, the run, the table."""

from __future__ import annotations

import argparse
import signal
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.device.card import Bench, Card, CardError
from benchmarks.device.cards import CARDS
from benchmarks.device.collect import done
from benchmarks.device.origin import measured_commit
from benchmarks.device.runner import apart, run, table
from benchmarks.train import painted
from segdata import ShardSet
from segmodels.device import choose_device
from segmodels.environment import describe_environment

SEED = 0  # of every card that does not name another


def visit(options: argparse.Namespace, scratch: Path) -> None:
    """`run` with its options. Ends with one line where there is no device or no pack."""
    began = monotonic()
    cards = list(dict.fromkeys(card for only in options.only for card in CARDS if _matches(card, [only])))
    if options.list:
        print("\n".join(f"{card.name:<28} {card.estimate:>4.0f} s, at most {card.limit:.0f}" for card in cards))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # the card's process goes with it
    commit = _commit(options.pack)
    bench = Bench("cuda", options.pack, scratch)
    if options.rehearse:
        apart(_read, bench)
        bench = Bench("cpu", apart(_tiny, scratch / "tiny"), scratch, rehearsal=True)
    try:
        about = apart(_about, bench.device)
    except CardError as error:
        sys.exit(f"no device to run on: {error}. Without one there is --rehearse")
    about |= {"commit": commit, "rehearsal": options.rehearse, "seed": SEED}
    print(f"{about['device']['name']}, torch {about['versions']['torch']}, commit {about['commit']}", flush=True)
    finished = done(about["device"]["name"], options.out / "results.jsonl", rehearsal=options.rehearse)
    finished -= {card.name for card in cards if _matches(card, options.again)}
    left = options.budget - (monotonic() - began)
    results = run(cards, bench, left, options.out, about=about, done=finished)
    print(table(cards, results) or "no card was run")


def _about(device: str) -> dict[str, Any]:
    return describe_environment(choose_device(device))


def _commit(pack: Path) -> str | None:
    try:
        return measured_commit(pack)
    except OSError:
        sys.exit(f"{pack} has no pack.json. Build it: python -m benchmarks.device pack --camvid CamVid")


def _read(bench: Bench) -> None:
    """One sample of each set of the pack: a rehearsal uses nothing else of them."""
    for path in (bench.camvid, bench.streets):
        ShardSet(path, "val").read(0)


def _tiny(folder: Path) -> Path:
    """A pack of small painted streets in the place of both sets: on a CPU the real ones would take hours."""
    for name in ("camvid", "streets"):
        painted(folder / "made" / name, (128, 256), frames=8).rename(folder / name)
    return folder


def _matches(card: Card, patterns: list[str]) -> bool:
    return any(fnmatchcase(card.name, pattern) for pattern in patterns)
