"""Check a shard set, in a folder or at a URL: the bytes of every file against its digest and, on request, every pixel.

A damaged or forged set gives findings, not a crash. What is trusted, in this order: dataset.json by its own
fingerprint, SHA256SUMS by the digest in dataset.json, every other file by its digest in SHA256SUMS.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from segdata.base.canonical import digest_file
from segdata.base.files import parsing
from segdata.checking.content import Content, Expected
from segdata.checking.examined import Examined
from segdata.checking.shard import Checked, ShardCheck, check_shard, unplaced
from segdata.engines import run
from segdata.errors import AbsentError, ShardError, StoreError, TaxonomyError
from segdata.findings import Finding
from segdata.format.counts import ClassCounts, ImageSums
from segdata.format.finished import Finished
from segdata.format.index import write_index
from segdata.format.manifest import (
    CARD,
    FILE,
    MAX_BYTES,
    SIDE,
    SUMS,
    ShardEntry,
    content_digest,
    fetch_manifest,
    parse_sums,
)
from segdata.format.published import REVISIONS, find_home
from segdata.format.receipt import Receipt, parse_receipt
from segdata.labels.targets import RULES
from segdata.labels.taxonomy import MAX_YAML_BYTES, Taxonomy, read_taxonomy
from segdata.making.interop import stated_content, write_loader_files
from segdata.stores.folder import Folder
from segdata.stores.opening import open_files
from segdata.stores.store import Files
from segdata.stores.url import Place

VERSION = re.compile(rf"{REVISIONS}/[0-9a-f]{{32}}/.*", re.DOTALL)  # a file of another version of a set
Progress = Callable[[int, int], None]
Say = Callable[[str], None]  # a line for people, of what is out of the ordinary


def verify(
    place: Place,
    pixels: bool = False,
    progress: Progress | None = None,
    workers: int = 1,
    say: Say = lambda line: None,
) -> list[Finding]:
    """What is wrong with a shard set, sorted; empty when it is as `prepare` wrote it.

    Of a shard whose bytes changed the findings name key and part, and say when its pixels are still the same.
    `pixels` decodes every part of every shard; progress then counts samples, else files. A web server that lists no
    folders has no extra files. Raises ShardError where there is no dataset.json at all.
    """
    progress = progress or (lambda done, total: None)
    files = open_files(place)
    if not files.has(FILE):
        fetch_manifest(files)  # raises, and says so
    try:
        manifest = fetch_manifest(files)
    except (ShardError, StoreError) as error:
        code = "unreadable" if type(error) is StoreError else "bad-manifest"
        return [Finding(code, FILE, unplaced(error, files, FILE))]
    home = find_home(files, manifest)
    checked = Examined(open_files(place / home.rstrip("/")) if home else files, manifest)
    _check_listing(checked)
    if checked.leftovers:
        say(str(checked.leftovers))
    _check_files(checked, (lambda done, total: None) if pixels else progress)
    _check_shards(checked, pixels, progress, workers)
    return sorted(set(checked.findings))


# ---- 1. files beside the shards -----------------------------------------------------------------------------


def _check_listing(files: Examined) -> None:
    """SHA256SUMS: its own bytes, what it lists, and what lies there and is not listed."""
    files.check(SUMS, files.manifest.document["sha256sums"])
    if SUMS in files.wrong:
        return  # without it only the shards have digests
    try:
        sums = parse_sums(files.files.read(SUMS, limit=MAX_BYTES), files.files.place / SUMS)
    except (ShardError, StoreError) as error:
        files.found("bad-manifest", SUMS, unplaced(error, files.files, SUMS))
        return
    shards = {row.name: row.sha256 for _, row in files.shards()}
    for name, sha256 in shards.items():
        if sums.get(name) != sha256:
            files.found("bad-manifest", SUMS, f"does not list {name} as {FILE} does")
    files.listed = {path: sha256 for path, sha256 in sums.items() if path not in shards}
    for path in sorted(_paths(files.files) - {*sums, *shards, FILE, SUMS}):
        if not files.leftovers.take(path):
            files.found("extra-file", path, "not listed in SHA256SUMS")


def _paths(files: Files) -> set[str]:
    """What lies there, without other versions; nothing where that cannot be listed."""
    try:
        return {path for path in files.files() if not VERSION.fullmatch(path)}
    except StoreError:
        return set()


def _check_files(files: Examined, progress: Progress) -> None:
    """What SHA256SUMS lists beside the shards, against its digests."""
    total = len(files.listed) + len(list(files.shards()))
    for done, (path, sha256) in enumerate(sorted(files.listed.items())):
        progress(done, total)
        files.check(path, sha256)
    if CARD in files.listed and CARD not in files.wrong:
        _check_card(files)


def _check_card(files: Examined) -> None:
    """The content that the card states, by which Hugging Face's `datasets` tells sets apart."""
    due = content_digest(files.manifest.document["splits"])
    try:
        stated = stated_content(files.files.read(CARD).decode("utf-8", "replace"))
    except StoreError as error:
        files.found("unreadable", CARD, unplaced(error, files.files, CARD))
        return
    if stated not in {None, due}:
        files.found("bad-manifest", CARD, f"states the content {stated[:12]}…, that of the shards is {due[:12]}…")


# ---- 2. shards ----------------------------------------------------------------------------------------------


def _check_shards(files: Examined, pixels: bool, progress: Progress, workers: int) -> None:
    """The bytes of all shards; the parts of all, or of those whose bytes changed, against what their receipts noted."""
    receipts = {row.name: _receipt(files, split, row) for split, row in files.shards()}
    taxonomy, rule = _taxonomy(files), files.manifest.document["options"]["rule"]
    if rule not in RULES:
        files.found("bad-manifest", FILE, f"rule {rule!r}, expected one of {', '.join(RULES)}")
    units = []
    for _, row in files.shards():
        receipt = receipts[row.name]
        due = Expected(row.name, receipt, taxonomy, rule) if receipt and taxonomy and rule in RULES else None
        units.append(ShardCheck(files.files.place, row, due, pixels))
    checked: dict[str, Checked] = {}
    done = 0 if pixels else len(files.listed)
    total = done + sum(unit.row.samples if pixels else 1 for unit in units)
    progress(done, total)
    engine = "local" if pixels and workers > 1 else "serial"
    for outcome in run(engine, check_shard, units, workers, name=lambda unit: unit.row.name, kernels=pixels):
        checked[outcome.row.name] = outcome
        files.findings += outcome.findings
        done += outcome.row.samples if pixels else 1
        progress(done, total)
    if pixels and taxonomy and rule in RULES:
        _check_whole(files, receipts, checked, taxonomy)


def _receipt(files: Examined, split: str, row: ShardEntry) -> Receipt | None:
    """What was noted when the shard was written, if the note itself is unharmed."""
    path = f"{SIDE}/receipts/{row.name.removesuffix('.tar')}.json"
    if path in files.wrong:
        return None
    try:
        receipt = parse_receipt(files.files.read(path))
    except StoreError:
        receipt = None
    if receipt is None:
        files.found("bad-manifest", path, "no receipt that can be read")
    elif (receipt.split, receipt.sha256, receipt.size, len(receipt.samples)) != (
        split, row.sha256, row.size, row.samples,
    ):  # fmt: skip
        files.found("bad-manifest", path, f"not the receipt of the shard that {FILE} lists")
        return None
    return receipt


def _taxonomy(files: Examined) -> Taxonomy | None:
    name = "taxonomy.yaml"
    if name in files.wrong:
        return None
    try:
        taxonomy = read_taxonomy(files.files.read(name, limit=MAX_YAML_BYTES), name)
    except AbsentError:
        files.found("missing-file", name, "no such file")
        return None
    except (StoreError, TaxonomyError) as error:
        files.found("bad-manifest", name, unplaced(error, files.files, name))
        return None
    if taxonomy.digest != files.manifest.document["taxonomy"]["digest"]:
        files.found("bad-manifest", name, f"not the taxonomy that {FILE} names")
        return None
    return taxonomy


# ---- 3. what follows from all shards together ---------------------------------------------------------------


def _check_whole(
    files: Examined, receipts: Mapping[str, Receipt | None], checked: Mapping[str, Checked], taxonomy: Taxonomy
) -> None:
    _check_keys(files, receipts)
    if all(receipts.values()):
        _check_loader_files(files, {name: receipt for name, receipt in receipts.items() if receipt})
    for split in files.manifest.splits:
        names = [row.name for row in files.manifest.shards(split)]
        noted = [receipt for name in names if (receipt := receipts[name])]
        if len(noted) == len(names):
            _check_index(files, split, noted)
        decoded = [content for name in names if (content := checked[name].content) and not content.findings]
        if len(decoded) == len(names):
            _check_split(files, split, decoded, taxonomy)


def _check_keys(files: Examined, receipts: Mapping[str, Receipt | None]) -> None:
    first: dict[str, str] = {}
    for name, receipt in receipts.items():
        for row in receipt.samples if receipt else ():
            if (other := first.setdefault(row.key, name)) != name:
                files.found("duplicate-key", name, f"{row.key} also stands in {other}")


def _check_index(files: Examined, split: str, receipts: list[Receipt]) -> None:
    """The index must be what the receipts (and so the shards) give: made anew, and compared."""
    with TemporaryDirectory() as made:
        try:
            parts = write_index(Path(made), split, receipts)
        except ShardError as error:
            files.found("bad-member", f"{SIDE}/receipts", f"no index of {split} follows from them ({error})")
            return
        if parts != files.manifest.parts(split):
            files.found("bad-manifest", FILE, f"{split} has the parts {', '.join(parts)}")
        for path in sorted(Path(made).iterdir()):
            name = f"{SIDE}/{path.name}"
            if name not in files.wrong and files.digest(name) != digest_file(path):
                files.found("bad-member", name, f"does not say where the parts of {split} lie and what they hold")


def _check_loader_files(files: Examined, receipts: Mapping[str, Receipt]) -> None:
    """What other loaders read must be what the receipts give as well, as far as the set has such files."""
    text = ""
    with suppress(StoreError):
        text = files.files.read(".nv-meta/split.yaml", limit=MAX_YAML_BYTES).decode("utf-8", "replace")
    order = sorted(files.manifest.splits, key=lambda split: text.find(f"  {split}:\n"))  # as they were asked for
    shards = {
        split: [Finished(row, Path(f"{SIDE}/receipts")) for row in files.manifest.shards(split)] for split in order
    }
    with TemporaryDirectory() as made:
        try:
            with parsing(f"{SIDE}/receipts", ShardError):
                write_loader_files(Path(made), files.manifest.name, shards, receipts)
        except ShardError as error:
            files.found("bad-member", f"{SIDE}/receipts", f"no files for other loaders follow from them ({error})")
            return
        for name in sorted(_paths(Folder(Path(made))) - files.wrong):
            if files.digest(name) not in {"", digest_file(Path(made, name))}:
                files.found("bad-member", name, "does not say what the shards hold")


def _check_split(files: Examined, split: str, decoded: list[Content], taxonomy: Taxonomy) -> None:
    """Sizes and statistics of dataset.json against what was just decoded."""
    entry = files.manifest.document["splits"][split]
    sizes = sorted({size for shard in decoded for size in shard.sizes})
    if entry["sizes"] != [list(size) for size in sizes]:
        files.found("bad-manifest", FILE, f"the images of {split} have the sizes {sizes}, listed are {entry['sizes']}")
    counts = ClassCounts.total([shard.counts for shard in decoded if shard.counts], len(taxonomy.classes))
    if counts.samples and entry.get("classes") != {
        "pixels": counts.pixels.tolist(), "images": counts.images.tolist(), "samples": counts.samples,
    }:  # fmt: skip
        files.found("bad-manifest", FILE, f"the classes of {split} are not those counted, {counts.pixels.tolist()}")
    sums = ImageSums.total([shard.sums for shard in decoded])
    if "image" in entry and entry["image"] != {
        "pixels": sums.pixels, "values": sums.values.tolist(), "squares": sums.squares.tolist(),
    }:  # fmt: skip
        files.found("bad-manifest", FILE, f"the image sums of {split} are not those of its {sums.pixels} pixels")
