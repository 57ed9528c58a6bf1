"""What code a command is made of: a list of the files behind it, each with a digest of what it says.

    python pipelines/closure.py data/code segdata/prepare segmodels/report --each segmodels/train

writes `data/code/segdata/prepare.txt`, `data/code/segmodels/report.txt`, and for a command that runs one network a list
each: `data/code/segmodels/train/pspnet.txt`. The stages of dvc.yaml depend on these lists instead of on the packages: a
stage runs again when code behind it has changed, and only then. To name the files in dvc.yaml would be the same seventy
lines for every stage, kept by hand; and as many in dvc.lock for every run, which DVC writes anew after every stage.

What counts: the command's own function with whatever it names in the files of the command line, and from there every
file of the two packages that is imported, wherever in a file the import stands. Of the networks, the file that declares
the one: the registry reads all of them, and some code asks whether a network is of another's class, but neither runs
what stands there. Comments, docstrings and layout do not count. Files of data (taxonomies, lists of frames) are
dependencies that dvc.yaml names itself.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

from segdata.cli.script import Parser

PACKAGES = ("segdata", "segmodels")
COMMAND_LINES = ("segdata.cli", "segmodels.cli")
NETWORKS = "segmodels.networks"
Statements = tuple[ast.stmt, ...]
Code = dict[str, Statements]  # module → those of its statements that count


def main(out: Path, commands: Iterable[str], each: Iterable[str]) -> None:
    """Write the lists of these commands, all given as package/command; of those in `each` a list a network."""
    networks = network_modules()
    for command in commands:
        code = command_code(command)
        if command.startswith("segmodels/"):
            code |= module_code(networks.values(), networks.values())
        write(out / f"{command}.txt", code)
    for command in each:
        code = command_code(command)
        for network, module in networks.items():
            write(out / command / f"{network}.txt", code | module_code([module], [module]))


def write(path: Path, code: Code) -> None:
    """A line a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{file_of(module)} {digest(statements)}\n" for module, statements in sorted(code.items()))
    path.write_text("".join(lines))


@cache
def digest(statements: Statements) -> str:
    """Of what Python reads in the statements: the same for another layout, other comments, other docstrings."""
    return sha256("\n".join(map(ast.dump, statements)).encode()).hexdigest()


# ---- what is reached -----------------------------------------------------------------------------------------


def command_code(command: str) -> Code:
    """The code behind a command, networks apart."""
    package, _, name = command.partition("/")
    callback = import_module(f"{package}.cli").cli.commands[name].callback
    code: Code = {}
    modules = _follow(callback.__module__, callback.__name__, code)
    return code | module_code(modules)


def module_code(modules: Iterable[str], networks: Collection[str] = ()) -> Code:
    """These modules with all that they import, and the packages that they lie in; of the network files, `networks`."""
    code: Code = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module.startswith(f"{NETWORKS}.") and module not in networks:
            continue
        if module not in code and file_of(module) is not None:
            code[module] = statements_of(module)
            waiting += [*imports(code[module]), module.rpartition(".")[0]]
    return code


def _follow(module: str, name: str, code: Code) -> list[str]:
    """Add what `name` needs of the files of the command line to `code`; returns the modules that it imports.

    Such a file holds several commands, and the options of one are no business of another.
    """
    known = code.get(module, ())
    new = tuple(each for each in statements_of(module) if name in _defined(each) and each not in known)
    code[module] = known + new
    modules = []
    for statement in new:
        if isinstance(statement, ast.ImportFrom) and str(statement.module).startswith(COMMAND_LINES):
            modules += _follow(str(statement.module), name, code)
        else:
            modules += imports([statement])
            for other in _used(statement):
                modules += _follow(module, other, code)
    return modules


def imports(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """Whatever may be a module: the names after import and from, and texts such as "segdata.making.build"."""
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _defined(statement: ast.stmt) -> set[str]:
    """The names that a statement at the top of a file makes known."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in statement.names}
    return _names(statement, ast.Store)


def _used(statement: ast.stmt) -> list[str]:
    """The names that a statement takes from elsewhere."""
    return sorted(_names(statement, ast.Load) - _names(statement, ast.Store))


def _names(statement: ast.stmt, context: type[ast.expr_context]) -> set[str]:
    nodes = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {node.id for node in nodes if isinstance(node.ctx, context)}


# ---- files ---------------------------------------------------------------------------------------------------


def network_modules() -> dict[str, str]:
    """The names of all networks, each with the module that declares it."""
    files = sorted(each.name for each in iter_modules(import_module(NETWORKS).__path__))
    modules = [f"{NETWORKS}.{name}" for name in files]
    return {spec.name: module for module in modules for spec in import_module(module).SPECS}


@cache
def statements_of(module: str) -> Statements:
    """A module's statements, without docstrings and without what only a type checker reads."""
    path = file_of(module)
    assert path is not None, module
    return tuple(_Essence().visit(ast.parse(home().joinpath(path).read_bytes(), str(path))).body)


class _Essence(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not _is_text(each)]
        return node

    def visit_If(self, node: ast.If) -> ast.AST | None:  # the name that ast calls
        for_checker = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if for_checker else self.generic_visit(node)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def file_of(module: str) -> Path | None:
    """The file of a module of ours, from the folder that both packages lie in."""
    parts = module.split(".")
    if parts[0] not in PACKAGES or not all(part.isidentifier() for part in parts):
        return None
    files = (Path(*parts).with_suffix(".py"), Path(*parts, "__init__.py"))
    return next((path for path in files if (home() / path).is_file()), None)


@cache
def home() -> Path:
    """The folder of the packages that the commands run."""
    found = find_spec(PACKAGES[0])
    assert found is not None and found.origin is not None
    return Path(found.origin).parents[1]


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("commands", nargs="*", metavar="package/command")
    parser.add_argument("--each", nargs="*", default=[], metavar="package/command", help="of these a list a network")
    given = parser.parse_args()
    main(given.out, given.commands, given.each)
