"""What travels to a device: every wheel that is required there, parts that are whole, the commit that is measured."""

import json
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

from benchmarks.device import origin, pack

REQUIRES = {  # of the wheels on a made-up index
    "blake3": [],
    "isal": [],
    "zlib-ng": [],
    "webdataset": ["braceexpand", "numpy>=2", "PyYAML"],
    "braceexpand": [],
    "cityscapesscripts": [
        "coloredlogs>=10; python_version >= '3.8'",
        "pillow",
        "pyquaternion",
        "gui-kit; extra == 'gui'",
    ],
    "coloredlogs": ["humanfriendly>=9.1", "colorama; sys_platform == 'win32'"],
    "humanfriendly": ["pyreadline3; sys_platform == 'win32'", "monotonic; python_version == '2.7'"],
    "pyquaternion": ["numpy"],
}


def download(names: Sequence[str], out: Path) -> None:
    """A wheel with nothing but its requirements, as pip would bring it."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        plain = name.replace("-", "_")
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
        lines += [f"Requires-Dist: {each}" for each in REQUIRES[name]]
        with ZipFile(out / f"{plain}-1.0-py3-none-any.whl", "w") as file:
            file.writestr(f"{plain}-1.0.dist-info/METADATA", "\n".join(lines) + "\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a pack is built, from a made-up index and without painting."""

    def streets(out: Path) -> None:
        out.mkdir(parents=True)
        (out / "shard.tar").write_bytes(bytes(2**20))

    monkeypatch.setattr(pack, "_download", download)
    monkeypatch.setattr(pack, "_streets", streets)
    monkeypatch.setattr(pack, "_jpeg_quality", lambda folder: 95)
    return tmp_path / "pack"


def test_what_is_required_there_travels(place: Path) -> None:
    """What a wheel requires comes too, and what that requires; not what the device has, other systems' or extras'."""
    pack.pack(place, None)
    assert sorted(path.name.split("-")[0] for path in (place / "wheels").iterdir()) == [
        "blake3", "braceexpand", "cityscapesscripts", "coloredlogs", "humanfriendly", "isal", "pyquaternion",
        "webdataset", "zlib_ng",
    ]  # fmt: skip
    about = json.loads((place / "pack.json").read_text())
    assert about["wheels"]["coloredlogs"] == "1.0" and set(about["parts"]) == {"wheels", "streets"}


def test_parts_are_kept_until_they_are_asked_for_again(place: Path) -> None:
    """A second time nothing is built but what `--again` names; a build that fails leaves what was there."""
    pack.pack(place, None)
    (place / "streets" / "mark").touch()
    (place / "wheels" / "mark.whl.txt").touch()
    pack.pack(place, None, again=["wheels"])
    assert (place / "streets" / "mark").exists() and not (place / "wheels" / "mark.whl.txt").exists()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="no room"):
        patch.setattr(pack, "_streets", lambda out: (_ for _ in ()).throw(OSError("no room")))
        pack.pack(place, None, again=["streets"])
    assert (place / "streets" / "mark").exists()
    assert sorted(path.name for path in place.parent.iterdir()) == ["pack"]


def test_too_large_is_said(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """After the table, in one line that says what to lower."""
    monkeypatch.setattr(pack, "LIMIT", 0.5)
    with pytest.raises(SystemExit, match=r"pack: 1\.0 MiB in .*, expected at most 0\.5\. Lower CAMVID_QUALITY"):
        pack.pack(place, None)
    assert "streets" in capsys.readouterr().out


def test_the_commit_is_that_of_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pack's, where its sources are these; else what git says here, marked as changed."""
    about = tmp_path / "pack.json"
    monkeypatch.setattr(origin, "commit", lambda: "abc+changes")
    about.write_text(json.dumps({"commit": "def", "sources": origin.sources()}))
    assert origin.measured_commit(tmp_path) == "def"
    about.write_text(json.dumps({"commit": "def", "sources": "of another time"}))
    assert origin.measured_commit(tmp_path) == "abc+changes"
    monkeypatch.setattr(origin, "commit", lambda: None)
    assert origin.measured_commit(tmp_path) == "def+changes"
