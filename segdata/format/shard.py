"""Write one shard: a plain ustar archive whose bytes depend on its members alone.

Nothing of the moment enters: time 0, owner 0, fixed mode. The file appears whole or not at all.
"""

import hashlib
import os
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from segdata.base.files import discard, sync
from segdata.base.refusal import placed
from segdata.errors import ShardError

BLOCK = tarfile.BLOCKSIZE  # 512
MAX_NAME = 100  # ustar's name field; longer names would need an extension that not every reader knows


class ShardWriter:
    """Writes members to `<path>.tmp-<pid>`; `close` makes them durable and gives them their name.

    A context manager: leaving it with an exception removes the unfinished file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tmp = path.with_name(f"{path.name}.tmp-{os.getpid()}")
        self._file: BinaryIO = self._tmp.open("wb")
        self._hash = hashlib.sha256()
        self._offset = 0

    def add(self, key: str, parts: Sequence[tuple[str, bytes]]) -> dict[str, tuple[int, int]]:
        """Append one sample's members; returns part -> (offset of its bytes, size)."""
        places = {}
        for part, data in parts:
            self._write(header(f"{key}.{part}", len(data)))
            places[part] = (self._offset, len(data))
            self._write(data)
            self._write(bytes(-len(data) % BLOCK))
        return places

    def close(self) -> tuple[str, int]:
        """Finish the archive; returns (sha256, bytes) of the file."""
        self._write(bytes(2 * BLOCK))
        self._write(bytes(-self._offset % tarfile.RECORDSIZE))
        with placed(self.path):
            self._file.flush()
            sync(self._file.fileno())
            self._file.close()
        self._tmp.rename(self.path)
        return self._hash.hexdigest(), self._offset

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if not self._file.closed:
            with suppress(OSError):  # what could not be written cannot be now: that error is on its way
                self._file.close()
        discard(self._tmp)

    def _write(self, data: bytes) -> None:
        with placed(self.path):
            self._file.write(data)
        self._hash.update(data)
        self._offset += len(data)


def header(name: str, size: int) -> bytes:
    """The 512 bytes before a member. Raises ShardError when ustar cannot hold the name."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    if not name.isascii() or len(name) > MAX_NAME:
        raise ShardError(f"member name {name!r}: expected at most {MAX_NAME} ASCII characters.")
    return info.tobuf(tarfile.USTAR_FORMAT)
