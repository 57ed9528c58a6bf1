"""Hostile input: zips, links, bombs, YAML, and shard folders made to harm their reader. Refused in one clear line."""

import os
import shutil
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from segdata.cli import cli
from segdata.codecs import decode_image, encode_image
from segdata.content import list_members
from segdata.errors import CodecError, SegdataError, SourceError, TaxonomyError
from segdata.findings import FindingsError
from segdata.index import read_digests, read_index
from segdata.manifest import SUMS, read_manifest
from segdata.prepare import Job, prepare
from segdata.receipt import read_receipt
from segdata.shardset import ShardSet
from segdata.taxonomy import read_taxonomy

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
            prepare(make_job("cityscapes", zips, tmp_path / "set", quarantine=quarantine))
    assert not (tmp_path / "set").exists()
    assert not list(tmp_path.rglob("evil*"))


def test_symlink_members(zips: Path, make_job: MakeJob, tmp_path: Path) -> None:
    """A zip that holds a symlink is refused."""
    with zipfile.ZipFile(zips / LABEL_ZIP, "a") as archive:
        info = zipfile.ZipInfo("gtFine/train/bochum/link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceError, match=r"is a symlink\. Refused"):
        prepare(make_job("cityscapes", zips, tmp_path / "set"))


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_truncated_zip(zips: Path, make_job: MakeJob, tmp_path: Path, keep: float) -> None:
    """A download that broke off is one error that says to repeat it, though the other zip is whole."""
    path = zips / LABEL_ZIP
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep == 0.5 else int(keep)])
    with pytest.raises(SourceError, match=f"{LABEL_ZIP}: not a complete zip .*Download it again"):
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
        (24, 60, "unreadable", "CRC"),  # says less than it holds
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
    result = prepare(make_job("cityscapes", zips, tmp_path / "set", quarantine=True))
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


# ---- trees --------------------------------------------------------------------------------------------------


def test_a_split_linked_out_of_the_root(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """Not followed, told as a link and not as a missing folder, in both modes."""
    root = draw("camvid")
    shutil.move(root / "train", tmp_path / "elsewhere")
    (root / "train").symlink_to(tmp_path / "elsewhere")
    for splits in ((), ("train",)):
        with pytest.raises(FindingsError) as stopped:
            prepare(make_job("camvid", root, tmp_path / "set", splits=splits))
        errors = [finding for finding in stopped.value.findings if finding.severity == "error"]
        assert [(finding.code, finding.where) for finding in errors] == [("bad-link", "train")]


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
        "!!python/object/new:segdata.taxonomy.Taxonomy {}",
        "name: !local x\nclasses: []",
        "a0: &a0 lol\n" + LAUGHS,
        "m0: &m0 {x: 1}\n" + MERGES,
        "name: &x [*x]\nclasses: []",
        "[" * 5_000,
        "name: 2001-99-99\nclasses: []",
        "name: !!timestamp x\nclasses: []",
        "name: !!bool x\nclasses: []",
        f"name: 0x{'f' * 9000}\nclasses: []",
        "name: x\nclasses: [{name: a, color: [0, 0, 0], from: [b], export: 0x" + "f" * 9000 + "}]",
        "x" * (1 << 21),
        "\0",
    ],
    ids=lambda text: text[:30],
)
def test_hostile_yaml(text: str) -> None:
    """Tags, bombs of aliases, depths and values that PyYAML itself stumbles over: a short error, at once."""
    with pytest.raises(TaxonomyError, match=r"^mine: ") as refused:
        read_taxonomy(text.encode(), "mine")
    assert len(str(refused.value)) < 1000


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


HOSTILE_COLUMNS: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda path: path.write_bytes(b""),
    "a zip": _as_zip,
    "objects": lambda path: np.save(path, np.array([{}], object), allow_pickle=True),
    "a pickle": lambda path: path.write_bytes(b"\x80\x04N."),
    "numbers": lambda path: np.save(path, np.zeros(4)),
    "a table": lambda path: np.save(path, np.zeros((4, 4), "S3")),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "a bad header": lambda path: path.write_bytes(path.read_bytes()[:10] + b"(" * 99),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("column", ["keys", "places", "pixels.target1.png", "samples"])
@pytest.mark.parametrize("kind", HOSTILE_COLUMNS)
def test_hostile_index(shards: Callable[..., Path], column: str, kind: str) -> None:
    """An index file that is anything else is our error; nothing in it is ever unpickled."""
    folder = shards()
    path = folder / ".segdata" / f"train.{column}.npy"
    HOSTILE_COLUMNS[kind](path)
    with pytest.raises(SegdataError):
        if column.startswith(("pixels", "samples")):
            read_digests(path)
        else:
            read_index(path.parent, "train", read_manifest(folder).parts("train"))


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


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
def test_images_that_declare_too_much(shards: Callable[..., Path], codec: str) -> None:
    """A JPEG or WebP whose header declares far more pixels than it holds is our error."""
    data = bytearray(encode_image(np.zeros((8, 8, 3), np.uint8), codec))
    if codec == "jpeg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    else:
        data = data[:20]
    with pytest.raises(CodecError):
        decode_image(bytes(data))


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
