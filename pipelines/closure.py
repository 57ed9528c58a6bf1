"""What code a command is made of: a list of the files behind it, each with a digest of what it says.

    python pipelines/closure.py data/code segdata/prepare segmodels/report --each segmodels/train --runs runs.yaml

writes `data/code/segdata/prepare.txt`, `data/code/segmodels/report.txt`, and for a command that runs one network a list
for each: `data/code/segmodels/train/pspnet.txt`. The stages of dvc.yaml depend on these lists instead of on the
packages. So a stage runs again when code behind it has changed, and only then: rooms as dependencies would train
all networks again for a comment, and for a line of code that no training reaches.

What counts: the file of the command but for the other commands in it, and from there every file of the two packages
that is imported, wherever in a file the import is. Of the networks, only the one that is run: the registry reads all of
them. A network that is none of segmodels' own, which the runs name, counts with its own files, or with the version of
its package. Comments, docstrings and layout do not count. Files of data (taxonomies, lists of frames) are dependencies
that dvc.yaml names itself.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import yaml

from segdata.cli.script import Parser

ROOT = Path(str(import_module("segdata").__file__)).parents[1]  # of the packages that the commands run
PACKAGES = frozenset({"segdata", "segmodels"})  # hand on what other files define, which are imported when asked for
COMMAND_LINES = frozenset({"segdata.cli", "segmodels.cli"})  # import the files of all commands
NAME = re.compile(r"(segdata|segmodels)(\.\w+)+")  # of a module
NETWORKS = "segmodels.networks"
ADAPTERS = "segmodels.adapters"
Code = dict[Path, ast.Module]  # of each file what counts


def main(out: Path, commands: Iterable[str], each: Iterable[str], runs: Path | None) -> None:
    """Write the lists of these commands, all given as package/command; of those in `each` a list a network.

    These are ours, and those that the file `runs` names (pipelines/runs.yaml).
    """
    modules = [f"{NETWORKS}.{file.name}" for file in iter_modules(import_module(NETWORKS).__path__)]
    networks = {spec.name: module for module in modules for spec in import_module(module).SPECS}
    for command in commands:
        is_torch = command.startswith("segmodels/")
        write(out / f"{command}.txt", closure(command, set(modules) if is_torch else set()))
    for command in each:
        for network, module in networks.items():
            write(out / command / f"{network}.txt", closure(command, {module}))
        for network in sorted(networks_of(runs) - networks.keys()):
            adapter = f"{ADAPTERS}.{network.partition(':')[0]}"
            code = closure(command, {adapter} if file_of(adapter) else set())
            write(out / command / f"{network}.txt", code, parts_of(network))


def networks_of(runs: Path | None) -> set[str]:
    """The networks that a file of runs names."""
    document = yaml.safe_load(runs.read_text(encoding="utf-8")) if runs else {}
    return {row["network"] for name in ("runs", "sweeps") for row in document.get(name, {}).values()}


@cache
def parts_of(network: str) -> tuple[tuple[str, str], ...]:
    """What the code of a network that is none of ours is: files and their digests, packages and their versions."""
    return import_module("segmodels").spec(network).origin.parts


def write(path: Path, code: Code, parts: Iterable[tuple[str, str]] = ()) -> None:
    """A line a file, with a digest that other layout, comments or docstrings do not change; then a line a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{file} {digest(tree)}\n" for file, tree in sorted(code.items())]
    path.write_text("".join([*lines, *(f"{name} {value}\n" for name, value in parts)]))


@cache
def digest(tree: ast.Module) -> str:
    return sha256(ast.dump(tree).encode()).hexdigest()


def closure(command: str, networks: set[str]) -> Code:
    """The files that a command may import, of the networks (files or folders) those in `networks`."""
    package, _, name = command.partition("/")
    callbacks = {name: each.callback for name, each in import_module(f"{package}.cli").cli.commands.items()}
    start, others = callbacks[name].__module__, {each.__name__ for each in callbacks.values()}
    seen, code = set[str](), Code()
    waiting = [start, *networks]
    while waiting:
        module = waiting.pop()
        network = ".".join(module.split(".")[:3])
        is_foreign = network.startswith(f"{NETWORKS}.") and network not in networks
        if module in seen or module in COMMAND_LINES or is_foreign:
            continue
        seen.add(module)
        if file := file_of(module):
            left_out = others - {callbacks[name].__name__} if module == start else set[str]()
            code[file] = meaning(file, frozenset(left_out))
            nodes = code[file].body if module in PACKAGES else ast.walk(code[file])
            waiting += [*imports(nodes), module.rpartition(".")[0]]
    return code


def imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Whatever may be a module: all names after `import` and `from`; of what is handed on, where it comes from.

    A text that reads like one counts as well: a process is told by name what to import.
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module in PACKAGES:
            public = import_module(node.module)
            yield str(node.module)
            yield from (getattr(getattr(public, alias.name), "__module__", "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
            yield node.value


@cache
def file_of(module: str) -> Path | None:
    """The file of a module of ours, from ROOT on; None of anything else."""
    if module.partition(".")[0] not in PACKAGES:
        return None
    path = Path(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if (ROOT / file).is_file()), None)


@cache
def meaning(path: Path, left_out: frozenset[str] = frozenset()) -> ast.Module:
    """A file without docstrings, without what only a type checker reads, and without the functions `left_out`."""
    tree = ast.parse((ROOT / path).read_bytes(), str(path))
    tree.body = [line for line in tree.body if getattr(line, "name", None) not in left_out]
    for node in ast.walk(tree):
        for field in ("body", "orelse"):
            if isinstance(lines := getattr(node, field, None), list):
                setattr(node, field, [line for line in lines if not _says_nothing(line)])
    return tree


def _says_nothing(line: ast.stmt) -> bool:
    is_text = isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
    return is_text or (isinstance(line, ast.If) and isinstance(line.test, ast.Name) and line.test.id == "TYPE_CHECKING")


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("commands", nargs="*", metavar="package/command")
    parser.add_argument("--each", nargs="*", default=[], metavar="package/command", help="of these a list a network")
    parser.add_argument("--runs", type=Path, metavar="FILE", help="which networks are run, besides ours")
    given = parser.parse_args()
    main(given.out, given.commands, given.each, given.runs)
