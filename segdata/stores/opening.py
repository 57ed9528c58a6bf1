"""What lies at a place: a folder, or the store behind a URL, by its scheme. Nobody else asks which of them it is."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from segdata.errors import StoreError
from segdata.requirements import need
from segdata.stores.folder import Folder
from segdata.stores.store import READ_ONLY, Files, FsspecStore, Store
from segdata.stores.url import Place, Url

INSTALL = {"gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}


def open_files(place: Place) -> Files:
    """The files at a place; a store is opened once a process. Raises StoreError."""
    return Folder(place) if isinstance(place, Path) else local_store(place, os.getpid())


def open_store(url: Url) -> Store:
    """The store at `url`. Raises StoreError, naming what to install, where its library is not there."""
    try:
        from fsspec.core import url_to_fs

        kind, options = _web() if url.scheme in READ_ONLY else (FsspecStore, {})
        fs, root = url_to_fs(url.exact, skip_instance_cache=True, use_listings_cache=False, **options)
    except ImportError as error:
        if url.scheme not in INSTALL:
            need(f"{url}: {url.scheme}://", "remote", error=StoreError)
        package = INSTALL.get(url.scheme, error.name)
        raise StoreError(f"{url}: {url.scheme}:// needs another package: pip install '{package}'.") from error
    except ValueError as error:
        raise StoreError(f"{url}: {url.redacted(str(error))}. Expected s3://, gs://, https:// or a path.") from None
    return kind(url, fs, root)


@lru_cache(maxsize=16)
def local_store(url: Url, pid: int) -> Store:
    """The open store of this process: connections do not survive a fork."""
    return open_store(url)


def _web() -> tuple[type[FsspecStore], dict[str, Any]]:
    """The Store of a web server, and fsspec's options: bytes as they are, and no limit of time but our own."""
    from aiohttp import ClientTimeout

    from segdata.stores.web import WebStore

    headers = {"Accept-Encoding": "identity"}
    options = {"timeout": ClientTimeout(total=None), "headers": headers, "auto_decompress": False}
    return WebStore, {"client_kwargs": options}
