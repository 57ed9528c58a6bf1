"""What differs between two target maps, in classes and pixels: the words that `verify` and `diff` share."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from segdata.base.arrays import U8
from segdata.findings import first_few
from segdata.labels.taxonomy import IGNORE, Taxonomy

SHOWN = 6


def id_changes(a: U8, b: U8) -> Counter[tuple[int, int]]:
    """(id in a, id in b) -> pixels, of two maps (H, W) where they differ."""
    differs = a != b
    pairs, pixels = np.unique(a[differs].astype(np.int64) << 8 | b[differs], return_counts=True)
    return Counter({(int(p) >> 8, int(p) & 255): int(n) for p, n in zip(pairs, pixels, strict=True)})


def count_changes(a: U8, b: U8) -> Counter[int]:
    """plane -> by how many pixels the coverage counts (K+1, h, w) of b are more, or less, than those of a."""
    moved = b.astype(np.int64).sum(axis=(1, 2)) - a.astype(np.int64).sum(axis=(1, 2))
    return Counter({plane: int(n) for plane, n in enumerate(moved) if n})


def class_name(taxonomy: Taxonomy, code: int) -> str:
    if code == IGNORE:
        return "ignored"
    return taxonomy.classes[code].name if code < len(taxonomy.classes) else f"id {code}"


def described(changes: Mapping[tuple[int, int], int], a: Taxonomy, b: Taxonomy) -> str:
    """ "12 pixels: road -> sidewalk 7, sky -> ignored 5", the largest change first."""
    rows = sorted(changes.items(), key=lambda row: (-row[1], row[0]))
    moves = [f"{class_name(a, old)} -> {class_name(b, new)} {n}" for (old, new), n in rows]
    return f"{sum(changes.values())} pixels: {first_few(moves, SHOWN)}"


def balance(moved: Mapping[int, int], taxonomy: Taxonomy) -> str:
    """ "road +12, ignored -12 pixels" from plane -> difference; the last plane, K, is what is ignored."""
    rows = sorted(moved.items(), key=lambda row: (-abs(row[1]), row[0]))
    names = [class_name(taxonomy, plane if plane < len(taxonomy.classes) else IGNORE) for plane, _ in rows]
    shown = [f"{name} {n:+d}" for name, (_, n) in zip(names, rows, strict=True) if n]
    return f"{first_few(shown, SHOWN)} pixels" if shown else "each class has as many pixels as before"
