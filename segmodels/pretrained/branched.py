"""How files name the trunk of a DDRNet, which has a branch at full resolution beside the usual one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from segmodels.pretrained.naming import Naming


@dataclass(frozen=True)
class Words:
    """The words of somebody's files, in which layers here are called something else."""

    whose: str
    stages: Mapping[str, str]  # stage here -> there
    pairs: Mapping[str, tuple[str, str]]  # a convolution with its norm here -> both there
    in_block: str  # between a block's convolution and its number, and what follows it: "conv{}|bn{}"


AUTHORS = Words(
    "the authors",
    {
        "stem.4": "layer1",
        "stem.6": "layer2",
        **{f"fine.{i}": f"layer{i + 3}_" for i in range(3)},
        **{f"coarse.{i}": f"layer{i + 3}" for i in range(3)},
    },
    {
        "stem.0": ("conv1.0", "conv1.1"),
        "stem.2": ("conv1.3", "conv1.4"),
        "exchanges.0.down.1": ("down3.0", "down3.1"),
        "exchanges.1.down.1": ("down4.0", "down4.1"),
        "exchanges.1.down.3": ("down4.3", "down4.4"),
        "exchanges.0.up.1": ("compression3.0", "compression3.1"),
        "exchanges.1.up.1": ("compression4.0", "compression4.1"),
    },
    "conv{}|bn{}",
)
MMSEGMENTATION = Words(
    "mmsegmentation",
    {
        "stem.4": "stem.2",
        "stem.6": "stem.4",
        **{f"fine.{i}": f"spatial_branch_layers.{i}" for i in range(3)},
        **{f"coarse.{i}": f"context_branch_layers.{i}" for i in range(3)},
    },
    {
        here: (f"{there}.conv", f"{there}.bn")
        for here, there in {
            "stem.0": "stem.0",
            "stem.2": "stem.1",
            "exchanges.0.down.1": "down_1",
            "exchanges.1.down.1": "down_2.0",
            "exchanges.1.down.3": "down_2.1",
            "exchanges.0.up.1": "compression_1",
            "exchanges.1.up.1": "compression_2",
        }.items()
    },
    "conv{}.conv|conv{}.bn",
)


def branched_namings() -> Iterator[Naming]:
    """The authors' own files, and those of mmsegmentation."""
    for words in (AUTHORS, MMSEGMENTATION):
        yield Naming(words.whose, dict(_layers(words)))


def _layers(words: Words) -> Iterator[tuple[str, str]]:
    """Layer here, layer there."""
    for here, pair in words.pairs.items():
        yield from zip((f"{here}.0", f"{here}.1"), pair, strict=True)
    for here, there in words.stages.items():
        if here in {"fine.2", "coarse.2"}:  # one bottleneck, of three convolutions
            yield from _block(here, f"{there}.0", 3, words.in_block)
        else:  # two blocks of two, and an activation between them
            yield from _block(f"{here}.0", f"{there}.0", 2, words.in_block)
            yield from _block(f"{here}.2", f"{there}.1", 2, words.in_block)


def _block(here: str, there: str, convolutions: int, in_block: str) -> Iterator[tuple[str, str]]:
    for number in range(convolutions):
        for layer, name in enumerate(in_block.split("|")):
            yield f"{here}.body.{2 * number}.{layer}", f"{there}.{name.format(number + 1)}"
    for layer in (0, 1):
        yield f"{here}.shortcut.{layer}", f"{there}.downsample.{layer}"
