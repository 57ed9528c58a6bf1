"""What a run is known by: how run.json begins, what of it decides the result, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from segdata import ShardSet
from segdata.base.canonical import canonical_json, digest_bytes, digest_file
from segdata.base.files import regular
from segmodels.config.config import TrainConfig, decisive, run_id
from segmodels.errors import SegmodelsError
from segmodels.runs.checkpoint import LARGEST
from segmodels.runs.environment import describe_environment
from segmodels.runs.run import FORMAT, Document
from segmodels.spec import Origin, Size


def describe(
    config: TrainConfig, shards: ShardSet, device: torch.device, ranks: int = 1, init: str | None = None
) -> dict[str, Any]:
    """run.json as it stands from the start; `init`: digest of the file that training starts from."""
    manifest = shards.manifest
    return {
        "format": FORMAT,
        "id": run_id(config, shards.digest, init),
        "config": config.document(),
        "config_digest": config.digest,
        "init": init,
        "shards": {
            "digest": shards.digest,
            "name": manifest.name,
            "files": {row.name: row.sha256 for split in manifest.splits for row in manifest.shards(split)},
        },
        "taxonomy": shards.taxonomy.document(),
        "deterministic": not config.fast,
        "ranks": ranks,
        **describe_environment(device),
    }


def about_weights(document: Document, size: Size, step: int) -> dict[str, Any]:
    """What a weights file says about itself: all that its use needs, and how it came about. No time, no path."""
    config = document["config"]
    return {
        "network": config["network"],
        "options": dict(config["options"]),
        "size": size,
        "mean": config["mean"],
        "std": config["std"],
        "taxonomy": document["taxonomy"],
        "run": document["id"],
        "step": step,
        "training": decisive(config),
    }


def digest_init(path: Path) -> str:
    """Digest of the file that training starts from. Raises SegmodelsError."""
    try:
        return digest_file(regular(path, LARGEST, SegmodelsError))
    except OSError as error:
        raise SegmodelsError(
            f"--init {path}: {error.strerror}. Name a weights file or the folder of a finished run. A run that began "
            "with this file needs it to go on: put it back"
        ) from None


def identity(document: Document) -> dict[str, Any]:
    """The part of run.json that decides the result."""
    found = decisive(document["config"]) | {"shards": document["shards"]["digest"], "init": document["init"]}
    return found | ({"plugin": Origin(found["plugin"]).named} if "plugin" in found else {})


def check_identity(document: Document, where: Path) -> None:
    """Raise SegmodelsError where the id that run.json states does not follow from the rest that it states."""
    config = digest_bytes(canonical_json(decisive(document["config"])))
    found = digest_bytes(canonical_json([config, document["shards"]["digest"], document["init"]]))  # as `run_id`
    if (config, found) != (document["config_digest"], document["id"]):
        raise SegmodelsError(
            f"{where} was changed by hand, or is damaged: its id does not follow from its configuration, shards and "
            "init. Put back a copy of it, or train again"
        )


def environment(document: Document) -> dict[str, Any]:
    """The part of run.json that may decide the result, though it should not; older versions noted less of it."""
    return {name: document[name] for name in ("commit", "versions", "device", "settings", "ranks") if name in document}


def changes(there: Document, here: Document) -> list[str]:
    """What differs between two environments, as far as both tell."""
    before, now = environment(there), environment(here)
    both = before.keys() & now.keys()
    return list(differences({name: before[name] for name in both}, {name: now[name] for name in both}))


def with_threads(document: Document, begun: Document) -> Document:
    """`document` with as many threads of the CPU as a run began with, which are taken over and not another's."""
    return {**document, "device": document["device"] | {k: v for k, v in begun["device"].items() if k == "threads"}}


def differences(there: Any, here: Any, name: str = "") -> Iterator[str]:
    """`lr is 0.1 there, 0.2 here` for every value in which two documents differ."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted(there.keys() | here.keys()):
            yield from differences(there.get(key), here.get(key), f"{name}.{key}" if name else key)
    elif there != here:
        yield f"{name} is {short(there)} there, {short(here)} here"


def short(value: Any) -> str:
    """A value in a message: of a digest or another long text only how it begins."""
    text = "not set" if value is None else f"{value}"
    return text if len(text) <= 40 else text[:12] + "…"
