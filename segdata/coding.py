"""Whether label files hold the ids of their dataset's table, or another coding under the same names.

The ids of one frame do not tell: train ids and ids that are shifted by one are legal values too. How much of a whole
split the dataset's landmarks cover does: at least a seventh by the tables of all datasets here, at most a fortieth in
another coding.
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from segdata.findings import Finding
from segdata.scene import Lookalike, SceneSource
from segdata.targets import Histogram

LEAST = 0.03  # share of the pixels that landmarks have in any set of frames


def coding_finding(source: SceneSource, split: str, pixels: Histogram) -> Finding | None:
    """What pixels per raw code (256,), of all labels of a split, say against their coding. Of no pixels, nothing."""
    found, total = np.flatnonzero(pixels).tolist(), int(pixels.sum())
    landmarks = sorted(source.landmarks)
    share = pixels[landmarks].sum() / max(total, 1)
    if not total or (share >= LEAST and len(found) > 1):
        return None
    if len(found) == 1:
        said = f"all {total} pixels hold id {found[0]}"
    else:
        names = {label.id: label.name for label in source.labels}
        said = f"only {share:.2%} of {total} pixels hold {_listed([f'{code} ({names[code]})' for code in landmarks])}"
        said += guess(found, source.lookalikes) or _shift(pixels, landmarks)
    return Finding("label-coding", f"{source.name} {split}", said)


def guess(found: Collection[int], lookalikes: Sequence[Lookalike]) -> str:
    """The rest of a sentence that says of which other coding these ids may be; "" where none is known."""
    return next(
        (f": these look like {each.name}. {each.advice}" for each in lookalikes if each.ids.issuperset(found)), ""
    )


def _shift(pixels: Histogram, landmarks: Sequence[int]) -> str:
    """Ids that begin at 1, 0 being "no label", or that lost their first one."""
    by = max(1, -1, key=lambda by: int(pixels[[code + by for code in landmarks]].sum()))
    codes = [code + by for code in landmarks]
    if pixels[codes].sum() < LEAST * pixels.sum():
        return ""
    how = "higher" if by == 1 else "lower"
    return f", more hold {_listed(map(str, codes))}: these look like ids that are one {how} than the table's"


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
