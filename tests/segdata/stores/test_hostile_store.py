"""Stores that mean harm, or are broken as if they did: each read ends soon, in few bytes, with one line of ours."""

import asyncio
import base64
import gzip
import re
import shutil
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segdata import ShardSet
from segdata.checking.verify import verify
from segdata.errors import AbsentError, RangeError, SegdataError, ShardError, StoreError
from segdata.findings import FindingsError
from segdata.format.manifest import FILE, SUMS, parse_sums, read_manifest
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.reading.remote import RemoteFiles
from segdata.stores.opening import open_store
from segdata.stores.store import STALLS, TRIES, FsspecStore
from segdata.stores.url import Url

Finished = Callable[..., Path]
MakeJob = Callable[..., Job]
Draw = Callable[[str], Path]
HOST = "127.0.0.1"
BOUND = 1 << 20  # of dataset.json, here
SLACK = 4 << 20  # bytes: connections, and answers on their way
HUGE = 10**15


@pytest.fixture(autouse=True)
def bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones; and what is imported with the first store is here before memory is counted."""
    monkeypatch.setattr("segdata.stores.store.PAUSE", 0.001)
    monkeypatch.setattr("segdata.stores.store.LEAST", 1000)
    monkeypatch.setattr("segdata.format.manifest.MAX_BYTES", BOUND)
    open_store(Url(f"http://{HOST}"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of a second stands for half a minute."""
    monkeypatch.setattr("segdata.stores.store.PATIENCE", 0.2)


# ---- the server ---------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Answers as the server's `mode` does, or serves a file or a range of one where that has no answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a head and its body are two writes
    server: "Server"

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, self.headers.get("Authorization")))
        with suppress(ConnectionError):
            if not self.server.mode(self):
                self.honest()

    do_HEAD = do_GET  # noqa: N815  (http.server's name)

    def honest(self, pace: Callable[[], object] = lambda: None) -> None:
        path = self.server.root / self.path.lstrip("/")
        if not path.is_file():
            self.head(404, 0)
            return
        data, more = path.read_bytes(), dict[str, str]()
        if found := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            first, last = int(found[1]), min(int(found[2]), len(data) - 1)
            more = {"Content_Range": f"bytes {first}-{last}/{len(data)}"}
            data = data[first : last + 1]
        self.head(206 if more else 200, len(data), **more)
        for start in range(0, len(data) if self.command == "GET" else 0, 2000):
            self.wfile.write(data[start : start + 2000])
            pace()

    def head(self, status: int = 200, length: int | None = None, **more: str) -> None:
        """Without a length, the body goes on until the connection is closed."""
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), Handler)
        self.mode: Callable[[Handler], bool] = lambda handler: False
        self.root = Path("/nowhere")
        self.seen: list[tuple[str, str, str | None]] = []
        self.over = threading.Event()
        self.url = f"http://{HOST}:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


def endless(handler: Handler, block: bytes = b"{" + b" " * 65_535) -> bool:
    handler.head()
    while not handler.server.over.is_set():
        handler.wfile.write(block)
    return True


def drip(handler: Handler, data: bytes) -> None:
    for at in range(len(data)):
        handler.wfile.write(data[at : at + 1])
        if handler.server.over.wait(0.05):
            return


def slow(handler: Handler) -> bool:
    handler.head(length=10_000)
    drip(handler, b" " * 10_000)
    return True


def slow_head(handler: Handler) -> bool:
    drip(handler, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000)
    return True


def endless_head(handler: Handler) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not handler.server.over.is_set():
        handler.wfile.write(b"X-One-More: of many\r\n" * 1000)
    return True


def not_yet(handler: Handler) -> bool:
    while not handler.server.over.wait(0.01):
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    return True


def hang(handler: Handler) -> bool:
    return handler.server.over.wait()


def stop_halfway(handler: Handler) -> bool:
    handler.head(length=10_000)
    handler.wfile.write(b" " * 5000)
    return handler.server.over.wait()


def promise(handler: Handler) -> bool:
    handler.head(length=HUGE)
    handler.close_connection = True
    if handler.command == "GET":
        handler.wfile.write(b"{")
        handler.server.over.wait()
    return True


def bomb(handler: Handler) -> bool:
    data = gzip.compress(bytes(1 << 22))
    handler.head(length=len(data), Content_Encoding="gzip")
    handler.wfile.write(data)
    return True


def redirect(target: str) -> Callable[[Handler], bool]:
    def mode(handler: Handler) -> bool:
        handler.head(302, 0, Location=target.format(time.monotonic_ns()))
        return True

    return mode


def nonsense(handler: Handler) -> bool:
    handler.wfile.write(b"\0\xff no HTTP at all\r\n\r\n")
    handler.close_connection = True
    return True


def taken(work: Callable[[], object], seconds: float = 5, peak: int = 2 * BOUND + SLACK) -> None:
    """It ends in time, and never held more than so many bytes, all threads together."""
    begun = time.monotonic()
    tracemalloc.start()
    try:
        work()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.monotonic() - begun < seconds
    assert most < peak, most


def refused(work: Callable[[], object], match: str, **limits: Any) -> None:
    """One line of ours that says so, in time and in few bytes."""

    def fails() -> None:
        with pytest.raises(SegdataError, match=match) as caught:
            work()
        assert "\n" not in str(caught.value)
        assert "pa55word" not in str(caught.value)

    taken(fails, **limits)


# ---- dataset.json -------------------------------------------------------------------------------------------

STALLED = rf"dataset\.json: no answer within 0\.2 s, or one slower.*tried {STALLS} times"


@pytest.mark.parametrize(
    "mode, match, requests",
    [
        (endless, rf"dataset\.json: more than {BOUND} bytes, expected at most {BOUND}", 1),
        (promise, rf"dataset\.json: {HUGE} bytes, expected at most {BOUND}", 1),
        (bomb, r"dataset\.json: sent as 'gzip', expected the bytes as they are", 1),
        (slow, STALLED, STALLS),
        (slow_head, STALLED, STALLS),
        (not_yet, STALLED, STALLS),
        (hang, STALLED, STALLS),
        (stop_halfway, STALLED, STALLS),
        (endless_head, r"dataset\.json: ", TRIES),
        (nonsense, r"dataset\.json: ", TRIES),
        (redirect("/{}"), r"dataset\.json: the server sends us from address to address without end", 11),
        (redirect("file:///etc/passwd"), r"dataset\.json: NonHttpUrl.*file:///etc/passwd", 1),
        (redirect("http://[half"), r"dataset\.json: ", 1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.usefixtures("impatient")
def test_what_answers_for_dataset_json(
    mode: Callable[[Handler], bool], match: str, requests: int, server: Server
) -> None:
    """Whatever it is: refused; where nothing comes, after a second try and no more."""
    server.mode = mode
    url = server.url.replace("//", "//user:pa55word@")
    refused(lambda: ShardSet(url, "train"), match)
    assert len(server.seen) <= requests


@pytest.mark.parametrize("mode", [slow_head, hang, endless_head], ids=lambda mode: mode.__name__)
@pytest.mark.usefixtures("impatient")
def test_questions_without_a_body(mode: Callable[[Handler], bool], server: Server) -> None:
    """Whether a file is there, and how long it is: no answer is not the answer no."""
    server.mode = mode
    store = open_store(Url(server.url))
    for ask in (store.has, store.size):
        refused(lambda ask=ask: ask("file"), "/file: ")  # type: ignore[misc]


def test_a_size_where_head_is_denied(server: Server, tmp_path: Path) -> None:
    """What is signed for GET alone is found by GET, of which no body is read."""
    server.root = tmp_path
    server.mode = lambda handler: handler.command == "HEAD" and not handler.head(403, 0)
    (tmp_path / "file").write_bytes(bytes(12_345))
    store = open_store(Url(server.url))
    assert store.has("file")
    assert store.size("file") == 12_345
    assert not store.has("other")
    with pytest.raises(AbsentError):
        store.size("other")
    server.mode = lambda handler: not handler.head(403, 0)
    assert not store.has("file")  # some deny what is not there


def test_a_redirect_takes_no_credentials_along(server: Server, finished: Finished) -> None:
    """To another server: what it sends is read as any, who sent us there has shown it no password."""
    server.root = finished("camvid")
    with Server() as other:
        threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True).start()
        other.mode = redirect(server.url + "/dataset.json")
        url = Url(other.url.replace("//", "//user:pa55word@"))
        assert open_store(url).read(FILE) == (server.root / FILE).read_bytes()
        other.shutdown()
    assert other.seen[0][2] == "Basic " + base64.b64encode(b"user:pa55word").decode()
    assert [row[2] for row in server.seen] == [None]


# ---- files that it lists ------------------------------------------------------------------------------------


def only(pattern: str, mode: Callable[[Handler], bool]) -> Callable[[Handler], bool]:
    """The mode for some paths."""
    return lambda handler: bool(re.search(pattern, handler.path)) and mode(handler)


def some_ranges(handler: Handler) -> bool:
    return bool(handler.headers.get("Range")) and endless_range(handler)


def endless_range(handler: Handler) -> bool:
    handler.head(206)
    while not handler.server.over.is_set():
        handler.wfile.write(bytes(65_536))
    return True


@pytest.mark.parametrize("mode", [endless, promise])
def test_shards(mode: Callable[[Handler], bool], server: Server, finished: Finished) -> None:
    """Of a range no more is taken than was asked for, of a whole shard no more than dataset.json states."""
    server.root = finished("camvid")
    row = read_manifest(server.root).shards("train")[0]
    shards = ShardSet(server.url, "train")
    server.mode = only(r"\.tar$", mode)
    for read in (shards.read, shards.shard):
        refused(lambda read=read: read(0), rf"{row.name}: .* bytes, expected at most {row.size}")  # type: ignore[misc]
    server.mode = only(r"\.tar$", some_ranges)
    taken(lambda: shards.read(0))  # whole shards are good: it comes with its own


@pytest.mark.parametrize("name", [SUMS, ".segdata/train.keys.npy"])
def test_files_beside_the_shards(
    name: str, server: Server, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SHA256SUMS and the index have a bound by the number of samples."""
    monkeypatch.setattr("segdata.format.manifest.LIMIT", BOUND)
    server.root = finished("camvid")
    server.mode = only(re.escape(name), endless)
    refused(lambda: ShardSet(server.url, "train"), rf"{re.escape(name)}: more than 105\d+ bytes, expected at most 105")


def test_an_index_that_leads_out_of_its_shards(server: Server, finished: Finished) -> None:
    """Numbers of whoever made the set: no shard of that number, no bytes there, more than any sample has."""
    server.root = finished("camvid")
    for field, value in [("shard", 99), ("offsets", 2**63), ("offsets", 2**64 - 1), ("sizes", 2**32 - 1)]:
        files = RemoteFiles(Url(server.url), "train")
        places = np.array(files.index.places)
        places[field][0] = value
        files._index = replace(files.index, places=places)
        refused(lambda files=files: files.part(0, "json"), "the index of train places sample 0 at bytes")  # type: ignore[misc]


def test_sums_of_any_bytes() -> None:
    """ShardError for whatever lists no files, and in few words."""
    for data in (b"\xff\xfe\0", b"no digest", b"0" * 64, b"0" * 64 + b"  ../x", b"0" * 64 + b"  /" + b"x" * 10**6):
        with pytest.raises(ShardError, match="no digest of a file in the folder") as caught:
            parse_sums(data, Url("s3://bucket"))
        assert len(str(caught.value)) < 400


def long(handler: Handler) -> bool:
    """A gigabyte, declared and sent."""
    handler.head(length=1 << 30)
    for _ in range(1 << 14 if handler.command == "GET" else 0):
        handler.wfile.write(bytes(65_536))
    return True


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize(
    "mode, code",
    [(promise, "changed-bytes"), (long, "changed-bytes")],
    ids=["promise", "long"],
)
def test_verify_reads_no_more_than_is_stated(
    mode: Callable[[Handler], bool], code: str, pixels: bool, server: Server, finished: Finished
) -> None:
    """A shard of 10^15 bytes, or of a gigabyte that comes: one finding, and it is not fetched."""
    server.root = finished("camvid")
    assert verify(server.root, pixels) == []  # what decoders hold from their first use on is not counted
    name = read_manifest(server.root).shards("val")[0].name
    server.mode = only(re.escape(name), mode)
    found = []
    taken(lambda: found.extend(verify(Url(server.url), pixels)))
    assert [(row.code, row.where) for row in found] == [(code, name)]


def test_an_answer_is_not_quoted_at_length() -> None:
    """A library's error may hold all that a server sent: ours has the beginning, on one line, and no secret of it."""

    class Quoting:
        def __getattr__(self, name: str) -> Any:
            def fail(*args: object, **kwargs: object) -> None:
                raise ValueError("answered\n" + "x" * 390 + " pa55word " + "y" * 10**6)

            return fail

    store = FsspecStore(Url("s3://user:pa55word@bucket/set"), Quoting(), "bucket/set")
    with pytest.raises(StoreError, match="answered xxx") as caught:
        store.size("file")
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value) and "pa55" not in str(caught.value)


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.usefixtures("impatient")
def test_verify_waits_for_no_shard(pixels: bool, server: Server, finished: Finished) -> None:
    """One that does not come is unreadable; all others are checked."""
    server.root = finished("camvid")
    assert verify(server.root, pixels) == []
    name = read_manifest(server.root).shards("val")[0].name
    server.mode = only(re.escape(name), hang)
    found = []
    taken(lambda: found.extend(verify(Url(server.url), pixels)))
    assert [(row.code, row.where) for row in found] == [("unreadable", name)]


# ---- raw datasets -------------------------------------------------------------------------------------------


def pages(links: Callable[[str], bytes]) -> Callable[[Handler], bool]:
    """Folders whose pages hold what `links` gives for their paths."""

    def mode(handler: Handler) -> bool:
        if not handler.path.endswith("/") or not (page := links(handler.path)):
            return False
        handler.head(length=len(page), Content_Type="text/html")
        handler.wfile.write(page)
        return True

    return mode


def test_listings_of_any_page(server: Server) -> None:
    """Links up, out, to itself, broken, to other servers, in any charset: files below, each once."""
    page = b"""<a href="../">up</a> <a href="/">top</a> <a href="./">here</a> <a href="?C=N">sorted</a>
        <a href="a%20b.png">one</a> <a href='./c&amp;d.png'>two</a> <a href="/%2e%2e/e.png">out</a> <a href="">none</a>
        <a href="http://elsewhere/f.png">f</a> <a href="//elsewhere/g.png">g</a> <a href="sub/">sub</a>"""
    server.mode = pages(lambda path: {"/": page, "/sub/": b'<a href="/sub/h%23%3f.png"><a href="/">'}.get(path, b""))
    assert list(open_store(Url(server.url + "/")).files()) == ["a b.png", "c&d.png", "sub/h#?.png"]
    server.mode = pages(lambda path: b'<a href="http://[half/">')
    refused(open_store(Url(server.url + "/")).files, "damaged, or not what it claims to be")


@pytest.mark.parametrize("page", [b"<a " + b" " * 10**6, b"href=" * 10**5, b'<a href="' * 10**5], ids=[1, 2, 3])
def test_pages_that_keep_a_parser_busy(page: bytes, server: Server) -> None:
    """Text over which fsspec's own expression takes hours."""
    server.mode = pages(lambda path: page)
    assert not open_store(Url(server.url + "/")).files()


def test_listings_without_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ever more files, folders, or depth; a page that does not end."""
    monkeypatch.setattr("segdata.stores.web.MAX_LISTED", 1000)
    monkeypatch.setattr("segdata.stores.web.LIMIT", BOUND)
    monkeypatch.setattr("segdata.stores.store.LISTING", 0.5)
    number = iter(range(10**9))
    many = b"".join(b'<a href="%d/">' % i for i in range(500))

    def idle(handler: Handler) -> bool:
        return pages(lambda path: many)(handler) if handler.path == "/" else handler.server.over.wait(0.1)

    for mode, match in [
        (pages(lambda path: b"".join(b'<a href="%d">' % next(number) for _ in range(2000))), "after 1000 files"),
        (pages(lambda path: b'<a href="%d/"><a href="%d">' % (next(number), next(number))), "no end of its listing"),
        (pages(lambda path: b'<a href="x/">'), "no end of its listing after 0 files"),
        (idle, "no end of its listing after 0 files in 501 folders"),
        (endless, f"more than {BOUND} bytes, expected at most {BOUND}"),
    ]:
        server.mode = mode
        refused(open_store(Url(server.url + "/")).files, match)


def test_a_listing_that_breaks_off_is_no_shorter_one(server: Server) -> None:
    """A folder that cannot be listed is an error; one that is not there, though a page names it, is empty."""
    server.mode = pages(lambda path: b'<a href="a.png"><a href="gone/"><a href="sub/">' if path == "/" else b"")
    assert list(open_store(Url(server.url + "/")).files()) == ["a.png"]
    top = server.mode
    server.mode = lambda handler: top(handler) or (handler.path == "/sub/" and nonsense(handler))
    refused(open_store(Url(server.url + "/")).files, "/sub/: ")


def test_pictures(
    server: Server, draw: Draw, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that goes on for ever is a finding, as one that is too large on a disk."""
    monkeypatch.setattr("segdata.raw.member.MAX_MEMBER_BYTES", BOUND)
    server.root = draw("camvid")
    listing = listings(server.root)
    spoilt = only("train/train_0000.png", endless)
    server.mode = lambda handler: listing(handler) or spoilt(handler)
    with pytest.raises(FindingsError) as caught:
        prepare(make_job("camvid", Url(server.url + "/"), tmp_path / "set"))
    assert [(row.code, row.where) for row in caught.value.findings] == [("too-large", "train/train_0000.png")]


def listings(root: Path) -> Callable[[Handler], bool]:
    def links(path: str) -> bytes:
        names = (f"{each.name}{'/' * each.is_dir()}" for each in (root / path.strip("/")).iterdir())
        return "".join(f'<a href="{name}">{name}</a>' for name in names).encode()

    return pages(links)


def test_a_zip_of_any_length(server: Server, painted: Finished, make_job: MakeJob, tmp_path: Path) -> None:
    """A server that says that a zip has 10^15 bytes, or sends another length than it says."""
    server.root = tmp_path / "zips"
    shutil.copytree(painted("tas500", zips=True), server.root)
    (path,) = server.root.glob("*.zip")
    job = make_job("tas500", Url(f"{server.url}/{path.name}"), tmp_path / "set")
    server.mode = lambda handler: handler.command == "HEAD" and not handler.head(200, HUGE)
    refused(lambda: prepare(job), rf"{path.name}: ")


@pytest.mark.parametrize(
    ("said", "due"),
    [
        ("bytes 0-19/100", "sent 'bytes 0-19/100' of the file, expected bytes 10-29"),
        ("bytes 10-28/100", "sent 'bytes 10-28/100'"),
        ("bytes */100", r"sent 'bytes \*/100'"),
        ("bytes 10-29/100", ""),
        ("bytes 10-29/*", ""),
    ],
)
def test_a_range_of_other_bytes(server: Server, said: str, due: str) -> None:
    """An answer of the right length that says it is another part of the file is not used."""

    def other(handler: Handler) -> bool:
        handler.head(206, 20, Content_Range=said)
        handler.wfile.write(bytes(20))
        return True

    server.mode = other
    read = lambda: open_store(Url(server.url)).read("file", 10, 30)  # noqa: E731
    if due:
        refused(read, rf"/file: {due}")
    else:
        assert read() == bytes(20)


# ---- slow, and honest ---------------------------------------------------------------------------------------


def test_a_slow_server_is_waited_for(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it sends a little all the time, whatever the whole takes."""
    server.root = tmp_path
    (tmp_path / "file").write_bytes(bytes(range(200)) * 200)

    def steady(handler: Handler) -> bool:
        handler.honest(lambda: handler.server.over.wait(0.05))
        return True

    server.mode = steady
    monkeypatch.setattr("segdata.stores.store.PATIENCE", 0.5)
    begun = time.monotonic()
    assert open_store(Url(server.url)).read("file") == (tmp_path / "file").read_bytes()
    assert time.monotonic() - begun > 0.9
    assert len(server.seen) == 1


# ---- other stores -------------------------------------------------------------------------------------------


def test_other_stores_say_how_long_a_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole file is asked for when its length is known to be right; a range by one request."""
    url = Url("memory://hostile")
    store = open_store(url)
    store.write("file", bytes(5000))
    store.write("empty", b"")
    store.write("folder/file", b"")
    asked: list[str] = []
    real = FsspecStore._call

    def noting(self: FsspecStore, verb: str, *args: Any, **options: Any) -> Any:
        asked.append(verb)
        return real(self, verb, *args, **options)

    monkeypatch.setattr(FsspecStore, "_call", noting)
    with pytest.raises(RangeError, match=r"memory://hostile/file: 5000 bytes, expected at most 4999"):
        store.read("file", limit=4999)
    assert asked == ["info"]
    assert len(store.read("file", limit=5000)) == 5000
    assert store.read("empty") == b""
    asked.clear()
    assert len(store.read("file", 1000, 5000)) == 4000
    assert asked == ["cat_ranges"]
    with pytest.raises(AbsentError):
        store.read("folder")
    assert not store.has("folder")


def test_other_stores_that_hang() -> None:
    """Any that fsspec drives by its loop: no verb that reads waits for ever."""
    from fsspec.asyn import AsyncFileSystem

    class Hanging(AsyncFileSystem):
        cachable = False
        times = 0

        async def _hang(self, *args: object, **options: object) -> None:
            self.times += 1
            await asyncio.sleep(1000)

        _cat_file = _info = _find = _hang

    fs = Hanging()
    store = FsspecStore(Url("s3://bucket/set"), fs, "bucket/set")
    late = rf"no whole answer within .* \(tried {STALLS} times\)"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segdata.stores.store.PATIENCE", 0.05)
        patch.setattr("segdata.stores.store.LISTING", 0.05)
        for ask in (lambda: store.read("a"), lambda: store.read("a", 1, 9), lambda: store.size("a"), store.files):
            refused(ask, late)
        with pytest.raises(StoreError, match=late):
            store.has("a")
    assert fs.times == 5 * STALLS
