"""What training leaves on disk: complete checkpoints to go on from, and weights to use.

Every file appears as a whole or not at all, and none is ever executed: checkpoints load with
`weights_only=True`, weights are safetensors whose bytes are equal when the weights are.
"""

import hashlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from segdata.base.canonical import canonical_json
from segdata.base.files import parsing, read_file, regular, replacing
from segmodels.documents import make, parse_json
from segmodels.errors import SegmodelsError

Weights = dict[str, Tensor]

METADATA_KEY = "segmodels"
CONTENT = "content"  # in there: digest of all that the file holds. older files have none
LARGEST = 1 << 34  # bytes of weights or a checkpoint: no network here has a tenth of it
ZIP = b"PK\x03\x04"
# What torch did not make, in its message; the rest of that is advice to load without `weights_only`, and goes nowhere.
NOT_MADE = re.compile(r"GLOBAL ([\w.]{1,80})")


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
    environment: dict[str, Any] = field(default_factory=dict)  # what the run began with; empty in older ones


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint; the previous file of this name stays whole until the new one is."""
    with replacing(path) as file:
        try:
            torch.save({each.name: getattr(checkpoint, each.name) for each in fields(checkpoint)}, file)
        except RuntimeError as error:
            raise _system_error(error) or error from None


def load_checkpoint(path: Path, run: str) -> Checkpoint:
    """The checkpoint of run `run`, on the CPU. Raises SegmodelsError for any other or damaged file."""
    if not path.exists():
        raise SegmodelsError(f"no checkpoint {path}")
    regular(path, LARGEST, SegmodelsError)
    hint = "Remove it, and the same command starts anew."
    with parsing(f"{path} is no checkpoint", SegmodelsError, hint):
        _check_archive(path, sums=True)
        content = load_torch(path, hint)
        known = {each.name for each in fields(Checkpoint)}
        if not isinstance(content, dict) or not known - {"environment"} <= content.keys() <= known:
            raise SegmodelsError(f"{path} is a torch file, but not a checkpoint of this version of segmodels")
        checkpoint = make(Checkpoint, content)
    if checkpoint.run != run:
        raise SegmodelsError(
            f"{path} is a checkpoint of run {checkpoint.run[:12]}, this run is {run[:12]}: "
            "its network, options or shards differ. Use another --out, or --replace to start anew"
        )
    return checkpoint


def load_torch(path: Path, hint: str = "") -> Any:
    """What `torch.save` wrote into a regular file, on the CPU; no code in it is run. Call it inside `parsing`.

    Of a zip, which torch has written since 1.6, the tensors are views of the file, changed in memory alone: what a
    tensor claims to have beyond the file's bytes is an error, and is never allocated. Older files are read as a whole
    first, for from a file torch reads whatever length they declare. `hint` is what to do about a file that is refused.
    """
    with path.open("rb") as file:
        is_zip = file.read(len(ZIP)) == ZIP
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, how else a TorchScript file may be loaded
            if is_zip:
                _check_archive(path, sums=False)
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            return torch.load(BytesIO(read_file(path, LARGEST)), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "weights_only" not in str(error):
            if not is_zip:
                raise
            what = "a zip that is damaged, or that torch.save did not write (.pt2 files are torch.export's)"
            raise SegmodelsError(f"{path} is no file of tensors: {what}." + f" {hint}" * bool(hint)) from error
        raise SegmodelsError(_refusal(path, str(error)) + f". {hint}" * bool(hint)) from error


def _refusal(path: Path, said: str) -> str:
    found = NOT_MADE.search(said)
    what = f"it holds {found[1]}:" if found else "it is damaged, or holds"
    return f"{path} is no file of tensors alone: {what} Python code, which is never run"


def _check_archive(path: Path, *, sums: bool) -> None:
    """Raise where a zip's members are packed, declare more bytes than the file has or, with `sums`, have other bits.

    `torch.load` itself passes over a flipped bit.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("a zip whose members are compressed, as of TorchScript: torch.save never writes such")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("a zip whose members are larger than itself")
        if sums and (name := archive.testzip()):
            raise ValueError(f"other bits than were written in {name}")


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
    order, so there is one. Keep times, paths and worker counts out of `about`. Their digest is written with them, so
    that whoever reads the file, wherever it went, sees that it is whole.
    """
    plain = {name: _plain(tensor).clone() for name, tensor in weights.items()}  # cloned: names may share memory
    checked = {**about, CONTENT: _content_digest(plain, about)}
    content = save(plain, metadata={METADATA_KEY: canonical_json(checked).decode()})
    with replacing(path) as file:
        file.write(content)


def load_weights(path: Path) -> tuple[Weights, dict[str, Any]]:
    """The weights on the CPU, and what `save_weights` was told about them. Raises SegmodelsError."""
    try:
        weights, metadata = read_safetensors(path)
    except FileNotFoundError:
        raise SegmodelsError(f"no weights {path}") from None
    if METADATA_KEY not in metadata:
        raise SegmodelsError(f"{path} holds weights, but does not say of which network: segmodels did not write it")
    with parsing(f"what {path} says about its weights", SegmodelsError, "Train again."):
        about = parse_json(metadata[METADATA_KEY])
        if not isinstance(about, dict):
            raise ValueError(f"{type(about).__name__}, expected an object")
    return weights, {name: value for name, value in about.items() if name != CONTENT}


def read_safetensors(path: Path) -> tuple[Weights, dict[str, str]]:
    """Tensors on the CPU, and metadata. Raises SegmodelsError, and FileNotFoundError where there is no file.

    The format's own checks hold the header to the file: tensors lie side by side and have their types' sizes.
    """
    regular(path, LARGEST, SegmodelsError)
    with (
        parsing(f"cannot read weights {path}", SegmodelsError, "Take another copy, or train again."),
        safetensors.safe_open(path, framework="pt") as file,
    ):
        weights, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        if METADATA_KEY in metadata:
            _check_content(weights, metadata[METADATA_KEY])
    return weights, metadata


def _check_content(weights: Weights, text: str) -> None:
    """Raise ValueError where a file that holds its digest is not as it was written."""
    if f'"{CONTENT}"' not in text:
        return
    about = parse_json(text)
    recorded = about.pop(CONTENT, None) if isinstance(about, dict) else None
    if recorded is not None and recorded != _content_digest(weights, about):
        raise ValueError("other bits than were written")


def _content_digest(weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    return hashlib.sha256(weights_digest(weights).encode() + canonical_json(about)).hexdigest()


def misfit(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """The first tensor that is missing, too many, or of another type or shape; empty where all fit."""
    for name in (*expected, *(name for name in found if name not in expected)):
        there, here = (_described(tensors.get(name)) for tensors in (found, expected))
        if there != here:
            return f"{name} is {there}, expected {here}"
    return ""


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """sha256 over names, types, shapes and bytes, whatever the device, order or memory layout."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(_plain(tensor).flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _system_error(error: BaseException) -> OSError | None:
    """What the system said: torch ends its file in any case, and then tells of a wrong position instead."""
    context = error.__context__
    return context if context is None or isinstance(context, OSError) else _system_error(context)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()


def _described(tensor: Tensor | None) -> str:
    if tensor is None:
        return "absent"
    return f"{tensor.dtype} {tuple(tensor.shape)}" + f" {tensor.layout}" * (tensor.layout is not torch.strided)
