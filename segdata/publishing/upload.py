"""Publish a shard folder to an object store, where nothing can be renamed.

Everything goes below `revisions/<fingerprint>/`, dataset.json last, and then once more beside `revisions/`: the one
write by which readers see the new version, all of it. Writers of the same set write the same bytes to the same
places; writers of different ones never touch each other's. Run again, it sends what is missing.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from segdata.base.canonical import digest_bytes, digest_file
from segdata.base.lock import locked
from segdata.errors import AbsentError, RangeError, SegdataError, ShardError, StoreError
from segdata.format.manifest import (
    FILE,
    MAX_BYTES,
    SUMS,
    Manifest,
    fetch_manifest,
    parse_sums,
    read_manifest,
    read_sums,
)
from segdata.format.published import find_home, revision
from segdata.making.job import Job
from segdata.making.prepare import Prepared, Say, prepare
from segdata.making.survey import is_painted
from segdata.output.standing import another, described_change, differences, identity, other_frames, shared, too_few
from segdata.output.workfolder import claim, own_folder, remove
from segdata.reading.remote import RemoteFiles
from segdata.reading.shardset import ShardSet
from segdata.stores.cache import cache_folder
from segdata.stores.opening import open_store
from segdata.stores.store import READ_ONLY, Entry, Store, chunk_size
from segdata.stores.url import Url

THREADS = 4  # files that are sent at a time
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Published:
    """What it took, in files: sent from here, copied within the store from the version before, there already."""

    sent: int
    copied: int
    stood: int
    changed: bool  # whether readers see another version than before
    change: str = ""  # how it differs from that


@dataclass(frozen=True)
class _Upload:
    """One file's way into the store."""

    store: Store
    folder: Path
    home: str
    there: Mapping[str, Entry]
    before: Mapping[str, str]  # sha256 -> path, of the version before

    def __call__(self, item: tuple[str, str]) -> str:
        """Bring (path, sha256) there: "stood", "copied" or "sent"."""
        path, sha256 = item
        local, target = self.folder / path, self.home + path
        if stands(self.store, target, self.there.get(target), local, sha256):
            return "stood"
        source = self.before.get(sha256)
        if source and (found := self.there.get(source)) and found.size == local.stat().st_size:
            self.store.copy(source, target)
            return "copied"
        if digest_file(local) != sha256:
            raise ShardError(
                f"{local}: not the bytes that {SUMS} lists: it is damaged. Run `segdata verify {self.folder}`."
            )
        self.store.send(local, target)
        return "sent"


def stage(url: Url, work_dir: Path | None) -> Path:
    """Where a set is made before it is published: `work_dir`, or a folder of this URL beside the cache.

    Raises StoreError for a URL that nobody can publish to.
    """
    _check_writable(url)
    return own_folder(work_dir or cache_folder() / "work", url.name or "set", str(url))


def prepare_to(
    url: Url, job: Job, progress: Progress, sending: Progress, say: Say = lambda line: None, *, keep: bool
) -> tuple[Prepared, Published]:
    """Make `job.out` (the folder `set` of `stage`), and publish it; `keep` leaves it for the next time.

    A killed run is continued by the same call, whether it was converting or sending.
    """
    home = job.out.parent
    claim(home, f"a set for {url}")
    old = _current(open_store(url))  # a store that cannot be reached says so now, not after an hour of converting
    if old and not job.replace:
        new = job.identity(old.splits, painted=is_painted(job.root))
        if found := differences(identity(old), new):
            raise another(url, found)
    with locked(home / "lock", f"segdata prepare {job.source.name} --out {url}"):
        staged = replace(job, replace=True)  # what an earlier run left here is nobody's; what stands at `url` counts
        result = prepare(staged, progress, say)
        published = publish(job.out, url, sending, replace=job.replace)
        if not keep:
            remove(home)
    return result, published


def _check_writable(url: Url) -> None:
    """Raise StoreError for a place that nobody can publish to, before any work is done."""
    if url.scheme in READ_ONLY:
        raise StoreError(f"{url}: a web server is only read from. Publish to s3://, gs:// or a folder.")


def publish(
    folder: Path, url: Url, progress: Progress = lambda done, total: None, *, replace: bool = False
) -> Published:
    """Make the folder's set the one at `url`; progress counts files.

    Raises ShardError where the folder is not complete, StoreError where the store does not take it, SegdataError
    where another set, or another file of that name, stands there and is not to be replaced.
    """
    _check_writable(url)
    manifest = read_manifest(folder)
    sums = _listed(folder, manifest)
    store, home = open_store(url), revision(manifest)
    old = _current(store)
    _may_replace(url, folder, old, manifest, has_file=old is None and store.has(FILE), replace=replace)
    there = store.files()
    files = [(path, sha256) for path, sha256 in sums.items()] + [(SUMS, manifest.document["sha256sums"])]
    upload = _Upload(store, folder, home, there, dict(_before(store, old, manifest)))
    how: list[str] = []
    with ThreadPoolExecutor(THREADS, "segdata-upload") as pool:
        for outcome in pool.map(upload, files):
            how.append(outcome)
            progress(len(how), len(files))
    if how.count("stood") < len(files):
        there = store.files()
        _check_arrived(store, folder, home, sums, there)
    data = (folder / FILE).read_bytes()
    changed = old is None or old.fingerprint != manifest.fingerprint or find_home(store, manifest) != home
    if not stands(store, home + FILE, there.get(home + FILE), folder / FILE, digest_bytes(data)):
        store.write(home + FILE, data)
    if changed:
        store.write(FILE, data)
    change = described_change(old, manifest) if changed else ""
    return Published(how.count("sent"), how.count("copied"), how.count("stood"), changed, change)


def _may_replace(url: Url, folder: Path, old: Manifest | None, new: Manifest, *, has_file: bool, replace: bool) -> None:
    if replace:
        return
    if has_file:
        raise SegdataError(
            f"{url / FILE}: a file that is no manifest of ours, or another version's. Name another place, or give "
            "--replace to replace it."
        )
    if old is None or old.fingerprint == new.fingerprint:
        return
    if found := differences(identity(old), identity(new)):
        raise another(url, found)
    total = kept = 0
    for split in old.splits:
        try:
            keys = RemoteFiles(url, split).index.keys
        except ShardError:
            return  # damaged: to be published anew
        total, kept = total + len(keys), kept + shared(keys, ShardSet(folder, split).keys)
    if why := too_few(kept, total):
        raise other_frames(url, why)


def stands(store: Store, path: str, entry: Entry | None, local: Path, sha256: str) -> bool:
    """Whether a file in the store is the local one: by size, and by S3's ETag where it is an MD5; else it is read."""
    if entry is None or entry.size is None or entry.size != local.stat().st_size:
        return False
    digest, _, parts = entry.etag.partition("-")
    if len(digest) != 32:
        return store.digest(path, entry.size) == sha256
    return digest == (_md5_of_parts(local, int(parts)) if parts.isdecimal() else _md5(local))


def _listed(folder: Path, manifest: Manifest) -> dict[str, str]:
    """SHA256SUMS of the folder, whose files are all there."""
    sums = read_sums(folder, manifest)
    if missing := [path for path in sums if not (folder / path).is_file()]:
        raise ShardError(f"{folder / missing[0]}: no such file ({len(missing)} missing). Run prepare again.")
    return sums


def _current(store: Store) -> Manifest | None:
    """What readers see now; None where there is nothing, or nothing that can be read."""
    try:
        return fetch_manifest(store)
    except ShardError:
        return None


def _before(store: Store, old: Manifest | None, new: Manifest) -> Iterator[tuple[str, str]]:
    """(sha256, path in the store) of the files of the version before."""
    if old is None or old.fingerprint == new.fingerprint:
        return
    home = find_home(store, old)
    try:
        data = store.read(home + SUMS, limit=MAX_BYTES)
        for path, sha256 in parse_sums(data, store.url / SUMS).items() if _is(data, old) else ():
            yield sha256, home + path
    except (AbsentError, RangeError, ShardError):
        return


def _is(sums: bytes, manifest: Manifest) -> bool:
    return digest_bytes(sums) == str(manifest.document["sha256sums"])


def _check_arrived(store: Store, folder: Path, home: str, sums: Mapping[str, str], there: Mapping[str, Entry]) -> None:
    """Only a revision that the store lists in full gets its dataset.json."""
    for path in (*sums, SUMS):
        found, size = there.get(home + path), (folder / path).stat().st_size
        if found is None or found.size != size:
            state = "is not there" if found is None else f"has {found.size} bytes"
            raise StoreError(f"{store.url / (home + path)} {state}, sent were {size}. Run the same command again.")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _md5_of_parts(path: Path, parts: int) -> str:
    """S3's ETag of a file sent in parts of our size: the MD5 of their MD5s; "" when it was sent in other ones."""
    size, chunk = path.stat().st_size, chunk_size(path.stat().st_size)
    if parts != -(-size // chunk):
        return ""
    with path.open("rb") as file:
        digests = [hashlib.md5(block, usedforsecurity=False).digest() for block in iter(lambda: file.read(chunk), b"")]
    return hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
