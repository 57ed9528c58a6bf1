"""One way to write JSON and one way to name content, so that equal things have equal bytes and digests."""

import hashlib
import json
from pathlib import Path

import numpy as np

from segdata.scene import U8


def canonical_json(document: object) -> bytes:
    """The same bytes for the same content: sorted keys, no spaces, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def pretty_json(document: object) -> bytes:
    """The same for people: sorted keys, indented, one newline at the end."""
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True).encode("ascii") + b"\n"


def digest_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_pixels(array: U8) -> str:
    """sha256 of the array's bytes in C order; the size stands beside it in the index."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
