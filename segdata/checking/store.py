"""Check a set in a store: the bytes of every file against its digests. Nothing is kept on the way."""

import hashlib
from collections.abc import Callable, Iterator

from segdata.base.canonical import digest_bytes
from segdata.errors import AbsentError, ShardError, StoreError
from segdata.findings import Finding
from segdata.format.manifest import FILE, MAX_BYTES, SUMS, no_manifest, parse_sums
from segdata.reading.remote import REVISIONS, fetch_manifest, find_home, side_limit
from segdata.stores.opening import open_store
from segdata.stores.store import CHUNK, Store
from segdata.stores.url import Url

Progress = Callable[[int, int], None]


def verify_store(url: Url, progress: Progress) -> list[Finding]:
    """As `verify` without pixels; a web server that lists no folders has no extra files. Progress counts files."""
    store = open_store(url)
    if not store.has(FILE):
        raise no_manifest(url)
    try:
        manifest = fetch_manifest(store)
    except ShardError as error:
        return [Finding("bad-manifest", FILE, str(error))]
    home = find_home(store, manifest)
    try:
        data = store.read(home + SUMS, limit=MAX_BYTES)
    except AbsentError:
        return [Finding("missing-file", SUMS, "no such file")]
    if digest_bytes(data) != manifest.document["sha256sums"]:
        return [Finding("changed-bytes", SUMS, f"not the file whose digest {FILE} states")]
    listed = parse_sums(data, url / SUMS)
    rows = [row for split in manifest.splits for row in manifest.shards(split)]
    findings = [
        Finding("bad-manifest", SUMS, f"does not list {row.name} as {FILE} does")
        for row in rows
        if listed.get(row.name) != row.sha256
    ]
    listed |= {row.name: row.sha256 for row in rows}
    sizes = {row.name: row.size for row in rows}
    extra = _files(store, home) - {*listed, SUMS, FILE}
    findings += [Finding("extra-file", path, "not listed in SHA256SUMS") for path in extra]
    for done, (path, sha256) in enumerate(sorted(listed.items())):
        progress(done, len(listed))
        findings += _check(store, home, path, sha256, sizes.get(path, side_limit(manifest)))
    progress(len(listed), len(listed))
    return sorted(set(findings))


def _files(store: Store, home: str) -> set[str]:
    """Paths below `home`, without other revisions; none where the store cannot list."""
    try:
        paths = [path.removeprefix(home) for path in store.files() if path.startswith(home)]
    except StoreError:
        return set()
    return {path for path in paths if not path.startswith(f"{REVISIONS}/")}


def _check(store: Store, home: str, path: str, sha256: str, limit: int) -> list[Finding]:
    try:
        size = store.size(home + path)
        if size is not None and size > limit:
            return [Finding("changed-bytes", path, f"{size} bytes, expected at most {limit}")]
        digest = digest_stored(store, home + path, size, limit)
    except AbsentError:
        return [Finding("missing-file", path, "no such file")]
    except StoreError as error:
        return [Finding("unreadable", path, str(error))]
    if digest == sha256:
        return []
    return [Finding("changed-bytes", path, f"sha256 {digest[:12]}…, listed is {sha256[:12]}…")]


def digest_stored(store: Store, path: str, size: int | None, limit: int = 0) -> str:
    """SHA-256 of a file of so many bytes, read piece by piece; of one of at most `limit` where None says how many."""
    digest = hashlib.sha256()
    for block in _blocks(store, path, size, limit):
        digest.update(block)
    return digest.hexdigest()


def _blocks(store: Store, path: str, size: int | None, limit: int) -> Iterator[bytes]:
    """The file piece by piece; in one where the server does not say how long it is."""
    if size is None:
        yield store.read(path, limit=limit)
    for start in range(0, size or 0, CHUNK):
        yield store.read(path, start, min(start + CHUNK, size or 0))
