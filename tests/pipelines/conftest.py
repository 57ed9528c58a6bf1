"""A reduced pipeline (one painted set, two networks, a few steps) in a copy of the repository, and what it did."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COPIED = ("segdata", "segmodels", "pipelines", "dvc.yaml", ".dvc/config", ".dvcignore", ".gitignore")
RUNS = {  # those of pipelines/runs.yaml, smaller still
    "dilated_unet": {"option": ["width_factor=0.25"], "steps": 4, "crop": "32x64"},
    "percentile": {"option": ["width_factor=0.0625"], "steps": 2, "crop": "32x64"},
}
SWEEP = {"sweep": "q", "values": "0,1", "forwards": 1}


@dataclass(frozen=True)
class Workspace:
    """A copy of the repository, with its own cache and nothing of the user's DVC."""

    path: Path

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in the copy, its output in one stream, in a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=self.path,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> str:
        """What the command says; an error where it fails."""
        process = self.start(*command)
        said, _ = process.communicate()
        assert process.returncode == 0, f"{' '.join(command)}\n{said}"
        return said

    def repro(self, *options: str) -> list[str]:
        """`dvc repro`; returns the stages that it ran."""
        return stages_run(self.run("dvc", "repro", *options))

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def read(self, path: str) -> Any:
        """A YAML or JSON file."""
        return yaml.safe_load((self.path / path).read_text())

    def write(self, path: str, document: Any) -> None:
        (self.path / path).write_text(yaml.safe_dump(document, sort_keys=False))

    def append(self, path: str, text: str) -> None:
        with (self.path / path).open("a") as file:
            file.write(text)

    def copy(self, to: Path) -> Workspace:
        """The same, elsewhere, with all that was made; only its DVC knows nothing of the files' times."""
        return Workspace(Path(shutil.copytree(self.path, to, symlinks=True)))

    def trace(self) -> list[list[str]]:
        """Rows of (stage, event, what): what the processes so far did."""
        return [line.split("\t", 2) for line in (self.path / ".trace").read_text().splitlines()]

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{Path(__file__).parent / 'trace'}:{self.path}",
            "TRACE": str(self.path / ".trace"),
            "DVC_SITE_CACHE_DIR": str(self.path.parent / f"{self.path.name}-state"),
            "DVC_GLOBAL_CONFIG_DIR": str(self.path.parent / "nobody"),
            "DVC_SYSTEM_CONFIG_DIR": str(self.path.parent / "nobody"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{f"GIT_{who}_{what}": f"{what}@test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
            "OMP_NUM_THREADS": "1",
            "SEGDATA_WORKERS": "1",
        }


def stages_run(said: str) -> list[str]:
    return re.findall(r"^Running stage '([^']+)':", said, re.MULTILINE)


@pytest.fixture(scope="session")
def make_workspace() -> Callable[[Path], Workspace]:
    """make_workspace(folder): the repository with the reduced graph; nothing of it has run."""

    def make(folder: Path) -> Workspace:
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, folder / name)  # with what numba has compiled
        workspace = Workspace(folder)
        data, runs = workspace.read("pipelines/data.yaml"), workspace.read("pipelines/runs.yaml")
        data["painted"] = {"cityscapes": data["painted"]["cityscapes"]}
        data["painted"]["cityscapes"]["options"] |= {"train": 4, "val": 2, "test": 0, "size": "64x128"}
        data["sets"] = {"cityscapes-20": data["sets"]["cityscapes-20"]}
        runs["runs"] = {name: runs["runs"][name] | {"options": options} for name, options in RUNS.items()}
        runs["sweeps"] = {"percentile": runs["sweeps"]["percentile"] | {"options": SWEEP}}
        workspace.write("pipelines/data.yaml", data)
        workspace.write("pipelines/runs.yaml", runs)
        (folder / ".gitignore").write_text((ROOT / ".gitignore").read_text() + ".trace\n")
        workspace.run("git", "-c", "init.defaultBranch=main", "init", "--quiet")
        workspace.commit("start")
        return workspace

    return make


@pytest.fixture(scope="session")
def reproduced(make_workspace: Callable[[Path], Workspace], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The reduced pipeline after one `dvc repro`; made once for all test processes, not to be changed."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / "pipeline.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        workspace = Workspace(shared / "pipeline")
        if not (shared / "pipeline.done").exists():
            make_workspace(workspace.path).repro()
            (shared / "pipeline.done").touch()
    return workspace


@pytest.fixture
def workspace(reproduced: Workspace, tmp_path: Path) -> Workspace:
    """The test's own copy of it."""
    return reproduced.copy(tmp_path / "pipeline")
