"""Training on two machines: `torchrun` in two network namespaces, which see each other through a virtual cable alone.

They share this machine's disk, as nodes share a file system.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from segmodels.config.config import TrainConfig
from segmodels.runs.run import Run
from segmodels.training.train import train

Lesson = Callable[..., TrainConfig]
PATIENCE = 300.0  # seconds for anything here
PORT = 29400  # in the namespaces everything is free

# What each rank runs: `segmodels`, with a checkpoint after every step. Its process is known by the rank.
START = """
import os
import sys
from pathlib import Path

import segmodels.cli
import segmodels.training.train

segmodels.training.train.CHECKPOINT_SECONDS = 0.0
Path(sys.argv.pop(1), os.environ["RANK"]).write_text(str(os.getpid()))
segmodels.cli.main()
"""


@dataclass(frozen=True)
class Host:
    """A network namespace with one cable; the first host of the two is where the ranks meet."""

    name: str
    address: str
    number: int


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    """Two of them, connected."""
    ip = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")
    if ip is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and iproute2's `ip`")
    stem = f"segmodels-{os.urandom(4).hex()}"
    pair = Host(f"{stem}-a", "10.77.0.1", 0), Host(f"{stem}-b", "10.77.0.2", 1)

    def run(*arguments: str) -> None:
        subprocess.run([ip, *arguments], check=True, capture_output=True)

    try:
        try:
            for host in pair:
                run("netns", "add", host.name)
            ends = [["name", "cable", "netns", host.name] for host in pair]
            run("link", "add", *ends[0], "type", "veth", "peer", *ends[1])
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not allowed here ({error.stderr.decode().strip()})")
        for host in pair:
            run("-n", host.name, "address", "add", f"{host.address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                run("-n", host.name, "link", "set", device, "up")
        yield pair
    finally:
        for host in pair:
            subprocess.run([ip, "netns", "delete", host.name], check=False, capture_output=True)


class Node:
    """`torchrun` on a host, or on this machine for all ranks."""

    def __init__(self, home: Path, options: list[str], host: Host | None) -> None:
        (home / "start.py").write_text(START)
        self.log = home / f"log{host.number if host else ''}"
        command = [sys.executable, "-m", "torch.distributed.run"]
        variables = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *filter(None, sys.path)]),
        }
        if host:
            command = ["ip", "netns", "exec", host.name, *command, f"--node-rank={host.number}", "--nnodes=2"]
            command += ["--master-addr=10.77.0.1", f"--master-port={PORT}"]
            variables["GLOO_SOCKET_IFNAME"] = "cable"  # the namespace's host name is not in its DNS
        else:
            command += ["--standalone", "--nproc-per-node=2"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, str(home / "start.py"), str(home), *options], env=variables, stdout=log, stderr=log
            )

    def end(self) -> tuple[int, str]:
        """Its exit status and what it and its ranks printed."""
        status = self.process.wait(PATIENCE)
        return status, self.log.read_text()


@pytest.fixture
def torchrun(tmp_path: Path) -> Iterator[Callable[..., list[Node]]]:
    """torchrun(config, hosts): the nodes, which are on their way; on this machine's two ranks without hosts."""
    nodes: list[Node] = []

    def start(config: TrainConfig, hosts: tuple[Host, ...] = (), outs: tuple[Path, ...] = ()) -> list[Node]:
        made = []
        for number, host in enumerate(hosts or [None]):
            command = [*options(config), f"--out={outs[number] if outs else config.out}"]
            made.append(Node(tmp_path, command, host))
            nodes.append(made[-1])
        return made

    yield start
    for node in nodes:
        node.process.terminate()  # torchrun ends its ranks
        node.process.wait(PATIENCE)


def options(config: TrainConfig) -> list[str]:
    """`segmodels train`'s for what `lesson` makes, but --out."""
    assert config.crop is not None
    given = [f"--option={name}={value}" for name, value in config.options]
    given += [f"--{name}={getattr(config, name)}" for name in ("shards", "steps", "device", "workers", "accumulate")]
    given += [f"--batch-size={config.batch_size}", f"--crop={config.crop[0]}x{config.crop[1]}"]
    return ["train", config.network, *given]


def finished(nodes: list[Node], out: Path) -> dict[str, str]:
    """The digests of the weights of a run that ended well."""
    for status, log in [node.end() for node in nodes]:
        assert status == 0, log
    digests: dict[str, str] = json.loads((out / "run.json").read_text())["weights"]
    return digests


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many threads as the ranks have: sums are split among them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_two_nodes_are_one_process(
    hosts: tuple[Host, Host], torchrun: Callable[..., list[Node]], lesson: Lesson, one_thread: None
) -> None:
    """L3 across machines: the samples, the batch and the learning rate are those of the whole, whoever computes them.

    The one process computes its batch in two parts; layer norms, so that no part knows of the other.
    """
    values = {"network": "distill_x2", "options": {"width": 4, "depth": 2}}
    two = lesson("two", **values)
    nodes = torchrun(two, hosts)
    one = train(lesson("one", accumulate=2, **values))
    assert finished(nodes, two.out) == one.digests
    assert json.loads(Run(two.out).metrics.read_bytes()) == one.metrics


@pytest.mark.slow
def test_two_nodes_are_two_ranks_of_one(
    hosts: tuple[Host, Host], torchrun: Callable[..., list[Node]], lesson: Lesson
) -> None:
    """Dropout and running statistics included: where a rank runs does not show in the weights."""
    here, there = lesson("here"), lesson("there")
    assert finished(torchrun(there, hosts), there.out) == finished(torchrun(here), here.out)
    assert Run(there.out).weights.read_bytes() == Run(here.out).weights.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_the_run_and_it_resumes(
    rank: int, hosts: tuple[Host, Host], torchrun: Callable[..., list[Node]], lesson: Lesson, tmp_path: Path
) -> None:
    """SIGKILL to either: the other says what happened and what to do; the same command goes on to the same bytes."""
    steps = 60
    whole, killed = lesson("whole", steps=steps), lesson("killed", steps=steps)
    digests = finished(torchrun(whole, hosts), whole.out)
    nodes = torchrun(killed, hosts)
    end = time.monotonic() + PATIENCE
    while not Run(killed.out).last.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(int((tmp_path / str(rank)).read_text()), signal.SIGKILL)
    assert all(status != 0 for status, _ in [node.end() for node in nodes])
    message = nodes[1 - rank].end()[1]
    assert f"segmodels: rank {1 - rank} of 2 lost the others" in message
    assert "The same command goes on" in message
    assert not Run(killed.out).weights.exists()
    assert finished(torchrun(killed, hosts), killed.out) == digests
    assert "going on after step" in (tmp_path / "log0").read_text()
    assert Run(killed.out).weights.read_bytes() == Run(whole.out).weights.read_bytes()


@pytest.mark.slow
def test_nodes_without_a_common_disk(
    hosts: tuple[Host, Host], torchrun: Callable[..., list[Node]], lesson: Lesson, tmp_path: Path
) -> None:
    """A node that does not see the run folder says so at once: it could not go on after a kill."""
    config = lesson("here")
    ends = [node.end() for node in torchrun(config, hosts, (config.out, tmp_path / "elsewhere"))]
    assert all(status != 0 for status, _ in ends)
    assert "elsewhere/run.json is not there: the machines of a training need one file system for --out" in ends[1][1]
