"""Which frames belong together, so that shares and folds never cut them in two: the one place that asks a source."""

from collections.abc import Callable
from typing import NamedTuple

from segdata.raw.scene import Grouped, SceneSource


class Grouping(NamedTuple):
    """`rule` says in a word or two how groups are formed; `of` gives the group of the frame with a key."""

    rule: str
    of: Callable[[str], str]


def grouping(source: SceneSource) -> Grouping:
    """The rule that the source has for shares, else its clips (`Grouped`), else each frame is a group of its own."""
    of = getattr(source, "split_group", None)
    if callable(of):
        return Grouping(str(getattr(source, "split_by", None) or "split_by of the source"), of)
    if isinstance(source, Grouped):
        return Grouping("group of the source", source.group)
    return Grouping("each frame alone", str)
