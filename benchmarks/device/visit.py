"""One visit to a device: what it is, which cards are left, the run, the table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.device.card import Bench, Card, CardError
from benchmarks.device.cards import CARDS
from benchmarks.device.collect import done
from benchmarks.device.origin import measured_commit
from benchmarks.device.processes import apart
from benchmarks.device.runner import Result, run, table
from benchmarks.networks.train import painted
from segdata import ShardSet
from segdata.base.lock import locked
from segdata.errors import LockedError
from segmodels.compute.device import choose_device
from segmodels.runs.environment import describe_environment
from segmodels.spec import nearest

SEED = 0  # of every card that does not name another
PATIENCE = 90.0  # seconds for a device to answer at all, and for a rehearsal's sets


def visit(options: argparse.Namespace, scratch: Path, began: float) -> int:
    """`run` with its options; the exit status. Ends with one line where there is no device, pack or such a card."""
    wanted = [*options.only, *options.again] or ["*"]
    cards = list(dict.fromkeys(card for pattern in wanted for card in _matching(pattern)))
    again = {card.name for pattern in options.again for card in _matching(pattern)}
    if options.list:
        print("\n".join(f"{card.name:<28} {card.estimate:>4.0f} s, at most {card.limit:.0f}" for card in cards))
        return 0
    options.budget = options.budget or (3600.0 if options.rehearse else 360.0)
    if options.rehearse:  # estimates are a GPU's, and a slow processor has time
        cards = [replace(card, estimate=1.0, limit=5 * card.limit) for card in cards]
    with _alone(options.out):
        results = _work(cards, again, options, scratch, began)
    return int(any(result.status in ("failed", "stopped") for result in results))


def _work(cards: list[Card], again: set[str], options: argparse.Namespace, scratch: Path, began: float) -> list[Result]:
    """Arrive, run, and print the table, whatever ends it."""
    results: list[Result] = []
    try:
        bench, about = _arrive(options, scratch)
        if not (bench.camvid / "dataset.json").is_file():
            print(f"{bench.pack} has no camvid, so its cards are left out: pack --camvid CamVid brings it", flush=True)
            cards = [card for card in cards if not card.name.startswith("camvid")]
        finished = done(about["device"]["name"], options.out / "results.jsonl", rehearsal=options.rehearse) - again
        left = options.budget - (monotonic() - began)
        run(cards, bench, left, options.out, about=about, done=finished, results=results)
    finally:
        if results:
            print(table(cards, results), flush=True)
    if not results:
        print("no card was run")
    return results


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """One run at a time writes into a folder, and has the device."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with locked(out / ".lock", "benchmarks.device run"):
            yield
    except LockedError as error:
        sys.exit(str(error))
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        sys.exit(f"--out {out}: {error.strerror}, expected a folder that can be written")


def _arrive(options: argparse.Namespace, scratch: Path) -> tuple[Bench, dict[str, Any]]:
    """What to work with, and what every result says about itself."""
    scratch.mkdir(parents=True, exist_ok=True)
    patience = min(PATIENCE, options.budget)
    try:
        commit = measured_commit(options.pack)
        bench = Bench("cuda", options.pack, scratch)
        if options.rehearse:
            apart(_read, bench, seconds=patience)
            bench = Bench("cpu", apart(_tiny, scratch / "tiny", seconds=patience), scratch, rehearsal=True)
        about = apart(_about, bench.device, seconds=patience)
    except CardError as error:
        sys.exit(f"{error}. To try the cards on the CPU: --rehearse" if not options.rehearse else str(error))
    except (OSError, ValueError, KeyError) as error:
        command = "python -m benchmarks.device pack --camvid CamVid"
        sys.exit(f"{options.pack} is no whole pack ({error}). To build one: {command}")
    about |= {"commit": commit, "rehearsal": options.rehearse, "seed": SEED}
    if options.rehearse:
        print("A rehearsal on the CPU: its figures mean nothing", flush=True)
    print(f"{about['device']['name']}, torch {about['versions']['torch']}, commit {about['commit']}", flush=True)
    return bench, about


def _about(device: str) -> dict[str, Any]:
    return describe_environment(choose_device(device))


def _read(bench: Bench) -> None:
    """One sample of each set of the pack: a rehearsal uses nothing else of them."""
    for path in (bench.camvid, bench.streets):
        if path == bench.streets or path.exists():
            ShardSet(path, "val").read(0)


def _tiny(folder: Path) -> Path:
    """A pack of small painted streets in the place of both sets: on a CPU the real ones would take hours."""
    for name in ("camvid", "streets"):
        painted(folder / "made" / name, (128, 256), frames=8).rename(folder / name)
    return folder


def _matching(pattern: str) -> list[Card]:
    found = [card for card in CARDS if fnmatchcase(card.name, pattern)]
    if not found:
        names = [card.name for card in CARDS]
        sys.exit(f"no card is named {pattern}{nearest(pattern, names)}. `run --list` names all {len(names)}")
    return found
