"""Reading shards from stores: the same samples, each checked; a bounded cache that many share; broken connections."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segdata import Record, ShardSet
from segdata.errors import SegdataError, ShardError, StoreError
from segdata.format.manifest import FILE, SUMS, fetch_manifest, read_manifest
from segdata.format.published import find_home
from segdata.looking.diff import diff
from segdata.looking.stats import stats
from segdata.publishing.upload import publish
from segdata.reading.prefetch import AHEAD, Prefetch
from segdata.stores.cache import Cache, default_cache, parse_bytes
from segdata.stores.opening import open_store
from segdata.stores.store import FsspecStore
from segdata.stores.url import Url

SET = "0f" * 16  # the folder of a set's pieces in a cache

Finished = Callable[..., Path]
Web = Callable[[Path], str]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segdata.stores.store.PAUSE", 0.001)


@pytest.fixture
def published(finished: Finished) -> Url:
    """CamVid's drawn set in fsspec's memory: four, three and two samples in shards of two."""
    url = Url(f"memory://{os.urandom(6).hex()}/set")
    publish(finished("camvid"), url)
    return url


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int | None]]:
    """What was asked of stores since: (path, start, stop)."""
    found: list[tuple[str, int, int | None]] = []
    real = FsspecStore.read

    def noting(
        self: FsspecStore, path: str, start: int = 0, stop: int | None = None, *rest: Any, **options: Any
    ) -> bytes:
        found.append((path, start, stop))
        return real(self, path, start, stop, *rest, **options)

    monkeypatch.setattr(FsspecStore, "read", noting)
    return found


def same(a: Record, b: Record) -> bool:
    return (
        (a.key, a.meta) == (b.key, b.meta)
        and np.array_equal(a.image, b.image)
        and a.targets.keys() == b.targets.keys()
        and all(np.array_equal(a.targets[scale], b.targets[scale]) for scale in a.targets)
    )


def check_same(url: str | Url, folder: Path, split: str = "train", cache: Cache | None = None) -> None:
    here, there = ShardSet(folder, split), ShardSet(url, split, cache)
    assert there.keys == here.keys
    for i in range(len(here)):
        assert same(there.read(i), here.read(i))


def sums_of_all(path: str | Url, split: str) -> list[int]:
    shards = ShardSet(path, split)
    return [int(shards.read(i).image.sum()) for i in shards.order(os.getpid(), 0)]


# ---- the same samples ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize(
    "name, options",
    [("camvid", {}), ("cityscapes", {"rule": "coverage", "scales": (1, 2)}), ("tas500", {"image_codec": "webp"})],
)
def test_the_same_samples(name: str, options: dict[str, Any], split: str, finished: Finished) -> None:
    """From memory as from the disk: whole, and windows of them; also where a split has no labels."""
    splits = {} if name == "camvid" else {"splits": ("train", "val", "test")}
    folder, url = finished(name, **options, **splits), Url(f"memory://{os.urandom(6).hex()}")
    publish(folder, url)
    check_same(url, folder, split)
    here, there = ShardSet(folder, split), ShardSet(url, split)
    assert same(there.read(1, (8, 0, 8, 16)), here.read(1, (8, 0, 8, 16)))
    assert (there.taxonomy.digest, there.digest, there.size, there.rule) == (
        (here.taxonomy.digest, here.digest, here.size, here.rule)
    )
    assert list(there.order(3, 4)) == list(here.order(3, 4))


def test_a_folder_as_it_is(finished: Finished) -> None:
    """A set that was copied to a store file by file reads alike; so does one revision, by its own URL."""
    folder, url = finished("camvid"), Url(f"memory://{os.urandom(6).hex()}")
    store = open_store(url)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        store.send(path, path.relative_to(folder).as_posix())
    check_same(url, folder)
    publish(folder, url)
    check_same(url / find_home(store, fetch_manifest(store)).rstrip("/"), folder)


def test_commands_that_read(published: Url, finished: Finished) -> None:
    """Statistics are those of the folder, and nothing differs."""
    assert stats(published) == stats(finished("camvid"))
    assert diff(published, finished("camvid", scales=(1,))) != diff(published, finished("camvid")) == []


def test_one_request_a_sample(published: Url, asked: list[tuple[str, int, int | None]]) -> None:
    """The index comes once; then a range for each sample and no more, nothing at all the second time."""
    shards = ShardSet(published, "train")
    opened = len(asked)
    assert opened <= 6
    assert not any(path.endswith(".tar") for path, *_ in asked)
    for _ in range(2):
        for i in range(len(shards)):
            shards.read(i)
        assert [path.endswith(".tar") for path, *_ in asked[opened:]] == [True] * len(shards)
    read = sum((stop or 0) - start for _, start, stop in asked[opened:])
    assert read < sum(row.size for row in shards.manifest.shards("train"))
    before = len(asked)
    again = ShardSet(published, "train")
    again.read(0)
    assert [path for path, *_ in asked[before:]] == [FILE]


def test_it_travels_to_other_processes(bucket: str, finished: Finished) -> None:
    """Pickled, spawned and forked copies of a set in S3 read the same samples, though connections do not travel."""
    folder, url = finished("camvid"), f"{bucket}/set"
    publish(folder, Url(url))
    shards = ShardSet(url, "train")
    expected = [int(ShardSet(folder, "train").read(i).image.sum()) for i in range(4)]
    shards.prefetch([0, 1])
    assert [int(shards.read(i).image.sum()) for i in range(2)] == expected[:2]
    assert [int(pickle.loads(pickle.dumps(shards)).read(i).image.sum()) for i in range(4)] == expected
    for method in ("fork", "spawn"):
        with get_context(method).Pool(1) as pool:
            assert pool.apply(sum_all, (shards,)) == expected


def sum_all(shards: ShardSet) -> list[int]:
    assert shards.shard(0)
    shards.prefetch(range(len(shards)))
    return [int(shards.read(i).image.sum()) for i in range(len(shards))]


def test_the_store_is_the_same_for_the_reader(published: Url, finished: Finished) -> None:
    """Any number of threads read at a time."""
    shards, here = ShardSet(published, "train"), ShardSet(finished("camvid"), "train")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: shards.read(n % 4), range(64)))
    assert all(same(record, here.read(n % 4)) for n, record in enumerate(found))


# ---- what is wrong in the store -----------------------------------------------------------------------------


def changed(url: Url, name: str, data: bytes | None) -> None:
    """Put other bytes below the revision, None to remove the file."""
    store = open_store(url)
    path = find_home(store, fetch_manifest(store)) + name
    if data is None:
        store.remove([path])
    else:
        store.write(path, data)


def test_a_tampered_sample_is_refused(published: Url, finished: Finished) -> None:
    """One bit of one sample: it is refused by name, the others of its shard are read; nothing bad is cached."""
    folder = finished("camvid")
    shards = ShardSet(published, "train")
    name = shards.manifest.shards("train")[0].name
    data = bytearray((folder / name).read_bytes())
    data[600] ^= 1
    changed(published, name, bytes(data))
    with pytest.raises(ShardError, match=rf"{name}: not the bytes that dataset.json lists"):
        shards.read(0)
    assert same(shards.read(1), ShardSet(folder, "train").read(1))
    changed(published, name, (folder / name).read_bytes())
    check_same(published, folder)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda data: None, "no such file, though dataset.json lists it"),
        (lambda data: data[:1000], "bytes came"),
        (lambda data: b"", "bytes came"),
    ],
    ids=["missing", "cut off", "empty"],
)
def test_a_shard_that_is_not_there(
    published: Url, finished: Finished, spoil: Callable[[bytes], bytes | None], message: str
) -> None:
    """Named, with what to do."""
    shards = ShardSet(published, "train")
    name = shards.manifest.shards("train")[1].name
    changed(published, name, spoil((finished("camvid") / name).read_bytes()))
    with pytest.raises(SegdataError, match=rf"{name}: .*{message}"):
        shards.read(3)


@pytest.mark.parametrize(
    "name", [SUMS, ".segdata/train.keys.npy", ".segdata/train.places.npy", ".segdata/train.samples.npy"]
)
def test_a_tampered_index_is_refused(published: Url, finished: Finished, name: str) -> None:
    """Whatever the index says is checked before it is used."""
    data = bytearray((finished("camvid") / name).read_bytes())
    data[-1] ^= 1
    changed(published, name, bytes(data))
    with pytest.raises(ShardError, match=rf"{name}: not the bytes"):
        ShardSet(published, "train")


def test_what_is_no_set(published: Url) -> None:
    """A wrong URL, a wrong split, a damaged dataset.json."""
    with pytest.raises(ShardError, match=r"memory://nowhere: no dataset\.json, so this is no finished shard set"):
        ShardSet("memory://nowhere", "train")
    with pytest.raises(ShardError, match="no split 'dev'; it has train, val, test"):
        ShardSet(published, "dev")
    open_store(published).write(FILE, b"{")
    with pytest.raises(ShardError, match=r"dataset\.json: .*JSONDecodeError.*Expected a manifest"):
        ShardSet(published, "train")


def test_a_version_that_is_replaced_meanwhile(published: Url, finished: Finished) -> None:
    """Who has the set open goes on with the version that was opened; who opens it then sees the new one, whole."""
    before, after = finished("camvid"), finished("camvid", scales=(1, 2))
    shards = ShardSet(published, "train")
    publish(after, published, replace=True)
    assert all(same(shards.read(i), ShardSet(before, "train").read(i)) for i in range(4))
    check_same(published, after)


# ---- the cache ----------------------------------------------------------------------------------------------


def used(cache: Cache) -> int:
    """Bytes of all files, as the disk gives them out."""
    files = [path for path in cache.folder.rglob("*") if path.is_file() and path.name != "usage"]
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in files)


def test_the_bound_is_kept(tmp_path: Path) -> None:
    """Whatever is put in, the files never take more; what was read last stays longest."""
    cache = Cache(tmp_path, 100_000)
    for n in range(60):
        cache.put(f"{SET}/{n}", bytes([n]) * (n * 300))
        assert cache.get(f"{SET}/5") is not None or n < 5
        assert used(cache) <= cache.limit
    assert cache.get(f"{SET}/59") == bytes([59]) * 59 * 300
    assert cache.get(f"{SET}/20") is None
    cache.put(f"{SET}/large", bytes(100_001))
    assert cache.get(f"{SET}/large") is None


def fill(folder: Path, start: int) -> int:
    cache = Cache(folder, 400_000)
    most = 0
    for n in range(start, start + 80):
        cache.put(f"{n % 7:032x}/{n % 130}", n.to_bytes(2, "big") * (500 + n * 37 % 9000))
        most = max(most, used_at_once(cache))
    return most


def used_at_once(cache: Cache) -> int:
    """While nobody may add or evict; a partial file that becomes a piece meanwhile counts once."""
    found = {}
    with cache._usage():
        for folder, _, names in os.walk(cache.folder):
            for name in names:
                with suppress(FileNotFoundError):
                    status = os.stat(Path(folder, name))  # noqa: PTH116
                    found[status.st_ino] = -(-status.st_size // 4096) * 4096 if name != "usage" else 0
    return sum(found.values())


def test_many_writers_keep_the_bound(tmp_path: Path) -> None:
    """Four processes at once; every piece that is there is whole."""
    with get_context("fork").Pool(4) as pool:
        most = pool.starmap(fill, [(tmp_path, start) for start in (0, 40, 500, 1000)])
    assert max(most) <= 400_000
    pieces = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "usage"]
    assert pieces
    for path in pieces:
        data = path.read_bytes()
        n = int.from_bytes(data[:2], "big")
        assert data == n.to_bytes(2, "big") * (500 + n * 37 % 9000)


def test_two_writers_begin_a_cache_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process's first piece appears just before the folder is looked at: it is no stranger's."""
    cache, listed = Cache(tmp_path, 100_000), Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if not (tmp_path / "usage").exists():
            monkeypatch.undo()
            Cache(tmp_path, 100_000).put(f"{SET}/1", b"one")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    cache.put(f"{SET}/2", b"two")
    assert (cache.get(f"{SET}/1"), cache.get(f"{SET}/2")) == (b"one", b"two")


def test_a_killed_writer_leaves_no_half_piece(tmp_path: Path) -> None:
    """SIGKILL in the middle of writing: the piece is not there, and its partial file goes when room is needed."""
    code = """
import os, signal, sys
from pathlib import Path
from segdata.stores.cache import Cache
Path.rename = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
Cache(Path(sys.argv[1]), 100_000).put("SET/piece", bytes(50_000))
"""
    ran = subprocess.run([sys.executable, "-c", code.replace("SET", SET), tmp_path], check=False)
    assert ran.returncode == -signal.SIGKILL
    cache = Cache(tmp_path, 100_000)
    assert cache.get(f"{SET}/piece") is None
    assert used(cache) > 50_000
    for n in range(3):
        cache.put(f"{SET}/{n}", bytes(30_000))
        assert used(cache) <= cache.limit
    assert cache.get(f"{SET}/2") is not None
    assert not list(tmp_path.rglob("*partial*"))


def test_a_damaged_piece_is_fetched_again(published: Url, finished: Finished) -> None:
    """Bytes that changed on the local disk are noticed, whether of the index or of a sample."""
    folder = finished("camvid")
    check_same(published, folder)
    for path in [path for path in default_cache().folder.rglob("*") if path.is_file() and path.name != "usage"]:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    check_same(published, folder)


def test_an_index_that_another_process_evicts(
    published: Url, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the moment that it is there and the moment that it is mapped: it is fetched once more."""
    gone: list[Path] = []
    real = Cache.file

    def evicting(self: Cache, name: str, *rest: Any) -> Path:
        path = real(self, name, *rest)
        if name.endswith(".places.npy") and not gone:
            path.unlink()
            gone.append(path)
        return path

    monkeypatch.setattr(Cache, "file", evicting)
    check_same(published, finished("camvid"))
    assert gone


@pytest.mark.parametrize("limit", [20_000, 60_000, 10**9])
def test_a_cache_that_is_too_small(published: Url, finished: Finished, limit: int, tmp_path: Path) -> None:
    """Samples that do not fit are fetched each time; the bound holds."""
    cache = Cache(tmp_path / "cache", limit)
    for _ in range(2):
        check_same(published, finished("camvid"), cache=cache)
        assert used(cache) <= limit


def test_a_cache_that_cannot_be_written(published: Url, tmp_path: Path) -> None:
    """Says so: the index must lie somewhere."""
    (tmp_path / "file").touch()
    with pytest.raises(SegdataError, match="Set SEGDATA_CACHE to another folder"):
        ShardSet(published, "train", Cache(tmp_path / "file", 10**9))


def test_damage_that_cannot_be_replaced(published: Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged index in a cache that is not ours to write is never used."""
    cache = Cache(tmp_path, 10**9)
    ShardSet(published, "train", cache)
    for path in tmp_path.rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(SegdataError, match="Set SEGDATA_CACHE to another folder"):
        ShardSet(published, "train", cache)


def test_readers_share_one_cache(bucket: str, finished: Finished) -> None:
    """Three processes read one set in S3 through one cache, in three orders: all see the same samples."""
    folder, url = finished("camvid"), f"{bucket}/set"
    publish(folder, Url(url))
    expected = sorted(sums_of_all(folder, "train"))
    with get_context("spawn").Pool(3) as pool:
        assert [sorted(row) for row in pool.starmap(sums_of_all, [(url, "train")] * 3)] == [expected] * 3


def test_a_reader_that_is_killed(finished: Finished, bucket: str) -> None:
    """SIGKILL at random moments while a cache fills: the next readers find nothing half in it."""
    folder, url = finished("camvid"), f"{bucket}/set"
    publish(folder, Url(url))
    code = "import sys; from segdata import ShardSet\nwhile True:\n s = ShardSet(sys.argv[1], 'train')\n"
    code += " print('.', flush=True)\n [s.read(i) for i in range(len(s))]\n import shutil; shutil.rmtree(sys.argv[2])"
    command = [sys.executable, "-c", code, url, str(default_cache().folder / fetch(url)[:32])]
    for moment in (0.0, 0.013, 0.05):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout
        process.stdout.readline()
        time.sleep(moment)
        process.kill()
        process.communicate()
        check_same(url, folder)


def fetch(url: str) -> str:
    return fetch_manifest(open_store(Url(url))).fingerprint


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SEGDATA_CACHE and SEGDATA_CACHE_SIZE, else the platform's folder."""
    monkeypatch.setenv("SEGDATA_CACHE", str(tmp_path))
    monkeypatch.setenv("SEGDATA_CACHE_SIZE", "3G")
    assert default_cache() == Cache(tmp_path / "pieces", 3 << 30)
    monkeypatch.delenv("SEGDATA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("sys.platform", "linux")
    assert default_cache().folder == tmp_path / "xdg" / "segdata" / "pieces"
    assert [parse_bytes(text) for text in ("17", "2K", "512m", "1T")] == [17, 2048, 512 << 20, 1 << 40]
    for text in ("", "lots", "-1", "1.5G", "G"):
        with pytest.raises(SegdataError, match="expected a number of bytes"):
            parse_bytes(text)


# ---- prefetch -----------------------------------------------------------------------------------------------


def test_what_is_announced_is_fetched_once(published: Url, asked: list[tuple[str, int, int | None]]) -> None:
    """Each sample by one request, whether it is read before or after it came."""
    shards = ShardSet(published, "train")
    opened = len(asked)
    shards.prefetch([2, 0, 3])
    for i in (2, 3, 1, 0):
        shards.read(i)
    assert len(asked) - opened == 4


def test_announcements_do_not_pile_up() -> None:
    """At most AHEAD results wait; what nobody takes gives way; what was not announced is fetched when it is taken."""
    started: list[int] = []

    def work(i: int) -> bytes:
        started.append(i)
        return b"%d" % i

    ahead = Prefetch(work)
    for start in range(0, 5 * AHEAD, AHEAD // 2):
        ahead.announce(range(start, start + AHEAD // 2))
        while len(started) < start + AHEAD // 2:
            time.sleep(0.001)
    assert len(ahead._waiting) <= AHEAD
    assert ahead.take(5 * AHEAD - 1) == b"%d" % (5 * AHEAD - 1)
    assert ahead.take(10**6) == b"1000000"
    assert started.count(5 * AHEAD - 1) == 1


def test_they_come_while_the_reader_works() -> None:
    """Eight at a time: the reader waits for one of eight, not for each of them."""
    together = threading.Barrier(8, timeout=20)

    def work(i: int) -> bytes:
        together.wait()  # breaks unless eight are under way at once
        return b""

    ahead = Prefetch(work)
    ahead.announce(range(8))
    assert [ahead.take(i) for i in range(8)] == [b""] * 8


def test_an_error_comes_to_the_reader(published: Url, finished: Finished) -> None:
    """Not to the thread that fetched ahead; and a new try fetches again."""
    shards = ShardSet(published, "train")
    name = shards.manifest.shards("train")[0].name
    changed(published, name, None)
    shards.prefetch([0, 1, 2])
    with pytest.raises(ShardError, match=name):
        shards.read(0)
    changed(published, name, (finished("camvid") / name).read_bytes())
    assert shards.read(0).key == shards.key(0)


# ---- web servers --------------------------------------------------------------------------------------------


def test_over_http(web: Web, finished: Finished, asked: list[tuple[str, int, int | None]]) -> None:
    """nginx serves the folder as it is."""
    folder = finished("camvid")
    check_same(web(folder), folder)
    assert all(stop for path, _, stop in asked if path.endswith(".tar"))


def test_connections_that_break(web: Web, finished: Finished, cutting: Callable[..., Any], tmp_path: Path) -> None:
    """A proxy cuts connections to nginx in the middle of answers, at most two in a row: every sample is right."""
    folder = finished("camvid")
    address = web(folder)
    port = int(address.split(":")[2].partition("/")[0])
    proxy = cutting(port, (900, 5_000, 40_000), cuts=12)
    url = address.replace(str(port), str(proxy.port))
    while proxy.left:
        check_same(url, folder, cache=Cache(tmp_path / str(proxy.left), 10**9))


def test_a_server_that_is_gone(finished: Finished, web: Web, cutting: Callable[..., Any]) -> None:
    """After so many tries it is one line, with the URL."""
    address = web(finished("camvid"))
    port = int(address.split(":")[2].partition("/")[0])
    proxy = cutting(port, (0,), cuts=0)
    shards = ShardSet(address.replace(str(port), str(proxy.port)), "train")
    proxy.close()
    with pytest.raises(StoreError, match=rf"{proxy.port}/.*\.tar: .*\(tried 5 times\)"):
        shards.read(0)


def test_a_server_without_ranges(
    web: Web, finished: Finished, tmp_path: Path, asked: list[tuple[str, int, int | None]]
) -> None:
    """nginx that sends whole files only: whole shards, each asked for once but for the first; the same samples."""
    folder = finished("camvid")
    (tmp_path / "whole").symlink_to(folder)
    url = web(tmp_path) + "/whole"
    check_same(url, folder)
    wanted = [(path, stop) for path, _, stop in asked if path.endswith(".tar")]
    assert sum(stop is None for _, stop in wanted) == len(read_manifest(folder).shards("train"))
    assert sum(stop is not None for _, stop in wanted) == 1
    shards = ShardSet(url, "val")
    shards.prefetch(range(len(shards)))
    assert [shards.read(i).key for i in range(len(shards))] == shards.keys
    check_same(url, folder, "test", Cache(tmp_path / "small", 20_000))


def test_whole_shards_are_checked(published: Url, finished: Finished, shards: Finished) -> None:
    """`shard` gives the file's bytes, here and there, and refuses any others."""
    folder = finished("camvid")
    rows = read_manifest(folder).shards("train")
    for where in (folder, published):
        assert [ShardSet(where, "train").shard(k) for k in range(len(rows))] == [
            (folder / row.name).read_bytes() for row in rows
        ]
    data = bytearray((folder / rows[0].name).read_bytes())
    data[700] ^= 1
    changed(published, rows[0].name, bytes(data))
    mine = shards("camvid")
    (mine / rows[0].name).write_bytes(data)
    for where in (mine, published):
        with pytest.raises(ShardError, match=rf"{rows[0].name}: not the bytes"):
            ShardSet(where, "train").shard(0)


def test_a_changed_folder_behind_a_web_server(web: Web, shards: Finished, finished: Finished) -> None:
    """A folder that is swapped for another version while it is read: refused, not mixed."""
    folder = shards("camvid")
    reader = ShardSet(web(folder), "train")
    other = finished("camvid", image_codec="png", rule="stride", scales=(1, 2, 4, 8))
    for path in other.glob("*.tar"):
        shutil.copy(path, folder)
    with pytest.raises(SegdataError, match=r"\.tar: "):
        reader.read(0)
    assert read_manifest(folder).fingerprint == reader.digest
