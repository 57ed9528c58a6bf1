"""Publishing to stores and converting from them: whole or not at all, continued after a kill, no credentials shown."""

import hashlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from segdata.base.canonical import digest_bytes, digest_file
from segdata.base.lock import locked
from segdata.checking.verify import verify
from segdata.cli import cli
from segdata.errors import AbsentError, LockedError, SegdataError, StoreError
from segdata.findings import FindingsError
from segdata.format.manifest import FILE, SUMS, fetch_manifest, manifest_bytes, read_manifest
from segdata.format.published import find_home
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.output.workfolder import claim
from segdata.publishing.revisions import remove_revisions, revisions
from segdata.publishing.upload import publish, stage, stands
from segdata.reading.shardset import ShardSet
from segdata.stores.opening import open_store
from segdata.stores.store import FsspecStore, Store
from segdata.stores.url import Url, place

MakeJob = Callable[..., Job]
Finished = Callable[..., Path]
Draw = Callable[[str], Path]
Web = Callable[[Path], str]


def memory() -> Url:
    """A place of its own in fsspec's memory."""
    return Url(f"memory://{os.urandom(6).hex()}/set")


def sums(url: Url) -> bytes:
    """SHA256SUMS of what readers see."""
    store = open_store(url)
    return store.read(find_home(store, fetch_manifest(store)) + SUMS)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False, standalone_mode=False)
    return result.output


# ---- URLs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, kind, shown",
    [
        ("data/set", Path, "data/set"),
        ("file:///data/my%20set", Path, "/data/my set"),
        ("s3://bucket/set", Url, "s3://bucket/set"),
        ("https://user:pa55@host:81/set", Url, "https://host:81/set"),
        ("https://host/set?sig=abc%2Fdef", Url, "https://host/set?…"),
        ("C:set", Path, "C:set"),
    ],
)
def test_places(text: str, kind: type, shown: str) -> None:
    """A URL is told from a path, and shows neither user nor query."""
    assert isinstance(place(text), kind)
    assert str(place(text)) == shown
    assert shown in repr(place(text))


def test_a_url_is_joined_before_its_query() -> None:
    """So that one signature serves all files; a pickled copy still opens."""
    url = Url("https://host/set?sig=abc") / "a/b.tar"
    assert url.exact == "https://host/set/a/b.tar?sig=abc"
    assert pickle.loads(pickle.dumps(url)) == url


SECRETS = ("pa55word", "abc/def", "abc%2Fdef", "user")


@pytest.mark.parametrize(
    "exact", ["http://user:pa55word@127.0.0.1:9/set?sig=abc%2Fdef", "s3://user:pa55word@bucket/set?sig=abc%2Fdef"]
)
def test_no_error_shows_credentials(exact: str, finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in its text, nor in what a traceback prints, whatever the store's library said."""

    class Telltale:
        """A file system all of whose errors repeat the URL."""

        def __getattr__(self, name: str) -> Any:
            def fail(*args: object, **kwargs: object) -> None:
                raise RuntimeError(f"no answer from {exact} for user:pa55word with abc/def or abc%2Fdef")

            return fail

    monkeypatch.setattr("segdata.stores.store.PAUSE", 0)
    store: Store = FsspecStore(Url(exact), Telltale(), exact)
    calls: list[Callable[[], object]] = [
        lambda: store.read("a"),
        lambda: store.read("a", 1, 2),
        lambda: store.has("a"),
        lambda: store.size("a"),
        store.files,
    ]
    for call in calls:
        with pytest.raises(StoreError) as caught:
            call()
        assert not any(secret in str(caught.value) for secret in SECRETS), str(caught.value)
        assert caught.value.__suppress_context__
    for option in ("--root", "--out"):
        other = {"--root": "--out", "--out": "--root"}[option]
        result = CliRunner().invoke(cli, ["prepare", "camvid", option, exact, other, str(finished("camvid"))])
        assert result.exit_code
        shown = result.output + str(result.exception)
        assert not any(secret in shown for secret in SECRETS[:3]), shown


def test_what_to_install_is_said() -> None:
    """A scheme whose library is missing, and one that nobody knows, are one line each."""
    with pytest.raises(StoreError, match=r"gs:// needs another package: pip install 'gcsfs'"):
        open_store(Url("gs://bucket/set"))
    with pytest.raises(StoreError, match=r"Protocol not known: nonsense.*Expected s3://"):
        open_store(Url("nonsense://bucket/set"))


def test_fsspec_is_imported_for_urls_only(finished: Finished) -> None:
    """And without it a URL says what to install; local sets need nothing of it."""
    code = """
import sys
sys.modules["fsspec"] = None
from segdata import SegdataError, ShardSet
ShardSet(sys.argv[1], "train").read(0)
try:
    ShardSet("s3://bucket/set", "train")
except SegdataError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code, finished("camvid")], capture_output=True, text=True, check=True)
    assert "needs the extra `remote`: " in ran.stdout and "[remote]'" in ran.stdout


# ---- publishing ---------------------------------------------------------------------------------------------


def test_what_is_published_is_what_lies_here(finished: Finished) -> None:
    """The same SHA256SUMS, the same dataset.json, every byte; the revision is a whole set by itself."""
    folder, url = finished("camvid"), memory()
    done = publish(folder, url)
    store = open_store(url)
    assert done.changed
    assert done.sent == len((folder / SUMS).read_text().splitlines()) + 1
    assert sums(url) == (folder / SUMS).read_bytes()
    home = find_home(store, fetch_manifest(store))
    assert home.startswith("revisions/")
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert store.read(home + path.relative_to(folder).as_posix()) == path.read_bytes()
    assert store.read(FILE) == (folder / FILE).read_bytes()
    assert verify(url) == verify(url / home.rstrip("/")) == []


def test_publishing_again_sends_nothing(finished: Finished) -> None:
    """All stands, and readers see the same version."""
    url = memory()
    publish(finished("camvid"), url)
    again = publish(finished("camvid"), url)
    assert (again.sent, again.copied, again.changed) == (0, 0, False)


def test_a_new_version_copies_what_it_shares(finished: Finished, tmp_path: Path, make_job: MakeJob, draw: Draw) -> None:
    """One more frame in one split: the shards of the others are copied within the store; the old version stays."""
    url, root = memory(), draw("camvid")
    prepare(make_job("camvid", root, tmp_path / "set"))
    publish(tmp_path / "set", url)
    old, reader = sums(url), ShardSet(url, "train")
    first = next((root / "train").iterdir())
    shutil.copy(first, root / "train" / "another.png")
    shutil.copy(root / "trainannot" / first.name, root / "trainannot" / "another.png")
    prepare(make_job("camvid", root, tmp_path / "set"))
    done = publish(tmp_path / "set", url)
    assert done.changed
    assert done.copied >= 4
    assert sums(url) == (tmp_path / "set" / SUMS).read_bytes() != old
    assert [reader.read(i).key for i in range(len(reader))] == reader.keys  # of the version that it opened
    assert len(ShardSet(url, "train")) == len(reader) + 1
    states = [row.state for row in revisions(open_store(url))]
    assert states == ["current", "older"]
    assert [row.state for row in remove_revisions(url, {"older"})] == ["older"]
    assert [row.state for row in revisions(open_store(url))] == ["current"]
    assert verify(url) == []


class Dying(FsspecStore):
    """Fails at the n-th thing that it is asked to write."""

    left = 0

    def _refuse_read_only(self) -> None:
        Dying.left -= 1
        if Dying.left < 0:
            raise KeyboardInterrupt


def test_stopped_at_every_write(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers see no set, or the version before, until the last write; then the new one. No file is sent twice."""
    before, after = finished("camvid"), finished("camvid", scales=(1, 2))
    url = memory()
    publish(before, url)
    files = len((after / SUMS).read_text().splitlines()) + 1

    def dying(where: Url) -> Store:
        store = open_store(where)
        assert isinstance(store, FsspecStore)
        return Dying(where, store._fs, store._root)

    monkeypatch.setattr("segdata.publishing.upload.open_store", dying)
    monkeypatch.setattr("segdata.publishing.upload.THREADS", 1)
    stood = []
    for _ in range(2 * files):
        Dying.left = 3
        try:
            stood.append(publish(after, url, replace=True).stood)
            break
        except KeyboardInterrupt:
            assert sums(url) == (before / SUMS).read_bytes()
            states = [row.state for row in revisions(open_store(url))]
            assert states in (["current"], ["current", "unfinished"], ["current", "older"])
    assert sums(url) == (after / SUMS).read_bytes()
    assert stood == [files]  # the last try had only dataset.json left
    assert verify(url) == []


def test_what_another_upload_left_unfinished(finished: Finished) -> None:
    """It is listed, and removed on request; what readers see is never removed."""
    url = memory()
    publish(finished("camvid"), url)
    open_store(url).write(f"revisions/{'0123' * 8}/x-train-000000.tar", b"half")
    assert "unfinished" in run("revisions", url)
    assert "1 removed" in run("revisions", url, "--remove", "unfinished", "--remove", "older")
    assert [row.state for row in revisions(open_store(url))] == ["current"]
    assert verify(url) == []


def test_a_file_of_another_length_is_sent_again(finished: Finished) -> None:
    """What a broken upload left under a name does not count as there."""
    folder, url = finished("camvid"), memory()
    publish(folder, url)
    store = open_store(url)
    home = find_home(store, fetch_manifest(store))
    shard = read_manifest(folder).shards("train")[0].name
    store.write(home + shard, b"half")
    store.remove([home + FILE, FILE])
    assert publish(folder, url).sent == 1
    assert verify(url) == []


def test_an_incomplete_folder_is_not_published(shards: Callable[..., Path]) -> None:
    """A folder whose files are missing, or whose SHA256SUMS was changed, is refused before anything is sent."""
    url, folder = memory(), shards("camvid")
    (folder / "README.md").unlink()
    with pytest.raises(SegdataError, match=r"README.md: no such file"):
        publish(folder, url)
    (folder / SUMS).write_bytes(b"")
    with pytest.raises(SegdataError, match=r"SHA256SUMS: not the one"):
        publish(folder, url)
    with pytest.raises(AbsentError):
        open_store(url).read(FILE)


def test_a_damaged_folder_is_not_published(shards: Callable[..., Path]) -> None:
    """What SHA256SUMS says of a file is not taken for its bytes; readers go on to see what they saw."""
    url, folder = memory(), shards("camvid")
    shard = folder / read_manifest(folder).shards("train")[0].name
    data = bytearray(shard.read_bytes())
    data[1000] ^= 1
    shard.write_bytes(data)
    with pytest.raises(SegdataError, match=r"-train-000000\.tar: not the bytes that SHA256SUMS lists"):
        publish(folder, url)
    with pytest.raises(AbsentError):
        open_store(url).read(FILE)


def test_web_servers_are_read_only(finished: Finished) -> None:
    """Told before any work is done."""
    with pytest.raises(StoreError, match="a web server is only read from"):
        publish(finished("camvid"), Url("https://host/set"))


def test_md5_where_the_store_has_one(tmp_path: Path) -> None:
    """S3's ETags, of one part and of several, decide; where an ETag is no MD5, the stored bytes are read."""
    from segdata.stores.store import CHUNK, Entry

    path = tmp_path / "file"
    path.write_bytes(b"a" * (CHUNK + 5))
    md5s = [hashlib.md5(block, usedforsecurity=False).digest() for block in (b"a" * CHUNK, b"a" * 5)]
    several = hashlib.md5(b"".join(md5s), usedforsecurity=False).hexdigest() + "-2"
    one = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    size, sha256, store = CHUNK + 5, digest_file(path), open_store(memory())
    store.send(path, "same")
    store.write("other", b"b" + path.read_bytes()[1:])
    for etag in (several, one, "", "no-md5"):
        assert stands(store, "same", Entry(size, etag), path, sha256), etag
    for etag in ("", "no-md5"):
        assert not stands(store, "other", Entry(size, etag), path, sha256), etag
    for entry in (None, Entry(size - 1, one), Entry(size, "0" * 32), Entry(size, "0" * 32 + "-2"), Entry(None, "")):
        assert not stands(store, "same", entry, path, sha256), entry


def test_publishing_again_mends_the_store(finished: Finished) -> None:
    """Of a damaged file the length, and dataset.json beside it, are as they should be."""
    folder, url = finished("camvid"), memory()
    publish(folder, url)
    store = open_store(url)
    home = find_home(store, fetch_manifest(store))
    shard = read_manifest(folder).shards("train")[0].name
    store.write(home + shard, bytes(8) + (folder / shard).read_bytes()[8:])
    where = {finding.where for finding in verify(url)}
    assert shard in where and all(each.partition(":")[0] == shard for each in where)
    published = publish(folder, url)
    assert (published.sent, published.changed) == (1, False)
    assert verify(url) == []


# ---- prepare --out ------------------------------------------------------------------------------------------


def test_prepare_to_a_store(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """`--out memory://` publishes the bytes that `--out folder` writes, and leaves nothing behind."""
    root, url = draw("camvid"), memory()
    options = ["--scale", 1, "--scale", 8, "--samples-per-shard", 2, "--engine", "serial"]
    run("prepare", "camvid", "--root", root, "--out", tmp_path / "set", *options)
    told = run("prepare", "camvid", "--root", root, "--out", url.exact, *options)
    assert told.splitlines()[-1].startswith(f"{url}: train 4, val 3, test 2 samples in")
    assert sums(url) == (tmp_path / "set" / SUMS).read_bytes()
    work = Path(os.environ["SEGDATA_CACHE"]) / "work"
    assert not list(work.iterdir())


def test_prepare_to_a_store_keeps_its_work_folder(draw: Draw, tmp_path: Path) -> None:
    """With --work-dir the set stays there: the next run makes one changed shard, and sends little."""
    root, url = draw("camvid"), memory()
    command = ["prepare", "camvid", "--root", root, "--out", url.exact, "--work-dir", tmp_path / "work"]
    command += ["--samples-per-shard", 2, "--engine", "serial"]
    run(*command)
    images = sorted((root / "val").iterdir())
    shutil.copy(images[1], images[0])
    assert "(4 stood already)" in run(*command)
    (own,) = (tmp_path / "work").iterdir()
    assert sums(url) == (own / "set" / SUMS).read_bytes()


def test_the_second_writer_of_a_url_is_told(draw: Draw, tmp_path: Path) -> None:
    """On one machine; on two machines, neither writes where the other does."""
    root, url, work = draw("camvid"), memory(), tmp_path / "work"
    claim(home := stage(url, work), "a set")
    with locked(home / "lock", "segdata prepare here"), pytest.raises(LockedError, match="segdata prepare here"):
        run("prepare", "camvid", "--root", root, "--out", url.exact, "--work-dir", work)


def test_two_writers_do_not_mix(finished: Finished) -> None:
    """Each version lies below a folder of its own: whoever is last is what readers see, whole."""
    url = memory()
    one, other = finished("camvid"), finished("camvid", scales=(1, 2))
    publish(one, url)
    publish(other, url, replace=True)
    publish(one, url, replace=True)
    assert sums(url) == (one / SUMS).read_bytes()
    for row in revisions(open_store(url)):
        assert verify(url / f"revisions/{row.name}") == []


# ---- prepare --root -----------------------------------------------------------------------------------------


def upload(folder: Path, url: Url) -> None:
    store = open_store(url)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        store.send(path, path.relative_to(folder).as_posix())


@pytest.mark.parametrize("layout", [{}, {"zips": True}, {"nested": True}], ids=["tree", "zips", "nested"])
def test_a_dataset_in_a_store(layout: dict[str, bool], painted: Finished, make_job: MakeJob, tmp_path: Path) -> None:
    """Trees, zips and the extra level give the bytes that they give on a disk."""
    root, url = painted("cityscapes", **layout), memory()
    upload(root, url)
    prepare(make_job("cityscapes", root, tmp_path / "here"))
    prepare(make_job("cityscapes", url, tmp_path / "there"))
    assert (tmp_path / "there" / SUMS).read_bytes() == (tmp_path / "here" / SUMS).read_bytes()


def test_a_zip_in_a_store_is_not_fetched_whole(
    painted: Finished, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the zips, the directory and the members of the split are read: one request a member, no byte twice."""
    root, url = painted("cityscapes", zips=True), memory()
    upload(root, url)
    asked: list[int] = []
    real = FsspecStore.read

    def counting(
        self: FsspecStore, path: str, start: int = 0, stop: int | None = None, *rest: Any, **options: Any
    ) -> bytes:
        data = real(self, path, start, stop, *rest, **options)
        asked.append(len(data))
        return data

    monkeypatch.setattr(FsspecStore, "read", counting)
    prepare(make_job("cityscapes", url, tmp_path / "set", splits=("val",)))
    whole = sum(path.stat().st_size for path in root.glob("*.zip"))
    members = 2 * 3  # image and labels of the split
    assert len(asked) <= members + 2 * 6
    assert sum(asked) < 0.7 * whole


def test_one_zip_as_the_root(painted: Finished, make_job: MakeJob, tmp_path: Path) -> None:
    """A URL that ends in .zip is the dataset; no listing is needed."""
    (path,) = painted("tas500", zips=True).glob("*.zip")
    url = memory()
    open_store(url).send(path, path.name)
    prepare(make_job("tas500", path, tmp_path / "here"))
    prepare(make_job("tas500", url / path.name, tmp_path / "there"))
    assert (tmp_path / "there" / SUMS).read_bytes() == (tmp_path / "here" / SUMS).read_bytes()


def test_what_is_wrong_with_a_remote_root(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """A missing folder, a file that vanished, a damaged one: told as on a disk."""
    url = memory()
    with pytest.raises(SegdataError, match=r"no CamVid|no train in memory.*nothing that can be listed"):
        prepare(make_job("camvid", url, tmp_path / "set"))
    upload(draw("camvid"), url)
    store = open_store(url)
    store.write("train/train_0000.png", b"not a picture")
    with pytest.raises(FindingsError) as caught:
        prepare(make_job("camvid", url, tmp_path / "set"))
    assert [(row.code, row.where) for row in caught.value.findings] == [("bad-image", "train/train_0000.png")]


def test_a_dataset_on_a_web_server(web: Web, draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """nginx with listings, converted by two processes; a folder behind a password by a URL that has it."""
    root = draw("camvid")
    prepare(make_job("camvid", root, tmp_path / "here"))
    prepare(make_job("camvid", Url(web(root)), tmp_path / "there", engine="local", workers=2))
    assert (tmp_path / "there" / SUMS).read_bytes() == (tmp_path / "here" / SUMS).read_bytes()
    (tmp_path / "served").mkdir()
    (tmp_path / "served/private").symlink_to(root)
    address = web(tmp_path / "served")
    url = Url(address.replace("//", "//user:pa55word@") + "/private")
    prepare(make_job("camvid", url, tmp_path / "private"))
    everything = b"".join(path.read_bytes() for path in (tmp_path / "private").rglob("*") if path.is_file())
    assert b"pa55word" not in everything
    with pytest.raises(StoreError, match="access denied") as caught:
        prepare(make_job("camvid", Url(url.exact.replace("pa55", "wr0ng")), tmp_path / "wrong"))
    assert "wr0ng" not in str(caught.value)


# ---- a real S3 server ---------------------------------------------------------------------------------------


def test_from_s3_to_s3(bucket: str, draw: Draw, tmp_path: Path) -> None:
    """The commands, with a dataset and a set in S3: the same SHA256SUMS as here; unchanged when run again."""
    root, url = draw("camvid"), Url(f"{bucket}/sets/camvid")
    upload(root, Url(f"{bucket}/raw"))
    options = ["--scale", 1, "--scale", 8, "--samples-per-shard", 2, "--engine", "serial"]
    run("prepare", "camvid", "--root", root, "--out", tmp_path / "set", *options)
    first = run("prepare", "camvid", "--root", f"{bucket}/raw", "--out", url.exact, *options)
    assert first.endswith("shards\n")
    assert run("prepare", "camvid", "--root", f"{bucket}/raw", "--out", url.exact, *options).endswith("unchanged\n")
    assert sums(url) == (tmp_path / "set" / SUMS).read_bytes()
    assert "0 files sent" in run("publish", tmp_path / "set", url.exact)
    assert ": bytes of 9 samples as written" in run("verify", url.exact)
    command = [sys.executable, "-m", "segdata", "verify", url.exact, "--pixels", "--workers", "2"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ": bytes and pixels of 9 samples as written" in ran.stdout
    store = open_store(url)
    shard = find_home(store, fetch_manifest(store)) + read_manifest(tmp_path / "set").shards("train")[0].name
    data = bytearray(store.read(shard))
    data[1000] ^= 1
    store.write(shard, bytes(data))
    name = Path(shard).name
    bad = ("bad-image", f"{name}:train_0000.image.png")
    assert [(row.code, row.where) for row in verify(url)] == [bad, ("changed-bytes", name)]
    assert "1 files sent" in run("publish", tmp_path / "set", url.exact)  # of that length, but another ETag
    assert verify(url) == []


def test_no_such_bucket(bucket: str, finished: Finished, draw: Draw, tmp_path: Path) -> None:
    """Is named, where a set is read, a dataset is listed, or a set is to be published: then before it is made."""
    url = f"{bucket}-gone/set"
    job = {"root": draw("camvid"), "out": tmp_path / "set"}
    for call in (
        lambda: verify(Url(url)),
        lambda: publish(finished("camvid"), Url(url)),
        lambda: run("prepare", "camvid", "--root", job["root"], "--out", url),
        lambda: run("prepare", "camvid", "--root", url, "--out", job["out"]),
        lambda: run("revisions", url),
    ):
        with pytest.raises(StoreError, match=r"there is no bucket 'segdata-\w+-gone'\. Create it, or correct"):
            call()
    assert not Path(job["out"]).exists()


def test_large_files_go_in_parts(bucket: str, tmp_path: Path) -> None:
    """An ETag of several parts is recognised, so that a large shard is not sent twice."""
    from segdata.stores.store import CHUNK

    path = tmp_path / "large"
    path.write_bytes(os.urandom(CHUNK) * 2 + b"end")
    store = open_store(Url(bucket))
    store.send(path, "large")
    entry = store.files()["large"]
    assert entry.etag.endswith("-3")
    assert stands(store, "large", entry, path, "")
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert not stands(store, "large", entry, path, "")


def test_killed_while_sending(bucket: str, finished: Finished, tmp_path: Path) -> None:
    """SIGKILL in the middle of an upload to S3: nothing is seen; the same command ends it, and sends the rest."""
    folder, url = finished("camvid"), f"{bucket}/set"
    code = """
import os, signal, sys
from segdata.stores.store import FsspecStore
from segdata.cli import cli
real, left = FsspecStore.send, [9]
def send(self, local, path):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, local, path)
FsspecStore.send = send
cli()
"""
    ran = subprocess.run([sys.executable, "-c", code, "publish", folder, url], capture_output=True, check=False)
    assert ran.returncode == -signal.SIGKILL
    with pytest.raises(SegdataError, match=r"no dataset\.json"):
        ShardSet(url, "train")
    done = publish(folder, Url(url))
    assert done.stood >= 4
    assert done.sent <= len((folder / SUMS).read_text().splitlines()) + 1 - done.stood
    assert sums(Url(url)) == (folder / SUMS).read_bytes()


@pytest.mark.slow
def test_killed_at_random_times(bucket: str, painted: Finished, make_job: MakeJob, tmp_path: Path) -> None:
    """SIGKILL to `prepare --out s3://…` at random moments, converting or sending, until one run survives."""
    root, url = painted("cityscapes"), f"{bucket}/set"
    command = [sys.executable, "-m", "segdata", "prepare", "cityscapes", "--root", str(root), "--out", url]
    command += ["--samples-per-shard", "2", "--workers", "2", "--work-dir", str(tmp_path / "work")]
    for moment in (0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8, 3.2, 4.0):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, capture_output=True)
    prepare(make_job("cityscapes", root, tmp_path / "here", scales=(1,)))
    assert sums(Url(url)) == (tmp_path / "here" / SUMS).read_bytes()
    assert verify(Url(url)) == []


def test_a_shard_that_the_digest_list_leaves_out(finished: Finished) -> None:
    """Every shard of dataset.json is checked, though SHA256SUMS, whose own digest is right, does not list it."""
    folder, url = finished("camvid"), memory()
    upload(folder, url)
    store, manifest = open_store(url), read_manifest(folder)
    name = manifest.shards("train")[0].name
    sums = b"".join(line for line in (folder / SUMS).read_bytes().splitlines(True) if name.encode() not in line)
    document = {key: value for key, value in manifest.document.items() if key != "fingerprint"}
    store.write(SUMS, sums)
    store.write(FILE, manifest_bytes({**document, "sha256sums": digest_bytes(sums)}))
    store.write(name, b"other bytes")
    found = {(row.code, row.where.partition(":")[0]) for row in verify(url)}
    assert found == {("bad-manifest", SUMS), ("changed-bytes", name), ("bad-member", name)}
