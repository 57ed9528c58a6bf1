"""Which groups of frames form which split, by shares of the frames or as one of several folds.

A group is never cut in two. The result is a function of the seed, the groups and their sizes alone, whatever the order
in which they come.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from math import lcm
from typing import NamedTuple

from segdata.errors import SourceError

SHOWN = 3
LEFT_OUT = ""  # the split of groups that are in none


class Fold(NamedTuple):
    """Fold `number`, from 1, of `of` folds: its groups are val, those of all other folds are train."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Shares:
    """`of`: split -> its share of the frames, in the order of the splits; together 1 at most, the rest is left out."""

    of: Mapping[str, Fraction]
    seed: int = 0
    fold: Fold | None = None  # then `of` follows from it

    def __str__(self) -> str:
        if self.fold:
            return f"fold {self.fold.number} of {self.fold.of}"
        return ", ".join(f"{split} {in_digits(share)}" for split, share in self.of.items())

    @property
    def options(self) -> dict[str, object]:
        """What goes into a set's options, and so into its identity."""
        shares = [f"{split} {in_digits(share)}" for split, share in self.of.items()]
        return {**({"fold": str(self.fold)} if self.fold else {"split_shares": shares}), "split_seed": self.seed}


def of_fold(fold: Fold, seed: int = 0) -> Shares:
    """The shares of one fold: all folds but one are train, the rest is val."""
    val = Fraction(1, fold.of)
    return Shares({"train": 1 - val, "val": val}, seed, fold)


def in_digits(share: Fraction) -> str:
    """0.8; 1/3 where no short decimal number is the share."""
    short = f"{float(share):g}"
    return short if Fraction(short) == share else str(share)


def share_out(shares: Shares, sizes: Mapping[str, int]) -> dict[str, str]:
    """group -> split, of groups with so many frames each; LEFT_OUT where it is in none.

    Raises SourceError where there are too few groups for each split, or each fold, to have one.
    """
    wanted, needed = (f"{shares.fold.of} folds", shares.fold.of) if shares.fold else ("", len(shares.of))
    if len(sizes) < needed:
        have = "1 group" if len(sizes) == 1 else f"{len(sizes)} groups"
        few = ", ".join(sorted(sizes)[:SHOWN]) + ", …" * (len(sizes) > SHOWN)
        raise SourceError(
            f"{wanted or f'shares of {needed} splits'} need {needed} groups of frames at least, here are {have} "
            f"({few or 'no frames are left for them'}), and a group is never cut in two. Ask for fewer, or make lists "
            "of frames and give them with --split-list."
        )
    groups = ranked(shares.seed, sizes)
    return _by_fold(shares.fold, groups, sizes) if shares.fold else _by_share(shares.of, groups, sizes)


def ranked(seed: int, groups: Mapping[str, int]) -> list[str]:
    """The groups in the random order of this seed: that of a keyed hash of their names."""
    return sorted(groups, key=lambda group: (_hash(seed, group), group))


def _hash(seed: int, group: str) -> bytes:
    return blake2b(f"segdata.splits/{seed}/{group}".encode(errors="surrogatepass"), digest_size=16).digest()


def _by_share(of: Mapping[str, Fraction], groups: Sequence[str], sizes: Mapping[str, int]) -> dict[str, str]:
    """Each group goes to the split that lacks most of its share.

    Groups of at least half the smallest share come first, the largest before the others: so a few drives of different
    lengths still give shares that are near to those asked for. No split stays empty.
    """
    unit = lcm(*(share.denominator for share in of.values()))  # a frame counts as so many: whole numbers, no rounding
    total = sum(sizes.values())
    shares = {**of, LEFT_OUT: 1 - sum(of.values())}
    lacks = {split: int(share * unit) * total for split, share in shares.items() if share}
    smallest = min(lacks[split] for split in of)
    large = {group for group in groups if 2 * sizes[group] * unit >= smallest}
    order = sorted(groups, key=lambda group: -sizes[group] if group in large else 0)  # stable
    empty = dict.fromkeys(of)
    found = {}
    for left, group in zip(range(len(order), 0, -1), order, strict=True):
        split = max(empty if left <= len(empty) else lacks, key=lambda each: lacks[each])  # the first of equals
        found[group] = split
        lacks[split] -= sizes[group] * unit
        empty.pop(split, None)
    return found


def _by_fold(fold: Fold, groups: Sequence[str], sizes: Mapping[str, int]) -> dict[str, str]:
    """The largest group first, each goes to the fold with the fewest frames (as scikit-learn's GroupKFold does)."""
    folds = [(0, number) for number in range(1, fold.of + 1)]  # frames, fold: a heap
    found = {}
    for group in sorted(groups, key=lambda each: -sizes[each]):  # stable: of equal ones in their random order
        frames, number = folds[0]
        found[group] = "val" if number == fold.number else "train"
        heapq.heapreplace(folds, (frames + sizes[group], number))
    return found
