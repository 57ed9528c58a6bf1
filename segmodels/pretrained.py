"""Trunk weights from a file, in the usual namings of a ResNet, with a report of what was taken.

Read are torchvision's names (`layer1.0.conv1.weight`), the deep stem's as `conv1 … conv3` or as in PSPNet's
checkpoints (`layer0.0 … layer0.7`), with or without `module.` in front, and this package's own checkpoints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from segdata.files import parsing, regular
from segmodels.checkpoint import LARGEST, load_torch, load_weights, read_safetensors
from segmodels.errors import SegmodelsError
from segmodels.resnet import ResNet

WRAPPERS = re.compile(r"^((module|trunk|backbone)\.)+")
# layer0 is Sequential(conv, norm, relu, conv, norm, relu, conv, norm, relu, maxpool).
DEEP_STEM = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3", "7": "bn3"}


@dataclass(frozen=True)
class TrunkReport:
    """What became of each name; `matched`, `missing` and `refused` together are the trunk's."""

    matched: tuple[str, ...]  # loaded
    missing: tuple[str, ...]  # not in the file: stays as it was
    refused: tuple[str, ...]  # "name: (64, 64, 1, 1) in the file, (64, 128, 1, 1) here", or another reason
    unused: tuple[str, ...]  # in the file, and no part of the trunk

    def __str__(self) -> str:
        all_ours = len(self.matched) + len(self.missing) + len(self.refused)
        return (
            f"{len(self.matched)} of {all_ours} trunk tensors loaded, {len(self.missing)} not in the file, "
            f"{len(self.refused)} do not fit; {len(self.unused)} in the file are not the trunk's"
        )


def load_trunk(network: nn.Module, path: Path) -> TrunkReport:
    """Load what fits of `path` (.safetensors, or .pth read with `weights_only`) into `network.trunk`.

    A norm is only taken together with the convolution before it: without it its statistics describe
    something else. Raises SegmodelsError where the network has no ResNet trunk, the file cannot be read,
    or nothing in it fits.
    """
    trunk = getattr(network, "trunk", None)
    if not isinstance(trunk, ResNet):
        raise SegmodelsError(
            f"{type(network).__name__} has no ResNet trunk to load {path.name} into: pspnet or clusternet has"
        )
    found = {_our_name(name): tensor for name, tensor in _read(path).items()}
    ours = {name: each for name, each in trunk.state_dict().items() if not _is_counter(name)}
    fits = {name for name in ours if name in found and found[name].shape == ours[name].shape}
    taken = {name: found[name] for name in ours if name in fits and _convolution(name) in fits}
    if not taken:
        raise SegmodelsError(
            f"nothing in {path} fits the trunk: it holds {', '.join(sorted(found)[:3]) or 'no tensors'}, "
            f"expected names of a ResNet such as {', '.join(list(ours)[:3])}"
        )
    with parsing(f"{path} does not load", SegmodelsError, "Name another --init."):  # as of sparse tensors
        trunk.load_state_dict(taken, strict=False)
    return TrunkReport(
        matched=tuple(taken),
        missing=tuple(name for name in ours if name not in found),
        refused=tuple(
            f"{name}: {tuple(found[name].shape)} in the file, {tuple(ours[name].shape)} here"
            if name not in fits
            else f"{name}: {_convolution(name)} does not fit"
            for name in ours
            if name in found and name not in taken
        ),
        unused=tuple(name for name in found if name not in ours and not _is_counter(name)),
    )


def load_init(network: nn.Module, name: str, path: Path) -> str:
    """Start from the weights of a file; says in a line what was taken.

    Of a run of the same network everything that has the same name and shape (so that another taxonomy gets a
    new classifier), of any other file the trunk. Raises SegmodelsError where nothing fits.
    """
    try:
        weights, about = load_weights(path)
    except SegmodelsError:
        _read(path)  # one that is damaged is told here; another's has no word of the network
        weights, about = {}, {}
    if about.get("network") != name:
        return f"{path.name}: {load_trunk(network, path)}"
    ours = network.state_dict()
    taken = {each: weights[each] for each in ours if each in weights and weights[each].shape == ours[each].shape}
    if not taken:
        raise SegmodelsError(f"nothing in {path} fits: it is of {name} with other options ({about.get('options')})")
    with parsing(f"{path} does not load", SegmodelsError, "Name another --init."):
        network.load_state_dict(taken, strict=False)
    others = [each for each in ours if each not in taken]
    return f"{path.name}: {len(taken)} of {len(ours)} tensors loaded" + (f", new: {', '.join(others)}" * bool(others))


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of the file by name."""
    try:
        regular(path, LARGEST, SegmodelsError)
    except FileNotFoundError:
        raise SegmodelsError(f"no weights file {path}") from None
    with parsing(f"{path} is no .safetensors file and no .pth file of tensors", SegmodelsError, "Name another --init."):
        if path.suffix == ".safetensors":
            return read_safetensors(path)[0]
        content = load_torch(path)
        for nest in ("state_dict", "model"):
            content = content.get(nest, content) if isinstance(content, dict) else {}
        return {str(name): each for name, each in content.items() if isinstance(each, Tensor)}


def _our_name(name: str) -> str:
    name = WRAPPERS.sub("", name)
    return re.sub(r"^layer0\.([013467])\.", lambda match: DEEP_STEM[match[1]] + ".", name)


def _convolution(name: str) -> str:
    """The weight of the convolution that a norm's tensor belongs to; a convolution belongs to itself."""
    name = re.sub(r"\bbn(\d)\.\w+$", r"conv\1.weight", name)
    return re.sub(r"\bdownsample\.1\.\w+$", "downsample.0.weight", name)


def _is_counter(name: str) -> bool:
    """Batches seen by a norm: old files lack it and nothing here reads it."""
    return name.endswith("num_batches_tracked")
