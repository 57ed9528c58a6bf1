"""What a file of weights holds, read without running anything in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segdata.base.canonical import canonical_json
from segdata.base.files import parsing, read_file, regular
from segdata.labels.taxonomy import Taxonomy, read_taxonomy
from segmodels.documents import check_types
from segmodels.errors import SegmodelsError
from segmodels.pretrained.trunk import ANOTHER
from segmodels.runs.checkpoint import LARGEST, METADATA_KEY, load_torch, load_weights, read_safetensors
from segmodels.runs.document import AboutWeights

AS_TENSORS = (
    "Name another file, or have this one written as tensors alone where it was made: "
    "torch.save(model.state_dict(), 'weights.pth')"
)

LARGEST_CONFIG = 1 << 24  # bytes


def read_contents(path: Path) -> tuple[Any, dict[str, Any]]:
    """What the file holds, tensors by name somewhere in it, and what a run's weights say about themselves.

    Raises SegmodelsError where there is no such file, or it holds more than tensors.
    """
    try:
        regular(path, LARGEST, SegmodelsError)
    except FileNotFoundError:
        raise SegmodelsError(f"no weights file {path}") from None
    with parsing(f"{path} is no .safetensors file and no .pth file of tensors", SegmodelsError, ANOTHER):
        if not _is_safetensors(path):
            return load_torch(path, AS_TENSORS), {}
        weights, metadata = read_safetensors(path)
    about = load_weights(path)[1] if METADATA_KEY in metadata else {}
    if about:
        with parsing(f"what {path} says about its network", SegmodelsError, ANOTHER):
            check_types(about, AboutWeights)
    return weights, about


def classes_of(about: dict[str, Any], path: Path) -> Taxonomy:
    """The classes that a run's weights were trained for. Raises SegmodelsError."""
    with parsing(f"what {path} says about its network", SegmodelsError, ANOTHER):
        return read_taxonomy(canonical_json(about["taxonomy"]), str(path))


def classes_beside(path: Path) -> tuple[str, ...] | None:
    """The classes, by their numbers, that a `config.json` of Hugging Face beside the weights names (`id2label`)."""
    try:
        document = json.loads(read_file(path.with_name("config.json"), LARGEST_CONFIG, SegmodelsError))
    except (OSError, ValueError, RecursionError, SegmodelsError):
        return None  # it is about something else, and the weights are still weights
    named = document.get("id2label") if isinstance(document, dict) else None
    if not isinstance(named, dict) or {*named} != {str(number) for number in range(len(named))}:
        return None
    return tuple(str(named[str(number)]) for number in range(len(named)))


def _is_safetensors(path: Path) -> bool:
    """By its name, or by its first bytes: the length of a header, and the header, which is JSON."""
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"
