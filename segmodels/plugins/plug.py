"""From a reference to a declaration: the code is found, held to what a run recorded, and imported."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from segmodels.errors import CodeError, SegmodelsError
from segmodels.plugins.code import origin_of_file, origin_of_module
from segmodels.plugins.load import load_file, load_module, take
from segmodels.plugins.reference import Reference, installed, parse, registered
from segmodels.spec import OURS, ModelSpec, Origin

PLACES = "SEGMODELS_PLUGINS"  # folders in which the files of plug-ins are looked for, as in PATH
BROUGHT = ("run.json", "model.safetensors")  # a folder that has these may be of anybody
_LOADED: dict[tuple[str, Origin], ModelSpec] = {}


def plug_in(text: str, recorded: Origin = OURS) -> ModelSpec:
    """The network that a reference names. Its code runs.

    `recorded` is what a run says of its code: without it, somebody has typed the reference, and means the code as it
    is. With it, only the very same code runs. Raises SegmodelsError where it is not there, or another one.
    """
    reference = _reference(text)
    origin = _find(reference, recorded)
    if (text, origin) not in _LOADED:
        if reference.is_file:
            assert origin.path is not None
            module = load_file(origin.path, origin.parts[0][1])
        else:
            module = load_module(reference.where)
        declared = take(module, reference)
        name = text if text in installed() else reference.name
        _LOADED[text, origin] = replace(declared, name=name, family=declared.family or name, origin=origin)
    return _LOADED[text, origin]


def _reference(text: str) -> Reference:
    if text not in installed():
        return parse(text)
    point = registered(text)
    if not (point.attr or "").isidentifier():
        raise SegmodelsError(
            f"an installed package registers {text!r} as {point.value!r}, expected package.module:NAME. Ask its "
            "authors to mend it, or name the network package.module:NAME yourself"
        )
    return Reference(point.module, point.attr)


def _find(reference: Reference, recorded: Origin) -> Origin:
    """The code, where it is; with a record, none but the same code. Raises SegmodelsError, or CodeError of a record."""
    if not recorded.parts:
        return origin_of_file(Path(reference.where)) if reference.is_file else origin_of_module(reference.where)
    if reference.is_file:
        return _same_file(reference, recorded)
    try:
        found = origin_of_module(reference.where)
    except SegmodelsError as error:
        raise CodeError(f"the code of {reference.name} is missing: {error}") from None
    if found.parts != recorded.parts:
        different = _differences(recorded, found)
        raise CodeError(f"{reference.name} is not what the run was trained with: {different}. Install that version")
    return found


def _same_file(reference: Reference, recorded: Origin) -> Origin:
    others: list[Origin] = []
    for path in _places(reference, recorded):
        if path.is_file():
            found = origin_of_file(path)
            if found.parts == recorded.parts:
                return found
            others.append(found)
    where = f"{recorded.path} is not there" if recorded.path else "its file is not in this folder"
    if others:
        where = f"{others[0].path} is another one ({_differences(recorded, others[0])})"
    raise CodeError(
        f"the code of {reference.name} is missing: {where}. Put the file back as it was, or name the folder that has "
        f"it: {PLACES}=FOLDER"
    )


def _places(reference: Reference, recorded: Origin) -> Iterator[Path]:
    """Where the training found it, this folder, and the folders that the user names: nothing that a run brings.

    So no path from here or through a link, as whoever packs a file with a run could write it (a training notes the
    real path), and not this folder where it is itself a run.
    """
    name = Path(reference.where).name
    if recorded.path is not None and recorded.path == recorded.path.resolve():
        yield recorded.path
    if not any(Path(each).exists() for each in BROUGHT):
        yield Path(name)
    for folder in filter(None, os.environ.get(PLACES, "").split(os.pathsep)):
        yield Path(folder) / name


def _differences(there: Origin, here: Origin) -> str:
    before, now = there.named, here.named
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(f"{name} is {_short(before.get(name))} there, {_short(now.get(name))} here" for name in changed)


def _short(value: str | None) -> str:
    return "absent" if value is None else value if len(value) <= 40 else value[:12] + "…"


def told_versions(name: str, recorded: Origin, found: Origin) -> None:
    """Warn where an adapter's library is of another version than a run was trained with: its weights tell the rest."""
    if recorded.parts and recorded.parts != found.parts:
        logging.getLogger("segmodels").warning(
            "note: %s was trained with other versions: %s", name, _differences(recorded, found)
        )
