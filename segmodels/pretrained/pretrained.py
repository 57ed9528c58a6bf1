"""Weights to start from: what of a file is taken, by names that mean the same, and what stays random.

Of a run of the same network that is everything that fits, its classifier by the names of the classes; of any other
file the trunk (`trunk`; `naming` tells where in it that lies). Counters of batches are not counted and decide nothing.
What is taken in part is said to be so; what can hardly have been meant is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segdata.base.canonical import canonical_json
from segdata.base.files import parsing, regular
from segdata.labels.taxonomy import Taxonomy, read_taxonomy
from segmodels.documents import check_types
from segmodels.errors import SegmodelsError
from segmodels.networks.pspnet.resnet import ResNet
from segmodels.pretrained.classrows import Classes, class_axes, names_of, same_but_for_classes
from segmodels.pretrained.naming import Tensors, fits, is_counter, layers, some
from segmodels.pretrained.trunk import ANOTHER, TrunkReport, check_depth, check_values, fill_trunk
from segmodels.runs.checkpoint import LARGEST, METADATA_KEY, load_torch, load_weights, read_safetensors
from segmodels.runs.document import AboutWeights
from segmodels.spec import Colours, ModelSpec, Size, Value

AS_TENSORS = (
    "Name another --init, or have this one written as tensors alone where it was made: "
    "torch.save(model.state_dict(), 'weights.pth')"
)


def load_trunk(network: nn.Module, path: Path) -> TrunkReport:
    """Load the ResNet of `path` (.safetensors, or .pth read with `weights_only`) into `network.trunk`.

    A norm is only taken together with the convolution before it: without it its statistics describe something else.
    Raises SegmodelsError where the network has no ResNet trunk, the file cannot be read, nothing in it fits, or it
    holds a ResNet of another kind, or one whose stem has unknown names.
    """
    return fill_trunk(network, _read(path)[0], path)


def load_init(
    network: nn.Module,
    declared: ModelSpec,
    options: Mapping[str, Value],
    size: Size,
    taxonomy: Taxonomy,
    path: Path,
    colours: Colours,
) -> str:
    """Start from the weights of a file; says in a line what was taken, then what stays random and what else to mind.

    Of a run of the same network everything that has the same name and shape, the classifier class by class; of any
    other file the trunk. `colours`: how images are normalised here. Raises SegmodelsError where nothing fits, or less
    than half does.
    """
    content, about = _read(path)
    if about:
        with parsing(f"what {path} says about its network", SegmodelsError, ANOTHER):
            check_types(about, AboutWeights)
    warning = _other_colours(about, colours) if about else ""
    if about.get("network") != declared.name:
        return f"{path.name}: {fill_trunk(network, content, path)}{warning}"
    with parsing(f"what {path} says about its network", SegmodelsError, ANOTHER):
        learnt = read_taxonomy(canonical_json(about["taxonomy"]), str(path))
        changed = [*_changes(declared.added | about["options"], options)]
        if declared.geometry(options).fixed_size:
            changed += _changes({"size": about["size"]}, {"size": size})
    classes = Classes(class_axes(declared, options, size), names_of(learnt), names_of(taxonomy))
    with parsing(f"{path} does not load", SegmodelsError, ANOTHER):
        return f"{path.name}: {_continue(network, content, classes, changed, path)}{warning}"


# ---- the file -----------------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[Any, dict[str, Any]]:
    """What the file holds, tensors by name somewhere in it, and what a run's weights say about themselves."""
    try:
        regular(path, LARGEST, SegmodelsError)
    except FileNotFoundError:
        raise SegmodelsError(f"no weights file {path}") from None
    with parsing(f"{path} is no .safetensors file and no .pth file of tensors", SegmodelsError, ANOTHER):
        if not _is_safetensors(path):
            return load_torch(path, AS_TENSORS), {}
        weights, metadata = read_safetensors(path)
    return weights, load_weights(path)[1] if METADATA_KEY in metadata else {}


def _other_colours(about: Mapping[str, Any], here: Colours) -> str:
    """A line of its own where the file's run saw its images in other numbers than this one does."""
    there = Colours(tuple(about["mean"]), tuple(about["std"]))
    if there == Colours(tuple(here.mean), tuple(here.std)):
        return ""
    return f"\nwarning: it was trained under {there}, this run has {here}. Give the same, or it sees other colours"


def _is_safetensors(path: Path) -> bool:
    """By its name, or by its first bytes: the length of a header, and the header, which is JSON."""
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


# ---- a run of the same network --------------------------------------------------------------------------------


def _continue(network: nn.Module, weights: Tensors, classes: Classes, changed: Sequence[str], path: Path) -> str:
    """Load what fits; says what."""
    ours = network.state_dict()
    if isinstance(getattr(network, "trunk", None), ResNet):
        theirs, here = ([name.removeprefix("trunk.") for name in each] for each in (weights, ours))
        check_depth(theirs, here, path)
    taken = _fitting(network, weights, classes.axes, as_built=not changed)
    check_values(taken, path)
    _check_share(network, taken, classes, changed, path)
    rows = {name: classes.rows(name, taken[name], ours[name]) for name in taken if name in classes.axes}
    network.load_state_dict(taken | rows, strict=False)
    return _told(ours, taken, weights, classes, changed)


def _fitting(network: nn.Module, weights: Tensors, axes: Mapping[str, int], *, as_built: bool) -> dict[str, Tensor]:
    """The tensors of the layers that fit: each layer as a whole or not at all, a norm with the layer before it.

    Whole numbers, such as the group that a channel is in, mean something under the same options alone.
    """
    ours = network.state_dict()

    def suits(name: str, here: Tensor) -> bool:
        there = weights.get(name)
        if is_counter(name):
            return True
        if there is not None and name in axes:
            return same_but_for_classes(there, here, axes[name])
        return fits(there, here) and (as_built or here.is_floating_point())

    unfit = {name.rpartition(".")[0] for name, here in ours.items() if not suits(name, here)}
    unfit |= {norm for layer, norm in _norms(network) if layer in unfit}
    return {name: weights[name] for name in ours if name in weights and name.rpartition(".")[0] not in unfit}


def _norms(network: nn.Module) -> Iterator[tuple[str, str]]:
    """Each batch norm behind a layer of the same module: the layer, and the norm of its output."""
    for path, module in network.named_modules():
        trained = [(name, child) for name, child in module.named_children() if any(True for _ in child.parameters())]
        for (layer, _), (norm, child) in pairwise(trained):
            if isinstance(child, nn.BatchNorm2d):
                yield f"{path}.{layer}".lstrip("."), f"{path}.{norm}".lstrip(".")


def _check_share(network: nn.Module, taken: Tensors, classes: Classes, changed: Sequence[str], path: Path) -> None:
    """Raise SegmodelsError where most of what does not depend on the classes would stay random."""
    sizes = {name: each.numel() for name, each in network.named_parameters() if name not in classes.axes}
    loaded, total = sum(size for name, size in sizes.items() if name in taken), sum(sizes.values())
    if 2 * loaded < total:
        why = ", ".join(changed) or "it is of another version"
        raise SegmodelsError(
            f"{path} does not fit ({why}): of {total:,} weights {total - loaded:,} would stay random. "
            "Use the options of its run, or name another --init"
        )


def _told(ours: Tensors, taken: Tensors, weights: Tensors, classes: Classes, changed: Sequence[str]) -> str:
    """What was taken, of which classes where they are not the same ones; in a second line what was not."""
    counted = [name for name in ours if not is_counter(name) and (classes.same or name not in classes.axes)]
    random = [name for name in counted if name not in taken]
    unused = [name for name in weights if name not in ours]
    text = f"{len(counted) - len(random)} of {len(counted)} tensors loaded"
    if not classes.same:
        text += f"; classifier ({some(layers(classes.axes))}) by class name: {classes.told(taken)}"
    if unused:
        text += f"; {len(unused)} in the file are not this network's ({some(unused, 3)})"
    if random or unused:
        what = f"{len(random)} tensors stay random, of {some(layers(random))}" if random else "the file holds more"
        text += f"\nwarning: {what}" + f" ({', '.join(changed)})" * bool(changed)
    return text


def _changes(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """What has another value in the file than here; lists of JSON are tuples."""
    for name, value in here.items():
        other = tuple(there[name]) if isinstance(there.get(name), list) else there.get(name)
        if other != value:
            yield f"{name} is {other} there, {value} here"
