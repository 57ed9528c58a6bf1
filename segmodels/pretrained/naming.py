"""Where in other people's files the tensors of a network or trunk lie, and what they are called there.

What stands before the names is told by the names behind it, so that no list of wrappers (`module.`, `backbone.`,
`model.encoder.`, `_orig_mod.`, …) or of containers (`state_dict`, `model`, `model_state`, …) is needed. How a kind of
trunk is named elsewhere stands in `kinds`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from segmodels.errors import SegmodelsError

Tensors = Mapping[str, Tensor]
Fits = Callable[[str, Tensor, Tensor], bool]  # (name here, tensor there, tensor here)


class Naming(NamedTuple):
    """How layers are called in the files of somebody."""

    whose: str
    layers: Mapping[str, str]  # layer here -> layer in the file, of those with another name


AS_HERE = Naming("the network itself", {})
DEEPEST = 8  # containers inside each other
# Of two networks in one file: the average of weights, and what trains by gradients, not what follows it (MoCo, BYOL).
PREFERRED = frozenset({"ema", "teacher", "swa", "averaged", "q", "base", "online"})


@dataclass(frozen=True)
class Wanted:
    """The tensors of a network or trunk that are looked for in a file, and what it takes to be one of them."""

    tensors: Tensors  # without counters
    owners: Mapping[str, str]  # see `owners_of`
    fits: Fits

    @classmethod
    def of(cls, network: nn.Module, fits: Fits | None = None) -> Wanted:
        """All of a network: by default those fit that have the same shape."""
        tensors = {name: each for name, each in network.state_dict().items() if not is_counter(name)}
        owners = {norm: layer for norm, layer in owners_of(network).items() if layer in tensors}
        return cls(tensors, owners, fits or (lambda name, there, here: same_kind(there, here)))


@dataclass(frozen=True)
class Found:
    """The tensors of one network or trunk in a file."""

    place: str  # what stands before their names: "state_dict.module.encoder_q."
    names: Mapping[str, str]  # name here -> name in the container
    container: Tensors
    taken: frozenset[str]  # names here of the tensors that fit, each norm's with its convolution
    naming: Naming = AS_HERE
    prefix: str = ""  # the part of `place` that is in the container's names
    passed_over: tuple[str, ...] = ()  # what would be preferred, but fits less: "model_ema.* (no running statistics)"

    @property
    def tensors(self) -> dict[str, Tensor]:
        """By the names that they have here."""
        return {name: self.container[there] for name, there in self.names.items()}

    @property
    def others(self) -> dict[str, Tensor]:
        """What else the container holds, counters aside, by the names there, without the prefix that they share."""
        used = set(self.names.values())
        return {
            name.removeprefix(self.prefix): tensor
            for name, tensor in self.container.items()
            if name not in used and not is_counter(name)
        }


def find(content: Any, wanted: Wanted, path: Path, namings: Sequence[Naming] = (AS_HERE,)) -> Found:
    """Where in the content of file `path` most of what is wanted lies. Raises SegmodelsError where two fit alike."""
    found = candidates(content, wanted, namings)
    if not found:
        return Found("", {}, tensors_in(content), frozenset())
    return best(found, path)


def candidates(content: Any, wanted: Wanted, namings: Sequence[Naming] = (AS_HERE,)) -> list[Found]:
    """Every place in the content of a file with at least one of the names that are wanted."""
    containers = [*_containers(content)]
    return [found for at, each in containers for naming in namings for found in _named(at, each, naming, wanted)]


def tensors_in(content: Any) -> dict[str, Tensor]:
    """All tensors in the content of a file, by their whole names."""
    return {f"{at}{name}": tensor for at, each in _containers(content) for name, tensor in each.items()}


def best(found: Sequence[Found], path: Path) -> Found:
    """The one that fits best. Raises SegmodelsError where two fit alike."""
    highest = max(map(_score, found))
    alike: dict[str, Found] = {}
    for each in found:
        if _score(each) == highest:
            alike.setdefault(each.place, each)
    chosen = _choose([*alike.values()], path)
    return replace(chosen, passed_over=(*_passed_over(chosen, found),))


def is_counter(name: str) -> bool:
    """Batches seen by a norm: old files lack it and nothing here reads it."""
    return name.endswith("num_batches_tracked")


def is_statistic(name: str) -> bool:
    """A mean or variance that a norm has seen: gathered, not learnt."""
    return name.endswith((".running_mean", ".running_var"))


def learnt(names: Iterable[str]) -> set[str]:
    """Those of parameters, without statistics."""
    return {name for name in names if not is_statistic(name)}


def owners_of(network: nn.Module) -> dict[str, str]:
    """The tensors of batch norms, and the weight of the layer before each: its statistics describe nothing else."""
    return {
        name: f"{layer}.weight"
        for layer, norm in norms_of(network)
        for name in (f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
    }


def norms_of(network: nn.Module) -> Iterator[tuple[str, str]]:
    """Each batch norm behind a layer of the same module, by their paths: the layer, and the norm of its output."""
    for path, module in network.named_modules():
        trained = [(name, child) for name, child in module.named_children() if any(True for _ in child.parameters())]
        for (layer, _), (norm, child) in pairwise(trained):
            if isinstance(child, nn.BatchNorm2d):
                yield f"{path}.{layer}".lstrip("."), f"{path}.{norm}".lstrip(".")


def same_kind(there: Tensor | None, here: Tensor) -> bool:
    """Whether a tensor may be copied: its shape is the same, and it is of numbers of the same kind."""
    return there is not None and there.shape == here.shape and there.is_floating_point() == here.is_floating_point()


def some(names: Sequence[str], most: int = 6) -> str:
    """`a, b, c and 4 more`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def layers(names: Iterable[str]) -> list[str]:
    """The layers of these tensors, each once."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def _containers(content: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping that holds tensors by name, and the keys that lead to it."""
    seen: set[int] = set()  # a pickle may hold one thing in many places, also in itself
    waiting = deque([("", 0, content)])
    while waiting:
        at, depth, each = waiting.popleft()
        if not isinstance(each, Mapping) or id(each) in seen:
            continue
        seen.add(id(each))
        if tensors := {str(name): tensor for name, tensor in each.items() if isinstance(tensor, Tensor)}:
            yield at, tensors
        if depth < DEEPEST:
            inside = ((key, value) for key, value in each.items() if isinstance(value, Mapping))
            waiting += [(f"{at}{key}.", depth + 1, value) for key, value in inside]


def _named(at: str, container: Tensors, naming: Naming, wanted: Wanted) -> Iterator[Found]:
    """What a container holds in this naming, for every prefix behind which at least one of the names stands."""
    theirs = _renamed(naming, wanted.tensors)
    most_parts = max((name.count(".") + 1 for name in theirs), default=1)
    prefixes: dict[str, dict[str, str]] = {}
    for name in container:
        parts = name.rsplit(".", most_parts)
        for count in range(1, len(parts) + 1):
            if (suffix := ".".join(parts[-count:])) in theirs:
                prefixes.setdefault(name.removesuffix(suffix), {})[theirs[suffix]] = name
    for prefix, names in prefixes.items():
        fitting = {name for name, there in names.items() if wanted.fits(name, container[there], wanted.tensors[name])}
        taken = frozenset(name for name in fitting if wanted.owners.get(name, name) in fitting)
        yield Found(at + prefix, names, container, taken, naming, prefix)


def _renamed(naming: Naming, ours: Tensors) -> dict[str, str]:
    """The name in such a file -> ours."""
    parts = ((name, *name.rpartition(".")) for name in ours)
    return {f"{naming.layers.get(layer, layer)}{dot}{leaf}": name for name, layer, dot, leaf in parts}


def _score(found: Found) -> tuple[int, int]:
    return len(found.taken), len(found.names)


def _choose(alike: Sequence[Found], path: Path) -> Found:
    """Of several that fit alike the one to take: the first of equal ones, or the one that is preferred."""
    first, *rest = alike
    if all(_equal(first, each) for each in rest):
        return first
    preferred = [*filter(_is_preferred, alike)]
    if len(preferred) == 1:
        return preferred[0]
    places = some([f"{each.place}*" for each in alike])
    raise SegmodelsError(
        f"{path} holds {len(alike)} networks that fit alike: {places}. Keep the one to start from in a file of its own"
    )


def _is_preferred(found: Found) -> bool:
    return bool(PREFERRED.intersection(re.split(r"[._]", found.place)))


def _passed_over(chosen: Found, found: Iterable[Found]) -> Iterator[str]:
    """The averages, and what else would be preferred among equals, of which more than half fits, but less than here."""
    at_place: dict[str, Found] = {}
    for each in sorted(found, key=_score):
        at_place[each.place] = each
    for each in at_place.values():
        if _is_preferred(chosen) or not _is_preferred(each) or 2 * len(each.taken) <= len(chosen.taken):
            continue
        statistics = chosen.taken - each.taken == {name for name in chosen.taken if is_statistic(name)}
        yield f"{each.place}* ({'no running statistics' if statistics else f'{len(each.taken)} tensors fit'})"


def _equal(one: Found, other: Found) -> bool:
    here, there = one.tensors, other.tensors
    return one.taken == other.taken and all(torch.equal(here[name], there[name]) for name in one.taken)
