"""What segdata raises: one family, caught once in `cli.py` and printed as one line."""


class SegdataError(Exception):
    """The message says what was found, what was expected and what to do."""


class SourceError(SegdataError):
    """The dataset at `--root` is not laid out as its source publishes it."""


class TaxonomyError(SegdataError):
    """A taxonomy file is wrong in itself or does not fit its source."""


class CodecError(SegdataError):
    """Bytes that are not the picture they claim to be."""


class ShardError(SegdataError):
    """A shard folder that is incomplete, changed or not one at all."""


class LockedError(SegdataError):
    """Somebody else is writing the same folder."""
