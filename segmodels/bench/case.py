"""What is measured: a network, at a size, in a setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segmodels.errors import SegmodelsError
from segmodels.inference.trained import load_trained, weights_file
from segmodels.networks import spec
from segmodels.runs.checkpoint import load_weights
from segmodels.spec import OURS, ModelSpec, Origin, Size, Value

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Subject:
    """A network: with fresh weights, or with those of a run."""

    network: str
    classes: int
    options: Mapping[str, Value]  # complete
    size: Size  # the source's own, or that of the run's training
    weights: Path | None = None
    run: str = ""  # id of the run that the weights come from
    origin: Origin = OURS  # of the network's code

    @property
    def declared(self) -> ModelSpec:
        """What the network says about itself."""
        return spec(self.network, self.origin)

    def check(self, size: Size) -> None:
        """Raise SegmodelsError where a run's network was built for another size and no other."""
        if self.weights and self.declared.geometry(self.options).fixed_size and size != self.size:
            raise SegmodelsError(
                f"{self.weights}: {self.network} was built for {_text(self.size)} alone, not for {_text(size)}"
            )

    def build(self, size: Size) -> nn.Module:
        """The network in evaluation mode, on the CPU."""
        torch.manual_seed(0)
        network = self.declared.build(self.classes, size, self.options)
        if self.weights:
            network.load_state_dict(load_weights(self.weights)[0])
        return network.requires_grad_(False).eval()


@dataclass(frozen=True)
class Setting:
    """How it is run."""

    precision: str = "fp32"
    layout: str = "contiguous"
    arithmetic: str = "reproducible"
    compile: bool = False
    device: str = "cpu"
    threads: int | None = None  # of the CPU; None: as many as torch takes

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.layout == "channels_last" else torch.contiguous_format


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    subject: Subject
    size: Size
    setting: Setting

    def document(self) -> dict[str, Any]:
        """As JSON has it; `case_from_document` reads it back."""
        document = asdict(self)
        document["subject"]["weights"] = self.subject.weights and str(self.subject.weights)
        parts, path = self.subject.origin
        document["subject"]["origin"] = {"parts": parts, "path": path and str(path)}
        return document

    def __str__(self) -> str:
        return f"{self.subject.network} at {_text(self.size)}"


CHOICES = {
    "precision": ("fp32", "bf16"),
    "layout": ("contiguous", "channels_last"),
    "arithmetic": ("reproducible", "fast"),
    "compile": ("no", "yes"),
}


def named(name: str, classes: int | None, options: Mapping[str, str]) -> Subject:
    """A network of the registry; classes as in its source where not given. Raises SegmodelsError."""
    declared = spec(name)
    own, size = declared.example
    return Subject(declared.name, classes or own, declared.parse(options), size, origin=declared.origin)


def trained(path: Path) -> Subject:
    """The network of a run folder or of a weights file. Raises SegmodelsError."""
    segmenter = load_trained(path, CPU)
    weights = weights_file(path)
    declared, classes = segmenter.declared, len(segmenter.taxonomy.classes)
    options = declared.resolve(load_weights(weights)[1]["options"])
    size, run = segmenter.size, segmenter.run
    return Subject(declared.name, classes, options, size, weights.absolute(), run, declared.origin)


def cases(subject: Subject, sizes: Iterable[Size], settings: Iterable[Setting]) -> list[Case]:
    """Every size in every setting. Raises SegmodelsError where a size is not for this network."""
    found = [Case(subject, size, setting) for size, setting in product(sizes, settings)]
    for case in found:
        subject.check(case.size)
    return found


def settings(axes: Mapping[str, tuple[str, ...]], device: str, threads: int | None) -> list[Setting]:
    """Every combination of the axes' values. Raises SegmodelsError where one is not of CHOICES."""
    for name, values in axes.items():
        if wrong := [value for value in values if value not in CHOICES[name]]:
            raise SegmodelsError(
                f"--{name} has {wrong[0]!r}, expected {' or '.join(CHOICES[name])}, or both by a comma"
            )
    return [
        Setting(precision, layout, arithmetic, compiled == "yes", device, threads)
        for precision, layout, arithmetic, compiled in product(*(dict.fromkeys(axes[name]) for name in CHOICES))
    ]


def case_from_document(document: Mapping[str, Any]) -> Case:
    """The case that `document` was made from."""
    about = document["subject"]
    weights = about["weights"] and Path(about["weights"])
    parts, path = about["origin"]["parts"], about["origin"]["path"]
    origin = Origin(tuple((name, digest) for name, digest in parts), path and Path(path))
    subject = Subject(**about | {"size": tuple(about["size"]), "weights": weights, "origin": origin})
    return Case(subject, (document["size"][0], document["size"][1]), Setting(**document["setting"]))


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
