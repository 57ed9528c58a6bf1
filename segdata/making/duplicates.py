"""The same image file in two splits, whatever its name: a leak from training into the score."""

import numpy as np
from numpy.typing import NDArray

from segdata.findings import Finding
from segdata.format.receipt import Receipt


class Duplicates:
    """Gathers the samples' source digests, 32 bytes each; `findings` names those that stand in two splits."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._keys: list[NDArray[np.bytes_]] = []  # of each receipt
        self._splits: list[str] = []  # of each receipt

    def add(self, receipt: Receipt) -> None:
        """The receipts come in the order of the set: of two equal images the later one is the finding."""
        self._digests += bytes.fromhex("".join(row.sources["image"] for row in receipt.samples))
        self._keys.append(np.array([row.key.encode() for row in receipt.samples]))
        self._splits.append(receipt.split)

    def findings(self) -> list[Finding]:
        if len(set(self._splits)) < 2:
            return []
        keys = np.concatenate(self._keys)
        splits = np.repeat(self._splits, [len(part) for part in self._keys])
        _, firsts, of_row = np.unique(np.frombuffer(self._digests, "S32"), return_index=True, return_inverse=True)
        first = firsts[of_row]  # for every row the first one with its image
        return [
            Finding(
                "duplicate-frame",
                f"{splits[row]} {keys[row].decode()}",
                f"the same image as {keys[first[row]].decode()} in {splits[first[row]]}",
            )
            for row in np.flatnonzero(splits != splits[first])
        ]
