"""What a run has recorded of a network's code that is none of segmodels' own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segmodels.documents import holds
from segmodels.runs.run import Run, read_document
from segmodels.spec import OURS, Origin


def origin_of(training: Mapping[str, Any], weights: Path) -> Origin:
    """By the configuration that a weights file holds; where the code lay is known to the run folder around the file.

    Raises ValueError where that is no list of names and digests.
    """
    parts = training.get("plugin", ())
    if not holds(parts, tuple[tuple[str, str], ...]):
        raise ValueError(f"plugin is {parts!r}, expected pairs of a name and a digest")
    if not parts:
        return OURS
    places = (_path(folder, parts) for folder in weights.absolute().parents[:2])
    return Origin(tuple((name, digest) for name, digest in parts), next(filter(None, places), None))


def _path(folder: Path, parts: Any) -> Path | None:
    about = Run(folder).about
    config = read_document(about).get("config") if about.is_file() else None
    if not isinstance(config, dict) or config.get("plugin") != parts or not isinstance(config.get("plugin_file"), str):
        return None
    return Path(config["plugin_file"])
