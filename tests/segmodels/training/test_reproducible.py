"""The levels of reproducibility: the same bytes twice, after any kill, for any number of workers and ranks."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from segmodels.compute.processors import WAITING
from segmodels.config.config import TrainConfig
from segmodels.runs.run import Run
from segmodels.training import optim
from segmodels.training.train import Outcome, train

DEVICES = (
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
    ),
)
Lesson = Callable[..., TrainConfig]

# What every child begins with. It forks before torch computes anything, so one start serves many trainings.
CHILD = """
import json, os, signal, sys
import segmodels.training.train
import torch._dynamo  # which torch's optimisers import; here, once for all forks
from segdata import ShardSet
from segmodels.config.config import config_from_document
from segmodels.training.train import train
segmodels.training.train.CHECKPOINT_SECONDS = 0.0  # after every step
config = config_from_document(json.loads(sys.argv[1]))
ShardSet(config.shards, "train").read(0)  # loads the decoders

def forked(work):
    "Do the work in a fork; its exit status, negative where a signal ended it."
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def killed_at(write):
    "Train, but be killed while that file is written, or just after: each is synced before and after its rename."
    sync, count = os.fsync, 0
    def die(descriptor):
        nonlocal count
        count += 1
        if count == write:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(descriptor)
    os.fsync = die
    train(config)
"""


def child(script: str, config: TrainConfig, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """A process of its own that runs CHILD and `script`."""
    command = [sys.executable, "-c", CHILD + script, json.dumps(config.document()), *map(str, arguments)]
    pythonpath = os.pathsep.join([str(Path(__file__).parents[3]), *filter(None, sys.path)])
    variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": pythonpath} | environment
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> str:
    found, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    return found


def results(run: Run) -> tuple[bytes, ...]:
    """Everything that a finished run promises to be equal; timing is not part of it."""
    return tuple(path.read_bytes() for path in (run.weights, run.best, run.history, run.metrics))


@pytest.fixture
def one_thread() -> Any:
    """As many threads as the children have: sums are split among them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("device", DEVICES)
def test_the_same_command_twice(lesson: Lesson, device: str) -> None:
    """L0: the same bytes of weights, history and scores; another seed gives others."""
    first, second = (train(lesson(out, device=device)).run for out in ("one", "two"))
    assert results(first) == results(second)
    other = train(lesson("other", device=device, seed=1)).run
    assert other.weights.read_bytes() != first.weights.read_bytes()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"precision": "bf16", "channels_last": True}, id="bf16"),
        pytest.param({"optimizer": "sgd", "lr": 0.1, "schedule": "plateau", "ema": 0.0}, id="sgd"),
        pytest.param({"accumulate": 2, "loss": "ohem", "class_weights": "median"}, id="accumulate"),
    ],
)
def test_the_same_bytes_with_other_options(lesson: Lesson, values: dict[str, Any]) -> None:
    """L0 and L1 are not those of the defaults alone: stopped after every second step, the weights are the same."""
    whole = train(lesson("whole", **values))
    pieces: Outcome | None = None
    for until in (2, 4, 6):
        pieces = train(lesson("pieces", **values), until=until)
    assert pieces is not None
    assert results(pieces.run) == results(whole.run)
    assert pieces.digests == whole.digests


def test_killed_again_and_again(lesson: Lesson, one_thread: None) -> None:
    """L1: SIGKILL at the second write of the first session, the fifth of the next, …: the same bytes in the end."""
    whole = train(lesson("whole")).run
    killed = lesson("killed")
    sessions = int(
        output(
            child(
                "write = 2\n"
                "while (status := forked(lambda: killed_at(write))) == -signal.SIGKILL:\n"
                "    write += 3\n"
                "assert status == 0, status\n"
                "print(write // 3)\n",
                killed,
            )
        )
    )
    assert sessions > 3
    assert results(Run(killed.out)) == results(whole)
    assert not [path.name for path in killed.out.rglob(".*")]  # no lock, no half file


@pytest.mark.slow
def test_killed_at_every_write(lesson: Lesson, one_thread: None) -> None:
    """L1: killed once, at any of all the writes of a run; the second session gives the same bytes."""
    whole = train(lesson("whole")).run
    write, finished = 1, False
    while not finished:
        killed = lesson(f"killed{write}")
        finished = output(child("print(forked(lambda: killed_at(int(sys.argv[2]))))", killed, write)) == "0\n"
        assert results(train(killed).run) == results(whole), write
        write += 1
    assert write > 30


@pytest.mark.slow
def test_killed_from_outside(lesson: Lesson, one_thread: None) -> None:
    """L1: SIGKILL by another process at random moments, wherever they fall."""
    values = {"steps": 15}
    whole = train(lesson("whole", **values)).run
    killed, moments = lesson("killed", **values), random.Random(0)
    kills = 0
    while True:
        with child("print('ready', flush=True)\ntrain(config)", killed) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0.5, 4.0))
            process.kill()
        if process.returncode == 0:
            break
        kills += 1
    assert kills > 1
    assert results(Run(killed.out)) == results(whole)


@pytest.mark.parametrize("values", [{}, {"optimizer": "sgd", "lr": 0.1}], ids=["adamw", "sgd"])
def test_fused_optimisers_resume(values: dict[str, Any], lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """L1 with what CUDA takes, here on the CPU: its state goes through a checkpoint and comes back the same."""
    monkeypatch.setitem(optim.IMPLEMENTATION, "cpu", optim.IMPLEMENTATION["cuda"])
    whole, pieces = lesson("whole", **values), lesson("pieces", **values)
    train(pieces, until=3)
    assert results(train(whole).run) == results(train(pieces).run)


@pytest.mark.slow
def test_however_threads_wait(lesson: Lesson) -> None:
    """L0: two threads that spin and two that sleep give the same bytes."""
    ways = {"spin": {"OMP_WAIT_POLICY": "active"}, "sleep": WAITING}
    for name, variables in ways.items():
        output(child("train(config)", lesson(name), **{"OMP_NUM_THREADS": "2"} | variables))
    spin, sleep = (Run(lesson(name).out) for name in ways)
    assert results(spin) == results(sleep)


def test_any_number_of_workers(lesson: Lesson) -> None:
    """L2: 0, 2 and 5 workers give the same bytes."""
    none, two, five = (train(lesson(f"{count}", workers=count)).run for count in (0, 2, 5))
    assert results(none) == results(two) == results(five)


RANK = """
def rank(number):
    os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": "2"}
    outcome = train(config, until=int(sys.argv[2]) or None)
    if number == 0:
        print(json.dumps(outcome.digests), flush=True)
children = []
for number in (0, 1):
    children.append(os.fork())
    if not children[-1]:
        rank(number)
        os._exit(0)
for each in children:
    assert os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) == 0
"""


def on_two_ranks(config: TrainConfig, until: int = 0) -> dict[str, str]:
    """Train on two processes that sum their gradients over gloo; the digests of rank 0."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    digests: dict[str, str] = json.loads(output(child(RANK, config, until, **address)))
    return digests


def test_two_ranks_are_one_process_in_two_parts(lesson: Lesson, one_thread: None) -> None:
    """L3: two ranks see the same samples in the same places as one process, and take the same steps to the bit.

    The one process computes its batch in two parts, as the ranks do; the network has layer norms, so that no part
    knows of the other.
    """
    values = {"network": "distill_x2", "options": {"width": 4, "depth": 2}}
    one = train(lesson("one", accumulate=2, **values))
    two = lesson("two", **values)
    assert on_two_ranks(two) == one.digests
    assert json.loads(Run(two.out).metrics.read_bytes()) == one.metrics


@pytest.mark.slow
def test_two_ranks_resume(lesson: Lesson, one_thread: None) -> None:
    """L1 for ranks, with dropout and running statistics: stopped and started again, the same bytes."""
    whole, pieces = lesson("whole"), lesson("pieces")
    assert on_two_ranks(whole).keys() > on_two_ranks(pieces, until=3).keys()
    on_two_ranks(pieces)
    assert results(Run(pieces.out)) == results(Run(whole.out))


def test_where_it_lies_is_not_in_the_bytes(lesson: Lesson, tmp_path: Path) -> None:
    """The weights file names neither folders nor workers: moved shards and another --out give the same bytes."""
    config = lesson("here", steps=2)
    train(config)
    moved = tmp_path / "moved"
    moved.symlink_to(config.shards, target_is_directory=True)
    elsewhere = replace(config, shards=moved, out=tmp_path / "there", workers=1)
    assert train(elsewhere).run.weights.read_bytes() == Run(config.out).weights.read_bytes()


def test_the_state_of_the_calling_process_is_not_in_the_bytes(lesson: Lesson) -> None:
    """What a program that calls `train` has set in torch changes no bit, and is as it was afterwards."""
    usual = train(lesson("usual", steps=2)).run
    backends = torch.backends
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.set_flush_denormal(True)
        torch.set_float32_matmul_precision("medium")
        backends.mkldnn.enabled = backends.cudnn.enabled = False  # type: ignore[assignment]
        set_there = state_of_torch()
        odd = train(lesson("odd", steps=2)).run
        assert state_of_torch() == set_there
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
        torch.set_flush_denormal(False)
        torch.set_float32_matmul_precision("highest")
        backends.mkldnn.enabled = backends.cudnn.enabled = True  # type: ignore[assignment]
    assert results(odd) == results(usual)


def state_of_torch() -> tuple[object, ...]:
    return (
        *(torch.get_default_dtype(), torch.get_default_device(), torch.get_float32_matmul_precision()),
        *(torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled, torch.get_deterministic_debug_mode()),
        torch.tensor([1e-310], dtype=torch.float64, device="cpu").mul(1).item(),
    )
