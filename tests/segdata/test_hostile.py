"""Hostile input: zips, links, bombs, YAML, and shard folders made to harm their reader. Refused in one clear line."""

import io
import json
import os
import shutil
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segdata.checking.content import list_members
from segdata.checking.verify import verify
from segdata.cli import cli
from segdata.decoders import decode_sample
from segdata.errors import CodecError, SegdataError, SourceError, TaxonomyError
from segdata.findings import FindingsError
from segdata.format.index import open_index, parsed_digests
from segdata.format.manifest import SUMS, manifest_bytes, read_manifest
from segdata.format.receipt import read_receipt
from segdata.labels.taxonomy import load_taxonomy, read_taxonomy
from segdata.looking.stats import stats
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.pictures.codecs import decode_image, encode_image
from segdata.raw.archives.zips import zip_entries
from segdata.raw.member import Member
from segdata.reading.shardset import ShardSet
from tests.support.sealing import reseal_sums

MakeJob = Callable[..., Job]
Draw = Callable[[str], Path]
IMAGE = "leftImg8bit/train/bochum/bochum_000001_000019_leftImg8bit.png"
LABEL = "gtFine/train/bochum/bochum_000001_000019_gtFine_labelIds.png"


def zipped(root: Path, target: Path) -> Path:
    """Both parts of a drawn Cityscapes as the zips that people download, and the marker of painted data."""
    target.mkdir()
    shutil.copy(root / "segdata-synth.json", target)
    for top, name in (("leftImg8bit", "leftImg8bit_trainvaltest.zip"), ("gtFine", "gtFine_trainvaltest.zip")):
        with zipfile.ZipFile(target / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((root / top).rglob("*.png")):
                archive.write(path, path.relative_to(root))
    return target


@pytest.fixture
def zips(draw: Draw, tmp_path: Path) -> Path:
    return zipped(draw("cityscapes"), tmp_path / "zips")


LABEL_ZIP = "gtFine_trainvaltest.zip"


# ---- zips ---------------------------------------------------------------------------------------------------


def test_clean_zips(zips: Path, make_job: MakeJob, finished: Callable[..., Path], tmp_path: Path) -> None:
    """From zips come the bytes that come from the tree."""
    assert prepare(make_job("cityscapes", zips, tmp_path / "set")).findings == ()
    assert (tmp_path / "set" / SUMS).read_bytes() == (finished("cityscapes") / SUMS).read_bytes()


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "gtFine/../../evil.png", "gtFine\\..\\evil.png"])
def test_members_that_leave_the_zip(zips: Path, make_job: MakeJob, tmp_path: Path, name: str) -> None:
    """One such name, and the whole zip is refused, quarantine or not; nothing is written anywhere."""
    with zipfile.ZipFile(zips / LABEL_ZIP, "a") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, b"evil")
    for quarantine in (False, True):
        with pytest.raises(SourceError, match=r"points outside the zip\. Refused"):
            prepare(make_job("cityscapes", zips, tmp_path / "set", on_error="quarantine" if quarantine else "fail"))
    assert not (tmp_path / "set").exists()
    assert not list(tmp_path.rglob("evil*"))


def test_symlink_members(zips: Path, make_job: MakeJob, tmp_path: Path) -> None:
    """A zip that holds a symlink is refused."""
    with zipfile.ZipFile(zips / LABEL_ZIP, "a") as archive:
        info = zipfile.ZipInfo("gtFine/train/bochum/link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceError, match=r"is a symlink, which is not followed out of an archive\. Refused"):
        prepare(make_job("cityscapes", zips, tmp_path / "set"))


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_truncated_zip(zips: Path, make_job: MakeJob, tmp_path: Path, keep: float) -> None:
    """A download that broke off is one error that says to repeat it, though the other zip is whole."""
    path = zips / LABEL_ZIP
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep == 0.5 else int(keep)])
    with pytest.raises(SourceError, match=rf"{LABEL_ZIP}: .*Expected a complete zip\. Download it again"):
        prepare(make_job("cityscapes", zips, tmp_path / "set"))


def entry(data: bytes, name: str) -> int:
    """Where the name's record in the zip's directory begins (APPNOTE 4.3.12: the name stands 46 bytes in)."""
    at = data.rindex(name.encode()) - 46
    assert data[at : at + 4] == b"PK\1\2"
    return at


@pytest.mark.parametrize(
    ("field", "value", "code", "found"),
    [
        (24, 2**31 - 1, "too-large", "bomb"),  # says it unpacks to 2 GiB
        (24, 90_000_000, "too-large", "bomb"),  # below the limit, but no deflate packs it so small
        (24, 60, "unreadable", "60 in the directory"),  # says less than it holds
        (16, 0, "unreadable", "CRC"),  # another sum
        (42, 1, "unreadable", ""),  # begins within another member
        (42, 10**9, "unreadable", ""),  # begins behind the end
    ],
    ids=["2 GiB", "ratio", "less", "sum", "within", "behind"],
)
def test_lying_directory(
    zips: Path, make_job: MakeJob, tmp_path: Path, field: int, value: int, code: str, found: str
) -> None:
    """A member that is not what the zip's directory says is a finding that names it; the others can be had."""
    path = zips / LABEL_ZIP
    data = bytearray(path.read_bytes())
    at = entry(data, LABEL)
    data[at + field : at + field + 4] = struct.pack("<I", value)
    path.write_bytes(data)
    with pytest.raises(FindingsError) as stopped:
        prepare(make_job("cityscapes", zips, tmp_path / "set"))
    (finding,) = stopped.value.findings
    assert (finding.code, finding.where) == (code, LABEL)
    assert found in finding.found
    result = prepare(make_job("cityscapes", zips, tmp_path / "set", on_error="quarantine"))
    assert result.samples == {"train": 3, "val": 3}


def test_real_bomb_in_a_zip(zips: Path, make_job: MakeJob, tmp_path: Path) -> None:
    """280 MiB of zeros, packed a thousandfold, are refused by what the directory declares and never unpacked."""
    image, label = (path.replace("bochum_000001", "bochum_000009") for path in (IMAGE, LABEL))
    with zipfile.ZipFile(zips / "leftImg8bit_trainvaltest.zip", "a") as archive:
        archive.writestr(image, archive.read(IMAGE))
    with zipfile.ZipFile(zips / LABEL_ZIP, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(label, "w") as member:
        for _ in range(280):
            member.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(FindingsError) as stopped:
            prepare(make_job("cityscapes", zips, tmp_path / "set"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [(finding.code, finding.where) for finding in stopped.value.findings] == [("too-large", label)]
    assert peak < 64 << 20


def test_a_member_in_the_last_bytes(zips: Path, make_job: MakeJob, tmp_path: Path) -> None:
    """A member's own header that the end of the zip cuts off is a finding."""
    path = zips / LABEL_ZIP
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\3\4 and no more"
    data = bytearray(path.read_bytes())
    at = entry(data, LABEL)
    data[at + 42 : at + 46] = struct.pack("<I", data.rindex(b"PK\3\4"))
    path.write_bytes(data)
    with pytest.raises(FindingsError) as stopped:
        prepare(make_job("cityscapes", zips, tmp_path / "set"))
    assert [(finding.code, finding.where) for finding in stopped.value.findings] == [("unreadable", LABEL)]


def test_encrypted_member(zips: Path, make_job: MakeJob, tmp_path: Path) -> None:
    """A member that needs a password is unreadable, not a crash."""
    path = zips / LABEL_ZIP
    data = bytearray(path.read_bytes())
    at = entry(data, LABEL)
    data[at + 8] |= 1
    (local,) = struct.unpack_from("<I", data, at + 42)
    data[local + 6] |= 1
    path.write_bytes(data)
    with pytest.raises(FindingsError) as stopped:
        prepare(make_job("cityscapes", zips, tmp_path / "set"))
    assert [(finding.code, finding.where) for finding in stopped.value.findings] == [("unreadable", LABEL)]


METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def one_member(path: Path, content: bytes, method: int) -> Member:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("top/a.png", content)
    return Member("top/a.png", path, "top/a.png", zipped=True)


def change(path: Path, at: Callable[[bytes], int], value: bytes) -> None:
    data = bytearray(path.read_bytes())
    start = at(bytes(data))
    data[start : start + len(value)] = value
    path.write_bytes(data)


@contextmanager
def little_memory(limit: int = 1 << 23) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_packing(tmp_path: Path, method: int) -> None:
    """Members stored, or packed by deflate, bzip2 or LZMA, are read; one with a changed byte is not."""
    content = bytes(range(256)) * 40
    member = one_member(tmp_path / "a.zip", content, method)
    assert member.read() == content
    change(tmp_path / "a.zip", lambda data: 30 + len("top/a.png") + 40, b"\xfe")
    with pytest.raises(SourceError, match=r"top/a\.png: "):
        member.read()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("declared", [1000, 0])
def test_bombs_by_every_method(tmp_path: Path, method: int, declared: int) -> None:
    """A member that unpacks to far more than the zip's directory declares is unpacked no further than that."""
    member = one_member(tmp_path / "a.zip", bytes(1 << 26), method)
    for at in (22, entry((tmp_path / "a.zip").read_bytes(), "top/a.png") + 24):  # its own header, the directory
        change(tmp_path / "a.zip", lambda data, at=at: at, struct.pack("<I", declared))  # type: ignore[misc]
    found = "its length or CRC-32 is not what the zip's directory says"
    with little_memory(1 << 28 if method == zipfile.ZIP_STORED else 1 << 23), pytest.raises(SourceError, match=found):
        member.read()


def test_a_window_of_lzma_larger_than_its_member(tmp_path: Path) -> None:
    """LZMA's window is as large as it can be of use, not as the member declares it: 4 GB."""
    member = one_member(tmp_path / "a.zip", b"abc" * 999, zipfile.ZIP_LZMA)
    change(tmp_path / "a.zip", lambda data: 30 + len("top/a.png") + 5, b"\xff\xff\xff\xff")
    with little_memory():
        assert member.read() == b"abc" * 999


def test_a_member_packed_by_another_method(tmp_path: Path) -> None:
    """Deflate64, Zstandard and the like are refused in one line."""
    member = one_member(tmp_path / "a.zip", b"abc", zipfile.ZIP_STORED)
    for at in (8, entry((tmp_path / "a.zip").read_bytes(), "top/a.png") + 10):  # its own header, the directory
        change(tmp_path / "a.zip", lambda data, at=at: at, struct.pack("<H", 93))  # type: ignore[misc]
    with pytest.raises(SourceError, match="packed by method 93, expected stored, deflate, bzip2 or LZMA"):
        member.read()


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        (6, b"\xff", "version 25.5"),
        (8, b"\0\x08", "UnicodeDecodeError"),  # says that its name is UTF-8, which it is not
        (28, b"\0\0\0\0\x09\0", "a member without a name"),  # what is its name is said to be a comment
        (46, b"\0", "a member without a name"),  # names end at the first zero
    ],
    ids=["version", "UTF-8", "no name", "zero"],
)
def test_damaged_entries_of_a_directory(tmp_path: Path, field: int, value: bytes, found: str) -> None:
    """A damaged entry of the zip's directory is one line that names the zip and says to download it again."""
    member = one_member(tmp_path / "a.zip", b"abc", zipfile.ZIP_STORED)
    change(tmp_path / "a.zip", lambda data: entry(data, "top/a.png") + 46, b"\xffop/a.png")
    change(tmp_path / "a.zip", lambda data: data.rindex(b"PK\1\2") + field, value)
    for read in (member.read, lambda: zip_entries(tmp_path / "a.zip")):
        with pytest.raises(SourceError, match=rf"a\.zip: .*{found}.*Download it again\.$"):
            read()


def test_a_directory_of_gigabytes(tmp_path: Path) -> None:
    """What says that its directory is larger than any is not read."""
    path, size = tmp_path / "a.zip", 1 << 31
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 9, 9, size, 0, 0))
    with (
        little_memory(),
        pytest.raises(SourceError, match="a directory of 2147483648 bytes, expected at most 33554432"),
    ):
        zip_entries(path)


# ---- trees --------------------------------------------------------------------------------------------------


def test_a_zip_that_is_a_pipe(make_job: MakeJob, tmp_path: Path) -> None:
    """Not waited for."""
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(SourceError, match=r"found: a file: a\.zip"):
        prepare(make_job("cityscapes", tmp_path / "a.zip", tmp_path / "set"))


def test_a_split_linked_to_nowhere(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """As an unmounted disk leaves it: told as a link with its target and not as a missing folder, in both modes."""
    root = draw("camvid")
    shutil.rmtree(root / "train")
    (root / "train").symlink_to(tmp_path / "elsewhere")
    for splits in ((), ("train",)):
        with pytest.raises(FindingsError) as stopped:
            prepare(make_job("camvid", root, tmp_path / "set", splits=splits))
        errors = [finding for finding in stopped.value.findings if finding.severity == "error"]
        assert [(finding.code, finding.where) for finding in errors] == [("bad-link", "train")]
        assert f"a symlink to {tmp_path / 'elsewhere'}, where nothing is" in errors[0].found


def test_links_within_the_root(draw: Draw, make_job: MakeJob, finished: Callable[..., Path], tmp_path: Path) -> None:
    """Files and folders that links move about inside the root are read; the shards are the same bytes."""
    root = draw("cityscapes")
    (root / "store").mkdir()
    shutil.move(root / "leftImg8bit/train/bochum", root / "store/bochum")
    (root / "leftImg8bit/train/bochum").symlink_to("../../store/bochum")
    shutil.move(root / LABEL, root / "store/label.png")
    (root / LABEL).symlink_to("../../../store/label.png")
    assert prepare(make_job("cityscapes", root, tmp_path / "set")).findings == ()
    assert (tmp_path / "set" / SUMS).read_bytes() == (finished("cityscapes") / SUMS).read_bytes()


# ---- taxonomies ---------------------------------------------------------------------------------------------

LAUGHS = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
MERGES = "".join(f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}\n" for i in range(1, 12))


@pytest.mark.parametrize(
    "text",
    [
        "name: !!python/object/apply:os.system ['touch /tmp/evil']\nclasses: []",
        "!!python/object/new:segdata.labels.taxonomy.Taxonomy {}",
        "name: !local x\nclasses: []",
        "a0: &a0 lol\n" + LAUGHS,
        "m0: &m0 {x: 1}\n" + MERGES,
        "name: &x [*x]\nclasses: []",
        "[" * 5_000,
        "name: 2001-99-99\nclasses: []",
        "name: !!timestamp x\nclasses: []",
        "name: !!bool x\nclasses: []",
        'name: !!int ""\nclasses: []',
        "name: 1" + ":59" * 500 + ".5\nclasses: []",
        f"name: 0x{'f' * 9000}\nclasses: []",
        "name: x\nclasses: [{name: a, color: [0, 0, 0], from: [b], export: 0x" + "f" * 9000 + "}]",
        "x" * (1 << 21),
        "\0",
    ],
    ids=lambda text: text[:30],
)
def test_hostile_yaml(text: str) -> None:
    """Tags, bombs of aliases, depths and values that PyYAML itself stumbles over: a short error, at once."""
    with pytest.raises(TaxonomyError, match=r"^mine(, line \d+)?: ") as refused:
        read_taxonomy(text.encode(), "mine")
    assert len(str(refused.value)) < 1000


def test_a_taxonomy_that_is_a_pipe(tmp_path: Path) -> None:
    """Not waited for; nor is any that is too large read."""
    os.mkfifo(tmp_path / "mine.yaml")
    (tmp_path / "large.yaml").write_bytes(bytes(1 << 20))
    for name, found in (("mine", "a pipe, expected a regular file"), ("large", "1048576 bytes, expected at most")):
        with pytest.raises(TaxonomyError, match=found):
            load_taxonomy(str(tmp_path / f"{name}.yaml"))


def test_a_taxonomy_on_the_command_line(draw: Draw, tmp_path: Path) -> None:
    """What is wrong with a user's file is one line and exit status 1, no traceback."""
    path = tmp_path / "mine.yaml"
    path.write_text("name: !!python/name:os.system\nclasses: []\n")
    arguments = ["prepare", "camvid", "--root", str(draw("camvid")), "--out", str(tmp_path / "set")]
    result = CliRunner().invoke(cli, [*arguments, "--taxonomy", str(path)])
    assert isinstance(result.exception, SegdataError)
    assert "tags, aliases and objects are refused" in str(result.exception)
    assert not (tmp_path / "set").exists()


# ---- readers of shard folders -------------------------------------------------------------------------------


@given(st.binary(max_size=3000))
@settings(max_examples=200, deadline=None)
def test_any_bytes_as_a_tar(data: bytes) -> None:
    """The list of members never fails, and never names bytes that are not there."""
    places, _ = list_members(data)
    assert all(at >= 0 and at + size <= len(data) for at, size in places.values())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_tar(finished: Callable[..., Path], data: st.DataObject) -> None:
    """The same with a real shard in which header bytes were changed."""
    shard = bytearray((finished("camvid") / "camvid-11-train-000000.tar").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        shard[data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
    places, _ = list_members(bytes(shard))
    assert all(at >= 0 and at + size <= len(shard) for at, size in places.values())


def _as_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("keys.npy", b"")


def _header(text: str) -> bytes:
    padded = text.ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(padded)) + padded.encode()


HOSTILE_COLUMNS: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda path: path.write_bytes(b""),
    "a zip": _as_zip,
    "objects": lambda path: np.save(path, np.array([{}], object), allow_pickle=True),
    "a pickle": lambda path: path.write_bytes(b"\x80\x04N."),
    "numbers": lambda path: np.save(path, np.zeros(4)),
    "a table": lambda path: np.save(path, np.zeros((4, 4), "S3")),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "more than it says": lambda path: path.write_bytes(path.read_bytes() + bytes(32)),
    "a bad header": lambda path: path.write_bytes(path.read_bytes()[:10] + b"(" * 99),
    "an open bracket": lambda path: path.write_bytes(_header("{'descr': [('a', '<u4'")),
    "a bad escape": lambda path: path.write_bytes(_header(r"{'descr': '\d', 'fortran_order': False, 'shape': (1,)}")),
    "of Python 2": lambda path: path.write_bytes(_header("{'descr': '<u4', 'fortran_order': False, 'shape': (3L,)}")),
    "nothing but brackets": lambda path: path.write_bytes(_header("(" * 110)),
    "more rows than bytes": lambda path: path.write_bytes(
        _header("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000000, 32)}")
    ),
    "rows past counting": lambda path: path.write_bytes(
        _header("{'descr': '|S8', 'fortran_order': False, 'shape': (2305843009213693953,)}") + bytes(64)
    ),
    "rows below none": lambda path: path.write_bytes(
        _header("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 32)}") + bytes(64)
    ),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("column", ["keys", "places", "pixels.target1.png", "samples"])
@pytest.mark.parametrize("kind", HOSTILE_COLUMNS)
def test_hostile_index(shards: Callable[..., Path], columns: Callable[..., Any], column: str, kind: str) -> None:
    """An index file that is anything else is our error; nothing in it is ever unpickled."""
    folder = shards()
    path = folder / ".segdata" / f"train.{column}.npy"
    HOSTILE_COLUMNS[kind](path)
    with pytest.raises(SegdataError):
        if column.startswith(("pixels", "samples")):
            parsed_digests(columns(path.parent)(path.name))
        else:
            open_index(columns(path.parent), folder, "train", read_manifest(folder).parts("train"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"[" * 99_999,
        b'{"inputs": 1}',
        b"\xff",
        b'{"samples": 5, "inputs": "", "split": ""}',
    ],
)
def test_hostile_receipt(shards: Callable[..., Path], data: bytes) -> None:
    """A receipt that is none counts as no receipt: its shard is made again."""
    path = shards() / ".segdata/receipts/camvid-11-train-000000.json"
    path.write_bytes(data)
    assert read_receipt(path) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda receipt: receipt.update(size=-1),
        lambda receipt: receipt.update(sha256="x"),
        lambda receipt: receipt["samples"][0].update(size=[1 << 40, 24]),
        lambda receipt: receipt["samples"][0].update(size=[16.0, 24]),
        lambda receipt: receipt["samples"][0].update(key="a" * 101),
        lambda receipt: receipt["samples"][0].update(key="\ud800"),
        lambda receipt: receipt["samples"][0].update(digest="xy" * 32),
        lambda receipt: receipt["samples"][0]["places"].update({"target.png": [0, 1]}),
        lambda receipt: receipt["samples"][0]["places"].update({"json": [0, -1]}),
        lambda receipt: receipt["samples"][0]["places"].update({"json": [1 << 64, 1]}),
        lambda receipt: receipt["samples"][0]["pixels"].update({"target1.png": 5}),
        lambda receipt: receipt["counts"].update(pixels=["a"]),
        lambda receipt: receipt["counts"].update(samples=-1),
        lambda receipt: receipt.update(sums={"pixels": 1, "values": [1, 2], "squares": [1, 2]}),
        lambda receipt: receipt.update(quarantined=[{"code": "x", "where": "", "found": ""}]),
    ],
)
def test_receipts_of_odd_values(shards: Callable[..., Path], change: Callable[[Any], None]) -> None:
    """Neither are those whose numbers, names or digests no shard can have."""
    path = shards() / ".segdata/receipts/camvid-11-train-000000.json"
    assert read_receipt(path)
    receipt = json.loads(path.read_bytes())
    change(receipt)
    path.write_text(json.dumps(receipt))
    assert read_receipt(path) is None


@pytest.mark.parametrize(
    "statistics",
    [
        {"pixels": [1] * 11, "images": [1] * 12, "samples": 4},
        {"pixels": [1] * 5, "images": [1] * 5, "samples": 4},  # no taxonomy of so few
        {"pixels": ["1"] * 12, "images": [1] * 12, "samples": 4},
        {"pixels": [1.5] * 12, "images": [1] * 12, "samples": 4},
        {"pixels": [-1] * 12, "images": [1] * 12, "samples": 4},
        {"pixels": [1 << 62] * 12, "images": [1] * 12, "samples": 4},
        {"pixels": [1] * 12, "images": [5] * 12, "samples": 4},
        {"pixels": [1] * 12, "images": [1] * 12, "samples": "4"},
        {"pixels": [[1]] * 12, "images": [1] * 12, "samples": 4},
        {"pixels": 1, "images": 1, "samples": 4},
        [],
    ],
    ids=repr,
)
def test_forged_statistics(shards: Callable[..., Path], statistics: Any) -> None:
    """A manifest with counts that are no counts of its classes is refused, its fingerprint right or not."""
    folder = shards()
    document = dict(read_manifest(folder).document)
    del document["fingerprint"]
    document["splits"]["train"]["classes"] = statistics
    (folder / "dataset.json").write_bytes(manifest_bytes(document))
    with pytest.raises(SegdataError, match=str(folder)):
        stats(folder)
    assert verify(folder, pixels=True)


@pytest.mark.parametrize("name", ["SHA256SUMS", "taxonomy.yaml", ".segdata/receipts/camvid-11-train-000000.json"])
def test_pipes_in_a_shard_folder(shards: Callable[..., Path], name: str) -> None:
    """Not waited for, but found."""
    folder = shards()
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert ("unreadable", name) in {(finding.code, finding.where) for finding in verify(folder)}


def declaring(codec: str, height: int, width: int) -> bytes:
    """A picture of 8x8 whose header says another size."""
    data = bytearray(encode_image(np.zeros((8, 8, 3), np.uint8), codec))
    if codec == "jpeg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", height, width)
    else:
        data[21:25] = struct.pack(
            "<I", int.from_bytes(data[21:25], "little") & ~0xFFFFFFF | height - 1 << 14 | width - 1
        )
    return bytes(data)


NOT_DECODED = [
    (declaring("jpeg", 32_000, 32_000), None, "32000x32000 pixels, expected 1 to 322048"),
    (declaring("jpeg", 0, 8), None, "8x0 pixels, expected 1 to"),
    (declaring("jpeg", 64, 64), (8, 8), "64x64 pixels, expected 8x8"),
    (declaring("webp", 16_383, 16_383), None, "16383x16383 pixels, expected 1 to"),
    (declaring("webp", 9_000, 9_000), (8, 8), "9000x9000 pixels, expected 8x8"),
    (declaring("webp", 8, 8)[:20], None, "expected the header of a picture"),
    (declaring("jpeg", 8, 8)[:50], None, "expected the header of a Huffman-coded frame"),
    (declaring("jpeg", 8, 8).replace(b"\xff\xc0", b"\xff\xc9"), None, "Huffman-coded frame"),  # arithmetic codes
    (declaring("jpeg", 8, 8).replace(b"\xff\xc0", b"\xff\xc3"), None, "Huffman-coded frame"),  # lossless
]


@pytest.mark.parametrize(("data", "size", "found"), NOT_DECODED, ids=[found for _, _, found in NOT_DECODED])
def test_what_is_not_decoded(
    data: bytes, size: tuple[int, int] | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A JPEG or WebP whose header declares more than it can hold, or another size than is due, meets no decoder."""
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: pytest.fail("decoded"))
    with pytest.raises(CodecError, match=found):
        decode_image(data, size=size)


@pytest.mark.parametrize("suffix", [".bmp", ".tiff", ".ppm", ".gif", ".avif", ".jp2", ".exr"])
def test_pictures_of_other_formats(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV reads them; no shard holds them."""
    heads = {".gif": b"GIF89a", ".avif": b"\0\0\0\x1cftypavif", ".jp2": b"\0\0\0\x0cjP  ", ".exr": b"v/1\1"}
    data = heads.get(suffix) or cv2.imencode(suffix, np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: pytest.fail("decoded"))
    with pytest.raises(CodecError, match="expected a PNG, JPEG or WebP"):
        decode_image(data)


def test_flat_pictures_are_read(tmp_path: Path) -> None:
    """The smallest files for their sizes: of one colour, by every kind of JPEG and WebP."""
    flat = np.full((1024, 2048, 3), 128, np.uint8)
    for options in (
        {},
        {"progressive": True},
        {"quality": 1, "optimize": True},
        {"quality": 1, "subsampling": "4:1:1"},
    ):
        Image.fromarray(flat).save(tmp_path / "a.jpg", **options)
        assert np.array_equal(decode_image((tmp_path / "a.jpg").read_bytes(), size=(1024, 2048)), flat)
    for options in ({}, {"lossless": True}, {"lossless": True, "icc_profile": b"x"}):
        Image.fromarray(flat).save(tmp_path / "a.webp", **options)
        assert decode_image((tmp_path / "a.webp").read_bytes(), size=(1024, 2048)).shape == flat.shape


def test_a_camera_s_note_turns_nothing() -> None:
    """EXIF's orientation changes no pixel, as no chunk beside the picture does in a PNG."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(file, "JPEG", exif=exif)
    assert decode_image(file.getvalue(), size=(8, 16)).shape == (8, 16, 3)


@pytest.mark.parametrize(
    "parts",
    [
        {"json": b"[" * 99_999},
        {},
        {"json": b'{"height": 8}'},
        {"target0.png": b""},
        {"other.txt": b""},
        {"target1.png": b""},
    ],
)
def test_samples_that_are_none(parts: dict[str, bytes]) -> None:
    """`decode_sample` raises our error for metadata or parts that no sample has."""
    with pytest.raises(CodecError):
        decode_sample({"json": b'{"height": 8, "width": 8}', **parts} if parts and "json" not in parts else parts)


def linked_member(data: bytes) -> bytes:
    """With a link before the first member, which `tarfile` and others follow."""
    info = tarfile.TarInfo("train_0000.image.png")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info.tobuf(tarfile.USTAR_FORMAT) + data


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda data: data, ""),
        (lambda data: data + b"\0" * 512, ""),
        (lambda data: data[:-1] + b"x", "1 bytes behind its closing blocks"),
        (lambda data: data + data, "bytes behind its closing blocks"),
        (lambda data: data.rstrip(b"\0") + b"\0" * (-len(data.rstrip(b"\0")) % 512 + 512), "within the closing blocks"),
        (linked_member, "train_0000.image.png at byte 0 is of type b'2', expected plain files alone"),
    ],
    ids=["whole", "longer end", "last byte", "two archives", "one block", "link"],
)
def test_the_rest_of_a_tar(finished: Callable[..., Path], change: Callable[[bytes], bytes], found: str) -> None:
    """What other readers would see of an archive, or pass over, is told: links, and what follows its end."""
    data = (finished("camvid") / "camvid-11-train-000000.tar").read_bytes()
    _, damage = list_members(change(data))
    assert (found in damage) if found else not damage


def test_an_index_that_leads_out_of_its_shard(shards: Callable[..., Path]) -> None:
    """What would be cut short is refused."""
    folder = shards()
    path = folder / ".segdata/train.places.npy"
    places = np.load(path)
    places["sizes"][0] = 2**32 - 1
    np.save(path, places)
    reseal_sums(folder)
    with pytest.raises(SegdataError, match="leads behind the end of shard 0"):
        ShardSet(folder, "train").read(0)


def test_a_reader_of_a_changed_shard(shards: Callable[..., Path]) -> None:
    """ShardSet on a shard cut short, or with damaged metadata, raises our error and names the folder."""
    folder = shards()
    path = folder / "camvid-11-train-000000.tar"
    data = path.read_bytes()
    at = data.index(b'{"height"')
    path.write_bytes(data[:at] + b"[" + data[at + 1 :])
    with pytest.raises(SegdataError, match="is damaged"):
        ShardSet(folder, "train").read(0)
    path.write_bytes(data[:-512])
    with pytest.raises(SegdataError, match="segdata verify"):
        ShardSet(folder, "train").read(0)


def test_a_hostile_folder_on_the_command_line(shards: Callable[..., Path]) -> None:
    """`segdata verify` ends in one clear error, whatever stands in dataset.json."""
    folder = shards()
    (folder / "dataset.json").write_text('{"format": 1, "splits": {"../..": {"shards": []}}}')
    result = CliRunner().invoke(cli, ["verify", str(folder)])
    assert isinstance(result.exception, SegdataError)
    assert "bad-manifest" in result.output and "points outside" in result.output
