"""Label files of every coding, as one thing: a size, a digest, and the raw ids of the pixels."""

from collections.abc import Callable, Sequence
from typing import Protocol

from segdata.base.arrays import U8
from segdata.findings import SampleError
from segdata.labels.label import Coding, Label
from segdata.raw.contents.drawings import DrawingReader
from segdata.raw.contents.labelme import LABELME
from segdata.raw.contents.labelpictures import LabelReader
from segdata.raw.contents.polygons import CITYSCAPES
from segdata.raw.member import Member


class LabelFile(Protocol):
    """A label file that was read and checked; its ids are made when they are asked for."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        ...

    @property
    def digest(self) -> str:
        """BLAKE3 of the file."""
        ...

    def ids(self) -> U8:
        """Raw ids (H, W). Raises SampleError. The size must be known to be that of the image, so that it is bounded."""
        ...

    def problem(self, code: str, found: str) -> SampleError:
        """The finding that this is wrong with it."""
        ...


LabelOpener = Callable[[Member], LabelFile]  # raises SampleError with the finding that keeps the file from being used


def label_opener(coding: Coding, labels: Sequence[Label]) -> LabelOpener:
    """What opens the label files of this coding, by the label table of their dataset."""
    drawn = {"polygons": CITYSCAPES, "labelme": LABELME}
    if coding.kind in drawn:
        return DrawingReader(drawn[coding.kind], labels, coding.background).open
    return LabelReader(coding, labels).open
