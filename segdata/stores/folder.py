"""A folder of this machine as Files."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

from segdata.base.files import LIMIT, open_regular
from segdata.base.refusal import refusal, unread
from segdata.errors import AbsentError, SegdataError, StoreError
from segdata.stores.store import Entry, too_long


class Folder:
    """Links to files are followed, as DVC links its cache in. Pipes and devices are not read. Raises StoreError."""

    def __init__(self, path: Path) -> None:
        self.place = path

    def read(self, path: str, *, limit: int = LIMIT) -> bytes:
        with self.opened(path, limit) as file:
            return file.read()

    def has(self, path: str) -> bool:
        return os.path.lexists(self.place / path)

    def files(self) -> dict[str, Entry]:
        """All that is no folder. Links to folders are not followed, and so stand among the files."""
        found, pending = dict[str, Entry](), [self.place]
        while pending:
            folder = pending.pop()
            try:
                for entry in os.scandir(folder):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    else:
                        size = entry.stat(follow_symlinks=False).st_size
                        found[Path(entry.path).relative_to(self.place).as_posix()] = Entry(size, "")
            except OSError as error:
                raise SegdataError(refusal(error, folder)) from None
        return dict(sorted(found.items()))

    def digest(self, path: str, limit: int) -> str:
        with self.opened(path, limit) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def opened(self, path: str, limit: int) -> Iterator[BufferedIOBase]:
        """The file itself. What the system says of it meanwhile is a StoreError too."""
        where = self.place / path
        try:
            with open(open_regular(where, sys.maxsize, StoreError), "rb") as file:  # noqa: PTH123  (it is open)
                if (size := os.fstat(file.fileno()).st_size) > limit:
                    raise too_long(where, str(size), limit)
                yield file
        except FileNotFoundError:
            raise AbsentError(f"{where}: no such file.") from None
        except OSError as error:
            raise StoreError(f"{where}: {unread(error)}.") from None
