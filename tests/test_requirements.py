"""What the packages need of a machine: less than Linux, missing extras, advice that works, the lock."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import segmodels.cli
from segdata import requirements
from segdata.base import files
from segdata.requirements import EXTRAS, advice
from tests.support.lowest import lowest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# ---- systems ------------------------------------------------------------------------------------------------

# Read by Python before anything else: what only Linux has is gone, in the processes that are started as well.
MACOS = """
import ctypes, os, sys
for name in dir(os):
    if name.startswith(("sched_", "SCHED_", "posix_fadvise", "POSIX_FADV", "posix_fallocate", "fdatasync", "pipe2",
        "copy_file_range", "splice", "SPLICE_", "memfd_", "MFD_", "eventfd", "EFD_", "pidfd_", "P_PIDFD", "getrandom",
        "GRND_", "getxattr", "setxattr", "listxattr", "removexattr", "XATTR_", "getres", "setres", "unshare", "setns",
        "CLONE_", "timerfd", "TFD_", "process_cpu_count", "RWF_", "O_TMPFILE", "O_PATH", "O_DIRECT_", "O_NOATIME",
        "O_LARGEFILE", "O_RSYNC")):
        delattr(os, name)

class Library(ctypes.CDLL):
    def __getattr__(self, name):
        if name in {"renameat2", "prctl", "mallopt", "syscall", "malloc_trim"}:
            raise AttributeError(name)
        return super().__getattr__(name)

def no_proc(event, arguments):
    if event in {"open", "os.scandir", "os.listdir"} and str(arguments[0]).startswith("/proc"):
        raise FileNotFoundError(2, "No such file or directory", str(arguments[0]))

ctypes.CDLL = Library
sys.addaudithook(no_proc)
"""
COMMANDS = """
synth cityscapes --out raw --train 2 --val 1 --test 0 --size 64x128 --workers 2
prepare cityscapes --root raw --out shards --scale 1 --samples-per-shard 1 --workers 2
prepare cityscapes --root raw --out shards --scale 1 --scale 8 --replace
verify shards --pixels
stats shards
show shards --out sheet.png
train dilated_unet --shards shards --out run --steps 1 --batch-size 1 --crop 64x128 --workers 0
"""


def ran(code: str, *arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments], cwd=cwd, env=os.environ | variables, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_without_what_only_linux_has(tmp_path: Path) -> None:
    """As on macOS: data are painted, prepared, replaced, verified, shown and trained on."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(MACOS)
    code = """
import os, sys, segdata.cli, segmodels.cli
assert not hasattr(os, "sched_getaffinity")
for line in sys.argv[1].strip().splitlines():
    words = line.split()
    (segmodels if words[0] == "train" else segdata).cli.cli(words, standalone_mode=False)
"""
    done = ran(code, COMMANDS, cwd=tmp_path, PYTHONPATH=os.pathsep.join((str(tmp_path / "hook"), str(ROOT))))
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "run/model.safetensors").is_file()
    assert not list(tmp_path.glob(".*work"))


def test_full_sync(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On macOS fsync leaves bytes in the drive's own memory: F_FULLFSYNC is asked for, fsync where it is refused."""
    import fcntl

    asked: list[int] = []

    def refuse(descriptor: int, what: int) -> None:
        asked.append(what)
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", refuse)
    files.write_file(tmp_path / "found", b"text")
    assert set(asked) == {51} and (tmp_path / "found").read_bytes() == b"text"


@pytest.mark.parametrize("program", ["segdata", "segmodels"])
def test_windows_is_refused_in_one_line(program: str, tmp_path: Path) -> None:
    """Every command, and the first use of the library."""
    code = "import sys; sys.modules.update(fcntl=None, resource=None)\n"
    done = ran(f"{code}from {program}.cli import main; main()", "list", cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 1 and done.stdout.count("\n") == 1
    assert re.match(rf"{program}: .*Windows is not supported.*use WSL", done.stdout)
    library = ran(f"{code}import segdata; segdata.ShardSet", cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert library.stdout.endswith("use WSL (the Windows Subsystem for Linux).\n")


# ---- extras -------------------------------------------------------------------------------------------------

MODULES = {  # where the distribution has another name
    "vl-convert-python": "vl_convert",
    "nvidia-ml-py": "pynvml",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
}


def test_the_extras_are_those_of_the_project() -> None:
    """Each with the modules of its packages."""
    groups = PROJECT["optional-dependencies"].items()
    names = {
        extra: tuple(re.split(r"[\[<>=]", line)[0] for line in lines) for extra, lines in groups if extra != "test"
    }
    assert {extra: tuple(MODULES.get(name, name) for name in found) for extra, found in names.items()} == EXTRAS


WITHOUT_TORCH = """
import contextlib, io, sys
sys.modules["torch"] = None
from segmodels.cli import cli, main
for line in sys.argv[1].strip().splitlines():
    sys.argv[1:] = line.split()
    try:
        main()
    except SystemExit as status:
        print(status.code, flush=True)
"""
USES = """
summary dilated_unet --classes 20 --size 64x128
check dilated_unet
weights {0}
train dilated_unet --shards {0} --out run
verify {0}
evaluate {0} --shards {0}
predict {0} {0} --out pictures
export {0} --out net.pt2
bench dilated_unet
sweep {0} --knob q --shards {0} --out sweep
calibrate {0} --shards {0} --out found
report --shards {0} --runs {0} --scores {0} --stats {0} --out page
"""


def test_without_torch(tmp_path: Path) -> None:
    """All commands of segmodels but `list` say in one line that they need the extra `models`, and how to install it."""
    assert {line.split()[0] for line in USES.strip().splitlines()} == segmodels.cli.cli.commands.keys() - {"list"}
    done = ran(WITHOUT_TORCH, USES.format(tmp_path), cwd=tmp_path, PYTHONPATH=str(ROOT))
    found = done.stdout.splitlines()
    line = re.compile(
        r"segmodels: .*needs the extra `models`: torch is not installed\. Run: pip install -e .*\[models\]'?"
    )
    for command, said, code in zip(USES.strip().splitlines(), found[::2], found[1::2], strict=True):
        assert line.fullmatch(said) and code == "1", (command, done.stdout)


URL = "https://example.org/segdata.git"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({"dir_info": {}, "url": "file://{0}"}, "pip install '{0}[remote]'"),
        ({"dir_info": {}, "url": "file:///gone"}, "pip install 'fsspec>=2024.6' 's3fs>=2024.6'"),
        (
            {"vcs_info": {"vcs": "git", "commit_id": "0f0f"}, "url": URL},
            f"pip install 'segdata[remote] @ git+{URL}@0f0f'",
        ),
        ({"archive_info": {}, "url": "file:///a/b.whl"}, "pip install 'segdata[remote] @ file:///a/b.whl'"),
        (None, "pip install 'fsspec>=2024.6' 's3fs>=2024.6'"),
    ],
    ids=["folder", "folder that is gone", "git", "archive", "index"],
)
def test_advice(
    origin: dict[str, object] | None, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is installed from where the packages came: the clone, or another place."""
    assert advice("remote") == f"pip install -e '{ROOT}[remote]'"
    text = json.dumps(origin).replace("{0}", str(tmp_path)) if origin else None
    ours = SimpleNamespace(
        read_text=lambda name: {"direct_url.json": text}[name],
        requires=[
            'fsspec>=2024.6; extra == "remote"',
            "s3fs>=2024.6; extra == 'remote'",
            "numpy>=2",
            'ray; extra == "ray"',
        ],
    )
    monkeypatch.setattr(requirements, "distribution", lambda name: ours)
    monkeypatch.setattr(requirements, "__file__", str(tmp_path / "site-packages/segdata/requirements.py"))
    assert advice("remote") == command.replace("{0}", str(tmp_path))


def test_no_advice_names_the_index() -> None:
    """This distribution is not on the package index: no text says `pip install 'segdata[…]'`, but `advice` and this."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    texts = [name for name in files if name.endswith((".py", ".md", ".sh", ".toml", "Makefile", ".ipynb"))]
    named = [name for name in texts if re.search(r"pip install '?segdata", (ROOT / name).read_text())]
    assert set(named) <= {"tests/test_requirements.py", "CHANGELOG.md"}


# ---- lock ---------------------------------------------------------------------------------------------------


def test_the_lock() -> None:
    """It pins what the bounds ask for, within them, by digests; torch is pinned apart; it names no place."""
    from packaging.requirements import Requirement

    lock = (ROOT / "requirements.lock").read_text()
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)(?: ; .+)? \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE))
    assert len(pins) == len(re.findall(r"^[^\s#]", lock, re.MULTILINE)) and "://" not in lock and "torch" not in pins
    extras = PROJECT["optional-dependencies"]
    groups = ("models", "report", "pipeline", "remote", "ray", "test")
    for line in PROJECT["dependencies"] + [each for group in groups for each in extras[group]]:
        wanted = Requirement(line)
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        assert name == "torch" or wanted.specifier.contains(pins[name]), line
    assert re.search(r"^torch==[\d.]+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


def test_lower_bounds_are_constraints() -> None:
    """What `make test-lowest` installs: each dependency that runs has a lower bound."""
    found = dict(line.split("==") for line in lowest())
    assert len(found) == len(PROJECT["dependencies"]) + len(PROJECT["optional-dependencies"]["remote"])
    assert found["numpy"] == "2.0"
