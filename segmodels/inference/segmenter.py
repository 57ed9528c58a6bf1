"""A network in use: what must be known to show it images, and how it is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from segdata.base.arrays import U8
from segdata.base.canonical import canonical_json
from segdata.base.files import parsing
from segdata.labels.taxonomy import Taxonomy, read_taxonomy
from segmodels.data.images import normalise
from segmodels.documents import check_types
from segmodels.errors import SegmodelsError
from segmodels.networks import spec
from segmodels.runs.checkpoint import load_weights, misfit
from segmodels.runs.document import AboutWeights
from segmodels.runs.origin import origin_of
from segmodels.spec import Geometry, ModelSpec, Size

MEASURED = 20  # times at most that a network is built to see which sizes it takes


@dataclass(frozen=True)
class Segmenter:
    """A network, and what must be known to use it on images."""

    network: nn.Module
    declared: ModelSpec  # what the network says about itself: its knobs, its stages
    geometry: Geometry
    size: Size  # that it was built for: the window of a fixed-size network
    taxonomy: Taxonomy
    mean: Sequence[float]
    std: Sequence[float]
    device: torch.device
    precision: str = "fp32"
    run: str = ""  # id of the run that its weights come from
    q: tuple[float, ...] | None = None  # of the knob q, where it was turned away from that of the training

    @property
    def name(self) -> str:
        """The network's, as the registry or a reference has it."""
        return self.declared.name

    @property
    def window(self) -> Size | None:
        """What is slid over an image, None where the network takes images of any size."""
        return self.size if self.geometry.fixed_size else None

    def input(self, image: U8) -> Tensor:
        """An image (H, W, 3) as the network takes it: (1, 3, H, W) on its device."""
        return normalise(torch.from_numpy(image)[None].to(self.device), self.mean, self.std)


def load_segmenter(path: Path, device: torch.device, precision: str = "fp32") -> Segmenter:
    """The network of a run folder or of a weights file, in evaluation mode.

    Raises SegmodelsError where the file is damaged, or does not hold what it says. The network is first built without
    memory, and no further than the file has tensors: whatever its metadata declare, it takes no more than its weights.
    """
    path = path / "model.safetensors" if path.is_dir() else path
    weights, about = load_weights(path)
    with parsing(f"what {path} says about its network", SegmodelsError, "Train again."):
        check_types(about, AboutWeights)
        origin = origin_of(about.get("training", {}), path)
        declared, size, options = spec(about["network"], origin), (about["size"][0], about["size"][1]), about["options"]
        colours = about["mean"], about["std"]
        if not all(map(isfinite, (*about["mean"], *about["std"]))):
            raise ValueError(f"mean and std are {colours}, expected finite numbers")
        taxonomy = read_taxonomy(canonical_json(about["taxonomy"]), str(path))
        with _at_most(MEASURED * 2 * len(weights)):
            geometry = declared.geometry(options)
    with (
        parsing(f"{path} does not hold the weights of {declared.name}", SegmodelsError, "Train again."),
        torch.device("meta"),
        _at_most(2 * len(weights)),  # twice: some are registered and dropped again
    ):
        expected = declared.build(len(taxonomy.classes), size, options).state_dict()
    if wrong := misfit(weights, expected):
        raise SegmodelsError(f"{path} does not hold the weights of {declared.name}: {wrong}. Train again.")
    network = declared.build(len(taxonomy.classes), size, options)
    network.load_state_dict(weights)
    network.to(device).eval()
    return Segmenter(network, declared, geometry, size, taxonomy, *colours, device, precision, about["run"])


@contextmanager
def _at_most(tensors: int) -> Iterator[None]:
    """Raise ValueError as soon as the modules that are made inside register more parameters and buffers than this."""
    left = tensors

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("the network that its metadata declare has more tensors")

    handles = [register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
