"""A web server as a Store: read by ranges, listed by the links of its pages.

Whoever runs it may mean harm, so that nothing it declares is believed: bytes are counted as they come, an answer
that stalls is given up, and a listing ends. fsspec holds the connections; its own parser of pages can be kept busy
for ever, and what it asks has no bound.
"""

import asyncio
import html
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urljoin

from aiohttp import ClientResponse

from segdata.base.files import LIMIT, parsing
from segdata.errors import AbsentError, RangeError, StoreError
from segdata.stores import store as stores
from segdata.stores.store import Entry, FsspecStore, Result, too_long

MAX_LISTED = 1_000_000  # files and folders: as many as planning was measured with
LINK = re.compile(rb"""href=["']([^"'<>]{1,4096})["']""", re.IGNORECASE)  # in time that grows with the page alone
PARTIAL = 206  # HTTP status of a part of a file
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")  # Content-Range: first and last byte, bytes of the whole file


class WebStore(FsspecStore):
    """Raises StoreError. Pages must list folders with a slash at the end, as those of all servers do."""

    def files(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        folders, pending = {""}, [""]
        end = time.monotonic() + stores.LISTING
        while pending:
            folder = pending.pop()
            for path in self._listed(folder):
                if not path.endswith("/"):
                    found[path] = Entry(None, "")
                elif path not in folders:
                    folders.add(path)
                    pending.append(path)
                if len(found) + len(folders) > MAX_LISTED:
                    raise self._endless(len(found), len(folders), path)
            if time.monotonic() > end:
                raise self._endless(len(found), len(folders), folder)
        return dict(sorted(found.items()))

    def _endless(self, files: int, folders: int, last: str) -> StoreError:
        return StoreError(
            f"{self.url}: no end of its listing after {files} files in {folders} folders, the last one {last[:80]!r}. "
            "Name a folder that holds the dataset only, or download it first."
        )

    def _listed(self, folder: str) -> Iterator[str]:
        """Paths to which the folder's page leads, further down; none of a folder that is not there."""
        page = b""
        with suppress(AbsentError):
            page = self.read(folder, limit=LIMIT)
        here = f"{self._root}/{quote(folder)}"
        with parsing(self.url / folder, StoreError):
            for link in LINK.finditer(page):
                name = urljoin(here, html.unescape(link[1].decode("utf-8", "replace")))
                name = unquote(name.partition("#")[0].partition("?")[0])
                inner = name.removeprefix(unquote(here))
                if inner not in {"", name} and ".." not in PurePosixPath(inner).parts:
                    yield folder + inner

    def _bytes(self, path: str, start: int, stop: int | None, limit: int) -> bytes:
        return b"" if stop is not None and stop <= start else self._waited(self._get, path, start, stop, limit)

    def _length(self, path: str) -> int | None:
        return self._waited(self._head, path)

    async def _get(self, path: str, start: int, stop: int | None, limit: int) -> bytes:
        """One answer, counted while it comes."""
        is_range = stop is not None or start > 0
        bound = limit if stop is None else stop - start
        headers = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if is_range else {}

        def refused(found: str) -> RangeError:
            if not is_range:
                return too_long(self.url / path, found, bound)
            return RangeError(f"{self.url / path}: {found} bytes for a range of {bound}: no server of range requests.")

        data, due = bytearray(), 0
        session, url = await self._fs.set_session(), self._fs.encode_url(self._at(path))
        async with asyncio.timeout(stores.PATIENCE) as patience, session.get(url, headers=headers) as answer:
            length = self._declared(answer, path) or 0
            if length > bound or (start and answer.status != PARTIAL):  # a whole file may be shorter than the range
                raise refused(str(length))
            if stop is not None and answer.status == PARTIAL:
                self._check_range(answer, path, start, stop)
            async for piece in answer.content.iter_any():
                data += piece
                if len(data) > bound:
                    raise refused(f"more than {bound}")
                if len(data) >= due:
                    due = len(data) + stores.LEAST
                    patience.reschedule(asyncio.get_running_loop().time() + stores.PATIENCE)
        return bytes(data)

    def _check_range(self, answer: ClientResponse, path: str, start: int, stop: int) -> None:
        """Raise StoreError where the answer says that it has other bytes than were asked for."""
        said = answer.headers.get("Content-Range", "")
        found = RANGE.fullmatch(said.strip())
        ends = {f"{stop - 1}"} | ({f"{int(found[3]) - 1}"} if found and found[3] != "*" else set())  # or with the file
        if said and not (found and int(found[1]) == start and found[2] in ends):
            due = f"bytes {start}-{stop - 1}"
            raise StoreError(f"{self.url / path}: sent {said[:60]!r} of the file, expected {due}. Not used.")

    async def _head(self, path: str) -> int | None:
        """Bytes that the server declares for a file; it may deny HEAD where it allows GET, of which no body is read."""
        session, url = await self._fs.set_session(), self._fs.encode_url(self._at(path))
        async with asyncio.timeout(stores.PATIENCE):
            async with session.head(url, allow_redirects=True) as answer:
                if answer.ok and answer.content_length is not None:
                    return self._declared(answer, path)
            async with session.get(url) as answer:
                return self._declared(answer, path)

    def _declared(self, answer: ClientResponse, path: str) -> int | None:
        """Bytes that are to come, of an answer that says yes and sends them as they are."""
        answer.raise_for_status()
        if (packing := answer.headers.get("Content-Encoding", "identity")) not in {"", "identity"}:
            raise StoreError(f"{self.url / path}: sent as {packing[:20]!r}, expected the bytes as they are.")
        return answer.content_length

    def _waited(self, work: Callable[..., Awaitable[Result]], *args: object) -> Result:
        from fsspec.asyn import sync

        try:
            result: Result = sync(self._fs.loop, work, *args)
        except TimeoutError:
            late = f"no answer within {stores.PATIENCE:g} s, or one slower than {stores.LEAST} bytes in that time"
            raise TimeoutError(late) from None
        return result

    def _at(self, path: str) -> str:
        return (self.url / quote(path)).exact if path else self.url.exact
