"""Object stores and web servers behind five verbs: read, list, write, copy, remove.

fsspec does the work (extra `remote`), and finds credentials by the means of each store. It is imported when a
URL is opened, not before.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import unquote

from segdata.errors import AbsentError, RangeError, StoreError
from segdata.url import Url

TRIES = 5
PAUSE = 0.1  # seconds before the second try; doubled before each further one
CHUNK = 8 << 20  # bytes of one part of an upload in several parts; some of them are in memory at a time
MAX_PARTS = 10_000  # of S3; larger files get larger parts
READ_ONLY = frozenset({"http", "https"})
CHUNKED = frozenset({"s3", "s3a", "gs", "gcs"})  # stores that take a file in parts of a size that we choose
FINAL = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, NotImplementedError, ValueError)
NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError"})  # botocore's
TRANSIENT = frozenset({408, 425, 429})  # HTTP statuses below 500 that may pass
INSTALL = {"gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
Result = TypeVar("Result")


class Entry(NamedTuple):
    """What a listing says of a file: bytes (None where it does not say), and S3's ETag or ""."""

    size: int | None
    etag: str


class Store(Protocol):
    """The files below one URL, each named by its path from there. Raises StoreError, AbsentError for no such file."""

    @property
    def url(self) -> Url: ...
    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        """A file's bytes, or those from `start` to before `stop`: exactly so many.

        Raises RangeError where the server sends whole files only.
        """
        ...

    def has(self, path: str) -> bool: ...
    def size(self, path: str) -> int | None:
        """Bytes of a file, None where the server does not say."""
        ...

    def files(self) -> dict[str, Entry]:
        """All files, by path."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """A small file, in one go: it appears whole, or not at all."""
        ...

    def send(self, local: Path, path: str) -> None: ...
    def copy(self, source: str, path: str) -> None:
        """Within the store, where it can: nothing passes through this machine."""
        ...

    def remove(self, paths: Iterable[str]) -> None: ...


def open_store(url: Url) -> Store:
    """The store at `url`. Raises StoreError, naming what to install, where its library is not there."""
    try:
        from fsspec.core import url_to_fs

        fs, root = url_to_fs(url.exact, skip_instance_cache=True, use_listings_cache=False, **_options(url.scheme))
    except ImportError as error:
        package = INSTALL.get(url.scheme, "segdata[remote]")
        raise StoreError(f"{url}: {url.scheme}:// needs another package: pip install '{package}'.") from error
    except ValueError as error:
        raise StoreError(f"{url}: {url.redacted(str(error))}. Expected s3://, gs://, https:// or a path.") from None
    return FsspecStore(url, fs, root)


def chunk_size(size: int) -> int:
    """Bytes of the parts in which a file of `size` bytes is sent."""
    return max(CHUNK, -(-size // MAX_PARTS))


def blocks(store: Store, path: str) -> Iterator[bytes]:
    """A file of any length, piece by piece. Raises StoreError."""
    size = store.size(path)
    if size is None:
        yield store.read(path)
    for start in range(0, size or 0, CHUNK):
        yield store.read(path, start, min(start + CHUNK, size or 0))


class FsspecStore:
    """A Store on any file system of fsspec. Reads are tried again where a connection breaks."""

    def __init__(self, url: Url, fs: Any, root: str) -> None:
        self.url = url
        self._fs, self._root = fs, root.partition("?")[0].rstrip("/")

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        limits = {} if stop is None and not start else {"start": start, "end": stop}

        def once() -> bytes:
            data = bytes(self._fs.cat_file(self._at(path), **limits))
            if stop is not None and len(data) > stop - start:
                raise RangeError(
                    f"{self.url / path}: {len(data)} bytes for a range of {stop - start}: no server of range requests."
                )
            if stop is not None and len(data) < stop - start:
                raise ConnectionError(f"{len(data)} of {stop - start} bytes came")
            return data

        return self._tried(path, once)

    def has(self, path: str) -> bool:
        return bool(self._tried(path, lambda: self._fs.isfile(self._at(path))))

    def size(self, path: str) -> int | None:
        size: int | None = self._tried(path, lambda: self._fs.info(self._at(path)))["size"]
        return size

    def files(self) -> dict[str, Entry]:
        found: Mapping[str, Any] = self._tried("", lambda: self._fs.find(self._root, detail=True))
        names = {name: self._below(name) for name in found}
        return {
            names[name]: Entry(info.get("size"), str(info.get("ETag", "")).strip('"'))
            for name, info in sorted(found.items())
            if names[name]
        }

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

    def _at(self, path: str) -> str:
        """What fsspec calls the file."""
        if self.url.scheme in READ_ONLY:
            return (self.url / path).exact if path else self.url.exact
        return f"{self._root}/{path}" if path else self._root

    def _below(self, name: str) -> str:
        """The path from here of what fsspec calls `name`; "" for what does not lie here."""
        base = name.partition("?")[0] if self.url.scheme in READ_ONLY else name
        path = base.removeprefix(f"{self._root}/") if base.startswith(f"{self._root}/") else ""
        return unquote(path) if self.url.scheme in READ_ONLY else path

    def _refuse_read_only(self) -> None:
        if self.url.scheme in READ_ONLY:
            raise StoreError(f"{self.url}: a web server is only read from. Write to s3://, gs:// or a folder.")

    def _tried(self, path: str, work: Callable[[], Result]) -> Result:
        """`work()`, again where it failed for a reason that may pass; what it says shows no credentials."""
        for pause in [PAUSE * 2**k for k in range(TRIES - 1)] + [None]:
            try:
                return work()
            except RangeError:
                raise
            except Exception as error:  # each store has exceptions of its own
                if pause is None or not _may_pass(error):
                    raise self._told(path, error) from None  # the original's text may hold the credentials
                time.sleep(pause)
        raise AssertionError

    def _told(self, path: str, error: Exception) -> StoreError:
        where = self.url / path if path else self.url
        status = getattr(error, "status", None)
        if isinstance(error, FileNotFoundError) or status in {404, 410}:
            return AbsentError(f"{where}: no such file.")
        text = self.url.redacted(str(error)) or type(error).__name__
        if isinstance(error, PermissionError) or status in {401, 403}:
            return StoreError(f"{where}: access denied ({text}). Give the store's library credentials that may.")
        if isinstance(error, FINAL) or not _may_pass(error):
            return StoreError(f"{where}: {text}.")
        return StoreError(f"{where}: {text} (tried {TRIES} times).")


def _may_pass(error: Exception) -> bool:
    status = getattr(error, "status", None)  # aiohttp's
    if isinstance(status, int) and status < 500:
        return status in TRANSIENT or status < 400
    return not isinstance(error, FINAL) and type(error).__name__ not in NO_CREDENTIALS


def _options(scheme: str) -> dict[str, Any]:
    """Of a web server: bytes as they are, and no wait without end."""
    if scheme not in READ_ONLY:
        return {}
    from aiohttp import ClientTimeout

    timeout = ClientTimeout(total=None, sock_connect=20, sock_read=60)
    return {"client_kwargs": {"timeout": timeout, "headers": {"Accept-Encoding": "identity"}}}
