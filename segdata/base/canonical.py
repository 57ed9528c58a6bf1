"""One way to write JSON and one way to name content, so that equal things have equal bytes and digests.

SHA-256 names what people check with `sha256sum`: files. BLAKE3 names what only segdata compares, source files and
decoded pixels: as strong, four times as fast, and on the way of every pixel.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from blake3 import blake3

from segdata.base.arrays import U8


def canonical_json(document: object) -> bytes:
    """The same bytes for the same content: sorted keys, no spaces, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def pretty_json(document: object) -> bytes:
    """The same for people: sorted keys, indented, one newline at the end."""
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True).encode("ascii") + b"\n"


def digest_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_source(data: bytes) -> str:
    """BLAKE3 of a source file's bytes."""
    return str(blake3(data).hexdigest())


def digest_sample(parts: Iterable[str]) -> str:
    """What a sample is known by where it is fetched alone: BLAKE3 over the BLAKE3 digests of its parts, by name."""
    return str(blake3(bytes.fromhex("".join(parts))).hexdigest())


def digest_pixels(array: U8) -> str:
    """BLAKE3 of the array's bytes in C order; the size stands beside it in the index."""
    return str(blake3(np.ascontiguousarray(array).data).hexdigest())


def digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
