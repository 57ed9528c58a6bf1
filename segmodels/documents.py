"""Plain documents: JSON that may be damaged or forged, bounded and of the types that are declared; tables as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from reprlib import repr as short
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from segdata.base.files import LIMIT, parsing, read_file
from segdata.documents.json import load_json
from segmodels.errors import SegmodelsError

T = TypeVar("T")


def read_json(path: Path, hint: str = "") -> Any:
    """What a JSON file holds. Raises SegmodelsError, and FileNotFoundError where there is none."""
    data = read_file(path, LIMIT, SegmodelsError)
    with parsing(f"{path} is not JSON", SegmodelsError, hint):
        return parse_json(data)


def parse_json(text: str | bytes) -> Any:
    """What JSON text holds. Raises whatever the parser does: call it inside `parsing`."""
    document = load_json(text)
    json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair can be neither printed nor written
    return document


def csv_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A line each, the fields as `str` has them; None is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def make(kind: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass with these values. Raises ValueError for one of another type, TypeError where one is missing."""
    check_types(values, kind)
    return kind(**values)


def check_types(values: Mapping[str, Any], kind: type[Any]) -> None:
    """Raise ValueError for the first value that is not of the type that the dataclass or TypedDict declares for it."""
    hints = get_type_hints(kind)
    for name in (*getattr(kind, "__required_keys__", ()), *values):
        if name not in values:
            raise ValueError(f"no {name!r}")
        if name in hints and not holds(values[name], hints[name]):
            raise ValueError(f"{name!r} is {short(values[name])}, expected {_in_words(hints[name])}")


def holds(value: object, kind: Any) -> bool:
    """Whether a value is of an annotated type, with all that is inside it.

    As in JSON: a whole number is a float as well, true is no number, and a tuple may be a list.
    """
    whole, inside = get_origin(kind) or kind, get_args(kind)
    if whole is Any:
        return True
    if whole in (Union, UnionType):
        return any(holds(value, each) for each in inside)
    if is_typeddict(whole):
        return isinstance(value, dict) and _is_typed(value, whole)
    if whole is dict:
        return isinstance(value, dict) and all(holds(k, inside[0]) and holds(v, inside[1]) for k, v in value.items())
    if whole is list:
        return isinstance(value, list) and all(holds(each, inside[0]) for each in value)
    if whole is tuple and inside[-1] is Ellipsis:
        return isinstance(value, list | tuple) and all(holds(each, inside[0]) for each in value)
    if whole is tuple:
        return isinstance(value, list | tuple) and len(value) == len(inside) and all(map(holds, value, inside))
    if whole is float:
        return type(value) in {int, float}
    return isinstance(value, whole) and (whole is bool or not isinstance(value, bool))


def _is_typed(value: Mapping[str, Any], kind: type[Any]) -> bool:
    try:
        check_types(value, kind)
    except ValueError:
        return False
    return True


def _in_words(kind: Any) -> str:
    return str(kind) if get_args(kind) else getattr(kind, "__name__", str(kind))
