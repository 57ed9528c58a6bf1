"""The run folder: what is in it, whose it is, and what a second command does with it."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import segmodels.training.train
import segmodels.training.validation
from segdata.base.canonical import digest_file
from segdata.base.lock import locked
from segdata.errors import LockedError, SegdataError
from segmodels import SegmodelsError
from segmodels.cli import cli
from segmodels.compute.device import threads
from segmodels.config.config import TrainConfig, run_id
from segmodels.inference.trained import load_trained
from segmodels.runs import environment, identity
from segmodels.runs.checkpoint import load_checkpoint, load_weights, save_weights, weights_digest
from segmodels.runs.identity import differences
from segmodels.runs.run import Run, write_document, write_history
from segmodels.training.train import train

Lesson = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def trained(lessons: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A finished run of four steps; not to be changed."""
    options = (("width_factor", 0.25),)
    out = tmp_path_factory.mktemp("run") / "trained"
    config = TrainConfig(
        "dilated_unet", lessons, out, options, None, 4, batch_size=4, crop=(32, 64), workers=0, device="cpu"
    )
    train(config)
    return config


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time of change and bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


# ---- what is in it -------------------------------------------------------------------------------------------


def test_the_files(trained: TrainConfig) -> None:
    """A finished run holds exactly the documented files, each whole and readable."""
    assert sorted(state(trained.out)) == [
        "checkpoints/best.safetensors", "checkpoints/last.pt", "checkpoints/timing.json", "history.csv", "metrics.json",
        "model.safetensors", "run.json", "timing.json",
    ]  # fmt: skip
    assert Run(trained.out).finished


def test_run_json(trained: TrainConfig) -> None:
    """run.json says what was trained, on what and with what, and what came out."""
    run = Run(trained.out)
    document = run.document()
    assert run.config() == replace(trained, options=run.config().options)
    assert document["config_digest"] == run.config().digest
    shards = json.loads((trained.shards / "dataset.json").read_text())
    assert document["shards"]["digest"] == shards["fingerprint"]
    assert document["id"] == run_id(run.config(), shards["fingerprint"], None)
    tars = {path.name: digest_file(path) for path in trained.shards.glob("*.tar")}
    assert document["shards"]["files"] == tars
    assert document["taxonomy"]["name"] == "cityscapes-20"
    assert document["deterministic"] is True
    assert {"python", "torch", "numpy"} <= document["versions"].keys()
    assert document["device"]["kind"] == "cpu"
    assert document["weights"].keys() == {"1", "2", "4"}
    assert document["model"] == digest_file(run.weights)


def test_the_recorded_digest_is_of_the_weights(trained: TrainConfig) -> None:
    """The last digest is that of the weights in the last checkpoint."""
    run = Run(trained.out)
    last = load_checkpoint(run.last, run.document()["id"])
    assert last.step == 4
    assert weights_digest(last.weights) == run.document()["weights"]["4"] == last.digests["4"]


def test_the_weights_say_what_they_are(trained: TrainConfig) -> None:
    """All that a user of the weights needs stands in them, and nothing of where or when they were made."""
    _, about = load_weights(Run(trained.out).weights)
    assert about["network"] == "dilated_unet"
    assert about["options"] == {"width_factor": 0.25}
    assert about["size"] == [32, 64]
    assert about["run"] == Run(trained.out).document()["id"]
    assert [row["name"] for row in about["taxonomy"]["classes"]][:2] == ["road", "sidewalk"]
    text = json.dumps(about)
    assert str(trained.out) not in text
    assert str(trained.shards) not in text
    assert "workers" not in text


def test_scores_history_and_timing(trained: TrainConfig) -> None:
    """metrics.json is the last validation, history.csv has a line an epoch, timing.json adds up."""
    run = Run(trained.out)
    metrics, timing = (json.loads(path.read_text()) for path in (run.metrics, run.timing))
    rows = list(csv.DictReader(run.history.read_text().splitlines()))
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "3"), ("2", "4")]
    assert float(rows[-1]["miou"]) == metrics["miou"]
    assert (metrics["split"], metrics["images"], metrics["step"]) == ("val", 3, 4)
    matrix = run.document()["confusion"]
    evaluated = [row["evaluated"] for row in run.document()["taxonomy"]["classes"]]
    right = sum(matrix[k][k] for k in range(20) if evaluated[k])
    assert metrics["pixel_accuracy"] == right / sum(sum(matrix[k]) for k in range(20) if evaluated[k])
    assert (timing["images"], timing["sessions"]) == (16, 1)
    assert 0 < timing["waiting_seconds"] + timing["validating_seconds"] < timing["seconds"]


def test_an_epoch_without_scores_leaves_them_empty(tmp_path: Path) -> None:
    """history.csv has the columns of all rows."""
    write_history(tmp_path / "history.csv", [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "miou": 0.125}])
    assert (tmp_path / "history.csv").read_text() == "epoch,loss,miou\n1,0.5,\n2,0.25,0.125\n"


# ---- a second command ----------------------------------------------------------------------------------------


def test_a_finished_run_is_left_alone(trained: TrainConfig) -> None:
    """The same command again touches nothing, whatever its workers, and gives the same metrics."""
    before = state(trained.out)
    outcome = train(replace(trained, workers=1))
    assert state(trained.out) == before
    assert outcome.metrics == json.loads(outcome.run.metrics.read_text())


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"lr": 0.5}, r"lr is 0\.001 there, 0\.5 here"),
        ({"seed": 1}, "seed is 0 there, 1 here"),
        ({"options": (("width_factor", 0.5),)}, "options is .*0.25.* there, .*0.5.* here"),
    ],
)
def test_another_run_is_refused(trained: TrainConfig, values: dict[str, Any], named: str) -> None:
    """Another configuration is an error that names what differs, and changes nothing."""
    before = state(trained.out)
    with pytest.raises(SegmodelsError, match=f"holds another run: {named}.*--replace"):
        train(replace(trained, **values))
    assert state(trained.out) == before


def test_other_shards_are_another_run(trained: TrainConfig, make_street_shards: Callable[..., Path]) -> None:
    """The shards' digest is part of a run's identity."""
    with pytest.raises(SegmodelsError, match=r"holds another run: .*shards is [0-9a-f]{12}… there, [0-9a-f]{12}… here"):
        train(replace(trained, shards=make_street_shards(), batch_size=1, crop=None, steps=1))


def test_replace_starts_anew(lesson: Lesson) -> None:
    """--replace gives what an empty folder would have given; files that are not the run's stay."""
    train(lesson(steps=2))
    note = lesson().out / "note.txt"
    note.write_text("mine")
    replaced = train(lesson(steps=3, replace=True)).run
    fresh = train(lesson("fresh", steps=3)).run
    assert replaced.weights.read_bytes() == fresh.weights.read_bytes()
    assert replaced.history.read_bytes() == fresh.history.read_bytes()
    assert note.read_text() == "mine"


def test_replace_keeps_the_same_run(trained: TrainConfig) -> None:
    """--replace on the very run that is asked for replaces nothing."""
    before = state(trained.out)
    train(replace(trained, replace=True))
    assert state(trained.out) == before


def test_one_writer(lesson: Lesson) -> None:
    """While somebody trains into a folder, the next one is told who."""
    config = lesson()
    config.out.mkdir()
    with locked(config.out / ".lock", "segmodels train"), pytest.raises(LockedError, match=rf"process {os.getpid()}"):
        train(config)


def test_the_checkpoints_alone_are_enough(lesson: Lesson) -> None:
    """Where all but the checkpoints is gone (DVC removes outputs before a stage), the run goes on from them."""
    whole = train(lesson("whole")).run
    config = lesson("bared")
    train(config, until=4)
    bared = Run(config.out)
    for path in bared.files:
        path.unlink(missing_ok=True)
    train(config)
    assert bared.weights.read_bytes() == whole.weights.read_bytes()
    assert bared.document()["weights"] == whole.document()["weights"]
    assert bared.history.read_bytes() == whole.history.read_bytes()
    timing = json.loads(bared.timing.read_text())
    assert (timing["images"], timing["sessions"]) == (24, 2)


def test_checkpoints_of_another_network(lesson: Lesson) -> None:
    """Checkpoints that belong to another run are refused by name, and gone after --replace."""
    train(lesson(), until=1)
    run = Run(lesson().out)
    run.about.unlink()
    other = lesson(network="distill_x2", options={"width": 4, "depth": 2}, steps=1)
    with pytest.raises(SegmodelsError, match=r"last\.pt is a checkpoint of run .*network, options or shards differ"):
        train(other)
    assert train(replace(other, replace=True)).digests.keys() == {"1"}


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"format": 1}'])
def test_a_run_json_that_is_none(lesson: Lesson, content: bytes) -> None:
    """What nothing shows to be ours stops with one line, and stays whatever is asked."""
    config = lesson(steps=1)
    config.out.mkdir()
    (config.out / "run.json").write_bytes(content)
    for replaced in (False, True):
        with pytest.raises(SegmodelsError, match=r"run\.json is damaged, or not what"):
            train(replace(config, replace=replaced))
    assert (config.out / "run.json").read_bytes() == content


def test_a_run_of_another_version(lesson: Lesson) -> None:
    """One line; with --replace it is trained anew."""
    config = lesson(steps=1)
    config.out.mkdir()
    (config.out / "run.json").write_bytes(b'{"format": 0, "id": "0123", "config": {}}')
    with pytest.raises(SegmodelsError, match="another version"):
        train(config)
    train(replace(config, replace=True))


def test_other_things_stay(lesson: Lesson) -> None:
    """A folder with other things is no place for a run; what somebody puts into a run outlives --replace."""
    config = lesson(steps=1)
    (config.out / "checkpoints").mkdir(parents=True)
    (config.out / "history.csv").write_text("mine")
    for replaced in (False, True):
        with pytest.raises(SegmodelsError, match=r"holds history\.csv, and no run\.json"):
            train(replace(config, replace=replaced))
    assert (config.out / "history.csv").read_text() == "mine"
    (config.out / "history.csv").rename(config.out / "checkpoints/notes.txt")
    train(config)
    other = lesson(network="distill_x2", options={"width": 4, "depth": 2}, steps=1)
    train(replace(other, replace=True))
    assert (config.out / "checkpoints/notes.txt").read_text() == "mine"


def test_a_finished_run_on_a_read_only_disk(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is to be written, so nothing is tried."""
    config = lesson(steps=1)
    first = train(config)

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(config.out))

    for name in ("mkdir", "unlink", "replace", "ftruncate", "fsync"):
        monkeypatch.setattr(os, name, refuse)
    assert train(config).metrics == first.metrics


def test_weights_without_run_json(lesson: Lesson) -> None:
    """Weights of whatever origin are not overwritten."""
    config = lesson(steps=1)
    config.out.mkdir()
    (config.out / "model.safetensors").write_bytes(b"precious")
    with pytest.raises(SegmodelsError, match=r"holds weights, but not run\.json"):
        train(config)
    assert (config.out / "model.safetensors").read_bytes() == b"precious"


def test_out_is_a_file(lesson: Lesson) -> None:
    """One line, and the file is as it was."""
    config = lesson()
    config.out.write_text("mine")
    with pytest.raises(SegmodelsError, match="is a file"):
        train(config)
    assert config.out.read_text() == "mine"


def test_a_full_disk(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space left is one line; what was saved before is whole, and with space the run gives the same bytes."""
    whole = train(lesson("whole")).run
    config = lesson("full")
    train(config, until=2)
    saved = Run(config.out).last.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(SegdataError, match="No space left on device"):
        patch.setattr(os, "fsync", full)
        train(config)
    assert Run(config.out).last.read_bytes() == saved
    assert train(config).run.weights.read_bytes() == whole.weights.read_bytes()


def threads_seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads of the CPU that every step is computed on are put here."""
    seen: list[int] = []
    original = segmodels.training.train.backward

    def backward(*arguments: Any) -> Any:
        seen.append(torch.get_num_threads())
        return original(*arguments)

    monkeypatch.setattr(segmodels.training.train, "backward", backward)
    return seen


@pytest.mark.parametrize("cleared", [False, True], ids=["killed", "checkpoints alone"])
def test_a_run_goes_on_with_the_threads_that_it_began_with(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch, cleared: bool
) -> None:
    """Sums are split among threads, so their number is the run's and not the session's; that is said, and no change."""
    config, said, seen = lesson(steps=3), list[object](), threads_seen(monkeypatch)
    before = torch.get_num_threads()
    with threads(1):
        train(config, until=2)
    if cleared:
        Run(config.out).about.unlink()
    with threads(2):
        outcome = train(config, show=said.append)
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before
    assert seen == [1, 1, 1]
    assert f"{config.out}: CPU threads: 1, as the run began with, not 2" in said
    assert outcome.run.document()["device"]["threads"] == 1
    assert "resumed" not in outcome.run.document()


def test_a_run_that_was_killed_before_its_first_checkpoint(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins again, and says so, with the threads that it began with: the bytes are those of a run never killed."""
    config, seen = lesson(steps=1), threads_seen(monkeypatch)
    with threads(2):
        train(config, until=1)
    run, said = Run(config.out), list[str]()
    for path in (run.last, run.best, *set(run.files) - {run.about}):
        path.unlink(missing_ok=True)
    with threads(1):
        train(config, show=said.append)
    assert seen == [2, 2]
    assert f"{run.path}: what an earlier start trained was not saved yet: from step 1" in said
    assert (run.document()["device"]["threads"], "resumed" in run.document()) == (2, False)


def test_the_threads_that_a_command_is_given(lessons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--threads is what computes, is told and is recorded; afterwards the process has as many as before."""
    before, seen, out = torch.get_num_threads(), threads_seen(monkeypatch), tmp_path / "run"
    command = ("train", "dilated_unet", "--option", "width_factor=0.25", "--shards", lessons, "--out", out)
    command = (*command, "--batch-size", 2, "--crop", "32x64", "--workers", 0, "--device", "cpu", "--steps", 1)
    assert f"{out}: CPU threads: 2\n" in invoke(*command, "--threads", 2)
    assert seen == [2] and Run(out).document()["device"]["threads"] == 2
    score = ("evaluate", out, "--shards", lessons, "--out", tmp_path / "scores", "--device", "cpu")
    assert invoke(*score, "--threads", 3).endswith("images\nCPU threads: 3\n")
    assert torch.get_num_threads() == before


def invoke(*arguments: object) -> str:
    """What a command that succeeds says on standard error."""
    result = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stderr


def test_an_absurd_number_of_threads_is_damage(lesson: Lesson) -> None:
    """What run.json says is not believed before it is bounded."""
    config = lesson(steps=2)
    train(config, until=1)
    about = Run(config.out).about
    about.write_text(re.sub(r'"threads": \d+', '"threads": 99999', about.read_text()))
    with pytest.raises(SegmodelsError, match=r"run\.json: .*99999 threads.*Train again"):
        train(config)


VERSIONS = environment.versions()
OTHERS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "versions.torch is .* there, 99 here": lambda patch: patch.setattr(
        "segmodels.runs.environment.versions", lambda: VERSIONS | {"torch": "99"}
    ),
    "settings.MKL_CBWR is not set there, AVX2 here": lambda patch: patch.setenv("MKL_CBWR", "AVX2"),
    "settings.instructions is .* there, DEFAULT here": lambda patch: patch.setattr(
        torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT"
    ),
    "device.name is .* there, abacus here": lambda patch: patch.setattr(
        "segmodels.runs.environment._processor", lambda: "abacus"
    ),
    "commit is .* there, abc here": lambda patch: patch.setattr("segmodels.runs.environment.commit", lambda: "abc"),
    "ranks is 1 there, 2 here": lambda patch: patch.setattr(
        "segmodels.training.train.describe", lambda *given: identity.describe(*given) | {"ranks": 2}
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_going_on_under_others_is_said_and_noted(lesson: Lesson, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """One line names what differs and which promise is over; run.json keeps what it began with and lists the others.

    The same again is no news, and what is finished is not touched.
    """
    config = lesson(steps=3)
    train(config, until=1)
    began = Run(config.out).document()
    with monkeypatch.context() as patch:
        OTHERS[what](patch)
        for until in (2, 3):
            said: list[object] = []
            train(config, until=until, show=said.append)
            lines = [str(line) for line in said if "warning" in str(line)]
            assert len(lines) == (until == 2)
            if lines:
                assert re.search(what, lines[0])
                assert "(L1) is no longer promised" in lines[0]
        finished = state(config.out)
        document = Run(config.out).document()
        assert identity.environment(document) == identity.environment(began)
        assert len(document["resumed"]) == 1
    train(config)
    assert state(config.out) == finished


def test_a_run_of_an_older_version_goes_on_without_a_warning(lesson: Lesson) -> None:
    """What it did not note is no difference."""
    config, said = lesson(steps=2), list[object]()
    train(config, until=1)
    run = Run(config.out)
    write_document(run.about, {name: value for name, value in run.document().items() if name != "settings"})
    train(config, show=said.append)
    assert not [line for line in said if "warning" in str(line)]


# ---- damage --------------------------------------------------------------------------------------------------


def flip(path: Path, at: float) -> None:
    """Another bit in the byte at that share of the file."""
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1
    path.write_bytes(content)


def test_damaged_weights_are_not_used(trained: TrainConfig, tmp_path: Path) -> None:
    """A bit of model.safetensors that is another: no command takes the run, nor the file, nor starts from it."""
    run = Run(Path(shutil.copytree(trained.out, tmp_path / "run")))
    whole = run.weights.read_bytes()
    for at in (0.5, 0.999):
        flip(run.weights, at)
        with pytest.raises(SegmodelsError, match="is not the file that training wrote"):
            load_trained(run.path, torch.device("cpu"))
        with pytest.raises(SegmodelsError, match="other bits than were written"):
            load_trained(run.weights, torch.device("cpu"))
        with pytest.raises(SegmodelsError, match="other bits than were written"):
            train(replace(trained, out=tmp_path / str(at), init=run.weights))
        run.weights.write_bytes(whole)
    load_trained(run.path, torch.device("cpu"))


def test_sound_weights_of_another_run_are_not_used(trained: TrainConfig, tmp_path: Path) -> None:
    """run.json says which file training wrote: another, however whole, is not the run's."""
    run = Run(Path(shutil.copytree(trained.out, tmp_path / "run")))
    weights, about = load_weights(run.weights)
    save_weights(run.weights, {name: tensor.clone().zero_() for name, tensor in weights.items()}, about)
    with pytest.raises(SegmodelsError, match=r"model\.safetensors is not .*run\.json has another digest"):
        load_trained(run.path, torch.device("cpu"))


@pytest.mark.parametrize("name", ["model.safetensors", "history.csv", "metrics.json"])
def test_changed_results_of_a_finished_run(trained: TrainConfig, tmp_path: Path, name: str) -> None:
    """`train` says so instead of telling their scores, and what it advises gives the run as it was."""
    config = replace(trained, out=Path(shutil.copytree(trained.out, tmp_path / "run")))
    changed = config.out / name
    flip(changed, 0.5)
    for replaced in (False, True):
        with pytest.raises(SegmodelsError, match=rf"{name} is not the file that training wrote.* or remove it and run"):
            train(replace(config, replace=replaced))
    changed.unlink()
    train(config)
    for path in set(Run(trained.out).files) - {Run(trained.out).timing, Run(trained.out).about}:
        assert (config.out / path.name).read_bytes() == path.read_bytes()


def test_results_of_an_older_version_have_no_digests(trained: TrainConfig, tmp_path: Path) -> None:
    """What run.json does not know is not compared."""
    run = Run(Path(shutil.copytree(trained.out, tmp_path / "run")))
    document = run.document()
    write_document(run.about, {name: document[name] for name in document.keys() - {"history", "metrics"}})
    write_document(run.metrics, run.results() | {"miou": 0.75})
    assert train(replace(trained, out=run.path)).metrics["miou"] == 0.75


def test_metrics_are_no_mark_of_a_run_that_goes_on(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another result is gone, metrics.json goes before anything is written, for it says that all is there."""
    config = lesson(steps=1)
    run = train(config).run
    run.timing.unlink()

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(segmodels.training.train, "write_history", killed)
        train(config)
    assert not run.metrics.exists()
    train(config)
    assert run.finished


def forge(path: Path, weights: dict[str, Any] | None = None, **values: Any) -> None:
    """Other tensors, or another word about them, in a weights file that is whole."""
    found, about = load_weights(path)
    save_weights(path, found | (weights or {}), about | values)


BEST: dict[str, tuple[Callable[[Path], None], str]] = {
    "gone": (Path.unlink, "no weights"),
    "another bit in front": (lambda path: flip(path, 0.3), "cannot read weights"),
    "another bit behind": (lambda path: flip(path, 0.9), "cannot read weights"),
    "another run's": (lambda path: forge(path, run="f" * 64), r"is of run f{12}…, this run is [0-9a-f]{12}…"),
    "another epoch's": (lambda path: forge(path, step=6), "after step 6, by the history step 3 is best"),
    "another network's": (lambda path: forge(path, {"x": torch.zeros(2)}), r"does not fit the network: x is .*absent"),
}


@pytest.mark.parametrize("what", BEST)
def test_the_best_weights_so_far_are_checked_before_going_on(
    what: str, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with them is told at the start and not after all is trained, with what helps: it does."""
    config, (change, told) = lesson(steps=6, early_stop=5), BEST[what]
    train(config, until=4)
    change(Run(config.out).best)
    seen = threads_seen(monkeypatch)
    for replaced in (False, True):
        with pytest.raises(SegmodelsError, match=rf"{told}.*put back a copy of .* or remove it, and the same command"):
            train(replace(config, replace=replaced))
    assert not seen
    shutil.rmtree(config.out)
    train(config, until=1)


def test_best_weights_of_a_version_that_did_not_note_their_step(lesson: Lesson) -> None:
    """The run goes on with them, and what it makes of them says its step."""
    config = lesson(steps=6, early_stop=5)
    train(config, until=4)
    run = Run(config.out)
    weights, about = load_weights(run.best)
    save_weights(run.best, weights, {name: value for name, value in about.items() if name != "step"})
    step = train(config).metrics["step"]
    assert load_weights(run.weights)[1]["step"] == step


def test_the_best_weights_are_never_ahead_of_the_checkpoint(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two, at the end of the best epoch, the run has its own best weights again when it goes on."""
    config = lesson(steps=6, early_stop=5)
    train(config, until=2)
    run = Run(config.out)

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(segmodels.training.train, "save_weights", killed)
        train(config)
    assert not run.best.exists()
    assert load_checkpoint(run.last, run.document()["id"]).step == 3
    train(config, until=4)
    assert load_weights(run.best)[1]["step"] == 3
    whole = train(lesson("whole", steps=6, early_stop=5)).run
    assert train(config).run.weights.read_bytes() == whole.weights.read_bytes()
    assert run.best.read_bytes() == whole.best.read_bytes()


@pytest.mark.parametrize("resumed", [False, True])
def test_best_weights_that_score_another_miou(lesson: Lesson, monkeypatch: pytest.MonkeyPatch, resumed: bool) -> None:
    """They are not published as what the history says; where bits were not promised, it is said and no more."""
    config, said = lesson(steps=6, early_stop=1, lr=1e-12, ema=0.0, warmup=0.0), list[object]()
    scores = iter([0.4, 0.3])
    with monkeypatch.context() as patch:
        in_validation = segmodels.training.validation  # of an epoch, and of the result
        patch.setattr(in_validation, "scores", lambda *_: {"miou": next(scores, 0.25), "pixel_accuracy": 0.5})
        train(config, until=4)
        run = Run(config.out)
        if resumed:
            write_document(run.about, run.document() | {"resumed": [identity.environment(run.document())]})
            outcome = train(config, show=said.append)
            assert any("warning" in str(line) and "0.25" in str(line) for line in said)
            assert outcome.run.finished
        else:
            told = r"best\.safetensors scores miou 0\.25, by the history 0\.4 after step 3: they do not belong together"
            with pytest.raises(SegmodelsError, match=told):
                train(config)
            assert not run.finished


CHANGED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "threads": (lambda found: found["device"].update(threads=3), r"device\.threads is 3 there, \d here"),
    "versions": (lambda found: found["versions"].update(torch="9"), r"versions\.torch is 9 there"),
    "id": (lambda found: found.update(id="f" * 64), r"id is f{12}… there"),
    "configuration": (lambda found: found["config"].update(lr=0.003), r"lr is 0\.003 there, 0\.001 here"),
    "shards": (lambda found: found["shards"].update(digest="f" * 64), r"shards is f{12}… there"),
    "taxonomy": (lambda found: found["taxonomy"].update(name="x"), r"taxonomy\.name is x there, cityscapes-20 here"),
    "deterministic": (lambda found: found.update(deterministic=False), "deterministic is False there, True here"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_changed_run_json_of_an_unfinished_run(what: str, lesson: Lesson) -> None:
    """What the command, shards and checkpoint know better is named, nothing is trained, and the advice helps."""
    config, (change, named) = lesson(steps=2), CHANGED[what]
    train(config, until=1)
    run = Run(config.out)
    found = run.document()
    change(found)
    write_document(run.about, found)
    before = state(config.out)
    told = rf"run\.json was changed by hand, or is damaged: {named}.*remove all but the folder checkpoints"
    with pytest.raises(SegmodelsError, match=told):
        train(config)
    assert state(config.out) == before
    for path in run.files:
        path.unlink(missing_ok=True)
    said: list[object] = []
    train(config, show=said.append)
    assert any("going on after step 1 of 2" in str(line) for line in said)


def test_differences() -> None:
    """Every value in which two documents differ is named by its path, what is missing included."""
    there = {"a": 1, "b": {"c": [1, 2], "d": None}}
    here = {"a": 1, "b": {"c": [1, 3], "e": "x" * 50}}
    assert list(differences(there, here)) == [
        "b.c is [1, 2] there, [1, 3] here",
        "b.e is not set there, xxxxxxxxxxxx… here",
    ]
