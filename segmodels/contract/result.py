"""What a check found, and the report of all checks of one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from segdata.base.canonical import pretty_json
from segdata.base.ownership import json_kind, write_result
from segmodels.spec import Options, Size

JSON = json_kind("a report of `check`", "network", "parameters", "checks")
State = Literal["ok", "wrong", "not asked"]


class BrokenError(Exception):
    """A network does not keep a promise: the text says which part, in one line."""


class NotAskedError(Exception):
    """A check has nothing to say of this network, or cannot be done here: the text says why, in one line."""


class Found(NamedTuple):
    """What a kept promise looks like: in words, and as the number that was compared, where there is one."""

    detail: str
    figure: float = 0.0


class Result(NamedTuple):
    """Of one check."""

    state: State
    detail: str  # one line
    figure: float = 0.0  # what was compared with a limit, such as the largest difference in shares of the largest logit


@dataclass(frozen=True)
class Report:
    """All that was asked of one network."""

    network: str
    classes: int
    size: Size
    options: Options
    parameters: int  # of the network as it was asked about
    results: Mapping[str, Result]  # by the name of the check, in their order

    @property
    def wrong(self) -> dict[str, str]:
        """The broken promises: the check's name, and what is wrong."""
        return {name: each.detail for name, each in self.results.items() if each.state == "wrong"}

    @property
    def lines(self) -> list[str]:
        """For the terminal: a head, and one a promise."""
        height, width = self.size
        head = f"{self.network}: {self.parameters:,} parameters for {self.classes} classes, asked at {height}x{width}"
        return [head, *(f"{each.state:<9}  {name:<9}  {each.detail}" for name, each in self.results.items())]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "network": self.network,
            "classes": self.classes,
            "size": list(self.size),
            "options": dict(self.options),
            "parameters": self.parameters,
            "checks": {
                name: {"state": each.state, "detail": each.detail, "figure": each.figure}
                for name, each in self.results.items()
            },
        }


def write_json(path: Path, report: Report) -> None:
    """For programs. Raises SegmodelsError."""
    write_result("--json", path, JSON, pretty_json(report.document()))
