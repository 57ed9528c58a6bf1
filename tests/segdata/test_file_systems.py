"""File systems that lack something: locks, links, fsync of folders, a step that lets two folders change places."""

import errno
import fcntl
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from segdata.base.files import parsing, read_file, regular
from segdata.base.lock import locked
from segdata.base.refusal import ADVICE, WARNED, placed, refusal
from segdata.cli import entry
from segdata.cli.command import Command
from segdata.errors import LockedError, PlaceWarning, SegdataError
from segdata.format.manifest import SUMS
from segdata.format.pinned import PinnedFolder
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.stores.cache import Cache
from segdata.stores.folder import Folder

# ---- no ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", sorted(ADVICE))
def test_the_last_line(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the system refuses is one line with the place, the system's words and advice."""

    class Group(click.Group):
        def main(self, *args: Any, **options: Any) -> Any:
            with placed("/disk/set.tar"):
                raise OSError(number, os.strerror(number))

    with pytest.raises(SystemExit) as ended:
        entry.run(Group(), "segdata")
    told = capsys.readouterr().err
    assert ended.value.code == 1 and told.count("\n") == 1
    assert told.startswith(f"segdata: /disk/set.tar: {os.strerror(number)}. ") and told.endswith(f"{ADVICE[number]}.\n")


@pytest.mark.parametrize("closed", [False, True], ids=["another's", "ours"])
def test_a_pipe_that_nobody_reads(
    closed: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours, as behind `| head -1`, ends a command quietly; any other is an error as every one."""

    class Group(click.Group):
        def main(self, *args: Any, **options: Any) -> Any:
            if not closed:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            print("a line", flush=True)

    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as nowhere, monkeypatch.context() as patch:  # noqa: PTH123
        patch.setattr(sys, "stdout", nowhere if closed else sys.stdout)
        with pytest.raises(SystemExit) as ended:
            entry.run(Group(), "segdata")
    assert ended.value.code == 1
    assert capsys.readouterr().err == ("" if closed else "segdata: the system: Broken pipe.\n")


def read_parsed(path: Path) -> None:
    with parsing(path, SegdataError):
        path.read_bytes()


def read_stored(path: Path) -> None:
    with Folder(path.parent).opened(path.name, 100):
        pass


@pytest.mark.parametrize(
    "read",
    [read_file, regular, read_parsed, read_stored, PinnedFolder, lambda path: PinnedFolder(path.parent).read("loop")],
)
def test_a_file_that_cannot_be_read(read: Callable[[Path], Any], tmp_path: Path) -> None:
    """The place, the system's words, and what to do; here a link to itself."""
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SegdataError) as caught:
        read(tmp_path / "loop")
    why = f"{os.strerror(errno.ELOOP)}). {ADVICE[errno.ELOOP]}."
    assert str(caught.value) == f"{tmp_path / 'loop'}: cannot be read ({why}"


def test_a_long_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's words for a socket's path that is too long name neither the folder nor the variable."""
    monkeypatch.setattr("tempfile.tempdir", "/tmp/" + "x" * 100)
    with pytest.raises(OSError, match="AF_UNIX path too long") as caught, socket.socket(socket.AF_UNIX) as made:
        made.bind("/tmp/" + "x" * 120)
    assert refusal(caught.value).startswith(f"TMPDIR: /tmp/{'x' * 100} has 105 characters")


def test_a_command_that_knows_no_path_names_its_results(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of writing to an open file has no path: the command's --out is told."""

    @click.command(cls=Command)
    @click.option("--out")
    def fill(out: str) -> None:
        with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
            file.write(b"x")

    with pytest.raises(OSError) as caught:
        fill.main(["--out", "results"], standalone_mode=False)
    assert refusal(caught.value).startswith("results: No space left on device. Free some space on its disk, or ")


def test_of_a_copy_the_place_that_is_written() -> None:
    assert refusal(OSError(errno.ENOSPC, "No space left on device", "from", None, "to")).startswith("to: No space")


def test_a_file_that_may_not_grow(make_job: Callable[..., Job], finished: Callable[..., Path], tmp_path: Path) -> None:
    """As on a full disk, in a worker: the shard's path and what to do; nothing half-written has its name."""
    dataset = finished("camvid").parent / "dataset"
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            prepare(make_job("camvid", dataset, tmp_path / "set", engine="serial"))
        except OSError as error:
            found = refusal(error)
            os._exit(0 if "/shards/camvid-11-" in found and "ulimit -f" in found else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not (tmp_path / "set").exists()


# ---- lacking -------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _anew() -> None:
    WARNED.clear()


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK], ids=["Lustre", "NFS"])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """flock fails as on Lustre without -o flock, or NFS without lockd."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def note(pid: int) -> str:
    return json.dumps({"pid": pid, "host": socket.gethostname(), "work": "segdata prepare"})


@pytest.fixture(scope="module")
def ended() -> int:
    """The number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.usefixtures("no_locks")
def test_one_writer_without_locks(tmp_path: Path, ended: int) -> None:
    """The file is the lock, until it is gone or the process that it names is."""
    path = tmp_path / "lock"
    refused = pytest.raises(LockedError, match=rf"process {os.getpid()} .*remove this file")
    with pytest.warns(PlaceWarning, match="has no locks") as told, locked(path, "here"), refused, locked(path, "there"):
        pass
    assert len(told) == 1
    assert not path.exists()
    path.write_text(note(ended))
    with locked(path, "here"):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    path.write_text(note(ended).replace(socket.gethostname(), "elsewhere"))
    with pytest.raises(LockedError), locked(path, "here"):
        pass


def test_a_file_with_the_name_of_a_lock(tmp_path: Path) -> None:
    """One that we did not write is named and stays."""
    path = tmp_path / ".set.lock"
    path.write_text("my notes")
    with pytest.raises(SegdataError, match="something that segdata did not write"), locked(path, "here"):
        pass
    assert path.read_text() == "my notes"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_lock(kind: str, tmp_path: Path) -> None:
    """Neither waited for nor followed."""
    path = tmp_path / ".set.lock"
    path.symlink_to("nowhere") if kind == "link" else os.mkfifo(path)
    with pytest.raises(SegdataError, match="something that segdata did not write"), locked(path, "here"):
        pass


def test_clean_up_does_not_hide_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong is told, even where the lock cannot be removed after it."""

    def refuse(path: Any, **options: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    tmp_path.chmod(0o755)
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock", "here"):
        monkeypatch.setattr(os, "unlink", refuse)
        1 / 0  # noqa: B018
    assert tmp_path.stat().st_mode & 0o777 == 0o755, "the rights of somebody's folder were changed"


@pytest.mark.usefixtures("no_locks")
def test_the_cache_without_locks(tmp_path: Path) -> None:
    """It keeps pieces, and stays within its bound."""
    cache = Cache(tmp_path / "cache", 40960)
    for i in range(30):
        cache.put(f"{'0f' * 16}/{i}", bytes(5000))
    assert cache.get(f"{'0f' * 16}/29") == bytes(5000)
    assert 1 <= len(list((tmp_path / "cache" / ("0f" * 16)).iterdir())) <= 5


@pytest.mark.usefixtures("no_locks")
def test_prepare_where_nearly_all_is_missing(
    finished: Callable[..., Path], make_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on CIFS: no locks, no links, no fsync of folders, no exchange. The first version, and its update."""
    fsync = os.fsync

    def files_alone(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    def no_link(*paths: Any, **options: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fsync", files_alone)
    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr("segdata.base.files._exchange_call", lambda: None)
    set_made = finished("camvid")
    with pytest.warns(PlaceWarning) as told:
        prepare(make_job("camvid", set_made.parent / "dataset", tmp_path / "set", rule="stride"))
        prepare(make_job("camvid", set_made.parent / "dataset", tmp_path / "set", replace=True))
    assert sorted(str(each.message).partition("the file system ")[2][:12] for each in told) == [
        "cannot make ",
        "has no locks",
    ]
    assert (tmp_path / "set" / SUMS).read_bytes() == (set_made / SUMS).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no second file system at /dev/shm")
def test_unfinished_work_on_another_disk(
    finished: Callable[..., Path], make_job: Callable[..., Job], tmp_path: Path
) -> None:
    """The first version and every later one: what is finished comes over by copies."""
    import tempfile

    set_made = finished("camvid")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        if Path(scratch).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is the same file system")
        for rule in ("stride", "majority"):
            job = make_job("camvid", set_made.parent / "dataset", tmp_path / "set", rule=rule, replace=True)
            prepare(Job(**{**job.__dict__, "work_dir": Path(scratch)}))
        assert not list(Path(scratch).iterdir())
    assert (tmp_path / "set" / SUMS).read_bytes() == (set_made / SUMS).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
