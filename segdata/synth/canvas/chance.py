"""Random numbers, and what a frame's number decides instead of them."""

from collections.abc import Sequence

import numpy as np

Rng = np.random.Generator


def child(rng: Rng) -> Rng:
    """An independent generator that depends on the parent's state only."""
    return np.random.default_rng(int(rng.integers(1 << 62)))


def draw_rare(rng: Rng, number: int, names: Sequence[str], share: float) -> frozenset[str]:
    """The rare things of frame `number`: one of them in turn for certain, each other one in a `share` of all frames."""
    return frozenset(name for k, name in enumerate(names) if number % len(names) == k or rng.random() < share)
