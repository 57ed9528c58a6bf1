"""Values of a JSON document, checked as they are taken: a wrong file is one clear line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from segmodels.documents import read_json
from segmodels.errors import SegmodelsError

LARGEST = 1e300  # of numbers: beyond are mistakes, and infinities as soon as they are computed with
MOST = 1 << 53  # of counts: beyond float64 has not every whole number


@dataclass(frozen=True)
class Fields:
    """A JSON object: where it stands, and what makes its file anew."""

    values: Mapping[str, Any]
    where: str
    advice: str

    def text(self, name: str) -> str:
        value = self.values.get(name)
        return value if isinstance(value, str) else self._wrong(name, "a text")

    def whole(self, name: str) -> int:
        """A whole number, 0 or more."""
        value = self.values.get(name)
        return value if type(value) is int and 0 <= value <= MOST else self._wrong(name, "a whole number")

    def number(self, name: str) -> float:
        found = self.score(name)
        return self._wrong(name, "a number") if found is None else found

    def score(self, name: str) -> float | None:
        """A number, or null where it is undefined."""
        value = self.values.get(name, self)
        if value is None:
            return None
        return float(value) if _is_number(value) else self._wrong(name, "a number or null")

    def inside(self, name: str) -> Fields:
        """The object under this name."""
        value = self.values.get(name)
        return Fields(value, f"{self.where}, {name}", self.advice) if isinstance(value, dict) else self._object(name)

    def each(self, name: str) -> tuple[Fields, ...]:
        """The objects of the list under this name."""
        rows = self.values.get(name)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self._wrong(name, "a list of objects")
        return tuple(Fields(row, f"{self.where}, {name}[{i}]", self.advice) for i, row in enumerate(rows))

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of numbers."""
        values = self.values.get(name)
        if not isinstance(values, list) or not all(map(_is_number, values)):
            self._wrong(name, "a list of numbers")
        return tuple(map(float, values))

    def pairs(self, name: str) -> dict[str, Any]:
        """A list of [name, value], as a mapping."""
        rows = self.values.get(name)
        if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 2 for row in rows):
            self._wrong(name, "a list of pairs")
        return {str(key): value for key, value in rows}

    def _object(self, name: str) -> NoReturn:
        self._wrong(name, "an object")

    def _wrong(self, name: str, expected: str) -> NoReturn:
        value = self.values.get(name)
        found = f"{name!r} is {str(value)[:40]!r}" if name in self.values else f"no {name!r}"
        raise SegmodelsError(f"{self.where}: {found}, expected {expected}. {self.advice}")


def _is_number(value: Any) -> bool:
    return type(value) in {int, float} and -LARGEST <= value <= LARGEST


def read_fields(path: Path, advice: str) -> Fields:
    """The JSON object of a file. Raises SegmodelsError."""
    try:
        values = read_json(path, f"{advice}.")
    except FileNotFoundError as error:
        raise SegmodelsError(f"cannot read {path}: {error.strerror}. {advice}") from None
    if not isinstance(values, dict):
        raise SegmodelsError(f"{path} holds {type(values).__name__}, expected an object. {advice}")
    return Fields(values, str(path), advice)
