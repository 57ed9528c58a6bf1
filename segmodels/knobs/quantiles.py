"""The knob q of a network in use: a number, one for each class, or a file of `segmodels calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

from segdata.base.canonical import pretty_json
from segdata.base.files import parsing
from segdata.base.numbers import number
from segdata.base.ownership import json_kind, write_result
from segmodels.documents import check_types, read_json
from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import Segmenter
from segmodels.pretrained.naming import some

FORMAT = 1
CALIBRATION = json_kind("a calibration", "format", "q", "run", "taxonomy")


class _Quantiles(TypedDict):
    format: int
    q: list[float]
    taxonomy: str


class Quantiles(_Quantiles, total=False):
    """What is read of a file of `segmodels calibrate`, or of one written by hand."""

    classes: list[str]  # whose q these are


def with_q(segmenter: Segmenter, text: str | None) -> Segmenter:
    """The same network (the very same: its q is set) under `0.5`, `0.5,0.9,…` or the q of a file; None: as trained.

    Raises SegmodelsError where the network has no q, or another number of classes, or the file is for others.
    """
    if text is None:
        return segmenter
    knob = segmenter.declared.knob("q", "--q")
    numbers = _numbers(text)
    try:
        knob.turn(segmenter.network, _read(Path(text), segmenter) if numbers is None else numbers)
    except SegmodelsError as error:
        raise SegmodelsError(f"--q {text}: {error}") from None
    q = knob.now(segmenter.network)
    return replace(segmenter, q=q if isinstance(q, tuple) else (q,))


def write_q(path: Path, q: Sequence[float], segmenter: Segmenter, about: dict[str, Any]) -> None:
    """A file that `--q` takes; `about` says how it came about. Raises SegmodelsError."""
    classes = [row.name for row in segmenter.taxonomy.classes]
    document = {"format": FORMAT, "q": list(q), "taxonomy": segmenter.taxonomy.name, "run": segmenter.run}
    document |= {"classes": classes} | about
    write_result("--out", path, CALIBRATION, pretty_json(document))


def _numbers(text: str) -> float | tuple[float, ...] | None:
    """None for what is no number and no list of them."""
    try:
        found = tuple(number(part) for part in text.split(","))
    except ValueError:
        return None
    return found if len(found) > 1 else found[0]


def _read(path: Path, segmenter: Segmenter) -> tuple[float, ...]:
    if not path.exists() or path.is_dir():
        raise SegmodelsError("no number, no list of numbers, and no file. Expected one of them, as 0.5")
    document = read_json(path, "Calibrate again.")
    with parsing("no file of `segmodels calibrate`", SegmodelsError, "Calibrate again."):
        check_types(document, Quantiles)
        values = tuple(float(each) for each in document["q"])
    if document["format"] != FORMAT:
        raise SegmodelsError(
            f"a file of another version (format {document['format']}, this is {FORMAT}). Calibrate again"
        )
    if document["taxonomy"] != segmenter.taxonomy.name:
        raise SegmodelsError(f"for taxonomy {document['taxonomy']}, but the run learnt {segmenter.taxonomy.name}")
    learnt = [row.name for row in segmenter.taxonomy.classes]
    if (classes := document.get("classes", learnt)) != learnt:
        raise SegmodelsError(f"for the classes {some(classes)}, but the run learnt {some(learnt)}. Calibrate again")
    return values
