"""Which scene goes into which shard: settled before anything runs, from the sorted keys and a seed alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

from segdata.findings import Finding
from segdata.format.shard import MAX_NAME
from segdata.raw.scene import Scene
from segdata.raw.template import KEY

LONGEST_PART = len(".coverage8.png")


@dataclass(frozen=True)
class PlannedShard:
    """One work unit: the shard's file name and its scenes in their order."""

    name: str
    split: str
    scenes: tuple[Scene, ...]


def plan_split(name: str, split: str, scenes: Sequence[Scene], per_shard: int, seed: int) -> list[PlannedShard]:
    """Permute the scenes once and cut them into shards whose lengths differ by at most one.

    The permutation sorts by a keyed hash, so that a shard is not one city and input order is irrelevant.
    """
    ordered = sorted(scenes, key=lambda scene: _rank(seed, split, scene.key))
    count = -(-len(ordered) // per_shard)
    cuts = [len(ordered) * i // count for i in range(count + 1)] if count else [0]
    return [
        PlannedShard(shard_name(name, split, i), split, tuple(ordered[start:end]))
        for i, (start, end) in enumerate(pairwise(cuts))
    ]


def shard_name(name: str, split: str, index: int) -> str:
    return f"{name}-{split}-{index:06d}.tar"


def key_findings(scenes: Sequence[Scene]) -> list[Finding]:
    """Keys that a member name cannot hold, and keys that stand in two splits."""
    findings, first = [], dict[str, Scene]()
    for scene in scenes:
        if not KEY.fullmatch(scene.key) or len(scene.key) + LONGEST_PART > MAX_NAME:
            findings.append(Finding("bad-key", scene.image.path, f"key {scene.key!r}"))
        other = first.setdefault(scene.key, scene)
        if other is not scene:
            found = f"{scene.key} is also {other.image.path}"
            findings.append(Finding("duplicate-key", scene.image.path, found))
    return findings


def _rank(seed: int, split: str, key: str) -> tuple[bytes, str]:
    return blake2b(f"segdata.plan/{seed}/{split}/{key}".encode(), digest_size=16).digest(), key
