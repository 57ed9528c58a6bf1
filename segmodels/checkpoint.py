"""What training leaves on disk: complete checkpoints to go on from, and weights to use.

Every file appears as a whole or not at all, and none is ever executed: checkpoints load with
`weights_only=True`, weights are safetensors whose bytes are equal when the weights are.
"""

import hashlib
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from segdata.canonical import canonical_json
from segmodels.errors import SegmodelsError

Weights = dict[str, Tensor]

METADATA_KEY = "segmodels"


@dataclass(frozen=True)
class Checkpoint:
    """All that the next step depends on. A run restored from it continues as if never stopped."""

    run: str  # run id: digest of configuration and shards
    step: int  # optimiser steps done; with the seed it is also the position in the data
    weights: Weights
    optimizer: dict[str, Any]  # its state_dict()
    ema: Weights | None
    history: list[dict[str, float]]  # a row for every finished epoch; what the schedule and early stop look at
    running: dict[str, float]  # sums of the epoch under way
    random: dict[str, Tensor]  # see `random_state`
    digests: dict[str, str] = field(default_factory=dict)  # step → `weights_digest` after it: what `verify` compares


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint; the previous file of this name stays whole until the new one is."""
    with replacing(path) as file:
        torch.save({each.name: getattr(checkpoint, each.name) for each in fields(checkpoint)}, file)


def load_checkpoint(path: Path, run: str) -> Checkpoint:
    """The checkpoint of run `run`, on the CPU. Raises SegmodelsError for any other or damaged file."""
    if not path.exists():
        raise SegmodelsError(f"no checkpoint {path}")
    if not _is_intact(path):
        raise SegmodelsError(f"{path} is damaged, or no checkpoint at all: remove it")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise SegmodelsError(f"{path} holds Python code, which is never run: no checkpoint of ours") from None
    except (RuntimeError, OSError) as error:
        raise SegmodelsError(f"cannot read checkpoint {path}: {_first_line(error)}") from None
    if not isinstance(content, dict) or content.keys() != {each.name for each in fields(Checkpoint)}:
        raise SegmodelsError(f"{path} is a torch file, but not a checkpoint of this version of segmodels")
    checkpoint = Checkpoint(**content)
    if checkpoint.run != run:
        raise SegmodelsError(
            f"{path} is a checkpoint of run {checkpoint.run[:12]}, this run is {run[:12]}: "
            "its network, options or shards differ. Use another --out, or --replace to start anew"
        )
    return checkpoint


def _is_intact(path: Path) -> bool:
    """Whether the checksums of a torch file (a zip) hold: `torch.load` itself passes over a flipped bit."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError):
        return False


def random_state(device: torch.device) -> dict[str, Tensor]:
    """State of torch's generators on the CPU and on `device`: training draws from no other global one."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Put the generators back to where `random_state` found them on the same kind of device."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def save_weights(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write weights as safetensors, with `about` (JSON: network, options, taxonomy, …) inside.

    Equal weights and `about` give equal bytes: safetensors writes several metadata keys in random
    order, so there is one. Keep times, paths and worker counts out of `about`.
    """
    plain = {name: _plain(tensor).clone() for name, tensor in weights.items()}  # cloned: names may share memory
    content = save(plain, metadata={METADATA_KEY: canonical_json(about).decode()})
    with replacing(path) as file:
        file.write(content)


def load_weights(path: Path) -> tuple[Weights, dict[str, Any]]:
    """The weights on the CPU, and what `save_weights` was told about them."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise SegmodelsError(f"no weights {path}") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise SegmodelsError(f"cannot read weights {path}: {_first_line(error)}") from None
    if METADATA_KEY not in metadata:
        raise SegmodelsError(f"{path} holds weights, but does not say of which network: segmodels did not write it")
    return weights, json.loads(metadata[METADATA_KEY])


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """sha256 over names, types, shapes and bytes, whatever the device, order or memory layout."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(_plain(tensor).flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when the block ends well, and is gone when not.

    Raises SegmodelsError when it cannot be written (disk full, no permission); `path` is then untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise SegmodelsError(f"cannot write {path}: {error.strerror or error}. What it held before is intact") from None
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
