"""A shard that is done: what the manifest lists of it, and the receipt on disk that has the rest.

A set of a million frames has a gigabyte of receipts: they are read one at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segdata.errors import ShardError
from segdata.format.manifest import ShardEntry
from segdata.format.receipt import Receipt, read_receipt


@dataclass(frozen=True)
class Finished:
    """One shard of the set that is being published."""

    entry: ShardEntry
    receipt: Path

    def read(self) -> Receipt:
        """Raises ShardError where the receipt cannot be read."""
        if receipt := read_receipt(self.receipt):
            return receipt
        raise ShardError(f"{self.receipt}: the receipt of {self.entry.name} is gone or damaged. Run prepare again.")


Shards = Mapping[str, Sequence[Finished]]  # split -> its shards in order
