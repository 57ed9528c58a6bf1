"""A file of a store as Python's file objects are: seekable, and read by ranges as it is asked for."""

import io
import os
from functools import lru_cache

from segdata.stores import CHUNK, Store, open_store
from segdata.url import Url


class StoreFile(io.RawIOBase):
    """Wrap it in io.BufferedReader: each read here is a request. Raises StoreError."""

    def __init__(self, store: Store, path: str, size: int | None = None) -> None:
        self._store, self._path, self._at = store, path, 0
        self._size = size if size is not None else store.size(path)
        if self._size is None:
            raise io.UnsupportedOperation(f"{store.url / path}: the server does not say how long it is")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size or 0}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the stubs' Buffer has no length
        stop = min(self._at + min(len(buffer), CHUNK), self._size or 0)  # whoever asks for more asks again
        if stop <= self._at:
            return 0
        data = self._store.read(self._path, self._at, stop)
        buffer[: len(data)] = data
        self._at = stop
        return len(data)


@lru_cache(maxsize=16)
def local_store(url: Url, pid: int) -> Store:
    """The open store of this process: connections do not survive a fork."""
    return open_store(url)
