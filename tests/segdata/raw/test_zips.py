"""Zips: what one says of itself is compared with what is read, so that no damaged byte hides or swaps a member."""

import io
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from segdata.errors import SourceError
from segdata.raw.archives.zips import zip_entries
from segdata.raw.member import Member
from segdata.stores.opening import open_store
from segdata.stores.url import Url

NAMES = ("gtFine/train/a.png", "gtFine/train/b.png", "gtFine/val/c.png")
FILES = {name: (name * 9).encode() for name in NAMES}


class Unseekable(io.BytesIO):
    """As a pipe is: zipfile then writes sizes behind the members."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise io.UnsupportedOperation


def packed(file: io.BytesIO | None = None, method: int = zipfile.ZIP_DEFLATED, long: bool = False) -> bytes:
    file = file or io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("gtFine/", b"")
        for name, content in FILES.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=long) as member:
                member.write(content)
    return file.getvalue()


def with_long_end(data: bytes, short: bool) -> bytes:
    """The same zip with a 64-bit end record and locator (4.3.14, 4.3.15); the short one says "see there" or repeats."""
    _, _, _, here, entries, size, offset, _ = struct.unpack("<4s4H2LH", data[-22:])
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, here, entries, size, offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, 1)
    last = data[-22:] if short else struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, 0)
    return data[:-22] + end + locator + last


def with_comment(data: bytes) -> bytes:
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"a comment"
    return file.getvalue()


PLAIN = packed()
SHAPES = {
    "plain": PLAIN,
    "stored": packed(method=zipfile.ZIP_STORED),
    "streamed": packed(Unseekable()),
    "64-bit members": packed(long=True),
    "64-bit end": with_long_end(PLAIN, short=False),
    "64-bit end beside a short one": with_long_end(PLAIN, short=True),
    "behind a program": b"#!/bin/sh\nexit\n" + PLAIN,
    "64-bit end behind a program": b"#!/bin/sh\nexit\n" + with_long_end(PLAIN, short=False),
    "with a comment": with_comment(PLAIN),
    "once written in parts": b"PK\7\x08" + PLAIN,
}


@pytest.fixture
def contents(tmp_path: Path) -> Callable[[bytes], dict[str, bytes]]:
    """contents(data): all files of a zip by their names, as prepare reads them."""
    numbers = count()  # another name each: directories are kept

    def read(data: bytes) -> dict[str, bytes]:
        path = tmp_path / f"{next(numbers)}.zip"
        path.write_bytes(data)
        try:
            return {name: Member(name, path, name, zipped=True).read() for name in zip_entries(path)}
        finally:
            path.unlink()

    return read


@pytest.mark.parametrize("shape", SHAPES)
def test_what_tools_write(shape: str, contents: Callable[[bytes], dict[str, bytes]]) -> None:
    """Plain, streamed, 64-bit, behind other bytes, with a comment: the files that zipfile finds."""
    with zipfile.ZipFile(io.BytesIO(SHAPES[shape])) as archive:
        due = {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    assert due == FILES
    assert contents(SHAPES[shape]) == due


TOOLS = {
    "Info-ZIP": ["zip", "-q", "-r", "../a.zip", "."],
    "Info-ZIP through a pipe": ["sh", "-c", "zip -q -r - . | cat > ../a.zip"],
    "jar": ["jar", "cf", "../a.zip", "."],
    "7-Zip": ["7z", "a", "-bd", "../a.zip", "."],
    "bsdtar": ["bsdtar", "-a", "-cf", "../a.zip", "."],
    "shutil": [sys.executable, "-c", "import shutil; shutil.make_archive('../a', 'zip', '.')"],
}


@pytest.mark.parametrize("tool", TOOLS)
def test_what_other_tools_write(tool: str, tmp_path: Path) -> None:
    """All files, with the bytes that went in."""
    if not shutil.which(TOOLS[tool][0]):
        pytest.skip(f"{tool} is not installed")
    files = {**FILES, "gtFine/empty.txt": b""}
    for name, content in files.items():
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).write_bytes(content)
    subprocess.run(TOOLS[tool], cwd=tmp_path / "files", check=True, stdout=subprocess.DEVNULL)
    path = tmp_path / "a.zip"
    found = {name: Member(name, path, name, zipped=True).read() for name in zip_entries(path)}
    assert {name: data for name, data in found.items() if not name.startswith("META-INF")} == files


def named(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"" if name.endswith(("/", "\\")) else b"x")
    return file.getvalue()


@pytest.mark.parametrize("name", ["./gtFine/train/a.png", "gtFine//train/./a.png", "././gtFine/train//a.png"])
def test_one_name_written_in_several_ways(name: str, contents: Callable[[bytes], dict[str, bytes]]) -> None:
    """Is one file, also beside the same file under its plain name."""
    assert contents(named("./", name)) == contents(named(NAMES[0], name)) == {NAMES[0]: b"x"}


def test_one_name_written_in_two_ways_with_other_bytes(contents: Callable[[bytes], dict[str, bytes]]) -> None:
    """Is a name that stands twice."""
    other = io.BytesIO(PLAIN)
    with zipfile.ZipFile(other, "a") as archive:
        archive.writestr(f"./{NAMES[0]}", b"another label")
    with pytest.raises(SourceError, match=f"{NAMES[0]} stands twice in it, with 162 and with 13 bytes"):
        contents(other.getvalue())


def test_folders_that_are_separated_by_backslashes(contents: Callable[[bytes], dict[str, bytes]]) -> None:
    """As by old Windows tools: the same files, a folder's own entry too; names that leave the zip are refused."""
    assert contents(named("gtFine\\", r"gtFine\train\a.png")) == {NAMES[0]: b"x"}
    with pytest.raises(SourceError, match="stands twice in it"):
        other = io.BytesIO(named(r"gtFine\train\a.png"))
        with zipfile.ZipFile(other, "a") as archive:
            archive.writestr(NAMES[0], b"another label")
        contents(other.getvalue())
    for name in (r"..\a.png", r"gtFine\..\..\a.png", r"\a.png", r"C:\a.png", r"\\host\share\a.png"):
        with pytest.raises(SourceError, match="points outside the zip"):
            contents(named(name))


def changes(data: bytes) -> Iterator[bytes]:
    """The zip with one bit of one byte changed, each byte in turn."""
    for at in range(data.index(b"PK\3\4"), len(data)):
        yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


@pytest.mark.parametrize("shape", ["plain", "streamed", "64-bit end", "behind a program"])
def test_one_damaged_byte(shape: str, contents: Callable[[bytes], dict[str, bytes]]) -> None:
    """Wherever it is: every file is read as it was packed, or the zip or a file of it is refused."""
    refused = 0
    for data in changes(SHAPES[shape]):
        try:
            found = contents(data)
        except SourceError:
            refused += 1
        else:
            assert found == FILES
    assert refused > 0.6 * len(SHAPES[shape])  # dates, and what programs noted for themselves, change nothing


def entry(data: bytes, name: str) -> int:
    """Where the name's entry in the directory begins."""
    return data.rindex(name.encode()) - 46


def altered(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def twice(other: bytes) -> bytes:
    file = io.BytesIO(PLAIN)
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(NAMES[0], other)
    return file.getvalue()


CONTRADICTIONS = {
    "a comment that swallows the entries behind it": (
        altered(PLAIN, entry(PLAIN, NAMES[1]) + 32, struct.pack("<H", 46 + len(NAMES[2]))),
        "3 members in its directory, 4 by its end record",
    ),
    "more members than there are": (altered(PLAIN, len(PLAIN) - 14, b"\5\0\5\0"), "4 members in its directory, 5"),
    "a shorter directory": (altered(PLAIN, len(PLAIN) - 10, b"\1"), "no member in its directory|directory at byte"),
    "bytes behind the end": (PLAIN + b"<html>", "6 bytes after its end"),
    "bytes before it that are no program": (b"<html>" + PLAIN, "6 bytes before its first member, expected none"),
    "64-bit records of another zip": (
        altered(with_long_end(PLAIN, short=True), len(PLAIN) + 76 - 14, b"\3\0\3\0"),
        "end records that differ: 3 in the short one, 4 in the 64-bit one",
    ),
    "a name twice": (twice(b"another label"), f"{NAMES[0]} stands twice in it, with 162 and with 13 bytes"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_zip_that_contradicts_itself(case: str, contents: Callable[[bytes], dict[str, bytes]]) -> None:
    """Refused as a whole, in one line that says both."""
    data, found = CONTRADICTIONS[case]
    with pytest.raises(SourceError, match=rf"\.zip: .*({found}).*[Dd]ownload it again\.$"):
        contents(data)


EMPTY = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, 0, 0, 0)
PROGRAM = b"#!/bin/sh\nexit\n"
JOINED = {
    "two zips": PLAIN + PLAIN,
    "an empty one before": EMPTY + PLAIN,
    "an empty one behind": PLAIN + EMPTY,
    "one with a comment before": with_comment(PLAIN) + PLAIN,
    "a longer end": PLAIN + with_long_end(PLAIN, short=False),
    "bytes between them": PLAIN + b"xyz" + PLAIN,
    "a program before": PROGRAM + PLAIN + PLAIN,
    "a program and one with a comment before": PROGRAM + with_comment(PLAIN) + PLAIN,
}


@pytest.mark.parametrize("case", JOINED)
def test_zips_that_were_joined(case: str, contents: Callable[[bytes], dict[str, bytes]]) -> None:
    """Only the last one's directory is at the end: refused, for the others' files would be lost."""
    with pytest.raises(SourceError, match=r"bytes of another zip before it, .*unpack them one by one\.$"):
        contents(JOINED[case])


PARTS = {
    "the last part": (altered(PLAIN, len(PLAIN) - 18, b"\3\0"), "part 4 of a zip in several parts"),
    "a member in another part": (altered(PLAIN, entry(PLAIN, NAMES[1]) + 34, b"\2"), "a member in part 3 of a zip"),
    "the last part of a long one": (
        altered(with_long_end(PLAIN, short=False), len(PLAIN) + 76 - 22 - 4, b"\3"), "part 3 of a zip"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
def test_a_part_of_a_zip(case: str, contents: Callable[[bytes], dict[str, bytes]]) -> None:
    """Is told to be one, with one thing to do."""
    data, found = PARTS[case]
    with pytest.raises(SourceError, match=rf"\.zip: {found}.*Join all parts .*in their stead\.$"):
        contents(data)


def test_a_name_twice_with_the_same_bytes(contents: Callable[[bytes], dict[str, bytes]]) -> None:
    """Nothing depends on which of them is read."""
    assert contents(twice(FILES[NAMES[0]])) == FILES


LOCAL = PLAIN.index(NAMES[1].encode()) - 30  # where the second file's own header begins
OWN = {
    "another name": (30 + len("gtFine/train/"), b"x", "name b'gtFine/train/x.png'"),
    "another flag": (6, b"\1", "flags 1, 0 in the directory"),
    "another method": (8, b"\0", "method 0, 8 in the directory"),
    "another sum": (14, b"\0\0\0\0", "CRC-32 0, "),
    "another packed size": (18, b"\1\0", "packed bytes 1, "),
    "another size": (22, b"\1\0", "bytes 1, 162 in the directory"),
}


@pytest.mark.parametrize("case", OWN)
def test_a_member_whose_own_header_says_otherwise(case: str, tmp_path: Path) -> None:
    """This member is refused and says why; its neighbours are read."""
    at, value, found = OWN[case]
    path = tmp_path / "a.zip"
    path.write_bytes(altered(PLAIN, LOCAL + at, value))
    with pytest.raises(SourceError, match=f"its own header and the zip's directory differ: {found}"):
        Member(NAMES[1], path, NAMES[1], zipped=True).read()
    for name in (NAMES[0], NAMES[2]):
        assert Member(name, path, name, zipped=True).read() == FILES[name]


def test_a_member_in_a_store_whose_own_header_says_otherwise() -> None:
    """As on a disk."""
    at, value, found = OWN["another sum"]
    url = Url(f"memory://zips-{os.urandom(4).hex()}/a.zip")
    open_store(url).write("", altered(PLAIN, LOCAL + at, value))
    with pytest.raises(SourceError, match=f"its own header and the zip's directory differ: {found}"):
        Member(NAMES[1], url, NAMES[1], zipped=True).read()
    assert Member(NAMES[0], url, NAMES[0], zipped=True).read() == FILES[NAMES[0]]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_more_packed_bytes_than_the_member_takes(method: int, tmp_path: Path) -> None:
    """A member that ends before its packed bytes do is not what was packed."""
    data = packed(method=method)
    (start,) = struct.unpack_from("<L", data, len(data) - 6)  # of the directory
    at = start + entry(data[start:], NAMES[2])
    (own,) = struct.unpack_from("<L", data, at + 42)
    for place in (own + 18, at + 20):
        data = altered(data, place, struct.pack("<L", struct.unpack_from("<L", data, place)[0] + 2))
    data = altered(data, len(data) - 6, struct.pack("<L", start + 2))
    path = tmp_path / "a.zip"
    path.write_bytes(data[:start] + b"xx" + data[start:])
    with pytest.raises(SourceError, match="packed bytes, which do not end with the member"):
        Member(NAMES[2], path, NAMES[2], zipped=True).read()


def test_members_that_overlap(tmp_path: Path) -> None:
    """A zip within a stored member, whose own members the outer directory lists as well: these are refused."""
    inner = packed(method=zipfile.ZIP_STORED)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("outer.bin", inner)
        start = archive.infolist()[0].header_offset + 30 + len("outer.bin")
        info = next(info for info in zipfile.ZipFile(io.BytesIO(inner)).infolist() if info.filename == NAMES[0])
        info.header_offset += start
        archive.filelist.append(info)
        archive._didModify = True  # type: ignore[attr-defined]
    path = tmp_path / "a.zip"
    path.write_bytes(file.getvalue())
    assert Member("x", path, "outer.bin", zipped=True).read() == inner
    with pytest.raises(SourceError, match=r"begins at byte \d+, within outer\.bin"):
        Member("x", path, NAMES[0], zipped=True).read()
