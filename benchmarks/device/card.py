"""A card: one thing that a device must show."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]  # as JSON has it


class CardError(Exception):
    """What a card found is not as it should be; the message says what."""


class OutOfTimeError(Exception):
    """A card saw its limit come and stopped; its rows are a part of what was wanted."""


@dataclass(frozen=True)
class Bench:
    """What a card works with."""

    device: str  # cuda or cpu, as --device takes it
    pack: Path  # what `pack` built
    scratch: Path  # an empty folder of this card's own
    rehearsal: bool = False  # everything tiny: does the card run at all?
    seconds: float = math.inf  # that it may take before it is stopped

    @property
    def camvid(self) -> Path:
        """Shards of CamVid, 360x480, with x1 to x8 targets."""
        return self.pack / "camvid"

    @property
    def streets(self) -> Path:
        """Shards of painted streets, 1024x2048, with x1 to x8 targets."""
        return self.pack / "streets"


def _nothing(rows: Sequence[Row]) -> str:
    return ""


@dataclass(frozen=True)
class Card:
    """A name, and the work that yields its rows of figures one after the other.

    Rows that were yielded before the card was stopped are kept. Every ratio is formed within one card.
    """

    name: str  # of its result file
    work: Callable[[Bench], Iterator[Row]]
    estimate: float  # seconds: it is not begun where fewer are left
    limit: float  # seconds: then it is stopped
    says: Callable[[Sequence[Row]], str] = _nothing  # its rows in a few words, for the table at the end
    alone: bool = True  # it measures time; else others may run beside it
