"""The runner of the device's cards: what is done is skipped, what fails, hangs or takes too long is passed over."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

CARDS = """
import json, os, signal, subprocess, sys, threading, time
from pathlib import Path
from benchmarks.device.card import Bench, Card, CardError, OutOfTimeError
from benchmarks.device.processes import apart, side_by_side
from benchmarks.device.runner import run, table
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C

def good(bench):
    print("a word for the log")
    (bench.scratch / "rubbish").write_text("of the card's own")
    yield {"value": 1, "size": (2, 3)}
    yield {"value": 2}

def failing(bench):
    yield {"value": 3}
    raise CardError("weights differ")

def broken(bench):
    yield {"value": 1 / 0}

def killed(bench):
    os.kill(os.getpid(), signal.SIGKILL)
    yield {}

def hanging(bench):  # with a process of its own that must not outlive it
    child = subprocess.Popen(["sleep", "600"])
    Path(sys.argv[1], "child").write_text(str(child.pid))
    yield {"value": 4}
    time.sleep(600)

def leaving(bench):  # a process in a session of its own, which holds on to all that it inherited
    if os.fork() == 0:
        os.setsid()
        Path(sys.argv[1], "left").write_text(str(os.getpid()))
        time.sleep(600)
    while not Path(sys.argv[1], "left").exists():
        time.sleep(0.01)
    yield {"value": float("nan")}

def endless(bench):
    for number in range(10**9):
        yield {"value": number}

def late(bench):
    yield {"value": 1}
    raise OutOfTimeError("half of it")

def silent(bench):
    time.sleep(600)
    yield {}

def forking(bench):
    yield {"values": side_by_side([(pow, 2, 3), (lambda: os.kill(os.getpid(), signal.SIGKILL),), (pow, 3, 2)])}
    apart(pow, 0, -1)

def never(bench):
    Path(sys.argv[1], "never").write_text("begun")
    yield {}

def slow(bench):
    yield {"value": 5}
    Path(sys.argv[1], "slow").write_text(str(os.getpid()))
    time.sleep(600)

def meeting(own, other):  # two that wait for each other
    def work(bench):
        Path(sys.argv[1], own).touch()
        while not Path(sys.argv[1], other).exists():
            time.sleep(0.01)
        yield {"met": other}
    return work

FINE = 30.0
cards = [
    Card("known", never, 0, FINE),
    Card("good", good, 0, FINE, lambda rows: f"{len(rows)} rows"),
    Card("failing", failing, 0, FINE),
    Card("broken", broken, 0, FINE),
    Card("killed", killed, 0, FINE),
    Card("hanging", hanging, 0, 1.0),
    Card("silent", silent, 0, 0.5),
    Card("leaving", leaving, 0, FINE),
    Card("endless", endless, 0, 0.5),
    Card("late", late, 0, FINE),
    Card("large", never, 10_000, 20_000),
    Card("forking", forking, 0, FINE, lambda rows: 1 / 0),
    *([Card("slow", slow, 0, 600)] if "slow" in sys.argv else []),
    Card("ann", meeting("ann", "bob"), 0, FINE, alone=False),
    Card("bob", meeting("bob", "ann"), 0, FINE, alone=False),
]
out = Path(sys.argv[1])
bench = Bench("cpu", out, out / "scratch")
about = {"device": {"name": "Test"}, "rehearsal": False}
cards = [card for card in cards if card.name in sys.argv[3:] or not sys.argv[3:]]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
results = []
try:
    run(cards, bench, float(sys.argv[2]), out, about=about, done={"known"}, results=results)
finally:
    print(table(cards, results))
"""


def visit(out: Path, budget: float, *cards: str) -> subprocess.CompletedProcess[str]:
    """The cards above, or these of them, in a process that has no threads (as that of `run` has none when it forks)."""
    command = [sys.executable, "-c", CARDS, str(out), str(budget), *cards]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def ended(process: str) -> bool:
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().split()[2] == "Z"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a visit left behind, and the words that it printed."""
    folder = tmp_path_factory.mktemp("visit")
    done = visit(folder, 60)
    assert done.returncode == 0, done.stderr
    (folder / "printed").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def results(out: Path) -> dict[str, dict[str, Any]]:
    lines = (out / "results.jsonl").read_text().splitlines()
    return {each["card"]: each for each in map(json.loads, lines)}


def test_every_card_ends_and_says_how(results: dict[str, dict[str, Any]]) -> None:
    """One line a card that was begun, with the rows that it had yielded; two that measure no time run side by side."""
    assert {name: (each["status"], len(each["rows"])) for name, each in results.items()} == {
        "good": ("done", 2),
        "failing": ("failed", 1),
        "broken": ("failed", 0),
        "killed": ("failed", 0),
        "hanging": ("partial", 1),
        "silent": ("stopped", 0),
        "leaving": ("done", 1),
        "endless": ("partial", len(results["endless"]["rows"])),
        "late": ("partial", 1),
        "forking": ("failed", 1),
        "ann": ("done", 1),
        "bob": ("done", 1),
    }
    assert results["good"]["rows"] == [{"value": 1, "size": [2, 3]}, {"value": 2}]
    assert results["failing"]["error"] == "weights differ" and results["late"]["error"] == "half of it"
    assert results["leaving"]["rows"] == [{"value": None}] and len(results["endless"]["rows"]) > 10
    assert results["ann"]["beside"] == ["bob"] and results["good"]["beside"] == []
    assert "ZeroDivisionError" in results["broken"]["error"]
    assert results["killed"]["error"] == "its process ended with signal 9"
    assert results["forking"]["rows"] == [{"values": [8, None, 9]}]
    assert "ZeroDivisionError" in results["forking"]["error"]


def test_what_was_not_begun(out: Path) -> None:
    """Neither what is done already nor what needs more time than there is; both are said."""
    assert not (out / "never").exists()
    printed = (out / "printed").read_text()
    assert "done before: known\n" in printed
    assert "no time was left for: large (10000 s)\n" in printed


def test_limits_hold_for_all_that_a_card_started(out: Path, results: dict[str, dict[str, Any]]) -> None:
    """A card is ended at its limit with its own processes, and leaves nothing in the scratch folder."""
    assert all(results[name]["seconds"] < 10 for name in ("hanging", "silent", "endless", "leaving"))
    for child in ("child", "left"):
        assert ended((out / child).read_text())
    assert list((out / "scratch").iterdir()) == []


def test_the_log_and_the_table(out: Path) -> None:
    """What cards print goes to the log, with tracebacks; the last lines are a table that no card can spoil."""
    log, printed = (out / "log.txt").read_text(), (out / "printed").read_text()
    assert "==== good\na word for the log" in log and "division by zero" in log
    assert "a word for the log" not in printed
    last = printed.splitlines()[-12:-2]
    first = ["good", "failing", "broken", "killed", "hanging", "silent", "leaving", "endless", "late", "forking"]
    assert [line.split()[0] for line in last] == first
    assert sorted(path.name for path in out.glob("*.txt")) == ["log.txt"]
    assert (
        last[0].endswith("2 rows")
        and last[1].endswith("weights differ")
        and "no words for it: ZeroDivisionError" in last[-1]
    )


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_visit_that_is_ended_leaves_its_results_and_no_process(way: signal.Signals, tmp_path: Path) -> None:
    """Rows of a card under way are kept and the table is printed, unless it is killed; no process goes on."""
    command = [sys.executable, "-c", CARDS, str(tmp_path), "60", "good", "leaving", "slow"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "slow").exists():
            time.sleep(0.02)
        process.send_signal(way)
        printed = process.communicate(timeout=60)[0]
    found = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [each["card"] for each in found][:2] == ["good", "leaving"]
    if way != signal.SIGKILL:
        assert found[2]["rows"] == [{"value": 5}] and found[2]["error"] == "ended from outside"
        assert printed.splitlines()[-1].startswith("slow")
    end = time.monotonic() + 30
    while not ended((tmp_path / "slow").read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    assert ended((tmp_path / "slow").read_text())


def test_the_budget_ends_a_card(tmp_path: Path) -> None:
    """However long a card may take: when the budget is over it is ended, and later ones are not begun."""
    done = visit(tmp_path, 2.5)  # of which two seconds are kept for the table
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert sum(each["seconds"] for each in found) < 10
    assert len(found) < 12


def write(path: Path, **fields: Any) -> None:
    base = {"status": "done", "error": "", "rehearsal": False, "device": {"name": "NVIDIA X1 80GB"}, "rows": []}
    with path.open("a") as file:
        file.write(json.dumps(base | fields) + "\n")


def test_results_are_collected_and_skipped(tmp_path: Path) -> None:
    """A file a card in the folder of its model of GPU: nothing of a rehearsal or a failure, no part over a whole."""
    from benchmarks.device.collect import collect, done

    lines, results = tmp_path / "results.jsonl", tmp_path / "results"
    write(lines, card="train-a", rows=[1, 2])
    write(lines, card="train-a", rows=[1], status="partial")
    write(lines, card="train-b", rows=[1], status="partial")
    write(lines, card="train-c", status="failed", error="no")
    write(lines, card="train-d", rehearsal=True)
    write(lines, card="train-a", device={"name": "NVIDIA X2"}, rows=[3])
    with lines.open("a") as file:
        file.write('{"card": "cut of')
    told = collect(lines, results)
    assert len(told) == 6
    found = {str(path.relative_to(results)): json.loads(path.read_text())["rows"] for path in results.rglob("*.json")}
    assert found == {
        "nvidia-x1-80gb/train-a.json": [1, 2],
        "nvidia-x1-80gb/train-b.json": [1],
        "nvidia-x2/train-a.json": [3],
    }
    none = tmp_path / "none.jsonl"
    assert done("NVIDIA X1 80GB", none, results) == {"train-a"}
    assert done("NVIDIA X1 80GB", lines, tmp_path / "none") == {"train-a"}
    assert done("NVIDIA X1 80GB", lines, tmp_path / "none", rehearsal=True) == {"train-d"}
    assert done("NVIDIA X2", none, results) == {"train-a"}


def test_a_visit_goes_on_where_one_was_cut_off(tmp_path: Path) -> None:
    """Half a line at the end of results.jsonl is passed over, and swallows no line that is written after it."""
    from benchmarks.device.collect import done

    lines = tmp_path / "results.jsonl"
    write(lines, card="before", device={"name": "Test"})
    with lines.open("a") as file:
        file.write('{"card": "cut of')
    assert visit(tmp_path, 60, "good").returncode == 0
    assert done("Test", lines, tmp_path / "none") == {"before", "good"}


def test_the_cards_have_names_and_limits() -> None:
    """Every name is one file's, and what is estimated fits into the limit."""
    from benchmarks.device.cards import CARDS

    assert len({card.name for card in CARDS}) == len(CARDS)
    assert all(0 < card.estimate <= card.limit <= 300 for card in CARDS)
