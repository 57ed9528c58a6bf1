"""Engines: the same bytes whatever runs the shards and whoever is killed; retries and time-outs are the driver's."""

import math
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

import segdata.making.prepare
from segdata.cli import cli
from segdata.engines import run
from segdata.engines.driver import TRIES, drive
from segdata.engines.engine import Begun, Done, Event, Lost
from segdata.errors import SegdataError
from segdata.making.job import Job
from segdata.making.prepare import prepare

Painted = Callable[..., Path]
MakeJob = Callable[..., Job]

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")
RAY = pytest.param("ray", marks=[needs_ray, pytest.mark.slow])
PATIENCE = 60.0  # seconds that anything may take here; a healthy shard takes milliseconds


def sums(folder: Path) -> str:
    """SHA256SUMS and dataset.json: together they pin every byte of the folder."""
    return (folder / "SHA256SUMS").read_text() + (folder / "dataset.json").read_text()


def until(done: Callable[[], bool]) -> None:
    """Wait for it, but not for ever."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


# ---- the driver, with an engine that does as it is told -------------------------------------------------------


class Scripted:
    """An engine of two slots; `fates` says for each unit what becomes of its trials, "done" when they are used up."""

    slots = 2

    def __init__(self, **fates: Sequence[str]) -> None:
        self.fates = {unit: list(fate) for unit, fate in fates.items()}
        self.held: dict[int, str] = {}
        self.given: list[str] = []
        self.stopped: list[str] = []
        self.most = 0

    def give(self, unit: str) -> int:
        self.given.append(unit)
        self.held[len(self.given)] = unit
        self.most = max(self.most, len(self.held))
        return len(self.given)

    def wait(self, seconds: float | None) -> Iterator[Event[str]]:
        ticket = min(self.held)
        fate = (self.fates.get(self.held[ticket]) or ["done"]).pop(0)
        yield Begun(ticket)
        if fate == "hang":
            return
        unit = self.held.pop(ticket)
        yield Lost(ticket, "its worker died") if fate == "die" else Done(ticket, unit.upper())

    def stop(self, ticket: int) -> None:
        self.stopped.append(self.held.pop(ticket))


def driven(engine: Scripted, units: str, limit: float = math.inf) -> list[str]:
    return list(drive(engine, units, name=lambda unit: f"shard {unit}", limit=lambda unit: limit))


def test_a_bounded_window_is_in_flight() -> None:
    """No more units are given out than the engine has slots, nor taken from the plan before their turn."""
    engine, taken = Scripted(), []
    outcomes = drive(engine, (taken.append(unit) or unit for unit in "abcdef"), str, lambda unit: math.inf)
    assert next(outcomes) == "A"
    assert taken == ["a", "b"]
    assert [*outcomes] == [*"BCDEF"]
    assert engine.most == 2


def test_a_lost_unit_comes_again_after_all_others() -> None:
    """Every outcome comes once, those of lost units last; a unit may be lost twice."""
    engine = Scripted(a=["die", "die"], c=["die"])
    assert driven(engine, "abcd") == [*"BDCA"]
    assert engine.given.count("a") == TRIES


def test_a_unit_that_is_lost_again_and_again_is_named() -> None:
    """After the last trial the error has the unit, the reason and what to do."""
    with pytest.raises(SegdataError, match=r"shard b was lost 3 times; .*its worker died.*Run the command again"):
        driven(Scripted(b=["die"] * TRIES), "abc")


def test_a_unit_that_takes_too_long_is_stopped_and_given_again() -> None:
    """At its limit the engine ends it, the next trial gives the outcome; when all hang the error says --timeout."""
    engine = Scripted(b=["hang"])
    assert driven(engine, "ab", limit=0.0) == [*"AB"]
    assert engine.stopped == ["b"]
    with pytest.raises(SegdataError, match=r"shard a was lost 3 times; .*longer than 0 s \(--timeout gives it more\)"):
        driven(Scripted(a=["hang"] * TRIES), "a", limit=0.0)


# ---- real engines, real shards, workers that die or hang in the middle of one ---------------------------------

PLANTED = '''
"""`build`, whose worker dies or hangs before the last scene of a shard, once, as the file `plant` says."""

import os
import signal
import time

from segdata.making import build as real
from segdata.making.convert import Converter


def build(unit):
    plant, convert = unit.work.parent / "plant", Converter.convert

    def planted(self, scene):
        if scene is unit.planned.scenes[-1] and plant.exists():
            try:
                plant.rename(plant.with_name("reaped"))
            except FileNotFoundError:  # another worker was first
                return convert(self, scene)
            if plant.with_name("reaped").read_text() == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(1000)
        return convert(self, scene)

    Converter.convert = planted
    try:
        return real.build(unit)
    finally:
        Converter.convert = convert


def fail(unit):
    raise ValueError(f"planted in {unit}")


IMPORTED_BY = os.getpid()


def imported_by_another(unit):
    return os.getpid() != IMPORTED_BY


class Deadly(int):
    """An outcome that kills its worker while it is handed over."""

    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)


def lose(unit):
    """The number; the worker that finds the plant, whoever that is, is lost in the way that the plant says."""
    number, plant = unit
    try:
        plant.rename(plant.with_name("reaped"))
    except FileNotFoundError:
        return number
    way = plant.with_name("reaped").read_text()
    if way == "handing over":
        return Deadly(number)
    if way == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)


def not_to_be_sent(unit):
    return lambda: unit
'''


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module `planted_build`, which the workers of every engine find as well."""
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "planted_build.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(Path(__file__).parents[3])]))
    monkeypatch.delitem(sys.modules, "planted_build", raising=False)
    return __import__("planted_build")


@pytest.fixture(scope="module")
def reference(painted: Painted, make_job: MakeJob, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sums that one process without workers makes."""
    out = tmp_path_factory.mktemp("reference") / "set"
    prepare(make_job("cityscapes", painted("cityscapes"), out))
    return sums(out)


def prepared_with(plant: str, job: Job, planted: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The sums of the job's set, made while the plant strikes once."""
    monkeypatch.setattr(segdata.making.prepare, "build", planted.build)
    (tmp_path / "plant").write_text(plant)
    result = prepare(job)
    assert (tmp_path / "reaped").exists()
    assert result.shards == 5
    return sums(job.out)


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=needs_ray)])
def test_a_worker_killed_in_the_middle(
    engine: str,
    painted: Painted,
    make_job: MakeJob,
    reference: str,
    planted: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGKILL to a worker with half a shard: another one makes it, and the folder is that of one process."""
    job = make_job("cityscapes", painted("cityscapes"), tmp_path / "set", engine=engine, workers=2)
    assert prepared_with("die", job, planted, tmp_path, monkeypatch) == reference


@pytest.mark.parametrize("way", ["handing over", "ending well", "stopped"])
@pytest.mark.parametrize("engine", ["local", RAY])
def test_a_lost_worker_costs_its_own_unit_alone(engine: str, way: str, planted: ModuleType, tmp_path: Path) -> None:
    """Killed while it hands its outcome over, ended with status 0, stopped: the outcomes of all units come."""
    plant = tmp_path / "plant"
    plant.write_text(way)
    units = [(number, plant) for number in range(12)]
    limit = 5.0 if way == "stopped" else math.inf
    outcomes = run(engine, planted.lose, units, 2, limit=lambda unit: limit)
    assert sorted(outcomes) == list(range(12))
    assert (tmp_path / "reaped").exists()


def test_an_idle_worker_that_dies_costs_nothing(planted: ModuleType) -> None:
    """Killed between two units: another one gets the next."""
    outcomes = []

    def units() -> Iterator[int]:
        yield 0
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        yield 1

    for outcome in run("local", planted.imported_by_another, units(), 1):
        outcomes.append(outcome)
    assert len(outcomes) == 2


def test_an_outcome_that_cannot_be_sent_is_an_error(planted: ModuleType) -> None:
    """It is raised at once, like what a unit raises: another worker could not send it either."""
    with pytest.raises(AttributeError, match=r"Can't (pickle|get) local object"):
        list(run("local", planted.not_to_be_sent, ["one"], 1))


def test_workers_find_the_module_of_their_function_imported(planted: ModuleType) -> None:
    """Its imports, which take longer than many units, are made once for all workers, before these are forked."""
    program = "import planted_build; from segdata.engines import run; "
    program += "print(list(run('local', planted_build.imported_by_another, range(2), 2)))"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == "[True, True]"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", RAY])
def test_a_worker_that_hangs(
    engine: str,
    painted: Painted,
    make_job: MakeJob,
    reference: str,
    planted: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After its time-out the shard is another worker's, and the folder is that of one process."""
    options = {"engine": engine, "workers": 2, "timeout": 15.0}
    job = make_job("cityscapes", painted("cityscapes"), tmp_path / "set", **options)
    assert prepared_with("hang", job, planted, tmp_path, monkeypatch) == reference


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_of_ray_change_no_byte(
    workers: int, painted: Painted, make_job: MakeJob, reference: str, tmp_path: Path
) -> None:
    """One SHA256SUMS for Ray with 1, 2 and 4 workers and one process; test_prepare.py has the other engines."""
    prepare(make_job("cityscapes", painted("cityscapes"), tmp_path / "set", engine="ray", workers=workers))
    assert sums(tmp_path / "set") == reference


@pytest.mark.parametrize("engine", ["serial", "local", RAY])
def test_what_a_unit_raises_arrives(engine: str, planted: ModuleType) -> None:
    """An error in a worker is raised in the driver as it is, and nothing is tried again."""
    with pytest.raises(ValueError, match="planted in one"):
        list(run(engine, planted.fail, ["one"], 1))


# ---- the driver killed ----------------------------------------------------------------------------------------

DRIVER = (
    "import segdata.making.prepare, planted_build, segdata.cli; segdata.making.prepare.build = planted_build.build; "
)
DRIVER += "segdata.cli.main() if __name__ == '__main__' else None"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", RAY])
def test_the_driver_killed_and_run_again(
    engine: str,
    painted: Painted,
    make_job: MakeJob,
    reference: str,
    planted: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGKILL with one shard unfinished: no process stays, the others are kept, the folder is that of one process."""
    (tmp_path / "plant").write_text("hang")
    with tempfile.TemporaryDirectory(dir="/tmp") as home:  # short: Ray's sockets lie there
        command = [sys.executable, "-c", DRIVER, "prepare", "cityscapes", f"--root={painted('cityscapes')}"]
        command += [f"--out={tmp_path / 'set'}", f"--engine={engine}", "--workers=2", "--samples-per-shard=2"]
        command += [f"--scale={scale}" for scale in (1, 2, 4, 8)]
        driver = subprocess.Popen(command, env=os.environ | {"TMPDIR": home, "MARK": home}, stderr=subprocess.DEVNULL)
        try:
            until(lambda: len(list((tmp_path / ".set.work" / "receipts").glob("*.json"))) == 4)
        finally:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
        until(lambda: not marked(home))
        assert not list(Path(home).glob("segdata-ray-*"))
    result = prepare(make_job("cityscapes", painted("cityscapes"), tmp_path / "set", engine="local", workers=2))
    assert result.reused == 4
    assert sums(tmp_path / "set") == reference


def marked(home: str) -> list[int]:
    """The processes that were started with MARK=home, at whatever depth."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if f"MARK={home}".encode() in variables:
            found.append(int(path.parent.name))
    return found


# ---- a cluster that runs already ------------------------------------------------------------------------------


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """host:port of a Ray cluster with two processors, which was there before; its token is in the environment."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", os.urandom(32).hex())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as home:
        command = [str(Path(sys.executable).with_name("ray")), "start", "--head", f"--port={port}", "--num-cpus=2"]
        command += ["--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={home}", "--block"]
        command += [f"--object-store-memory={80 << 20}"]
        head = subprocess.Popen(
            command, env=os.environ | {"MARK": home}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            assert head.stdout is not None
            with head.stdout:
                assert any("Ray runtime started" in line for line in head.stdout), "no cluster"
                yield f"127.0.0.1:{port}"
        finally:
            head.send_signal(signal.SIGTERM)
            head.wait(PATIENCE)
            for pid in marked(home):
                os.kill(pid, signal.SIGKILL)


@needs_ray
@pytest.mark.slow
def test_a_cluster_that_runs_is_used_and_left(
    cluster: str,
    painted: Painted,
    make_job: MakeJob,
    reference: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """--address: the same folder, twice, so the first use has not ended the cluster; with a wrong token it says so."""
    for out in ("one", "two"):
        job = make_job("cityscapes", painted("cityscapes"), tmp_path / out, engine="ray", workers=None, address=cluster)
        prepare(job)
        assert sums(tmp_path / out) == reference
    monkeypatch.setenv("RAY_AUTH_TOKEN", os.urandom(32).hex())
    with pytest.raises(SegdataError, match=f"--address {cluster}: .*RAY_AUTH_MODE=token"):
        prepare(replace(job, out=tmp_path / "three"))


@needs_ray
@pytest.mark.parametrize(
    "address, message",
    [
        ("ray://127.0.0.1:10001", "Ray Client cannot follow tasks"),
        ("nonsense", "expected host:port, or auto"),
        ("127.0.0.1:9", r"nothing answers there .*ray start --head"),
    ],
)
def test_an_address_that_leads_nowhere(address: str, message: str, planted: ModuleType) -> None:
    """One line that says what to do, before Ray would try for minutes."""
    with pytest.raises(SegdataError, match=message):
        list(run("ray", planted.fail, ["one"], address=address))


# ---- where engine and workers come from -----------------------------------------------------------------------


def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *options: str) -> Job:
    """The job that the command line makes of these options."""
    jobs: list[Job] = []

    def take(job: Job, *_: object) -> None:
        jobs.append(job)
        raise SegdataError("far enough")

    monkeypatch.setattr(segdata.making.prepare, "prepare", take)
    command = ["prepare", "cityscapes", f"--root={tmp_path}", f"--out={tmp_path / 'set'}", *options]
    assert isinstance(CliRunner().invoke(cli, command).exception, SegdataError)
    return jobs[0]


def test_engine_and_workers_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SEGDATA_ENGINE and SEGDATA_WORKERS do what the options do; options win; nothing set is all processors."""
    for name in ("SEGDATA_ENGINE", "SEGDATA_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    job = asked(monkeypatch, tmp_path)
    assert (job.engine, job.workers) == ("local", None)
    monkeypatch.setenv("SEGDATA_ENGINE", "ray")
    monkeypatch.setenv("SEGDATA_WORKERS", "3")
    job = asked(monkeypatch, tmp_path)
    assert (job.engine, job.workers) == ("ray", 3)
    job = asked(monkeypatch, tmp_path, "--engine=serial", "--workers=1")
    assert (job.engine, job.workers) == ("serial", 1)


def test_without_ray_the_message_says_how_to_get_it(planted: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """--engine ray without the extra is one line with the command that installs it."""
    monkeypatch.setattr("segdata.requirements.find_spec", lambda name: None)
    with pytest.raises(SegdataError, match=r"needs the extra `ray`: ray is not installed. Run: pip install"):
        list(run("ray", planted.fail, ["one"]))


def test_an_address_needs_the_engine(tmp_path: Path) -> None:
    """--address with another engine would silently be ignored: it is refused."""
    command = ["prepare", "cityscapes", f"--root={tmp_path}", f"--out={tmp_path / 'set'}", "--address=127.0.0.1:6379"]
    result = CliRunner(env={"SEGDATA_ENGINE": "local"}).invoke(cli, command)
    assert result.exit_code == 2
    assert "--address is for --engine ray" in result.output
