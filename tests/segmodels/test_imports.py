"""What is imported, and when."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import segmodels

PACKAGE = Path(segmodels.__file__).parent
LATE = {"torch", "numpy", "cv2", "numba", "safetensors"}


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after `code`."""
    script = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import segmodels; segmodels.build, segmodels.names, segmodels.spec, segmodels.Prediction",
        "import segmodels.cli",
        "from click.testing import CliRunner; from segmodels.cli import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0",
        "from click.testing import CliRunner; from segmodels.cli import cli\n"
        "assert CliRunner().invoke(cli, ['summary', '--help']).exit_code == 0",
        "from click.testing import CliRunner; from segmodels.cli import cli\n"
        "assert CliRunner().invoke(cli, ['list']).exit_code == 0",
    ],
)
def test_nothing_heavy_before_it_is_needed(code: str) -> None:
    """Importing segmodels, asking for help, and the list of networks import no torch and none of its like."""
    loaded = loaded_after(code)
    assert "segmodels.networks" in loaded
    assert not loaded & LATE


def test_names_do_import_torch() -> None:
    """The check above can fail: the registry's first use is what brings torch in."""
    assert "torch" in loaded_after("import segmodels; segmodels.names()")


def imports_of(path: Path) -> set[str]:
    """The modules that a file names in its import statements, wherever they stand."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted((PACKAGE / "networks").glob("*.py")), ids=lambda path: path.stem)
def test_a_network_file_imports_no_other(path: Path) -> None:
    """A family can be read, and deleted, alone."""
    assert not {name for name in imports_of(path) if name.startswith("segmodels.networks")}


def test_only_the_command_line_knows_click() -> None:
    """And nobody imports the command line but `python -m segmodels`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "cli") or path == PACKAGE / "__main__.py":
            continue
        imported = imports_of(path)
        assert "click" not in imported, path
        assert not any(name.startswith("segmodels.cli") for name in imported), path
