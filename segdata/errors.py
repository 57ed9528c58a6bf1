"""What segdata raises: one family, caught once in `cli/entry.py` and printed as one line."""

from collections.abc import Iterable
from typing import Any


class SegdataError(Exception):
    """The message says what was found, what was expected and what to do."""


class OptionError(SegdataError):
    """Options that do not fit each other, or a value that an option does not have."""


class PlaceWarning(UserWarning):
    """A file system that lacks something: the work goes on, with less safety."""


class SourceError(SegdataError):
    """The dataset at `--root` is not laid out as its source publishes it; `findings`: the same for other tools."""

    def __init__(self, message: str, findings: Iterable[Any] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class MissingError(SourceError):
    """A folder that the source needs is not there: an unusual split, or the wrong `--root`."""


class LinkError(SourceError):
    """A symlink that leads nowhere, in a circle, or where this user may not read."""


class TooLargeError(SourceError):
    """A file that declares more bytes than any picture of these datasets has: not read."""


class TaxonomyError(SegdataError):
    """A taxonomy file is wrong in itself or does not fit its source."""


class CodecError(SegdataError):
    """Bytes that are not the picture they claim to be."""


class SizeError(CodecError):
    """A picture that declares another size than is due, or one that no picture has: not decoded."""


class UnsupportedError(CodecError):
    """A picture of a kind that not every reader opens, or that readers take for different pictures: not decoded."""


class ShardError(SegdataError):
    """A shard folder that is incomplete, changed or not one at all."""


class LockedError(SegdataError):
    """Somebody else is writing the same folder."""


class StoreError(SegdataError):
    """An object store or web server that cannot be reached, or that says no."""


class RangeError(StoreError):
    """More bytes than were asked for, or than the file may have: a longer file, or a server of whole files only."""


class LongError(RangeError):
    """A file of more bytes than the one that belongs there may have: not read."""


class AbsentError(StoreError):
    """There is no such object in the store."""
