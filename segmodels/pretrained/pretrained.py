"""Weights to start from: what of a file is taken, by names that mean the same, and what stays random.

Where a file holds the network itself, under whatever prefix, that is everything that fits, the classifier by the names
of the classes (`whole`); of any other file it is the trunk (`trunk`; `naming` tells where in the file that lies).
Counters of batches are not counted and decide nothing. What is taken in part is said to be so; what can hardly have
been meant is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from segdata.base.files import parsing
from segdata.labels.taxonomy import Taxonomy
from segmodels.errors import SegmodelsError
from segmodels.pretrained.classrows import Classes, class_axes, names_of
from segmodels.pretrained.contents import classes_beside, classes_of, read_contents
from segmodels.pretrained.trunk import ANOTHER, TrunkReport, fill_trunk
from segmodels.pretrained.whole import changes, find_whole, load_whole
from segmodels.spec import Colours, ModelSpec, Size, Value


class Start(NamedTuple):
    """How a network begins."""

    told: str  # what was taken, in a line; then what stays random and what else to mind
    trunk_alone: bool  # nothing else was loaded


def load_trunk(network: nn.Module, path: Path) -> TrunkReport:
    """Load the trunk in `path` (.safetensors, or .pth read with `weights_only`) into `network.trunk`.

    A norm is only taken together with the convolution before it: without it its statistics describe something else.
    Raises SegmodelsError where the network has no trunk, the file cannot be read, nothing in it fits, or it holds a
    trunk of another kind, or one whose stem has unknown names.
    """
    return fill_trunk(network, read_contents(path)[0], path)


def load_init(
    network: nn.Module,
    declared: ModelSpec,
    options: Mapping[str, Value],
    size: Size,
    taxonomy: Taxonomy,
    path: Path,
    colours: Colours,
    learnt: Sequence[str] | None = None,
) -> Start:
    """Start from the weights of a file: a run's of the same network, a file that holds this network, or its trunk.

    `colours`: how images are normalised here. `learnt`: the classes of the file by their numbers, where neither it
    names them, as a run's does, nor a `config.json` of Hugging Face beside it. Raises SegmodelsError where nothing
    fits, or less than half does.
    """
    content, about = read_contents(path)
    warning = _other_colours(about, colours) if about else ""
    if about:
        learnt = names_of(classes_of(about, path))
    elif learnt is None:
        learnt = classes_beside(path)
    if not about:
        content = declared.renamed(network, content, len(learnt) if learnt else None)
    classes = Classes(class_axes(declared, options, size), learnt, names_of(taxonomy))
    changed: list[str] = []
    if about.get("network") == declared.name:
        weights = content
        with parsing(f"what {path} says about its network", SegmodelsError, ANOTHER):
            changed = [*changes(declared.added | about["options"], options)]
            if declared.geometry(options).fixed_size:
                changed += changes({"size": about["size"]}, {"size": size})
    elif (weights := find_whole(content, network, classes, declared.trunk, path)) is None:
        return Start(f"{path.name}: {fill_trunk(network, content, path, declared.trunk)}{warning}", trunk_alone=True)
    elif about:
        changed = [f"network is {about['network']} there, {declared.name} here"]
    with parsing(f"{path} does not load", SegmodelsError, ANOTHER):
        told = load_whole(network, weights, classes, changed, declared.trunk, path)
    return Start(f"{path.name}: {told}{warning}", trunk_alone=False)


def _other_colours(about: Mapping[str, Any], here: Colours) -> str:
    """A line of its own where the file's run saw its images in other numbers than this one does."""
    there = Colours(tuple(about["mean"]), tuple(about["std"]))
    if there == Colours(tuple(here.mean), tuple(here.std)):
        return ""
    return f"\nwarning: it was trained under {there}, this run has {here}. Give the same, or it sees other colours"
