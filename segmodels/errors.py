"""What segmodels raises: segdata's family, caught once in `cli` and printed as one line."""

from segdata.errors import SegdataError


class SegmodelsError(SegdataError):
    """The message says what was found, what was expected and what to do."""


class CodeError(SegmodelsError):
    """The code of a network that is none of segmodels' own is not here, or is another one."""
