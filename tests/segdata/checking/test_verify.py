"""`verify` on folders that are whole, damaged in one place, rewritten by other tools, and forged throughout."""

import io
import json
import os
import random
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segdata.base.canonical import digest_bytes, digest_pixels, digest_sample, digest_source
from segdata.base.files import write_file
from segdata.checking.verify import verify
from segdata.errors import SegdataError, ShardError
from segdata.format.finished import Finished
from segdata.format.index import write_index
from segdata.format.manifest import CARD, FILE, SUMS, ShardEntry, content_digest, manifest_bytes, read_manifest
from segdata.format.receipt import Receipt, read_receipt
from segdata.format.shard import ShardWriter
from segdata.making.interop import STATED, write_loader_files
from segdata.pictures.codecs import decode_image
from segdata.pictures.png import decode, encode_labels
from segdata.publishing.upload import publish
from segdata.reading.shardset import ShardSet
from segdata.stores.opening import open_store
from segdata.stores.store import FsspecStore
from segdata.stores.url import Place, Url
from tests.support.sealing import reseal_sums

Shards = Callable[..., Path]
Placed = Callable[[Path], Place]
Web = Callable[[Path], str]
Parts = dict[str, bytes]
FIRST = "camvid-11-train-000000.tar"


@pytest.fixture(params=["folder", "store"])
def placed(request: pytest.FixtureRequest) -> Placed:
    """placed(folder): where its files are checked, here or in a store that holds the same ones."""

    def sent(folder: Path) -> Place:
        store = open_store(Url(f"memory://{os.urandom(6).hex()}/set"))
        for path in (path for path in folder.rglob("*") if path.is_file()):
            store.send(path, path.relative_to(folder).as_posix())
        return store.url

    return sent if request.param == "store" else lambda folder: folder


def codes(place: Place, pixels: bool = False) -> list[tuple[str, str]]:
    return [(finding.code, finding.where) for finding in verify(place, pixels)]


def read_tar(path: Path) -> Parts:
    with tarfile.open(path, "r:") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def write_tar(path: Path, members: Parts, form: int = tarfile.USTAR_FORMAT) -> None:
    path.unlink()
    with tarfile.open(path, "w:", format=form) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def repaint(data: bytes, change: Callable[[Any], None]) -> bytes:
    """The PNG with other pixels, written by Pillow."""
    with Image.open(io.BytesIO(data)) as image:
        picture = np.array(image)
    change(picture)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def first_key(folder: Path) -> str:
    return ShardSet(folder, "train").key(0)


def reseal(folder: Path, change: Callable[[dict[str, Any]], None] = lambda document: None) -> None:
    """Make every digest of the folder true again, as a forger would: receipts, index, card, sums, manifest."""
    document = dict(read_manifest(folder).document)
    del document["fingerprint"]
    for split, entry in document["splits"].items():
        receipts = []
        for row in entry["shards"]:
            receipt = forged(folder / row["name"], folder / ".segdata/receipts" / f"{Path(row['name']).stem}.json")
            row |= {"sha256": receipt.sha256, "bytes": receipt.size}
            receipts.append(receipt)
        write_index(folder / ".segdata", split, receipts)
    (folder / CARD).write_text(
        STATED.sub(f'    description: "content {content_digest(document["splits"])}"', card(folder))
    )
    change(document)
    rewrite_loader_files(folder, document)
    reseal_sums(folder, document)


def rewrite_loader_files(folder: Path, document: dict[str, Any]) -> None:
    rows = {split: entry["shards"] for split, entry in document["splits"].items()}
    entries = {
        split: [ShardEntry(row["name"], row["sha256"], row["bytes"], row["samples"]) for row in listed]
        for split, listed in rows.items()
    }
    notes = {
        row.name: folder / f".segdata/receipts/{Path(row.name).stem}.json" for each in entries.values() for row in each
    }
    receipts = {name: receipt for name, path in notes.items() if (receipt := read_receipt(path))}
    shards = {split: [Finished(row, notes[row.name]) for row in listed] for split, listed in entries.items()}
    write_loader_files(folder, document["name"], shards, receipts)
    for path in folder.glob("*.idx"):  # the set has none
        path.unlink()


def card(folder: Path) -> str:
    return (folder / CARD).read_text()


def forged(shard: Path, path: Path) -> Receipt:
    """The shard's receipt, rewritten to what the shard holds now."""
    receipt, members = read_receipt(path), read_tar(shard)
    assert receipt
    shard.unlink()
    rows = []
    with ShardWriter(shard) as writer:
        for row in receipt.samples:
            parts = [(part, members[f"{row.key}.{part}"]) for part in sorted(row.places)]
            pixels = {part: digest_pixels(decode(data)) for part, data in parts if part in row.pixels}
            sources = {**row.sources, "image": digest_source(dict(parts)["image.png"])}
            digest = digest_sample(digest_source(data) for _, data in parts)
            places = writer.add(row.key, parts)
            rows.append(replace(row, places=places, pixels=pixels, sources=sources, digest=digest))
        sha256, size = writer.close()
    receipt = replace(receipt, sha256=sha256, size=size, samples=tuple(rows))
    path.write_bytes(receipt.to_json())
    return receipt


# ---- whole folders ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["camvid", "cityscapes", "tas500"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rule": "coverage", "full_check": True},
        {"rule": "stride", "image_codec": "png"},
        {"scales": (8,), "image_codec": "webp"},
        {"image_codec": "jpeg", "splits": ("train", "test")},
    ],
    ids=["keep", "coverage", "stride", "x8 alone", "jpeg, test"],
)
def test_nothing_is_wrong_with_a_new_folder(shards: Shards, placed: Placed, name: str, options: dict[str, Any]) -> None:
    """Whatever the source, rule, scales and codec: no findings in what `prepare` just wrote."""
    folder = shards(name, **options)
    assert verify(placed(folder)) == []
    assert verify(placed(folder), pixels=True) == []


def test_resealing_is_no_forgery_by_itself(shards: Shards) -> None:
    """The tests' own forger, without a change, makes a folder in which nothing is wrong."""
    folder = shards()
    reseal(folder)
    assert verify(folder, pixels=True) == []


def test_workers_find_the_same(shards: Shards) -> None:
    """Two workers give the findings of one."""
    folder = shards()
    path = folder / FIRST
    path.write_bytes(path.read_bytes()[:-9000])
    assert verify(folder, pixels=True, workers=2) == verify(folder, pixels=True) != []


@pytest.mark.parametrize("pixels", [False, True])
def test_progress_reaches_its_total(shards: Shards, placed: Placed, pixels: bool) -> None:
    """Progress never goes back and ends at the number of samples, or of files."""
    told: list[tuple[int, int]] = []
    verify(placed(folder := shards()), pixels, lambda done, total: told.append((done, total)))
    files = sum(path.is_file() for path in folder.rglob("*")) - 2
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == ((9, 9) if pixels else (files, files))


# ---- one place is damaged -----------------------------------------------------------------------------------


def test_missing_extra_and_changed_files(shards: Shards, placed: Placed) -> None:
    """Each is named once, with its own code."""
    folder = shards()
    (folder / "README.md").write_text("other")
    (folder / ".segdata/train.wids.json").unlink()
    (folder / "notes" / "deep").mkdir(parents=True)
    (folder / "notes" / "deep" / "extra.txt").write_text("extra")
    (folder / "camvid-11-val-000001.tar").unlink()
    expected = [
        ("changed-bytes", "README.md"),
        ("extra-file", "notes/deep/extra.txt"),
        ("missing-file", ".segdata/train.wids.json"),
        ("missing-file", "camvid-11-val-000001.tar"),
    ]
    assert codes(placed(folder)) == codes(placed(folder), pixels=True) == expected


def test_changed_digest_list(shards: Shards, placed: Placed) -> None:
    """A change of SHA256SUMS itself is found by the digest in dataset.json, and hides no changed shard."""
    folder = shards()
    sums = (folder / SUMS).read_text()
    (folder / FIRST).write_bytes((folder / FIRST).read_bytes() + bytes(10240))
    (folder / SUMS).write_text(sums.replace(read_manifest(folder).shards("train")[0].sha256, "0" * 64))
    assert codes(placed(folder)) == [("changed-bytes", SUMS), ("changed-bytes", FIRST)]


@pytest.mark.parametrize("part", ["image.png", "target1.png", "target4.png"])
def test_a_flipped_bit_is_narrowed_down_to_its_part(shards: Shards, placed: Placed, part: str) -> None:
    """Even without --pixels: the shard, and in it the key and part."""
    folder = shards()
    row = read_receipt(folder / ".segdata/receipts/camvid-11-train-000000.json").samples[1]
    offset, size = row.places[part]
    data = bytearray((folder / FIRST).read_bytes())
    data[offset + size // 2] ^= 1
    (folder / FIRST).write_bytes(data)
    assert codes(placed(folder)) == [("bad-image", f"{FIRST}:{row.key}.{part}"), ("changed-bytes", FIRST)]


@pytest.mark.parametrize(("old", "new"), [(b'"key":', b'"kez":'), (b"train_0", b"train_7"), (b":16,", b":17,")])
def test_changed_metadata_is_narrowed_down(shards: Shards, placed: Placed, old: bytes, new: bytes) -> None:
    """A sample's json that names another key, split or size is found in the changed shard."""
    folder = shards()
    name = f"{first_key(folder)}.json"
    members = read_tar(folder / FIRST)
    write_tar(folder / FIRST, {**members, name: members[name].replace(old, new)})
    assert codes(placed(folder)) == [("bad-member", f"{FIRST}:{name}"), ("changed-bytes", FIRST)]


def test_a_shard_written_anew_is_told_from_a_wrong_one(shards: Shards, placed: Placed) -> None:
    """Other bytes, same pixels: one finding, which says so."""
    folder = shards(full_check=True)
    for form in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT):
        members = {
            n: d if n.endswith("json") else repaint(d, lambda _: None) for n, d in read_tar(folder / FIRST).items()
        }
        write_tar(folder / FIRST, members, form)
        for pixels in (False, True):
            (finding,) = verify(placed(folder), pixels)
            assert (finding.code, finding.where) == ("changed-bytes", FIRST)
            assert "re-encoded" in finding.found


def test_recoded_image_without_noted_pixels(shards: Shards) -> None:
    """With --image-codec keep and no --full-check, a recoded image is neither cleared nor called wrong."""
    folder = shards()
    name = f"{first_key(folder)}.image.png"
    members = read_tar(folder / FIRST)
    write_tar(folder / FIRST, {**members, name: repaint(members[name], lambda _: None)})
    part, shard = sorted(verify(folder), key=lambda finding: -len(finding.where))
    assert (part.code, part.where, shard.where) == ("changed-bytes", f"{FIRST}:{name}", FIRST)
    assert "--full-check" in part.found and "re-encoded" not in shard.found


def test_wrong_labels_are_told_by_class_and_pixels(shards: Shards, placed: Placed) -> None:
    """Seven pixels of x1 from one class to another: the finding names both and says seven."""
    folder = shards()
    name = f"{first_key(folder)}.target1.png"
    members = read_tar(folder / FIRST)

    def change(x1: Any) -> None:
        rows, columns = np.nonzero(x1 == x1[-1, -1])
        x1[rows[:7], columns[:7]] = (x1[-1, -1] + 1) % 10

    with Image.open(io.BytesIO(members[name])) as image:
        old = int(np.array(image)[-1, -1])
    write_tar(folder / FIRST, {**members, name: repaint(members[name], change)})
    classes = ShardSet(folder, "train").taxonomy.classes
    for pixels in (False, True):
        found = {finding.where: finding for finding in verify(placed(folder), pixels)}
        assert set(found) == {FIRST, f"{FIRST}:{name}"}
        wrong = found[f"{FIRST}:{name}"]
        assert wrong.code == "changed-pixels"
        assert f"{classes[old].name} -7" in wrong.found and f"{classes[(old + 1) % 10].name} +7" in wrong.found


@pytest.mark.parametrize("rule", ["majority", "stride", "coverage"])
def test_a_wrong_target_is_told_by_class_and_pixels(shards: Shards, rule: str) -> None:
    """One changed cell of x4 is found against x1, which is whole."""
    folder = shards(rule=rule)
    name = f"{first_key(folder)}.{'coverage' if rule == 'coverage' else 'target'}4.png"
    members = read_tar(folder / FIRST)

    def change(target: Any) -> None:
        target[0, 0] = target[0, 0] + 1 if rule == "coverage" else (target[0, 0] + 1) % 10

    write_tar(folder / FIRST, {**members, name: repaint(members[name], change)})
    found = {finding.where: finding for finding in verify(folder)}
    assert set(found) == {FIRST, f"{FIRST}:{name}"}
    wrong = found[f"{FIRST}:{name}"]
    assert wrong.code == "changed-pixels"
    assert ("+1 pixels" if rule == "coverage" else "1 pixels: ") in wrong.found
    assert rule == "coverage" or "->" in wrong.found


def test_lost_and_foreign_members(shards: Shards, placed: Placed) -> None:
    """A part that is gone, one that is new, and another order are each told."""
    folder = shards()
    members = read_tar(folder / FIRST)
    name = list(members)[2]
    others = {n: d for n, d in members.items() if n != name}
    write_tar(folder / FIRST, {**others, "foreign.txt": b"x"})
    found = [("bad-member", f"{FIRST}:{name}"), ("bad-member", f"{FIRST}:foreign.txt"), ("changed-bytes", FIRST)]
    assert sorted(codes(placed(folder))) == sorted(found)
    write_tar(folder / FIRST, {**others, name: members[name]})
    assert codes(placed(folder)) == [("bad-member", FIRST), ("changed-bytes", FIRST)]


def test_every_truncation_is_found(shards: Shards) -> None:
    """A shard cut anywhere gives findings that name it, never an exception."""
    folder = shards()
    data = (folder / FIRST).read_bytes()
    for size in [0, 1, 511, 512, 513, *range(600, len(data), 977), len(data) - 1]:
        (folder / FIRST).write_bytes(data[:size])
        assert ("changed-bytes", FIRST) in codes(folder), size
    (folder / FIRST).write_bytes(data[:5000])
    assert any(code == "bad-member" for code, _ in codes(folder, pixels=True))


def test_every_flipped_bit_is_found(shards: Shards) -> None:
    """One bit in any file of the folder: at least one finding that names the file, never an exception."""
    folder = shards()
    rng = random.Random(0)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in [*paths, *rng.choices(paths, k=40)]:
        whole = path.read_bytes()
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        assert any(where == str(path.relative_to(folder)) for _, where in codes(folder, rng.random() < 0.3)), path
        path.write_bytes(whole)
    assert verify(folder) == []


def test_samples_have_their_own_digest(shards: Shards, placed: Placed) -> None:
    """By which one is checked that is fetched alone: --pixels finds where it is not that of the sample's bytes."""
    folder = shards()
    path = folder / ".segdata/receipts" / f"{Path(FIRST).stem}.json"
    receipt = read_receipt(path)
    assert receipt
    rows = [replace(receipt.samples[0], digest="00" * 32), *receipt.samples[1:]]
    path.write_bytes(replace(receipt, samples=tuple(rows)).to_json())
    document = {key: value for key, value in read_manifest(folder).document.items() if key != "fingerprint"}
    receipts = [
        read_receipt(folder / f".segdata/receipts/{Path(row.name).stem}.json")
        for row in read_manifest(folder).shards("train")
    ]
    write_index(folder / ".segdata", "train", [row for row in receipts if row])
    reseal_sums(folder, document)
    assert codes(placed(folder)) == []
    assert codes(placed(folder), pixels=True) == [("bad-member", f"{FIRST}:{rows[0].key}")]


# ---- forged throughout: every digest is true ----------------------------------------------------------------


def forge_pixels(folder: Path, part: str, change: Callable[[Any], None]) -> str:
    name = f"{first_key(folder)}.{part}"
    members = read_tar(folder / FIRST)
    write_tar(folder / FIRST, {**members, name: repaint(members[name], change)})
    return name


def test_targets_must_follow_from_x1(shards: Shards, placed: Placed) -> None:
    """A target that every digest confirms is found by --pixels when it is not what the rule makes of x1."""
    folder = shards()

    def change(target: Any) -> None:
        target[1, 1] = (target[1, 1] + 1) % 10

    name = forge_pixels(folder, "target8.png", change)
    reseal(folder)
    assert codes(placed(folder)) == []
    (finding,) = verify(placed(folder), pixels=True)
    assert (finding.code, finding.where) == ("wrong-target", f"{FIRST}:{name}")
    assert "1 pixels: " in finding.found and "majority" in finding.found


def test_ids_must_be_of_the_taxonomy(shards: Shards, placed: Placed) -> None:
    """An id between the last class and 255 is found by --pixels."""
    folder = shards(scales=(1,))

    def change(target: Any) -> None:
        target[3, 3:6] = 77

    name = forge_pixels(folder, "target1.png", change)
    reseal(folder)
    (finding,) = verify(placed(folder), pixels=True)
    assert (finding.code, finding.where) == ("unknown-id", f"{FIRST}:{name}")
    assert "77 (3 pixels)" in finding.found


def _classes(document: dict[str, Any]) -> None:
    document["splits"]["train"]["classes"]["pixels"][2] += 1


def _sizes(document: dict[str, Any]) -> None:
    document["splits"]["val"]["sizes"] = [[16, 32]]


def _image(document: dict[str, Any]) -> None:
    document["splits"]["train"]["image"]["squares"][0] -= 1


def _rule(document: dict[str, Any]) -> None:
    document["options"]["rule"] = "best"


@pytest.mark.parametrize("change", [_classes, _sizes, _image, _rule])
def test_statistics_must_be_those_of_the_pixels(
    shards: Shards, placed: Placed, change: Callable[[dict[str, Any]], None]
) -> None:
    """Counts, sizes, sums and rule in dataset.json are checked against what was decoded."""
    folder = shards(image_codec="png")
    reseal(folder, change)
    assert codes(placed(folder), pixels=True) == [("bad-manifest", FILE)]


@pytest.mark.parametrize("column", ["shard", "offsets", "sizes", "height"])
def test_an_index_that_lies(shards: Shards, placed: Placed, column: str) -> None:
    """The index must say what the shards say; and a reader that trusts it raises our error, no other."""
    folder = shards()
    path = folder / ".segdata/train.places.npy"
    places = np.load(path)
    places[column][0] += 3
    np.save(path, places)
    document = dict(read_manifest(folder).document)
    del document["fingerprint"]
    reseal_sums(folder, document)
    assert codes(placed(folder), pixels=True) == [("bad-member", ".segdata/train.places.npy")]
    with pytest.raises(SegdataError):
        ShardSet(folder, "train").read(0)


LOADER_FILES = {  # what is in each, and what a forger makes of it
    ".segdata/train.wids.json": (b'"nsamples": 2', b'"nsamples": 3'),
    ".segdata/dali/camvid-11-train-000000.idx": (b"image.png 512 ", b"image.png 513 "),
    ".nv-meta/.info.json": (b": 2", b": 3"),
    ".nv-meta/split.yaml": (b"  - camvid-11-val-000001.tar\n", b""),
    "camvid-11-train-000000.tar.idx": (b"\0" * 8, b"\1" + b"\0" * 7),
}


@pytest.mark.parametrize("name", LOADER_FILES)
def test_files_for_other_loaders_that_lie(name: str, shards: Shards, placed: Placed) -> None:
    """Every digest right: a list, an offset or a count of theirs that the shards do not bear out is found."""
    folder = shards(readers=("energon",))
    assert codes(placed(folder), pixels=True) == []
    old, new = LOADER_FILES[name]
    data = (folder / name).read_bytes()
    assert old in data
    (folder / name).write_bytes(data.replace(old, new, 1))
    document = {key: value for key, value in read_manifest(folder).document.items() if key != "fingerprint"}
    reseal_sums(folder, document)
    assert codes(placed(folder)) == []
    assert codes(placed(folder), pixels=True) == [("bad-member", name)]


@pytest.mark.parametrize("splits", [("val", "train"), ("test", "val")])
def test_splits_in_the_order_that_was_asked_for(splits: tuple[str, ...], shards: Shards) -> None:
    """Whatever the order, a set as written has no finding."""
    assert codes(shards(readers=("energon",), splits=splits), pixels=True) == []


def test_receipts_that_lie(shards: Shards, placed: Placed) -> None:
    """Offsets that are wrong in receipt and index alike are found in the shard itself."""
    folder = shards()
    path = folder / ".segdata/receipts/camvid-11-train-000000.json"
    receipts = [read_receipt(path.with_name(f"camvid-11-train-{i:06d}.json")) for i in range(2)]
    row, *rest = receipts[0].samples
    moved = replace(row, places={part: (at + 512, size) for part, (at, size) in row.places.items()})
    receipts[0] = replace(receipts[0], samples=(moved, *rest))
    path.write_bytes(receipts[0].to_json())
    write_index(folder / ".segdata", "train", receipts)
    document = dict(read_manifest(folder).document)
    del document["fingerprint"]
    rewrite_loader_files(folder, document)
    reseal_sums(folder, document)
    (finding,) = verify(placed(folder), pixels=True)
    assert (finding.code, finding.where) == ("bad-member", f"{FIRST}:{row.key}.image.png")


def test_a_key_in_two_shards(shards: Shards, placed: Placed) -> None:
    """A shard that stands in a second split under another name repeats its keys."""
    folder = shards()
    side = folder / ".segdata/receipts"
    shutil.copy(folder / FIRST, folder / "camvid-11-val-000001.tar")
    (side / "camvid-11-val-000001.json").write_bytes(
        replace(read_receipt(side / "camvid-11-train-000000.json"), split="val").to_json()
    )
    reseal(folder)
    found = codes(placed(folder), pixels=True)
    assert [where for code, where in found if code == "duplicate-key"] == ["camvid-11-val-000001.tar"] * 2


# ---- other places -------------------------------------------------------------------------------------------


def test_workers_fetch_from_a_web_server(shards: Shards, web: Web) -> None:
    """A wrong pixel behind a URL is found where it was planted, by two processes, and nothing else is."""
    folder = shards()
    url = Url(web(folder))
    assert codes(url, pixels=True) == []

    def change(target: Any) -> None:
        target[1, 1] = (target[1, 1] + 1) % 10

    name = forge_pixels(folder, "target8.png", change)
    reseal(folder)
    assert codes(url) == []
    found = verify(url, pixels=True, workers=2)
    assert [(row.code, row.where) for row in found] == [("wrong-target", f"{FIRST}:{name}")]
    assert found == verify(folder, pixels=True)


def test_a_shard_comes_once_and_leaves_nothing(shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --pixels too no byte of a shard is fetched twice; no copy stays in TMPDIR, and none is read whole."""
    folder, store = shards(), open_store(Url(f"memory://{os.urandom(6).hex()}/set"))
    for path in (path for path in folder.rglob("*") if path.is_file()):
        store.send(path, path.relative_to(folder).as_posix())
    read, ranges = FsspecStore.read, list[tuple[str, int, int | None]]()

    def noted(self: FsspecStore, path: str, start: int = 0, stop: int | None = None, limit: int = 0) -> bytes:
        ranges.append((path, start, stop))
        return read(self, path, start, stop, limit or 1 << 26)

    monkeypatch.setattr(FsspecStore, "read", noted)
    monkeypatch.setattr("segdata.stores.store.CHUNK", 1000)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert codes(store.url, pixels=True) == []
    assert not list((tmp_path / "temporary").iterdir())
    size = (folder / FIRST).stat().st_size
    expected = [(FIRST, start, min(start + 1000, size)) for start in range(0, size, 1000)]
    assert [each for each in ranges if each[0] == FIRST] == expected


def test_a_disk_without_room_for_a_copy(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not the set's fault: no finding, but one line that says which folder to set."""
    folder, url = shards(), Url(f"memory://{os.urandom(6).hex()}/set")
    publish(folder, url)
    full = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115
    monkeypatch.setattr("segdata.stores.store.tempfile.TemporaryFile", lambda: full)
    with pytest.raises(SegdataError, match=r"no copy of memory://.* \(No space left on device\)\. Set TMPDIR"):
        verify(url, pixels=True)


def test_a_copy_of_a_published_set(shards: Shards, tmp_path: Path) -> None:
    """A bucket that was copied to a disk, with its revisions/, is read and checked as in the bucket."""
    folder, url = shards(), Url(f"memory://{os.urandom(6).hex()}/set")
    publish(folder, url)
    store = open_store(url)
    for path in store.files():
        write_file(tmp_path / "copy" / path, store.read(path))
    assert (tmp_path / "copy/revisions").is_dir() and not (tmp_path / "copy" / FIRST).exists()
    assert codes(tmp_path / "copy", pixels=True) == []
    here, there = ShardSet(folder, "train"), ShardSet(tmp_path / "copy", "train")
    assert [here.bytes(i, "json") for i in range(4)] == [there.bytes(i, "json") for i in range(4)]
    shard = next((tmp_path / "copy").glob(f"revisions/*/{FIRST}"))
    shard.write_bytes(shard.read_bytes()[:-9000])
    assert ("changed-bytes", FIRST) in codes(tmp_path / "copy")


# ---- hostile folders ----------------------------------------------------------------------------------------


def hostile_manifests() -> Iterator[tuple[str, Callable[[dict[str, Any]], Any]]]:
    def shard(**fields: Any) -> Callable[[dict[str, Any]], Any]:
        return lambda document: document["splits"]["train"]["shards"][0].update(fields)

    yield "outside", shard(name="../up.tar")
    yield "absolute", shard(name="/etc/passwd")
    yield "digest of another kind", shard(sha256=["x"])
    yield "negative size", shard(bytes=-1)
    yield "many samples", shard(samples=10**30)
    yield "split outside", lambda document: document["splits"].update({"../up": document["splits"].pop("val")})
    yield "part outside", lambda document: document["splits"]["train"].update(parts=["../../x"])
    yield "no parts", lambda document: document["splits"]["train"].update(parts=[])
    yield "no options", lambda document: document.pop("options")
    yield "splits are a list", lambda document: document.update(splits=[1])
    yield "other format", lambda document: document.update(format=99)


@pytest.mark.parametrize("change", [c for _, c in hostile_manifests()], ids=[name for name, _ in hostile_manifests()])
def test_hostile_manifest(shards: Shards, placed: Placed, change: Callable[[dict[str, Any]], Any]) -> None:
    """A manifest with a true fingerprint that points outside, or is no manifest, is one finding; readers refuse it."""
    folder = shards()
    document = json.loads((folder / FILE).read_bytes())
    del document["fingerprint"]
    change(document)
    (folder / FILE).write_bytes(manifest_bytes(document))
    assert codes(placed(folder), pixels=True) == [("bad-manifest", FILE)]
    with pytest.raises(ShardError):
        ShardSet(folder, "train")


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"{", b'{"format": 1}', b"[" * 100_000, b"\xff\xfe", b"1" * 9999]
)
def test_what_is_no_manifest(shards: Shards, data: bytes) -> None:
    """Any bytes in dataset.json are one finding."""
    folder = shards()
    (folder / FILE).write_bytes(data)
    assert codes(folder) == [("bad-manifest", FILE)]


def test_no_manifest_at_all(shards: Shards, placed: Placed) -> None:
    """A folder without dataset.json is no shard folder: one clear error."""
    folder = shards()
    (folder / FILE).unlink()
    with pytest.raises(ShardError, match=r"no dataset\.json"):
        verify(placed(folder))


@pytest.mark.parametrize(
    "line", ["x  README.md", f"{'0' * 64}  README.md", f"{'0' * 64}  ../README.md", f"{'0' * 64}  /etc/passwd", "\0"]
)
def test_hostile_digest_list(shards: Shards, placed: Placed, line: str) -> None:
    """A SHA256SUMS that names files outside the folder, nothing, or a file twice, is refused whole."""
    folder = shards()
    document = dict(read_manifest(folder).document)
    del document["fingerprint"]
    sums = (folder / SUMS).read_bytes() + f"{line}\n".encode()
    (folder / SUMS).write_bytes(sums)
    (folder / FILE).write_bytes(manifest_bytes({**document, "sha256sums": digest_bytes(sums)}))
    assert codes(placed(folder)) == [("bad-manifest", SUMS)]


@pytest.mark.parametrize(
    "data", [b"a: !!python/object/apply:os.system ['true']\n", b"[" * 9_000, b"name: 2001-99-99\n"]
)
def test_hostile_taxonomy(shards: Shards, placed: Placed, data: bytes) -> None:
    """Tags, depths and dates that YAML chokes on are one finding, though every digest is true."""
    folder = shards()
    (folder / "taxonomy.yaml").write_bytes(data)
    reseal(folder)
    assert codes(placed(folder), pixels=True) == [("bad-manifest", "taxonomy.yaml")]


def test_a_card_of_other_shards(shards: Shards, placed: Placed) -> None:
    """It would let a loader take this set for another one; a card that states nothing is an older version's."""
    folder = shards()
    document = {key: value for key, value in read_manifest(folder).document.items() if key != "fingerprint"}
    for line, expected in (("other", [("bad-manifest", CARD)]), ("none", [])):
        stated = f'    description: "content {"0" * 64}"\n' if line == "other" else ""
        (folder / CARD).write_text(re.sub(r'    description: "content .*"\n', stated, card(folder)))
        reseal_sums(folder, document)
        assert codes(placed(folder)) == expected


def test_what_a_download_leaves(shards: Shards, placed: Placed) -> None:
    """Hugging Face's cache, git's and a system's files are no fault of the set; they are told in one line."""
    folder = shards()
    for name in (".gitattributes", ".cache/huggingface/download/README.md.metadata", "._README.md", "Thumbs.db"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    told: list[str] = []
    assert verify(placed(folder), say=told.append) == []
    (line,) = told
    assert line.split("; ")[:2] == [
        "1 file left by Hugging Face was skipped (README.md.metadata)",
        "1 file left by Windows was skipped (Thumbs.db)",
    ]


def test_links_and_pipes(shards: Shards, tmp_path: Path) -> None:
    """Links are followed to the same bytes (as DVC links its cache in); loops, folders and pipes are unreadable."""
    folder = shards()
    kept = shutil.move(folder / FIRST, tmp_path / "cached.tar")
    (folder / FIRST).symlink_to(kept)
    assert verify(folder, pixels=True) == []
    for name in ("README.md", "taxonomy.yaml", "camvid-11-val-000000.tar"):
        (folder / name).unlink()
    (folder / "README.md").symlink_to("README.md")
    os.mkfifo(folder / "taxonomy.yaml")
    (folder / "camvid-11-val-000000.tar").mkdir()
    (folder / "more").symlink_to(folder, target_is_directory=True)
    assert codes(folder, pixels=True) == [
        ("extra-file", "more"),
        ("unreadable", "README.md"),
        ("unreadable", "camvid-11-val-000000.tar"),
        ("unreadable", "taxonomy.yaml"),
    ]


def test_pictures_larger_than_they_should_be(shards: Shards, placed: Placed) -> None:
    """A member that declares another size is told by its header, before anything of that size is decoded."""
    folder = shards()
    key = first_key(folder)
    huge = encode_labels(np.zeros((4000, 4000), np.uint8))
    parts = {f"{key}.image.png": huge, f"{key}.target1.png": huge, f"{key}.target8.png": b""}
    write_tar(folder / FIRST, {**read_tar(folder / FIRST), **parts})
    found = {finding.where: finding for finding in verify(placed(folder))}
    assert "4000x4000" in found[f"{FIRST}:{key}.image.png"].found
    assert "4000x4000" in found[f"{FIRST}:{key}.target1.png"].found
    assert found[f"{FIRST}:{key}.target8.png"].code == "bad-image"
    with pytest.raises(SegdataError):
        decode_image(b"")
