"""Where in other people's files the tensors of a ResNet lie, and what they are called there.

What stands before the names is told by the names behind it, so that no list of wrappers (`module.`, `backbone.`,
`model.encoder.`, `_orig_mod.`, …) or of containers (`state_dict`, `model`, `model_state`, …) is needed. Of the stem
there are several namings, of everything behind it one.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segmodels.errors import SegmodelsError

Tensors = Mapping[str, Tensor]

STEM = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")


def _sequence(name: str) -> dict[str, str]:
    """Of a Sequential(conv, norm, relu, conv, norm, relu, conv, norm): layer in the file -> layer here."""
    return {f"{name}.{number}": layer for number, layer in zip((0, 1, 3, 4, 6, 7), STEM, strict=True)}


STEMS: tuple[Mapping[str, str], ...] = (  # layer in the file -> layer here
    {},  # ours, and CSAIL's: conv1, bn1, conv2, bn2, conv3, bn3. A plain ResNet's 7x7 stem: conv1, bn1
    _sequence("layer0"),  # hszhao's PSPNet; layer0.0 and layer0.1 alone are the plain stem of many a U-Net
    _sequence("stem"),  # mmsegmentation's ResNetV1c
    _sequence("conv1") | {"bn1": "bn3"},  # timm's and PyTorch-Encoding's: the last norm is outside
    *({f"{part}.{layer}": layer for layer in STEM} for part in ("layer0", "stem")),  # Cadene's, and others
)
DEEPEST = 8  # containers inside each other
MOST_PARTS = 5  # of a name, as in layer1.0.downsample.0.weight
# Of two networks in one file: the average of weights, and what trains by gradients, not what follows it (MoCo, BYOL).
PREFERRED = frozenset({"ema", "teacher", "swa", "averaged", "q", "base", "online"})


@dataclass(frozen=True)
class Found:
    """The tensors of one ResNet in a file."""

    place: str  # what stands before their names: "state_dict.module.encoder_q."
    names: Mapping[str, str]  # name here -> name in the container
    container: Tensors
    taken: frozenset[str]  # names here of the tensors that fit, each with its convolution
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


def find_trunk(content: Any, ours: Tensors, path: Path) -> Found:
    """The ResNet in the content of file `path` that fits `ours` best. Raises SegmodelsError where two fit alike."""
    containers = [*_containers(content)]
    candidates = [found for at, each in containers for stem in STEMS for found in _named(at, each, stem, ours)]
    if not candidates:
        return Found("", {}, {name: tensor for _, each in containers for name, tensor in each.items()}, frozenset())
    best = max(map(_score, candidates))
    alike: dict[str, Found] = {}
    for each in candidates:
        if _score(each) == best:
            alike.setdefault(each.place, each)
    chosen = _choose([*alike.values()], path)
    return replace(chosen, passed_over=(*_passed_over(chosen, candidates),))


def is_counter(name: str) -> bool:
    """Batches seen by a norm: old files lack it and nothing here reads it."""
    return name.endswith("num_batches_tracked")


def is_statistic(name: str) -> bool:
    """A mean or variance that a norm has seen: gathered, not learnt."""
    return name.endswith((".running_mean", ".running_var"))


def learnt(names: Iterable[str]) -> set[str]:
    """Those of parameters, without statistics."""
    return {name for name in names if not is_statistic(name)}


def convolution(name: str) -> str:
    """The weight of the convolution that a norm's tensor belongs to; a convolution belongs to itself."""
    name = re.sub(r"\bbn(\d)\.\w+$", r"conv\1.weight", name)
    return re.sub(r"\bdownsample\.1\.\w+$", "downsample.0.weight", name)


def fits(there: Tensor | None, here: Tensor) -> bool:
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


def _named(at: str, container: Tensors, stem: Mapping[str, str], ours: Tensors) -> Iterator[Found]:
    """What a container holds in this naming, for every prefix behind which at least one of our names stands."""
    theirs = _renamed(stem, ours)
    prefixes: dict[str, dict[str, str]] = {}
    for name in container:
        parts = name.rsplit(".", MOST_PARTS)
        for count in range(1, len(parts) + 1):
            if (suffix := ".".join(parts[-count:])) in theirs:
                prefixes.setdefault(name.removesuffix(suffix), {})[theirs[suffix]] = name
    for prefix, names in prefixes.items():
        matching = {name for name, there in names.items() if fits(container[there], ours[name])}
        taken = frozenset(name for name in matching if convolution(name) in matching)
        yield Found(at + prefix, names, container, taken, prefix)


def _renamed(stem: Mapping[str, str], ours: Tensors) -> dict[str, str]:
    """The name in a file with this stem -> ours."""
    there = {here: layer for layer, here in stem.items()}
    parts = ((name, *name.rsplit(".", 1)) for name in ours)
    return {f"{there.get(layer, layer)}.{leaf}": name for name, layer, leaf in parts}


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


def _passed_over(chosen: Found, candidates: Iterable[Found]) -> Iterator[str]:
    """The averages, and what else would be preferred among equals, of which more than half fits, but less than here."""
    best: dict[str, Found] = {}
    for each in sorted(candidates, key=_score):
        best[each.place] = each
    for each in best.values():
        if _is_preferred(chosen) or not _is_preferred(each) or 2 * len(each.taken) <= len(chosen.taken):
            continue
        statistics = chosen.taken - each.taken == {name for name in chosen.taken if is_statistic(name)}
        yield f"{each.place}* ({'no running statistics' if statistics else f'{len(each.taken)} tensors fit'})"


def _equal(one: Found, other: Found) -> bool:
    here, there = one.tensors, other.tensors
    return one.taken == other.taken and all(torch.equal(here[name], there[name]) for name in one.taken)
