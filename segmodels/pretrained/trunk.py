"""The trunk of any file into a network's, as a whole, or with a report of what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segdata.base.files import parsing
from segmodels.errors import SegmodelsError
from segmodels.pretrained.kinds import NEVER, RESNET, Kind, foreign, kind_of
from segmodels.pretrained.known import options_that_fit
from segmodels.pretrained.naming import Found, Tensors, Wanted, find, is_statistic, layers, learnt, same_kind, some
from segmodels.trunks.resnet import BLOCKS

ANOTHER = "Name another file."

BLOCK = re.compile(r"layer([1-4])\.(\d+)\.")
KINDS: dict[tuple[int, ...], int] = {
    (*blocks, 2 if depth < 50 else 3): depth for depth, blocks in BLOCKS.items()
}  # see `_shape`


@dataclass(frozen=True)
class TrunkReport:
    """What became of each name; `matched`, `missing` and `refused` together are the trunk's."""

    matched: tuple[str, ...]  # loaded
    missing: tuple[str, ...]  # not in the file: stays as it was
    refused: tuple[str, ...]  # "name: (64, 64, 1, 1) in the file, (64, 128, 1, 1) here", or another reason
    unused: tuple[str, ...]  # in the file, and no part of the trunk
    place: str = ""  # what stands before the names in the file
    passed_over: tuple[str, ...] = ()  # another network in the file: "model_ema.* (no running statistics)"
    stem: re.Pattern[str] = NEVER  # begins the names of the stem's convolutions
    options: str = ""  # with which a network takes all of the file's trunk, where that is so

    @property
    def random(self) -> tuple[str, ...]:
        """What stays as it was."""
        return tuple(sorted([*self.missing, *(line.partition(":")[0] for line in self.refused)]))

    def __str__(self) -> str:
        """The numbers in a line; others warn of a trunk that is not whole."""
        text = f"{len(self.matched)} of {len(self.matched) + len(self.random)} trunk tensors loaded"
        if self.place:
            text += f" from {self.place}*"
        if self.unused:
            text += f"; {len(self.unused)} in the file are not the trunk's ({some(self.unused, 3)})"
        if self.passed_over:
            text += f"; passed over: {some(self.passed_over)}"
        return "\n".join([text, *self._warnings()])

    def _warnings(self) -> Iterator[str]:
        loaded = {*layers(self.matched)}
        unseen = [name for name in self.random if is_statistic(name) and name.rpartition(".")[0] in loaded]
        random = [name for name in self.random if name not in unseen]
        if random:
            stem = any(self.stem.match(name) for name in random)
            what = "the stem stays random under the loaded layers" if stem else "a part of the trunk stays random"
            missing = len([name for name in random if name in self.missing])
            why = f"{missing} not in the file, {len(random) - missing} do not fit"
            first = next((f"; {line}" for line in self.refused if line.partition(":")[0] in random), "")
            fill = f". With {self.options} the whole trunk is loaded" if self.options else ""
            yield f"warning: {what}: {len(random)} tensors, of {some(layers(random))} ({why}{first}){fill}"
        if unseen:
            yield (
                f"warning: {len(layers(unseen))} norms have weights in the file, but no running mean and variance: "
                "these begin at 0 and 1. So it is with a trunk of group norms, and with an average of parameters alone"
            )


def fill_trunk(network: nn.Module, content: Any, path: Path, name: str = "trunk") -> TrunkReport:
    """Load the trunk in the content of file `path` into the part `name` of a network. Raises SegmodelsError."""
    trunk = trunk_of(network, name)
    if trunk is None:
        raise SegmodelsError(
            f"{type(network).__name__} has no trunk to load {path.name} into, and less than half of the network's own "
            "tensors are in the file: name another --init, or a network with a trunk, such as pspnet"
        )
    kind, wanted = kind_of(trunk), Wanted.of(trunk)
    ours = wanted.tensors
    with parsing(f"{path} does not load", SegmodelsError, ANOTHER):  # as of sparse tensors
        found = find(content, wanted, path, kind.namings)
        tensors, others = found.tensors, found.others
        _check_kind(found, wanted, kind, content, path)
        _check_share(found, ours, kind, path)
        taken = {name: tensors[name] for name in ours if name in found.taken}
        check_values(taken, path)
        trunk.load_state_dict(taken, strict=False)
    return TrunkReport(
        matched=tuple(taken),
        missing=tuple(name for name in ours if name not in tensors),
        refused=tuple(_misfit(name, tensors, wanted) for name in ours if name in tensors and name not in taken),
        unused=tuple(others),
        place=found.place,
        passed_over=found.passed_over,
        stem=kind.stem,
        options=options_that_fit(content, path, kind) if taken.keys() != ours.keys() else "",
    )


def trunk_of(network: nn.Module, name: str) -> nn.Module | None:
    """The part of a network with this dotted name, where it has one."""
    try:
        return network.get_submodule(name) if name else None
    except AttributeError:
        return None


def _check_share(found: Found, ours: Tensors, kind: Kind, path: Path) -> None:
    """Raise SegmodelsError where most tensors would stay random: not most weights, which the last stage has.

    Statistics do not count: a trunk without them has its weights.
    """
    loaded, total = len(learnt(found.taken)), len(learnt(ours))
    if 2 * loaded < total:
        raise SegmodelsError(
            f"{path} holds too little of a {kind.title}: of {total} weights and biases {total - loaded} would stay "
            f"random. {ANOTHER}"
        )


def _check_kind(found: Found, wanted: Wanted, kind: Kind, content: Any, path: Path) -> None:
    """Raise SegmodelsError where the file has nothing of use, another kind of trunk, or a stem of unknown names."""
    tensors, others, ours = found.tensors, found.others, wanted.tensors
    if not found.taken:
        holds = some([f"{found.place}{name}" for name in tensors] or sorted(others), 3) or "no tensors"
        raise SegmodelsError(
            f"nothing in {path} fits the trunk: it holds {holds}, "
            f"expected names of a {kind.title} such as {', '.join(list(ours)[:3])}. {_do(content, path, kind)}"
        )
    if kind.title == "ResNet":
        check_depth([*tensors, *others], ours, path, content)
    unfit = [_misfit(name, tensors, wanted) for name in tensors if kind.block.match(name) and name not in found.taken]
    more = [f"{name}: in the file, not here" for name in foreign(found, kind)]
    less = [f"{block}: here, not in the file" for block in _absent(found, ours, kind)]
    if wrong := [line for line in (*unfit, *more, *less) if not kind.entrance.match(line)]:
        raise SegmodelsError(
            f"{path} holds a {kind.title} of another kind, whose blocks compute something else: {some(wrong, 2)}. "
            f"{_do(content, path, kind)}"
        )
    if kind.stem_names and next(iter(ours)) not in tensors and (stem := _unread_stem(others)):
        raise SegmodelsError(
            f"{path}: the stem would stay random, as its names are not known: {some(stem)}. "
            f"Expected {kind.stem_names}: rename them, or name another --init"
        )


def _absent(found: Found, ours: Tensors, kind: Kind) -> list[str]:
    """Blocks of which nothing is in the file, in stages that are there: the file's network is less deep."""
    here, there = (
        list(dict.fromkeys(each[0] for each in map(kind.block.match, names) if each)) for names in (ours, found.names)
    )
    stages = {_stage(block) for block in there}
    return [block.rstrip(".") for block in here if block not in there and _stage(block) in stages]


def _stage(block: str) -> str:
    return block.rstrip(".").rpartition(".")[0]


def _do(content: Any, path: Path, kind: Kind) -> str:
    """What to do about a file that is refused."""
    options = options_that_fit(content, path, kind)
    return f"Use {options}, or name another --init" if options else ANOTHER


def check_depth(there: Iterable[str], here: Iterable[str], path: Path, content: Any) -> None:
    """Raise SegmodelsError where ResNets with these names differ in depth: parts of the one are not the other.

    `content` is the file's, in which the options are looked up that fit it.
    """
    theirs, ours = _shape(there), _shape(here)
    if any(count and count != wanted for count, wanted in zip(theirs, ours, strict=True)):
        depth = KINDS.get(theirs)
        what = f"a ResNet-{depth}" if depth else f"a ResNet of {', '.join(map(str, theirs[:4]))} blocks"
        use = options_that_fit(content, path, RESNET) or (f"--option backbone_depth={depth}" if depth else "")
        do = f"Use {use}, or name" if use else "Name"
        raise SegmodelsError(f"{path} holds {what}, the trunk is a ResNet-{KINDS[ours]}. {do} another --init")


def _shape(names: Iterable[str]) -> tuple[int, ...]:
    """Blocks of layer1 to layer4, then the convolutions of a block, 2 or 3; 0 for what is not there."""
    found = [(each, name[each.end() :]) for name in names if (each := BLOCK.match(name))]
    blocks = {(int(each[1]), int(each[2])) for each, _ in found}
    last = [number for number in (2, 3) if f"conv{number}.weight" in {rest for _, rest in found}]
    return (*(sum(stage == number for stage, _ in blocks) for number in (1, 2, 3, 4)), max(last, default=0))


def _unread_stem(others: Tensors) -> list[str]:
    """The names beside the first convolution that takes three channels, as of an image."""
    first = next((name for name, each in others.items() if each.ndim == 4 and each.shape[1] == 3), None)
    return [name for name in others if first and name.partition(".")[0] == first.partition(".")[0]]


def _misfit(name: str, there: Tensors, wanted: Wanted) -> str:
    if same_kind(there[name], wanted.tensors[name]):
        return f"{name}: {wanted.owners.get(name, name)} does not fit"
    return f"{name}: {_described(there[name])} in the file, {_described(wanted.tensors[name])} here"


def _described(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)}" + f" of {tensor.dtype}" * (not tensor.is_floating_point())


def check_values(tensors: Tensors, path: Path) -> None:
    """Raise SegmodelsError where numbers are not finite, or variances below 0."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise SegmodelsError(f"{path}: {name} holds numbers that are not finite. {ANOTHER}")
        if name.endswith(".running_var") and tensor.lt(0).any():
            raise SegmodelsError(f"{path}: {name} holds variances below 0. {ANOTHER}")
