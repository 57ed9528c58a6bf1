"""What the code of a plug-in is: which files it is made of, and their digest. Nothing is imported here."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from segdata.base.files import read_file
from segmodels.errors import SegmodelsError
from segmodels.spec import Origin

LARGEST = 1 << 24  # bytes of a file of code
MOST_FILES = 1 << 14


def origin_of_file(path: Path) -> Origin:
    """A file, and what it imports from its own folder. Raises SegmodelsError."""
    if not path.is_file():
        raise SegmodelsError(f"no file {path}: FILE.py:NAME begins with the path of the file, as seen from this folder")
    path = path.resolve()
    return Origin(((path.name, digest(siblings(path), path.parent)),), path)


def siblings(path: Path) -> list[Path]:
    """The file, and the modules and packages of its folder that it imports, and that these import."""
    found, waiting = dict.fromkeys([path]), [path]
    while waiting:
        for each in _imported(waiting.pop(), path.parent):
            if each not in found:
                found[each] = None
                waiting.append(each)
    return [*found]


def _imported(path: Path, home: Path) -> Iterator[Path]:
    for name in _names(path):
        at = home.joinpath(*name.split("."))
        top = home / name.partition(".")[0]
        if top.with_suffix(".py").is_file() and not top.is_dir():
            yield top.with_suffix(".py")
        elif top.is_dir() and (at.is_dir() or at.with_suffix(".py").is_file() or (top / "__init__.py").is_file()):
            yield from sorted(each for each in top.rglob("*.py") if each.is_file())


def _names(path: Path) -> Iterator[str]:
    """The modules that a file imports by their full names, or from its own folder. Raises SegmodelsError."""
    try:
        tree = ast.parse(read_file(path, LARGEST, SegmodelsError))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        why = getattr(error, "msg", None) or str(error) or "it is nested too deeply"
        raise SegmodelsError(f"{path}{line} is no Python: {why}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (
                each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
            )


def origin_of_module(module: str) -> Origin:
    """A module of an installed package, or beside the user: version of the package, and digest of all its files.

    Raises SegmodelsError where there is none.
    """
    place = find_module(module)
    top = module.partition(".")[0]
    package = find_package(top)
    home = package if package else place.parent
    files = sorted(each for each in home.rglob("*.py") if each.is_file()) if package else [place]
    if len(files) > MOST_FILES:
        raise SegmodelsError(f"{home} has {len(files)} files of code: this is no package of networks")
    parts = [(name, version) for name, version in _distribution(top, place)]
    return Origin((*parts, (module, digest(files, home))), None)


def find_module(module: str) -> Path:
    """The file of a module; nothing is imported, not even the packages that it lies in. Raises SegmodelsError."""
    top, *rest = module.split(".")
    if top in sys.stdlib_module_names:
        raise SegmodelsError(f"{module} is of Python itself: it holds no network")
    spec, name = PathFinder.find_spec(top), top
    for part in rest:
        places = spec.submodule_search_locations if spec else None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(places)) if places else None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise SegmodelsError(f"no module {module}: install its package here, or add its folder to PYTHONPATH")
    return Path(spec.origin).resolve()


def find_package(top: str) -> Path | None:
    """The folder of a package; None for a single module."""
    spec = PathFinder.find_spec(top)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]).resolve() if places else None


def _distribution(top: str, place: Path) -> Iterator[tuple[str, str]]:
    """Name and version of what was installed with this package, if it was."""
    for name in sorted(set(packages_distributions().get(top, ()))):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def digest(files: list[Path], home: Path) -> str:
    """SHA-256 over the files by their names below `home`: the same wherever that lies."""
    found = hashlib.sha256()
    for path in sorted(files):
        data = read_file(path, LARGEST, SegmodelsError)
        found.update(f"{path.relative_to(home).as_posix()}\0{len(data)}\0".encode())
        found.update(data)
    return found.hexdigest()
