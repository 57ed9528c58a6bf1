"""What lies at a place: its Files, which are read and listed; and a Store, in which they are also written and removed.

fsspec does the work (extra `remote`), and finds credentials by the means of each store. It is imported when a
URL is opened, not before. A store is not trusted: what is read from it has a bound, in bytes and in time.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from segdata.base.files import LIMIT
from segdata.base.refusal import why
from segdata.errors import AbsentError, LongError, RangeError, SegdataError, StoreError
from segdata.stores.url import Place, Url

TRIES = 5
STALLS = 2  # tries where nothing comes: each of them takes PATIENCE
PATIENCE = 30.0  # seconds for an answer to begin, and then for every LEAST bytes of it
LEAST = 1 << 15  # 1 KiB a second: slower than any line on which somebody would read a dataset
LISTING = 900.0  # seconds for all names of a store: S3 sends some 5,000 a second
PAUSE = 0.1  # seconds before the second try; doubled before each further one
CHUNK = 8 << 20  # bytes of one part of an upload in several parts; some of them are in memory at a time
MAX_PARTS = 10_000  # of S3; larger files get larger parts
READ_ONLY = frozenset({"http", "https"})
CHUNKED = frozenset({"s3", "s3a", "gs", "gcs"})  # stores that take a file in parts of a size that we choose
FINAL = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, NotImplementedError, ValueError)
HOPELESS = frozenset(  # botocore's and aiohttp's
    {"NoCredentialsError", "PartialCredentialsError", "TooManyRedirects", "NonHttpUrlRedirectClientError"}
)
SHOWN = 400  # characters of an error: some libraries quote what a server sent, all of it
ABSENT, DENIED = frozenset({404, 410}), frozenset({401, 403})  # HTTP statuses
TRANSIENT = frozenset({408, 425, 429})  # HTTP statuses below 500 that may pass
Result = TypeVar("Result")


class Entry(NamedTuple):
    """What a listing says of a file: bytes (None where it does not say), and S3's ETag or ""."""

    size: int | None
    etag: str


class Files(Protocol):
    """The files below one place, each named by its path from there.

    Raises StoreError: AbsentError for no such file, LongError for one of more bytes than `limit`.
    """

    @property
    def place(self) -> Place: ...
    def read(self, path: str, *, limit: int = LIMIT) -> bytes:
        """All bytes of a file."""
        ...

    def has(self, path: str) -> bool:
        """Whether the file is there; False where the store denies it, as some do for what is not there."""
        ...

    def files(self) -> dict[str, Entry]:
        """All files, by path."""
        ...

    def digest(self, path: str, limit: int) -> str:
        """SHA-256 of a file, read piece by piece."""
        ...

    def opened(self, path: str, limit: int) -> AbstractContextManager[BufferedIOBase]:
        """A file, open at its start and with a descriptor that can be mapped: itself, or a copy that leaves nothing."""
        ...


class Store(Files, Protocol):
    """The files below one URL."""

    @property
    def url(self) -> Url: ...
    def read(self, path: str, start: int = 0, stop: int | None = None, limit: int = LIMIT) -> bytes:
        """All bytes of a file of at most `limit`, or those from `start` to before `stop`: exactly so many.

        Raises RangeError for more bytes than that: a longer file, or a server that sends whole files only.
        """
        ...

    def size(self, path: str) -> int | None:
        """Bytes of a file, None where the server does not say."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """A small file, in one go: it appears whole, or not at all."""
        ...

    def send(self, local: Path, path: str) -> None: ...
    def copy(self, source: str, path: str) -> None:
        """Within the store, where it can: nothing passes through this machine."""
        ...

    def remove(self, paths: Iterable[str]) -> None: ...


def chunk_size(size: int) -> int:
    """Bytes of the parts in which a file of `size` bytes is sent."""
    return max(CHUNK, -(-size // MAX_PARTS))


def too_long(where: Place, found: str, limit: int) -> LongError:
    return LongError(f"{where}: {found} bytes, expected at most {limit}: not the file that belongs there. Not read.")


class FsspecStore:
    """A Store on any file system of fsspec. Reads are tried again where a connection breaks."""

    def __init__(self, url: Url, fs: Any, root: str) -> None:
        self.url = self.place = url
        self._fs, self._root = fs, root.partition("?")[0].rstrip("/")
        self._in_bucket = url.scheme in CHUNKED  # which may be missing itself, until it has been seen

    def read(self, path: str, start: int = 0, stop: int | None = None, limit: int = LIMIT) -> bytes:
        def once() -> bytes:
            data = self._bytes(path, start, stop, limit)
            if stop is not None and len(data) < stop - start:
                raise ConnectionError(f"{len(data)} of {stop - start} bytes came")
            return data

        return self._tried(path, once)

    def has(self, path: str) -> bool:
        def once() -> bool:
            try:
                self._length(path)
            except Exception as error:  # each store has exceptions of its own
                if _is_absent(error) or _is_denied(error):
                    return False
                raise
            return True

        return self._tried(path, once)

    def size(self, path: str) -> int | None:
        return self._tried(path, lambda: self._length(path))

    def files(self) -> dict[str, Entry]:
        found = self._tried("", lambda: self._call("find", self._root, seconds=LISTING, detail=True))
        names = {name: self._below(name) for name in found}
        return {
            names[name]: Entry(info.get("size"), str(info.get("ETag", "")).strip('"'))
            for name, info in sorted(found.items())
            if names[name]
        }

    def digest(self, path: str, limit: int) -> str:
        digest = hashlib.sha256()
        for block in self._blocks(path, limit):
            digest.update(block)
        return digest.hexdigest()

    @contextmanager
    def opened(self, path: str, limit: int) -> Iterator[BufferedIOBase]:
        """A copy on the disk, which the system removes once it is closed, even by a kill."""
        with tempfile.TemporaryFile() as file:
            for block in self._blocks(path, limit):
                try:
                    file.write(block)
                    file.flush()
                except OSError as error:
                    folder = tempfile.gettempdir()
                    raise SegdataError(
                        f"{folder}: no copy of {self.url / path} ({why(error)}). Set TMPDIR to another folder."
                    ) from None
            file.seek(0)
            yield file

    def write(self, path: str, data: bytes) -> None:
        self._refuse_read_only()
        self._tried(path, lambda: self._fs.pipe_file(self._at(path), data))

    def send(self, local: Path, path: str) -> None:
        self._refuse_read_only()
        size = local.stat().st_size
        options = {"chunksize": chunk_size(size)} if self.url.scheme in CHUNKED else {}
        self._tried(path, lambda: self._fs.put_file(str(local), self._at(path), **options))

    def copy(self, source: str, path: str) -> None:
        self._refuse_read_only()
        self._tried(path, lambda: self._fs.cp_file(self._at(source), self._at(path)))

    def remove(self, paths: Iterable[str]) -> None:
        self._refuse_read_only()
        for path in paths:
            self._tried(path, lambda path=path: self._fs.rm_file(self._at(path)))  # type: ignore[misc]

    def _blocks(self, path: str, limit: int) -> Iterator[bytes]:
        """The file piece by piece; in one where the server does not say how long it is."""
        size = self.size(path)
        if size is None:
            yield self.read(path, limit=limit)
        elif size > limit:
            raise too_long(self.url / path, str(size), limit)
        for start in range(0, size or 0, CHUNK):
            yield self.read(path, start, min(start + CHUNK, size or 0))

    def _bytes(self, path: str, start: int, stop: int | None, limit: int) -> bytes:
        """What `read` gives, without a second try."""
        if stop is None:  # its length first: what fsspec fetches without one has no bound
            stop = self._length(path)
            if stop is None or stop > limit:
                raise too_long(self.url / path, str(stop or "an unknown number of"), limit)
        edges = [*range(start, stop, CHUNK), stop]  # parts of a large file come side by side
        seconds = PATIENCE * (1 + (stop - start) / LEAST)
        parts = self._call("cat_ranges", [self._at(path)] * (len(edges) - 1), edges[:-1], edges[1:], seconds=seconds)
        for part in parts:
            if isinstance(part, Exception):
                raise part
        data = b"".join(parts)
        if len(data) > max(0, stop - start):
            raise RangeError(f"{self.url / path}: {len(data)} bytes for a range of {stop - start}. Not used.")
        return data

    def _length(self, path: str) -> int | None:
        """Bytes of a file, without a second try; None where the store does not say."""
        info = self._call("info", self._at(path), seconds=PATIENCE)
        if info["type"] == "directory":
            raise FileNotFoundError
        size: int | None = info["size"]
        return size

    def _call(self, verb: str, *args: object, seconds: float, **options: object) -> Any:
        """fsspec's `verb`, given up after so many seconds: only an asynchronous file system can be told to."""
        from fsspec.asyn import AsyncFileSystem, sync

        if not isinstance(self._fs, AsyncFileSystem):
            return getattr(self._fs, verb)(*args, **options)
        try:
            return sync(self._fs.loop, getattr(self._fs, f"_{verb}"), *args, timeout=seconds, **options)
        except TimeoutError:
            raise TimeoutError(f"no whole answer within {seconds:.0f} s") from None

    def _at(self, path: str) -> str:
        """What fsspec calls the file."""
        return f"{self._root}/{path}" if path else self._root

    def _below(self, name: str) -> str:
        """The path from here of what fsspec calls `name`; "" for what does not lie here."""
        return name.removeprefix(f"{self._root}/") if name.startswith(f"{self._root}/") else ""

    def _refuse_read_only(self) -> None:
        if self.url.scheme in READ_ONLY:
            raise StoreError(f"{self.url}: a web server is only read from. Write to s3://, gs:// or a folder.")

    def _tried(self, path: str, work: Callable[[], Result]) -> Result:
        """`work()`, again where it failed for a reason that may pass; what it says shows no credentials."""
        stalls = 0
        for tries in range(1, TRIES + 1):
            try:
                return work()
            except StoreError:
                raise
            except Exception as error:  # each store has exceptions of its own
                stalls += isinstance(error, TimeoutError)
                if tries == TRIES or stalls == STALLS or not _may_pass(error):
                    raise self._told(path, error, tries) from None  # the original's text may hold the credentials
                time.sleep(PAUSE * 2 ** (tries - 1))
        raise AssertionError

    def _check_bucket(self) -> None:
        """Raise StoreError where the whole bucket is missing, which the answer "not found" does not say."""
        if not self._in_bucket:
            return
        bucket = self._root.partition("/")[0]
        try:
            self._in_bucket = not self._call("exists", bucket, seconds=PATIENCE)
        except Exception:  # denied to some who may read what lies in it
            self._in_bucket = False
        if self._in_bucket:
            raise StoreError(f"{self.url}: there is no bucket {bucket!r}. Create it, or correct the name.")

    def _told(self, path: str, error: Exception, tries: int) -> StoreError:
        where = self.url / path if path else self.url
        if _is_absent(error):
            self._check_bucket()
            return AbsentError(f"{where}: no such file.")
        if type(error).__name__ == "TooManyRedirects":  # which has no words of its own
            return StoreError(f"{where}: the server sends us from address to address without end. Correct the URL.")
        text = " ".join(self.url.redacted(str(error)[: 10 * SHOWN]).split())[:SHOWN] or type(error).__name__
        if type(error).__name__ in HOPELESS:  # some of these say it by their names only
            text = f"{type(error).__name__}: {text}"
        if _is_denied(error):
            return StoreError(f"{where}: access denied ({text}). Give the store's library credentials that may.")
        if not _may_pass(error):
            return StoreError(f"{where}: {text}.")
        return StoreError(f"{where}: {text} (tried {tries} times). Try again later.")


def _is_absent(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError) or getattr(error, "status", None) in ABSENT


def _is_denied(error: Exception) -> bool:
    return isinstance(error, PermissionError) or getattr(error, "status", None) in DENIED


def _may_pass(error: Exception) -> bool:
    status = getattr(error, "status", None)  # aiohttp's
    if isinstance(error, FINAL) or type(error).__name__ in HOPELESS:
        return False
    return not isinstance(status, int) or status < 400 or status >= 500 or status in TRANSIENT
