"""Every single call that fails, and a kill at each: the version before or the new one is whole and in its place."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segdata.base.files import write_file
from segdata.checking.verify import verify
from segdata.errors import StoreError
from segdata.format.manifest import read_manifest
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.publishing.upload import publish
from segdata.stores.cache import Cache
from segdata.stores.store import FsspecStore
from segdata.stores.url import place
from tests.support.injection import ERRORS, KILL, Ended, run

MakeJob = Callable[..., Job]
Content = dict[str, bytes]
SET = "0f" * 16  # the folder of a set's pieces in a cache


def content(folder: Path) -> Content | None:
    """Path -> bytes of all files; None where there is no folder."""
    if not folder.exists():
        return None
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def versions(
    tmp_path_factory: pytest.TempPathFactory, finished: Callable[..., Path], make_job: MakeJob
) -> tuple[Path, Path, Path]:
    """A drawn dataset of which one frame changed, the set made before that, and the one that is due."""
    old = finished("camvid")
    root = tmp_path_factory.mktemp("changed") / "root"
    shutil.copytree(old.parent / "dataset", root)
    shutil.copy(root / "train/train_0001.png", root / "train/train_0000.png")
    prepare(make_job("camvid", root, root.parent / "set"))
    return root, old, root.parent / "set"


def steps(sampled: int, total: int) -> Iterator[int]:
    """All calls, or about so many of them, spread evenly: the first and the last are among them."""
    count = sampled or total
    yield from sorted({round(1 + i * (total - 1) / (count - 1)) for i in range(count)})


@pytest.mark.parametrize("exchanges", [True, False], ids=["one step", "two renames"])
@pytest.mark.parametrize("update", [False, True], ids=["first", "update"])
@pytest.mark.parametrize("sampled", [8, pytest.param(0, marks=pytest.mark.slow)], ids=["sample", "every call"])
def test_prepare(
    sampled: int,
    update: bool,
    exchanges: bool,
    versions: tuple[Path, Path, Path],
    make_job: MakeJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader sees the version before or the new one, whole, whatever fails; the same command then ends well.

    Where the system cannot let two folders change places, a kill may leave the version before set aside: then the
    next start puts it back first.
    """
    if not exchanges:
        monkeypatch.setattr("segdata.base.files._exchange_call", lambda: None)
    root, old, new = versions
    home = tmp_path / "home"
    job = make_job("camvid", root, home / "set")

    def start() -> None:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        if update:
            shutil.copytree(old, job.out)

    allowed = [content(old) if update else None, content(new)]
    start()
    clean = run(lambda: prepare(job), home, 0, KILL)
    assert (clean.said, clean.undurable) == ("", ""), "not all of it was durable before it was published"
    assert content(job.out) == content(new)
    for at in steps(sampled, clean.calls):
        for error in (KILL, ERRORS[at % 2]) if not sampled else ((KILL, *ERRORS)[at % 3],):
            start()
            ended = run(lambda: prepare(job), home, at, error)
            where = f"call {at} of {clean.calls}, {ended}"
            found = content(job.out)
            if found is None and update and not exchanges and ended.killed:
                prepare(job)  # below: the version before was put back, and then replaced
                found = content(job.out)
            assert found in allowed, where
            assert ended.killed or not ended.said or is_ours(ended), where
            prepare(job)
            assert content(job.out) == content(new), where
            assert [path.name for path in home.iterdir()] == ["set"], f"litter after {where}"


def is_ours(ended: Ended) -> bool:
    """One line of ours, or the system's own error, which `cli` prints as one."""
    return ended.said.partition(":")[0] in {"SegdataError", "ShardError", "LockedError", "OSError", "FindingsError"}


# ---- single files, the cache, a store -----------------------------------------------------------------------


@pytest.mark.parametrize("error", [KILL, *ERRORS])
def test_a_file(error: int, tmp_path: Path) -> None:
    """Old or new, whole, at every call; a leftover of a kill is taken over by the next write."""
    path, old, new = tmp_path / "home" / "result.json", b"old" * 9, b"new" * 9
    path.parent.mkdir()
    calls = run(lambda: write_file(path, new), path.parent, 0, KILL).calls
    for at in range(1, calls + 1):
        path.write_bytes(old)
        ended = run(lambda: write_file(path, new), path.parent, at, error)
        assert path.read_bytes() in (old, new)
        assert ended.killed or not ended.said or ended.said.startswith("SegdataError: cannot write"), ended
        if error != KILL:
            assert [each.name for each in path.parent.iterdir()] == [path.name]
        write_file(path, new)
        assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert calls >= 5


def test_the_cache(tmp_path: Path) -> None:
    """A put that fails says nothing, leaves no descriptor and no partial file, and is not counted."""
    cache = Cache(tmp_path / "cache", 1 << 20)

    def put() -> None:
        before = len(list(Path("/proc/self/fd").iterdir()))
        cache.put(f"{SET}/1", b"x" * 5000)
        assert len(list(Path("/proc/self/fd").iterdir())) == before, "a descriptor was left open"

    def start() -> None:
        shutil.rmtree(cache.folder, ignore_errors=True)
        cache.put(f"{SET}/0", b"x" * 5000)

    start()
    calls = run(put, tmp_path, 0, KILL).calls
    for at in range(1, calls + 1):
        for error in (KILL, *ERRORS):
            start()
            ended = run(put, tmp_path, at, error)
            assert ended.said == "", f"call {at} of {calls}"
            kept = [path for path in (cache.folder / SET).iterdir() if ".partial-" not in path.name]
            assert all(path.read_bytes() == b"x" * 5000 for path in kept)
            counted = int((cache.folder / "usage").read_bytes() or 8192 * len(kept))
            assert counted >= 8192 * len(kept), "never too little"
            if error != KILL:
                assert sorted(kept) == sorted((cache.folder / SET).iterdir()), "a partial file was left"
                assert counted <= 8192 * max(len(kept), 2), "counted without being kept"
    assert calls >= 6


@pytest.mark.parametrize("failure", [StoreError("no"), KeyboardInterrupt()], ids=["error", "kill"])
@pytest.mark.parametrize("sampled", [6, pytest.param(0, marks=pytest.mark.slow)], ids=["sample", "every call"])
def test_publish(
    sampled: int,
    failure: BaseException,
    versions: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At every write to a store its readers have the version before or the new one; once more ends well."""
    _, old, new = versions
    allowed = {read_manifest(each).fingerprint for each in (old, new)}
    left = [0]

    def failing(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise failure
            return real(*arguments, **options)

        return call

    for name in ("write", "send", "copy"):
        monkeypatch.setattr(FsspecStore, name, failing(getattr(FsspecStore, name)))
    monkeypatch.setattr("segdata.publishing.upload.THREADS", 1)
    publish(new, place(f"memory://{tmp_path.name}/whole"))  # type: ignore[arg-type]
    writes, failed = -left[0], 0
    for at in steps(sampled, writes):
        url = place(f"memory://{tmp_path.name}/{at}")
        publish(old, url)  # type: ignore[arg-type]
        left[0] = at
        try:
            publish(new, url)  # type: ignore[arg-type]
        except type(failure):
            failed += 1
        left[0] = 0
        assert read_manifest(url).fingerprint in allowed
        assert not [finding for finding in verify(url, False) if finding.severity == "error"], f"write {at}"
        publish(new, url)  # type: ignore[arg-type]
        assert read_manifest(url).fingerprint == read_manifest(new).fingerprint
    assert failed >= 3
