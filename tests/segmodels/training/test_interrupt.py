"""Ctrl-C wherever a training is: it ends there, loses a step at most, and the same command gives the same bytes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

import segmodels.training.train
from segmodels import SegmodelsError
from segmodels.config.config import TrainConfig
from segmodels.data.batches import Batches
from segmodels.runs.checkpoint import load_checkpoint
from segmodels.runs.run import Run
from segmodels.scoring import confusions
from segmodels.training.train import train

Lesson = Callable[..., TrainConfig]

PLACES: dict[str, tuple[object, str]] = {
    "gradients": (segmodels.training.train, "backward"),
    "batch": (Batches, "_fill"),
    "validation": (confusions, "_count"),
    "saving": (segmodels.training.train, "save_checkpoint"),
}


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """The files of a run that was never stopped, once there is one."""
    return {}


def files(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run.weights, run.history, run.metrics)}


@pytest.mark.parametrize(
    ("place", "call", "signals", "step", "told"),
    [
        ("gradients", 2, 2, 1, "finishing step 2"),  # its forward pass has moved statistics, and drawn for dropout
        ("batch", 6, 1, 2, "finishing step 2"),
        ("validation", 1, 1, 3, "leaving the validation"),
        ("validation", 2, 2, 3, "leaving the validation"),
        ("validation", 5, 1, 4, "leaving the validation"),  # after the last step
        ("saving", 1, 2, 1, "finishing step 1"),  # which is never left halfway
    ],
)
def test_stopped_by_hand(
    place: str, call: int, signals: int, step: int, told: str,
    lesson: Lesson, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The checkpoint is that of a whole step; what the first signal leads to is said once."""
    monkeypatch.setattr("segmodels.training.train.CHECKPOINT_SECONDS", 0.0 if place == "saving" else 60.0)
    home, name = PLACES[place]
    original, calls, said = getattr(home, name), 0, []

    def hit(*arguments: Any, **values: Any) -> Any:
        nonlocal calls
        calls += 1
        early = place in {"saving", "batch", "validation"}
        found = None if early else original(*arguments, **values)
        for _ in range(signals if calls == call else 0):
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments, **values) if early else found

    config = lesson(steps=4)
    with monkeypatch.context() as patch, pytest.raises(SegmodelsError, match=f"stopped after step {step} of 4. The"):
        patch.setattr(home, name, hit)
        train(config, show=said.append)
    assert [each for each in said if "press Ctrl-C again" in str(each)] == [
        f"{told} and saving the run; press Ctrl-C again to abort"
    ]
    run = Run(config.out)
    assert load_checkpoint(run.last, run.document()["id"]).step == step
    assert place != "validation" or calls == call, "it went on validating"
    if not whole:
        whole.update(files(train(lesson("whole", steps=4)).run))
    assert files(train(config).run) == whole
