"""A whole network out of a file that holds it: every layer by its name, the classifier class by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segmodels.errors import SegmodelsError
from segmodels.pretrained.classrows import Classes, same_but_for_classes
from segmodels.pretrained.naming import Tensors, Wanted, best, candidates, is_counter, layers, norms_of, same_kind, some
from segmodels.pretrained.trunk import check_depth, check_values, trunk_of
from segmodels.trunks.resnet import ResNet


def find_whole(content: Any, network: nn.Module, classes: Classes, trunk: str, path: Path) -> Tensors | None:
    """The tensors of a file by their names here, where it holds this network: at least half of it, by name and shape.

    Half of what is no trunk as well: otherwise the file is one of a trunk, or of another network on it. None where it
    holds something else. Raises SegmodelsError where two networks in the file fit alike.
    """

    def suits(name: str, there: Tensor, here: Tensor) -> bool:
        axis = classes.axes.get(name)
        return same_kind(there, here) if axis is None else same_but_for_classes(there, here, axis)

    wanted = Wanted.of(network, suits)
    beyond = {name for name in wanted.tensors if not (trunk and name.startswith(f"{trunk}."))}
    halves = [set(wanted.tensors), beyond]
    found = [
        each for each in candidates(content, wanted) if all(2 * len(each.taken & part) >= len(part) for part in halves)
    ]
    if not found:
        return None
    chosen = best(found, path)
    return chosen.tensors | chosen.others


def load_whole(
    network: nn.Module, weights: Tensors, classes: Classes, changed: Sequence[str], trunk: str, path: Path
) -> str:
    """Load what fits; says what. `changed`: what differs between the network of the file and this one."""
    ours = network.state_dict()
    if isinstance(trunk_of(network, trunk), ResNet):
        theirs, here = ([name.removeprefix(f"{trunk}.") for name in each] for each in (weights, ours))
        check_depth(theirs, here, path, weights)
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
        return same_kind(there, here) and (as_built or here.is_floating_point())

    unfit = {name.rpartition(".")[0] for name, here in ours.items() if not suits(name, here)}
    unfit |= {norm for layer, norm in norms_of(network) if layer in unfit}
    return {name: weights[name] for name in ours if name in weights and name.rpartition(".")[0] not in unfit}


def _check_share(network: nn.Module, taken: Tensors, classes: Classes, changed: Sequence[str], path: Path) -> None:
    """Raise SegmodelsError where most of what does not depend on the classes would stay random."""
    sizes = {name: each.numel() for name, each in network.named_parameters() if name not in classes.axes}
    loaded, total = sum(size for name, size in sizes.items() if name in taken), sum(sizes.values())
    if 2 * loaded < total:
        why = ", ".join(changed) or "its layers have other names or shapes"
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


def changes(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """What has another value in the file than here; lists of JSON are tuples."""
    for name, value in here.items():
        other = tuple(there[name]) if isinstance(there.get(name), list) else there.get(name)
        if other != value:
            yield f"{name} is {other} there, {value} here"
