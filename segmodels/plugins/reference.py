"""How a network outside segmodels is named: `my.py:Net`, `package.module:Net`, or as an installed package has it."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import NamedTuple

from segdata import requirements
from segmodels.errors import SegmodelsError

GROUP = "segmodels.networks"  # of entry points


class Reference(NamedTuple):
    """Where a network is declared: in a file, or in a module of a package."""

    where: str  # path of a file, or dotted name of a module
    attribute: str

    @property
    def is_file(self) -> bool:
        return self.where.endswith(".py")

    @property
    def name(self) -> str:
        """As runs have it: a file goes by its name, wherever it lies."""
        return f"{Path(self.where).name if self.is_file else self.where}:{self.attribute}"


def installed() -> dict[str, tuple[EntryPoint, ...]]:
    """What installed packages register, by name. None of them is imported."""
    return requirements.registered(GROUP)


def is_reference(text: str) -> bool:
    """Whether a text can only mean a network outside segmodels: with a colon, or registered."""
    return ":" in text or text in installed()


def parse(text: str) -> Reference:
    """Raises SegmodelsError, saying what was expected."""
    where, _, attribute = text.rpartition(":")
    if not attribute.isidentifier() or not _is_place(where):
        raise SegmodelsError(
            f"{text!r} names no network: expected FILE.py:NAME or package.module:NAME, where NAME is the network's "
            "class or declaration in that file"
        )
    return Reference(where, attribute)


def registered(name: str) -> EntryPoint:
    """The one entry point of that name. Raises SegmodelsError where several packages have it."""
    points = installed()[name]
    if len(points) > 1:
        packages = " and ".join(sorted(each.dist.name for each in points if each.dist))
        raise SegmodelsError(f"{packages} both register a network {name!r}: uninstall one, or name it module:NAME")
    return points[0]


def _is_place(where: str) -> bool:
    return where.endswith(".py") or all(part.isidentifier() for part in where.split("."))
