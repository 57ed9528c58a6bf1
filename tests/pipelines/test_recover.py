"""DVC killed while it writes its own files: it stops at them, and goes on after pipelines/recover.py."""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.pipelines.test_killed import until
from tests.pipelines.workspace import ROOT, Workspace

SCRIPT = ROOT / "pipelines/recover.py"
STAGES = {
    "first": {"cmd": "cat raw > one", "deps": ["raw"], "outs": ["one"]},
    "second": {"cmd": "cat one > two", "deps": ["one"], "outs": ["two"]},
}
KILLED = """
import io, json, os, signal, sys
from dvc.cli import main
from dvc.utils.serialize import _yaml

file, size = sys.argv[1], int(sys.argv[2])

def cut(real):
    def dump(data, stream, **options):
        whole = io.StringIO()
        real(data, whole, **options)
        if os.path.basename(getattr(stream, "name", "")) != file:
            return stream.write(whole.getvalue())
        stream.write(whole.getvalue()[:size])
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    return dump

json.dump, _yaml._dump = cut(json.dump), cut(_yaml._dump)
main(["repro"])
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two stages that have run; not to be changed."""
    workspace = Workspace(tmp_path_factory.mktemp("recover") / "tiny")
    workspace.path.mkdir()
    workspace.run("dvc", "init", "--no-scm", "--quiet")
    workspace.write("dvc.yaml", {"stages": STAGES})
    (workspace.path / "raw").write_text("one")
    assert workspace.repro() == ["first", "second"]
    return workspace


@pytest.fixture
def tiny(made: Workspace, tmp_path: Path) -> Workspace:
    """The test's own copy, in which there is something to do."""
    workspace = made.copy(tmp_path / "tiny")
    (workspace.path / "raw").write_text("another")
    return workspace


def failing(workspace: Workspace, *command: str) -> str:
    """What a command says that fails."""
    process = workspace.start(*command)
    said, _ = process.communicate()
    assert process.returncode != 0
    return said


@pytest.mark.parametrize(
    ("file", "size"),
    [
        ("rwlock", 0),
        pytest.param("rwlock", 20, marks=pytest.mark.slow),
        pytest.param("dvc.lock", 0, marks=pytest.mark.slow),
        pytest.param("dvc.lock", 60, marks=pytest.mark.slow),
    ],
)
def test_killed_while_it_writes(file: str, size: int, tiny: Workspace) -> None:
    """DVC alone stops at what is left; afterwards it goes on, and what had ended by then does not run again."""
    failing(tiny, sys.executable, "-c", KILLED, file, str(size))
    assert file in failing(tiny, "dvc", "repro")
    said = tiny.run(sys.executable, str(SCRIPT))
    assert file in said and said.count("\n") == 1
    assert tiny.repro() == {"rwlock": ["first", "second"], "dvc.lock": ["second"]}[file]


def test_who_is_at_work_is_left_alone(tiny: Workspace) -> None:
    """While the command of a stage runs nothing is touched, and who it is gets said."""
    tiny.write("dvc.yaml", {"stages": STAGES | {"first": STAGES["first"] | {"cmd": "touch begun; sleep 60"}}})
    process = tiny.start("dvc", "repro")
    try:
        until((tiny.path / "begun").exists)
        rwlock = tiny.path / ".dvc/tmp/rwlock"
        assert tiny.run(sys.executable, str(SCRIPT)) == ""
        rwlock.write_text("")
        said = failing(tiny, sys.executable, str(SCRIPT))
        assert "still at work" in said and "PID" in said and said.count("\n") == 1
        assert rwlock.read_text() == ""
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
def test_who_holds_the_lock_is_left_alone(tiny: Workspace) -> None:
    """DVC itself, between the commands."""
    from dvc.lock import make_lock

    (tiny.path / "dvc.lock").write_text("")
    with make_lock(str(tiny.path / ".dvc/tmp/lock")):
        said = failing(tiny, sys.executable, str(SCRIPT))
    assert "another DVC process is at work" in said and said.count("\n") == 1
    assert (tiny.path / "dvc.lock").exists()


@pytest.mark.slow
def test_what_was_trained_stays(workspace: Workspace) -> None:
    """The whole pipeline without the end of its dvc.lock: every stage is found in the cache, none runs."""
    lock = workspace.path / "dvc.lock"
    lock.write_bytes(lock.read_bytes()[:-50])
    assert "dvc.lock" in workspace.run(sys.executable, "pipelines/recover.py")
    assert workspace.repro() == []


# ---- what is recognised ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recover() -> ModuleType:
    """The script as a module."""
    spec = spec_from_file_location("recover", SCRIPT)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OURS = {"pid": os.getpid(), "cmd": "dvc repro"}
READING, WRITING = {"read": {"/raw": [OURS]}}, {"write": {"/one": OURS}}


@pytest.mark.parametrize("held", [READING, WRITING, READING | WRITING])
def test_a_pid_that_is_another_process_now(held: object, recover: ModuleType, tmp_path: Path) -> None:
    """Who began before the file was written may hold it; who began later cannot."""
    rwlock = tmp_path / "rwlock"
    rwlock.write_text(json.dumps(held))
    assert not recover.is_left_over(rwlock)
    os.utime(rwlock, (0, 0))
    assert recover.is_left_over(rwlock)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", True), ('{"write": {"/o', True), ("[]", True), ('{"write": 1}', True), ("\0\0", True), ("{}", False)],
)
def test_what_dvc_cannot_read(text: str, expected: bool, recover: ModuleType, tmp_path: Path) -> None:
    """Empty, half a document, another document; also that there is none."""
    assert not recover.is_left_over(tmp_path / "rwlock")
    (tmp_path / "rwlock").write_text(text)
    assert recover.is_left_over(tmp_path / "rwlock") == expected


def test_a_cut_off_lock(recover: ModuleType, tmp_path: Path) -> None:
    """Every beginning that ends within a line; none is whole, and what a merge left is the user's."""
    lock = tmp_path / "dvc.lock"
    assert not recover.is_cut_off(lock)
    whole = "schema: '2.0'\nstages: {}\n"
    for size in range(len(whole) + 1):
        lock.write_text(whole[:size])
        assert recover.is_cut_off(lock) == (whole[:size][-1:] != "\n")
    lock.write_text(f"<<<<<<< ours\n{whole}=======\n>>>>>>> theirs\n")
    assert not recover.is_cut_off(lock)
