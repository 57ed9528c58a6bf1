"""The kinds of archives, told apart by their names."""

import re

ZIP = re.compile(r".+\.zip", re.IGNORECASE | re.DOTALL)
TAR = re.compile(r".+\.tar", re.IGNORECASE | re.DOTALL)
PACKED_TAR = re.compile(r".+\.(tar\.(gz|bz2|xz|zst|z)|tgz|tbz2?|txz)", re.IGNORECASE | re.DOTALL)
OTHER = re.compile(r".+\.(7z|rar)", re.IGNORECASE | re.DOTALL)


def is_archive(name: str) -> bool:
    """Whether a file of this name is one, be it of a kind that is read or of one that is only named."""
    return any(kind.fullmatch(name) for kind in (ZIP, TAR, PACKED_TAR, OTHER))
