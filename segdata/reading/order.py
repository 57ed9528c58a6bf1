"""A shuffled order whose every position is computed by itself: no array, no state, no worker count.

Position p of epoch e is a pure function of (seed, e, N): a Feistel network over the smallest even-bit domain
that holds N, walked along its cycle until the value is below N (Black and Rogaway, 2002).
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import overload

import numpy as np
from numpy.typing import NDArray

ROUNDS = 8
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Permutation(Sequence[int]):
    """The numbers 0 … n-1 in the order of (seed, epoch); `p[i]`, slices and `at(positions)` cost O(1) each."""

    def __init__(self, n: int, seed: int, epoch: int = 0) -> None:
        self.n = n
        self._half = max((n - 1).bit_length() + 1, 2) // 2  # bits of one half: 4**half >= n
        self._mask = np.uint64((1 << self._half) - 1)
        material = b"".join(
            blake2b(f"segdata.order/{seed}/{epoch}/{i}".encode(), digest_size=8).digest() for i in range(ROUNDS)
        )
        self._keys = np.frombuffer(material, "<u8")

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, position: int) -> int: ...
    @overload
    def __getitem__(self, position: slice) -> list[int]: ...
    def __getitem__(self, position: int | slice) -> int | list[int]:
        if isinstance(position, slice):
            return [int(v) for v in self.at(np.arange(self.n, dtype=np.int64)[position])]
        if not -self.n <= position < self.n:
            raise IndexError(f"position {position} of an order of {self.n}")
        return int(self.at(np.array([position % self.n]))[0])

    def __iter__(self) -> Iterator[int]:
        for start in range(0, self.n, 4096):
            yield from self.at(np.arange(start, min(start + 4096, self.n))).tolist()

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """What stands at these positions, each 0 <= p < n."""
        values = self._encrypt(positions.astype(np.uint64))
        while (outside := values >= self.n).any():
            values[outside] = self._encrypt(values[outside])
        return values.astype(np.int64)

    def _encrypt(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        half = np.uint64(self._half)
        left, right = values >> half, values & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mixed(right + key) & self._mask)
        return (left << half) | right


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser: every input bit reaches every output bit; arithmetic modulo 2**64 is meant."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * _MIX_1
        x = (x ^ (x >> np.uint64(27))) * _MIX_2
        return x ^ (x >> np.uint64(31))
