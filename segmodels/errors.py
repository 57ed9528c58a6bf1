"""What segmodels raises: one family, caught once in `cli` and printed as one line."""


class SegmodelsError(Exception):
    """The message says what was found, what was expected and what to do."""
