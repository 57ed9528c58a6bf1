"""Frames: what a dataset says that they are, and the RGB picture of 8 bits that a sample holds of each."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from segdata.base.arrays import U8
from segdata.errors import OptionError
from segdata.pictures.containers.kinds import KEPT, format_of
from segdata.raw.contents.picture import PictureFile, open_picture
from segdata.raw.member import Member
from segdata.raw.scene import FrameRule

COLORS = {"rgb": "RGB", "grey": "grey", "rgba": "RGBA"}  # channels of a rule: a picture's colour
WORDS = {color: channels for channels, color in COLORS.items()}
DEEPEST = (1 << 16) - 1


class FrameReader:
    """Opens the frames of a dataset that are what its rule says, and makes RGB of 8 bits of them."""

    def __init__(self, rule: FrameRule) -> None:
        self.due = (COLORS[rule.channels], 16 if rule.range else 8)
        self._table = range_table(*rule.range) if rule.range else None

    def open(self, member: Member) -> PictureFile:
        """Raises SampleError with the finding that keeps the frame from being used."""
        file = open_picture(member, "image-format")
        if file.pixel != self.due:
            raise file.problem("image-format", f"{file.kind} where {self.due[1]}-bit {self.due[0]} is due. {_do(file)}")
        if file.chunk(b"tRNS") is not None:
            raise file.problem("reader-dependent", "a transparent colour (tRNS): some readers give a fourth channel")
        return file

    def pixels(self, file: PictureFile) -> U8:
        """(H, W, 3): grey three times, RGBA without its alpha, 16 bits by the rule's range."""
        stored = file.decoded()
        if self._table is not None:
            stored = self._table[stored]
        if stored.ndim == 2:
            stored = np.repeat(stored[..., None], 3, axis=2)
        return np.ascontiguousarray(stored[..., :3], np.uint8)


def range_table(low: int, high: int) -> U8:
    """16-bit value -> 8-bit value (65536,): `low` becomes 0 and `high` 255, linearly between them, rounded half up in
    integers; values beyond the range become 0 and 255."""
    values = np.arange(DEEPEST + 1, dtype=np.int64).clip(low, high)
    return np.asarray((2 * 255 * (values - low) + (high - low)) // (2 * (high - low)), np.uint8)


def can_be_kept(paths: Iterable[str]) -> bool:
    """Whether `--image-codec keep` passes the bytes of these frames on, by their names: not where all are TIFF, which
    no loader of shards reads.

    Raises OptionError where they are of several formats: all samples of a set have the same parts.
    """
    suffixes = Counter(path.rpartition(".")[2].lower() for path in paths)
    formats = {found for suffix in suffixes if (found := format_of(f".{suffix}"))}
    if len(formats) > 1:
        found = " and ".join(f"{count} frame{'s' * (count > 1)} .{suffix}" for suffix, count in suffixes.most_common())
        raise OptionError(
            f"{found}: --image-codec keep passes the bytes of frames on, and those of one set are of one format. Give "
            "--image-codec png."
        )
    return formats <= KEPT.keys()


def _do(file: PictureFile) -> str:
    """What to do about frames that are not what the rule says."""
    color, depth = file.pixel
    if color not in WORDS or depth not in {8, 16}:
        return "Save it as 8-bit RGB"
    depths = f", range: [0, {DEEPEST}]" if depth == 16 else ""
    return f"Where all frames are so, say it in the source file: `image: {{channels: {WORDS[color]}{depths}}}`"
