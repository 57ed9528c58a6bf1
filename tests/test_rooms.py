"""The rooms of both packages: their order, what lies in them, and who may import whom."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
Imports = Mapping[str, frozenset[str]]  # module -> the modules of its package that it imports

# From the ground up: a file imports from its own room and from rooms above it in this list, whether the import stands
# at the top of the file, in a function, or is there for the type checker alone. Single files at the top are rooms too.
ORDER = {
    package: rooms.split()
    for package, rooms in {
        "segdata": """
            version errors documents requirements findings base sarif stores pictures labels raw sources
            splits drafting format decoders reading
            engines output making checking looking unpacking publishing synth segdata cli __main__
        """,
        "segmodels": """
            errors prediction spec documents compute blocks config data trunks plugins adapters networks segmodels runs
            inference pretrained scoring training contract bench knobs calibration report cli __main__
        """,
    }.items()
}
INNER = {
    "segdata.drafting": [
        *("finding", "census", "known", "legend", "layout", "narrow", "keys", "drawing", "strays", "lists"),
        *("draft", "text"),
    ],
    "segdata.synth": ["canvas", "things", "places", "layouts"],
    "segmodels.report": ["read", "observe", "page"],
}
PUBLIC = {
    "segdata.pictures": {"ancillary", "chunks", "codecs", "container", "kinds", "marked", "png"}
}  # the rest is for the room itself
SIDE_BY_SIDE = 12  # Python files in one folder


def imports_of(package: Path) -> Imports:
    """What each module of a package imports of it, wherever in the file that stands."""
    files = {_name(path, package.parent): path for path in package.rglob("*.py")}
    found = {}
    for name, path in files.items():
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        named = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are absolute here"
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                named += [each if each in files else str(node.module) for each in inner]
        found[name] = frozenset(files.keys() & set(named) - {name})
    return found


def _name(path: Path, home: Path) -> str:
    return ".".join(path.relative_to(home).with_suffix("").parts).removesuffix(".__init__")


def upward(imports: Imports, order: list[str]) -> list[str]:
    """Every import of a room that lies higher."""
    floor = {room: number for number, room in enumerate(order)}
    return [
        f"{module} imports {other}"
        for module, others in sorted(imports.items())
        for other in sorted(others)
        if floor[_room(other)] > floor[_room(module)]
    ]


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def circle(imports: Imports) -> list[str]:
    """The modules of a circle, one importing the next; [] where there is none."""
    left = dict(imports)
    while free := [module for module, others in left.items() if not others & left.keys()]:
        for module in free:
            del left[module]
    return list(_followed(left)) if left else []


def _followed(left: Imports) -> Iterator[str]:
    """From any module on to one that it imports, until one comes again: every module here imports another one."""
    module, seen = min(left), list[str]()
    while module not in seen:
        seen.append(module)
        module = min(left[module] & left.keys())
    yield from (*seen[seen.index(module) :], module)


@pytest.fixture(scope="module", params=sorted(ORDER))
def package(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def imports(package: str) -> Imports:
    return imports_of(ROOT / package)


def test_imports_run_down(package: str, imports: Imports) -> None:
    """No file imports from a room above its own."""
    assert upward(imports, ORDER[package]) == []


@pytest.mark.parametrize("room", INNER)
def test_inner_rooms_run_down_too(room: str) -> None:
    """Nor does a folder inside a room import from one above it."""
    package, name = room.split(".")
    inner = {
        module.removeprefix(f"{package}."): frozenset(
            other.removeprefix(f"{package}.") for other in others if _is_inside(other, room)
        )
        for module, others in imports_of(ROOT / package).items()
        if _is_inside(module, room)
    }
    assert upward(inner, [*INNER[room], name]) == []


def _is_inside(module: str, room: str) -> bool:
    return f"{module}.".startswith(f"{room}.")


def intruders(imports: Imports, room: str, public: set[str]) -> list[str]:
    """Every import from another room of what a room keeps to itself."""
    return [
        f"{module} imports {other}"
        for module, others in sorted(imports.items())
        for other in sorted(others)
        if _is_inside(other, room) and not _is_inside(module, room) and other.rpartition(".")[2] not in public
    ]


@pytest.mark.parametrize("room", PUBLIC)
def test_the_inside_of_a_room_is_its_own(room: str) -> None:
    """Other rooms import only what this one offers them."""
    assert intruders(imports_of(ROOT / room.partition(".")[0]), room, PUBLIC[room]) == []


def test_no_circles(imports: Imports) -> None:
    """No two files import each other, by any way around."""
    assert circle(imports) == []


def test_every_room_has_its_place(package: str) -> None:
    """The order names every folder and file of the package, and nothing else."""
    there = {path.stem for path in (ROOT / package).glob("*.py")} | {
        path.parent.name for path in (ROOT / package).glob("*/__init__.py")
    }
    assert sorted(ORDER[package]) == sorted(there - {"__init__"} | {package})


def test_planted_faults_are_found() -> None:
    """An upward import, a circle through three files of one room, and an import from the inside of another room."""
    order = ["errors", "base", "cli"]
    good = {"p.errors": set(), "p.base.files": {"p.errors"}, "p.cli.main": {"p.base.files"}}
    plain = {module: frozenset(others) for module, others in good.items()}
    assert upward(plain, order) == [] and circle(plain) == []
    assert upward(plain | {"p.base.files": frozenset({"p.cli.main"})}, order) == ["p.base.files imports p.cli.main"]
    ring = {f"p.base.{a}": frozenset({f"p.base.{b}"}) for a, b in ("ab", "bc", "ca")}
    assert circle(plain | ring) == ["p.base.a", "p.base.b", "p.base.c", "p.base.a"]
    assert intruders(plain, "p.base", {"files"}) == []
    assert intruders(plain, "p.base", {"lock"}) == ["p.cli.main imports p.base.files"]


def test_lazy_imports_count(tmp_path: Path) -> None:
    """An import in a function, or for the type checker, is an import."""
    package = tmp_path / "p"
    package.mkdir()
    for name, text in {
        "__init__": "",
        "a": "def f():\n    from p import b\n",
        "b": "if TYPE_CHECKING:\n    from p.a import f\n",
    }.items():
        (package / f"{name}.py").write_text(text)
    assert circle(imports_of(package)) == ["p.a", "p.b", "p.a"]


@pytest.mark.parametrize("top", ["segdata", "segmodels", "pipelines", "benchmarks", "tests"])
def test_a_folder_can_be_overlooked(top: str) -> None:
    """At most a dozen Python files side by side."""
    folders = {path.parent for path in (ROOT / top).rglob("*.py")}
    counts = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert {name: count for name, count in counts.items() if count > SIDE_BY_SIDE} == {}


def test_a_room_says_what_belongs_there(package: str) -> None:
    """Every folder of a package has a docstring."""
    for path in sorted((ROOT / package).rglob("__init__.py")):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_contributing_draws_the_rooms(package: str) -> None:
    """CONTRIBUTING's tree has every folder of a package, in the order of the rooms, and no file that is not there."""
    drawn = re.search(rf"^{package}/ .*\n((?:  .*\n)+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M)
    assert drawn
    rooms = [name for line in drawn[1].splitlines() for name in re.findall(r"(\w+)/", line[:40])]
    assert rooms == [name for name in ORDER[package] if (ROOT / package / name).is_dir()]
    files = {path.name for path in (ROOT / package).rglob("*.py")}
    assert set(re.findall(r"\w+\.py", drawn[1])) <= files
