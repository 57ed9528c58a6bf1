"""A copy of the repository, what DVC did in it, and what its processes did."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
COPIED = ("segdata", "segmodels", "pipelines", "dvc.yaml", ".dvc/config", ".dvcignore", ".gitignore")
RENDER = """
import json
from dvc.repo import Repo
def several(text): return [text] if isinstance(text, str) else list(text)
def paths(each): return [one.def_path for one in each]
print(json.dumps({s.addressing: [several(s.cmd), paths(s.deps), paths(s.outs)] for s in Repo().index.stages}))
"""


class Stage(NamedTuple):
    """What dvc.yaml says of one."""

    commands: list[str]
    deps: list[str]
    outs: list[str]


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

    def stages(self) -> dict[str, Stage]:
        """The stages as DVC has them after filling in dvc.yaml."""
        return {name: Stage(*parts) for name, parts in json.loads(self.run(sys.executable, "-c", RENDER)).items()}

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
        """Rows of [stage, event, what]: what the processes so far did."""
        return [line.split("\t", 2) for line in (self.path / ".trace").read_text().splitlines()]

    def _environment(self) -> dict[str, str]:
        return (
            {"SEGDATA_WORKERS": "1"}
            | os.environ
            | {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": f"{Path(__file__).parent / 'trace'}:{self.path}",
                "TRACE": str(self.path / ".trace"),
                "DVC_SITE_CACHE_DIR": str(self.path.parent / f"{self.path.name}-state"),
                "DVC_GLOBAL_CONFIG_DIR": str(self.path.parent / "nobody"),
                "DVC_SYSTEM_CONFIG_DIR": str(self.path.parent / "nobody"),
                "GIT_CONFIG_GLOBAL": os.devnull,
                **{
                    f"GIT_{who}_{what}": f"{what}@test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
                },
                "OMP_NUM_THREADS": "1",
            }
        )


def copy_of_repository(folder: Path) -> Workspace:
    """All that `dvc repro` needs, in a git repository of its own; nothing of it has run."""
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)  # with what numba has compiled
    with (folder / ".gitignore").open("a") as ignored:
        ignored.write(".trace\n")
    workspace = Workspace(folder)
    workspace.run("git", "-c", "init.defaultBranch=main", "init", "--quiet")
    return workspace


def stages_run(said: str) -> list[str]:
    return re.findall(r"^Running stage '([^']+)':", said, re.MULTILINE)
