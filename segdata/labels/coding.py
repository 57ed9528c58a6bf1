"""Whether label files hold the ids of their dataset's table, or another coding under the same names.

The ids of one frame do not tell: train ids and ids that are shifted by one are legal values too. How many pixels the
dataset's landmarks cover does: at least a seventh of a split by the tables of all datasets here. In another coding
other values have that share, which is asked of every file and of the whole.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segdata.findings import Finding, first_few
from segdata.labels.label import LabelTable, Lookalike
from segdata.labels.targets import Histogram

RULES = 1  # of what may be in a label file or picture. Raise it with every stricter one: shards of before are reviewed
LEAST = 0.03  # share of the pixels that landmarks have in any set of frames
CLEAR = 0.1  # share that they have, as another coding has them, where it is that coding
TIMES = 3  # of the share that they have as the table has them
SHOWN = 3  # paths of files that are named
FEW = 0.05  # of the files of a split that may look so by chance: a lorry close by, a wide pavement


@dataclass(frozen=True)
class Tally:
    """What is counted of label files, to be added up: pixels per raw code (256,), and folder -> (files, doubtful ones).

    `example` is the first of these by its path; which way ids are shifted, one file does not tell for sure.
    blank: how many label files have no pixel of an evaluated class; blanks: the first of them by their paths.
    """

    pixels: Histogram = field(default_factory=lambda: np.zeros(256, np.int64), compare=False)
    folders: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    example: str = ""
    blank: int = 0
    blanks: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: str, pixels: Histogram, landmarks: Collection[int], lookalikes: Sequence[Lookalike]) -> "Tally":
        """Of one file, which is taken for one that is not blank: what is evaluated, only a taxonomy says."""
        other = likely(pixels, landmarks, lookalikes)
        folder = path.rpartition("/")[0]
        example = "" if other is None else f"{path} ({other.name})" if other.ids else path
        return cls(pixels, {folder: (1, int(other is not None))}, example)

    def __add__(self, other: "Tally") -> "Tally":
        folders = dict(self.folders)
        for folder, (files, doubtful) in other.folders.items():
            before = folders.get(folder, (0, 0))
            folders[folder] = before[0] + files, before[1] + doubtful
        examples = sorted(filter(None, (self.example, other.example)))
        blanks = tuple(sorted({*self.blanks, *other.blanks})[:SHOWN])
        return Tally(
            self.pixels + other.pixels, folders, examples[0] if examples else "", self.blank + other.blank, blanks
        )

    def document(self) -> dict[str, Any]:
        pixels = {str(code): int(self.pixels[code]) for code in np.flatnonzero(self.pixels)}
        more = {"example": self.example, "blank": self.blank, "blanks": list(self.blanks)}
        return {"pixels": pixels, "folders": {name: list(row) for name, row in self.folders.items()}} | {
            name: value for name, value in more.items() if value
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Tally":
        """Of anything but what `document` gives, an exception."""
        pixels = np.zeros(256, np.int64)
        for code, count in document["pixels"].items():
            pixels[int(code)] = count
        folders = {str(name): (int(files), int(doubtful)) for name, (files, doubtful) in document["folders"].items()}
        blanks = tuple(map(str, document.get("blanks", ())))
        return cls(pixels, folders, str(document.get("example", "")), int(document.get("blank", 0)), blanks)


NOTHING = Tally()


def coding_finding(source: LabelTable, split: str, tally: Tally) -> Finding | None:
    """What the label files of a split say against their coding. Of no pixels, nothing."""
    pixels = tally.pixels
    found, total = np.flatnonzero(pixels).tolist(), int(pixels.sum())
    if not total:
        return None
    where = f"{source.name} {split}"
    if len(found) == 1:
        return Finding("label-coding", where, f"all {total} pixels hold id {found[0]}")
    if not source.landmarks:
        return None  # nobody has said what any set of its frames shows
    if _share(pixels, source.landmarks) < LEAST or likely(pixels, source.landmarks, source.lookalikes):
        return Finding("label-coding", where, _said(source, pixels))
    files, doubtful = (sum(row[i] for row in tally.folders.values()) for i in (0, 1))
    is_mixed = doubtful > 1 and doubtful >= FEW * files
    if not is_mixed and not any(few > 1 and 2 * few >= count for count, few in tally.folders.values()):
        return None
    said = f"{doubtful} of {files} label files look like another coding than the rest, such as {tally.example}"
    return Finding("label-coding", where, said)


def blank_finding(source: LabelTable, split: str, tally: Tally, evaluated: Sequence[str]) -> Finding | None:
    """That label files of a split have no pixel of the classes that are `evaluated`; None where all have one."""
    if not tally.blank:
        return None
    files = sum(count for count, _ in tally.folders.values())
    names = first_few(evaluated, SHOWN)
    few = ", ".join(tally.blanks) + f" and {tally.blank - SHOWN} more" * (tally.blank > SHOWN)
    found = f"{tally.blank} of {files} label files have no pixel of an evaluated class ({names}): {few}"
    return Finding("nothing-labelled", f"{source.name} {split}", found)


def likely(
    pixels: Histogram, landmarks: Collection[int], lookalikes: Sequence[Lookalike], clear: float = CLEAR
) -> Lookalike | None:
    """The other coding in which the landmarks have the share of these pixels that they should have; None for none."""
    if not landmarks:
        return None
    best = max(_codings(pixels, landmarks, lookalikes), key=lambda each: _share(pixels, each.landmarks))
    share = _share(pixels, best.landmarks)
    return best if share >= max(clear, TIMES * _share(pixels, landmarks)) else None


def guess(found: Collection[int], lookalikes: Sequence[Lookalike]) -> str:
    """The rest of a sentence that says of which other coding these ids may be; "" where none is known."""
    return next((_looks_like(each) for each in lookalikes if each.ids.issuperset(found)), "")


def _codings(pixels: Histogram, landmarks: Collection[int], lookalikes: Sequence[Lookalike]) -> list[Lookalike]:
    """Those that the source knows and that have all the ids; ids that begin at 1, 0 being "no label"; ids that lost
    their first one."""
    found = np.flatnonzero(pixels).tolist()
    shifts = {"higher": 1, "lower": -1}
    shifted = [
        Lookalike(
            f"ids that are one {how} than the table's",
            frozenset(),
            f"{'Subtract 1 from' if by == 1 else 'Add 1 to'} each that is an id.",
            frozenset(code + by for code in landmarks),
        )
        for how, by in shifts.items()
    ]
    return [*(each for each in lookalikes if each.ids.issuperset(found)), *shifted]


def _said(source: LabelTable, pixels: Histogram) -> str:
    names = {label.id: label.name for label in source.labels}
    held = _listed([f"{code} ({names[code]})" for code in sorted(source.landmarks)])
    said = f"only {_share(pixels, source.landmarks):.2%} of {pixels.sum()} pixels hold {held}"
    if known := guess(np.flatnonzero(pixels).tolist(), source.lookalikes):
        return said + known
    other = likely(pixels, source.landmarks, source.lookalikes, LEAST)
    if other is None:
        return said
    return f"{said}, more hold {_listed(map(str, sorted(other.landmarks)))}{_looks_like(other)}"


def _looks_like(coding: Lookalike) -> str:
    return f": these look like {coding.name}" + f". {coding.advice}" * bool(coding.advice)


def _share(pixels: Histogram, codes: Collection[int]) -> float:
    return float(pixels[[code for code in codes if 0 <= code < len(pixels)]].sum() / max(int(pixels.sum()), 1))


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
