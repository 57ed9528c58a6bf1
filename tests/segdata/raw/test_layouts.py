"""Every file below the root is used, known, or named with its like; what could be meant in two ways is refused."""

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from click.testing import CliRunner

from segdata.cli import cli
from segdata.errors import MissingError, SourceError
from segdata.findings import Finding, FindingsError
from segdata.format.manifest import SUMS
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.making.survey import PAINTED, look
from segdata.raw.tree import open_tree
from segdata.raw.used import DOCUMENT
from segdata.sources import SOURCES, source
from segdata.stores.opening import open_store
from segdata.stores.url import Url

Draw = Callable[[str], Path]
MakeJob = Callable[..., Job]
Finished = Callable[..., Path]

TOPS = {"leftImg8bit": "leftImg8bit_trainvaltest.zip", "gtFine": "gtFine_trainvaltest.zip"}
KEY = "bochum/bochum_000001_000019"
IMAGE, LABEL = f"leftImg8bit/train/{KEY}_leftImg8bit.png", f"gtFine/train/{KEY}_gtFine_labelIds.png"


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def pack(root: Path, folder: str, path: Path, **more: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for each in sorted((root / folder).rglob("*.png")):
            archive.write(each, each.relative_to(root))
        for name, data in more.items():
            archive.writestr(name, data)


def findings(name: str, root: Path | Url, *splits: str) -> list[tuple[str, str, str]]:
    return [(row.code, row.where, row.found) for row in look(source(name), open_tree(root), splits).findings]


# ---- known --------------------------------------------------------------------------------------------------

BESIDE = {  # what is published, written by the publishers' tools, or left by systems, beside what is used
    "cityscapes": (
        "README", "license.txt", "train.txt", ".DS_Store", "leftImg8bit/train/bochum/.ipynb_checkpoints/a.png",
        f"leftImg8bit/train/bochum/._{Path(IMAGE).name}", f"__MACOSX/{IMAGE}", "leftImg8bit/train/Thumbs.db",
        *(f"gtFine/train/{KEY}_gtFine_{kind}"
          for kind in ("color.png", "instanceIds.png", "polygons.json", "labelTrainIds.png", "instanceTrainIds.png")),
        *(f"gtFine/test/berlin/berlin_000000_000019_gtFine_{kind}" for kind in ("color.png", "polygons.json")),
        "gtCoarse/train/aachen/aachen_000000_000019_gtCoarse_labelIds.png", "gtFine/cityscapes_panoptic_val.json",
        "gtFine/cityscapes_panoptic_val/a.png", "rightImg8bit/train/aachen/a.png",
        "gtFine/cityscapes_panoptic_train_trainId/a.png", "disparity/train/aachen/a.png",
        "leftImg8bit/train_extra/augsburg/augsburg_000000_000000_leftImg8bit.png", "camera/train/aachen/a.json",
        "gtBboxCityPersons/train/aachen/a.json", "vehicle/train/aachen/a.json", "leftImg8bit_sequence/val/a/a.png",
        "timestamp_sequence/val/a/a.txt", "gtBbox3d/val/a/a.json", "gtFinePanopticParts/val/a/a.tif",
        "leftImg8bit_foggy/val/a/a.png", "leftImg8bit_foggyDBF/val/a/a.png", "leftImg8bit_rain/val/a/a.png",
        "gtBbox_cityPersons_trainval/gtBboxCityPersons/val/a/a.json",
        "rightImg8bit_trainvaltest/rightImg8bit/val/a/a.png",
    ),
    "tas500": ("README.md", "LICENSE", ".git/config", "test/@eaDir/1.png"),
    "camvid": ("train.txt", "val.txt", "test.txt", "label_colors.txt", "class_dict.csv", "701_StillsRaw_full/a.png"),
}  # fmt: skip


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("inside", ["", "dataset"])
def test_what_is_published_beside_is_no_finding(name: str, inside: str, draw: Draw, tmp_path: Path) -> None:
    """Other splits and packages, documents, what tools and systems leave: at the root, and one level down."""
    root = draw(name)
    put(root, *BESIDE[name])
    if inside:
        (tmp_path / "above").mkdir()
        shutil.move(root, tmp_path / "above" / inside)
        shutil.move(tmp_path / "above" / inside / PAINTED, tmp_path / "above" / PAINTED)
        root = tmp_path / "above"
    assert findings(name, root) == []


def test_the_official_zips(draw: Draw, make_job: MakeJob, finished: Finished, tmp_path: Path) -> None:
    """With README and license.txt in both: no finding, and the bytes that come from the tree."""
    root, zips = draw("cityscapes"), tmp_path / "zips"
    zips.mkdir()
    for top, name in TOPS.items():
        pack(root, top, zips / name, README=b"a", **{"license.txt": b"b", "__MACOSX/._README": b"c"})
    shutil.copy(root / PAINTED, zips)
    assert prepare(make_job("cityscapes", zips, tmp_path / "set")).findings == ()
    assert (tmp_path / "set" / SUMS).read_bytes() == (finished("cityscapes") / SUMS).read_bytes()


def test_every_source_says_where_its_files_lie() -> None:
    """Each split of each source has images, and labels unless it says that it has none; no document is a picture."""
    for name, each in SOURCES.items():
        for split in each.splits:
            roles = {folder.role for folder in each.folders if folder.pool == split}
            assert "image" in roles, (name, split)
            assert ("labels" in roles) is (split not in each.unlabelled_splits), (name, split)
        assert not each.others.match("")
    assert not any(map(DOCUMENT.fullmatch, ("license_plate.png", "readme.jpg", "train_0001.png", "a.zip")))


# ---- named --------------------------------------------------------------------------------------------------


def test_files_of_another_suffix_are_named_once(draw: Draw, tmp_path: Path) -> None:
    """All of one sort in one folder together, with their number; a frame's half that is left is told as well."""
    root = draw("cityscapes")
    for path in sorted((root / "leftImg8bit/train").rglob("*.png"))[:3]:
        path.rename(path.with_suffix(".tif"))
    (root / "gtFine/val/lindau/a.jpg").write_bytes(b"x")
    found = findings("cityscapes", root)
    assert found[0][:2] == ("unexpected-name", "leftImg8bit/train")
    assert "3 files .tif (such as leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.tif)" in found[0][2]
    assert [row[0] for row in found[1:]] == ["missing-image"] * 3 + ["unexpected-name"]
    assert found[-1][1:] == ("gtFine/val/lindau/a.jpg", "not <city>_<sequence>_<frame>_gtFine_labelIds.png")


@pytest.mark.parametrize("name", ["camvid", "cityscapes", "tas500"])
def test_nothing_but_files_of_another_suffix(name: str, draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """An error that names them, one finding a folder; not an absent split, asked for or not."""
    root = draw(name)
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_suffix(".tif"))
    for splits in ((), ("train",)):
        with pytest.raises(FindingsError) as stopped:
            prepare(make_job(name, root, tmp_path / "set", splits=splits))
        assert {row.code for row in stopped.value.findings} == {"unexpected-name"}
        folders = [each for each in source(name).folders if each.pool in (splits or source(name).default_splits)]
        assert sorted(row.where for row in stopped.value.findings) == sorted(each.path for each in folders)


def test_a_half_painted_dataset(draw: Draw) -> None:
    """What `synth` left when it was stopped is not silently taken for all of it."""
    root = draw("camvid")
    for marker, told in (("{}", 0), ('{"complete":true}', 0), ("[", 0), ('{"complete":false}', 1)):
        (root / PAINTED).write_text(marker)
        notes = look(source("camvid"), open_tree(root), ()).notes
        assert len([note for note in notes if "run the same command again" in note]) == told, marker


def test_files_elsewhere_are_named_by_folder_and_sort(draw: Draw) -> None:
    """Of the root, of folders and of zips: one finding each, which keeps nothing from being published."""
    root = draw("camvid")
    put(root, "model.pt", "notes/a.doc", "notes/deep/b.doc", "notes/c.odt", "Train/x.png", "zips/all.zip", "b.ta")
    with zipfile.ZipFile(root / "other.zip", "w") as archive:
        for name in ("a/1.jpg", "a/2.jpg", "README"):
            archive.writestr(name, b"x")
    assert sorted(findings("camvid", root)) == [
        ("unused-file", "Train/x.png", "not read"),
        ("unused-file", "b.ta", "not read"),
        ("unused-file", "model.pt", "not read"),
        ("unused-file", "notes", "2 files .doc (such as notes/a.doc), not read"),
        ("unused-file", "notes/c.odt", "not read"),
        ("unused-file", "other.zip", "2 files .jpg (such as other.zip/a/1.jpg), not read"),
        ("unused-file", "zips/all.zip", "not read"),
    ]


@pytest.mark.parametrize(("name", "other"), [("camvid", "cityscapes"), ("cityscapes", "tas500"), ("tas500", "camvid")])
def test_another_dataset(name: str, other: str, draw: Draw) -> None:
    """Whatever of it is missing or ambiguous then, its real name is said."""
    with pytest.raises(SourceError, match=rf"The files look like {other}, this is `segdata prepare {name}`"):
        findings(name, draw(other))


def test_a_dataset_that_lacks_a_split_is_still_itself(draw: Draw) -> None:
    """Another one beside it is no reason to think that it was meant."""
    root = draw("cityscapes")
    shutil.rmtree(root / "leftImg8bit/val")
    shutil.rmtree(root / "gtFine/val")
    shutil.copytree(draw("camvid"), root, dirs_exist_ok=True)
    with pytest.raises(SourceError) as told:
        look(source("cityscapes"), open_tree(root), ("train", "val"))
    assert "look like" not in str(told.value)


@pytest.mark.parametrize(
    "top", ["leftImg8bit_new", "gtFine_old", "gtFine_corrected", "gtCoarse_2", "camera_raw_frames"]
)
def test_a_folder_that_begins_like_a_package(top: str, draw: Draw) -> None:
    """May hold frames or labels that were moved there: only the exact names of packages are known."""
    root = draw("cityscapes")
    put(root, f"{top}/train/bochum/a.png", f"{top}/b.png")
    assert findings("cityscapes", root) == [
        ("unused-file", top, f"2 files .png (such as {top}/b.png), not read"),
    ]


@pytest.mark.parametrize("path", [IMAGE, LABEL])
@pytest.mark.parametrize("more", ["_copy", "_v2", "2"])
def test_a_file_that_begins_like_a_frame(path: str, more: str, draw: Draw) -> None:
    """Is named: the release has no such file, nor do its scripts write one."""
    root = draw("cityscapes")
    other = Path(path).with_stem(Path(path).stem + more).as_posix()
    shutil.copy(root / path, root / other)
    assert [row[:2] for row in findings("cityscapes", root)] == [("unexpected-name", other)]


def test_a_store_is_told_of_alike(draw: Draw) -> None:
    """The same findings of the same files behind a URL."""
    root = draw("cityscapes")
    put(root, *BESIDE["cityscapes"], "leftImg8bit/train/a.PNG", "notes/a.doc", "notes/b.doc", "model.pt")
    url = Url(f"memory://layouts-{os.urandom(4).hex()}")
    store = open_store(url)
    for path in (path for path in root.rglob("*") if path.is_file()):
        store.send(path, path.relative_to(root).as_posix())
    found = findings("cityscapes", root)
    assert [row[0] for row in found] == ["unexpected-name", "unused-file", "unused-file"]
    assert findings("cityscapes", url) == found


def test_no_folder_is_listed_twice(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of splits; none that is known, hidden, or linked."""
    root = draw("cityscapes")
    put(root, "rightImg8bit/train/a/a.png", ".cache/a/b", "notes/a.doc")
    (root / "elsewhere").symlink_to("/usr")
    listed: list[str] = []
    real = os.scandir

    def counting(path: Any) -> Any:
        listed.append(os.path.relpath(path, root))
        return real(path)

    monkeypatch.setattr(os, "scandir", counting)
    findings("cityscapes", root, "train", "val", "test")
    below = [path for path in listed if path != "."]  # what levels the root has is looked up beside
    assert len(set(below)) == len(below)
    assert {path for path in below if "/" not in path} == {"leftImg8bit", "gtFine", "notes"}


# ---- linked -------------------------------------------------------------------------------------------------


def linked(place: Path, target: Path) -> None:
    """What lies at the place lies at the target then, and a link leads there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(place, target)
    place.symlink_to(target)


def each_file(root: Path, elsewhere: Path) -> None:
    for i, path in enumerate(sorted(root.rglob("*.png"))):
        linked(path, elsewhere / f"{i:032x}")  # as a cache names files


LINKED: dict[str, Callable[[Path, Path], object]] = {
    "every file, as DVC links its cache": each_file,
    "two disks in one folder": lambda root, elsewhere: [linked(root / top, elsewhere / top) for top in TOPS],
    "one split": lambda root, elsewhere: linked(root / "gtFine/train", elsewhere / "labels"),
    "one city, through another link": lambda root, elsewhere: [
        linked(root / "gtFine/train/bochum", elsewhere / "a"), linked(elsewhere / "a", elsewhere / "b"),
    ],
    "one file": lambda root, elsewhere: linked(root / IMAGE, elsewhere / "a.png"),
    "the folder above": lambda root, elsewhere: [
        (root / "data").mkdir(), [shutil.move(root / top, root / "data") for top in TOPS],
        linked(root / "data", elsewhere / "data"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", LINKED)
def test_links_out_of_the_root(case: str, draw: Draw, tmp_path: Path) -> None:
    """Are followed: the scenes and bytes of the same files without links, no finding, and one line that tells of it."""
    root = draw("cityscapes")
    before = read_all(root)
    LINKED[case](root, tmp_path / "elsewhere")
    survey = look(source("cityscapes"), open_tree(root), ())
    assert survey.findings == [] and read_all(root) == before
    (note,) = survey.notes
    assert f"of {root} w" in note and "followed to files outside it (" in note and str(tmp_path / "elsewhere") in note


def read_all(root: Path) -> dict[str, list[bytes]]:
    survey = look(source("cityscapes"), open_tree(root), ())
    scenes = [scene for found in survey.scenes.values() for scene in found]
    return {scene.key: [scene.image.read(), scene.labels.read()] for scene in scenes if scene.labels}


def test_one_place_by_two_links(draw: Draw, tmp_path: Path) -> None:
    """Is one place and not ambiguous: a folder above the dataset's, and an archive."""
    root, zips = tmp_path / "root", tmp_path / "zips"
    shutil.copytree(draw("camvid"), root / "CamVid")
    shutil.move(root / "CamVid" / PAINTED, root)
    (root / "again").symlink_to("CamVid")
    assert findings("camvid", root) == []
    zips.mkdir()
    shutil.copy(root / PAINTED, zips)
    pack(root / "CamVid", "", tmp_path / "all.zip")
    for name in ("a.zip", "b.ZIP"):
        (zips / name).symlink_to(tmp_path / "all.zip")
    assert findings("camvid", zips) == [("unused-file", "b.ZIP", "not read")]


def test_two_copies_one_of_them_by_a_link(draw: Draw, tmp_path: Path) -> None:
    """Are ambiguous as two copies are without a link."""
    root = draw("cityscapes")
    shutil.copytree(root, tmp_path / "elsewhere")
    (root / "other").symlink_to(tmp_path / "elsewhere")
    refused("cityscapes", root, f"{root}/leftImg8bit/train and in {root}/other/leftImg8bit/train")


def test_links_to_folders_that_are_not_read(draw: Draw, tmp_path: Path) -> None:
    """Are named where they lead out of the root or nowhere, unless by the name of a package; what lies within has its
    own path. None is entered, were it to the folder that holds the root."""
    root = draw("cityscapes")
    put(root, "notes/a.doc")
    put(tmp_path / "elsewhere", "a/b.png")
    for link, target in {
        "gtFine_corrected": tmp_path / "elsewhere",
        "disparity": tmp_path / "elsewhere",
        "notes/more": tmp_path / "elsewhere/a",
        "up.d": root.parent,
    }.items():
        (root / link).symlink_to(target)
    (root / "again").symlink_to("notes")
    (root / "circle.png").symlink_to("circle.png")
    assert sorted(findings("cityscapes", root)) == [
        ("unused-file", "circle.png", "not read"),
        ("unused-file", "gtFine_corrected/", "not read"),
        ("unused-file", "notes/a.doc", "not read"),
        ("unused-file", "notes/more/", "not read"),
        ("unused-file", "up.d/", "not read"),
    ]


# ---- archives -----------------------------------------------------------------------------------------------


def tarred(root: Path, path: Path, mode: Literal["w:", "w:gz"] = "w:", above: str = "") -> None:
    with tarfile.open(path, mode) as archive:
        for each in sorted(root.rglob("*.png")):
            archive.add(each, f"{above}{each.relative_to(root).as_posix()}")


def zipped(root: Path, path: Path, above: str = "", between: str = "/") -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for each in sorted(root.rglob("*.png")):
            info = zipfile.ZipInfo()
            info.filename = f"{above}{each.relative_to(root).as_posix()}".replace("/", between)
            archive.writestr(info, each.read_bytes())


ARCHIVES: dict[str, Callable[[Path, Path], None]] = {
    "tar": lambda root, place: tarred(root, place / "all.tar"),
    "tar of a folder": lambda root, place: tarred(root, place / "all.TAR", above="./data/"),
    "upper case": lambda root, place: zipped(root, place / "ALL.ZIP"),
    "two levels": lambda root, place: zipped(root, place / "all.zip", above="datasets-master/cityscapes/"),
    "backslashes": lambda root, place: zipped(root, place / "all.zip", between="\\"),
    "Finder": lambda root, place: (zipped(root, place / "all.zip"), resources(root, place / "all.zip")),
}


def resources(root: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        for each in sorted(root.rglob("*.png")):
            inner = each.relative_to(root)
            archive.writestr(f"__MACOSX/{inner.parent}/._{inner.name}", bytes(116))


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_that_are_read_in_place(case: str, draw: Draw, tmp_path: Path) -> None:
    """The scenes and bytes of the unpacked tree, and no finding."""
    root, place = draw("cityscapes"), tmp_path / "place"
    place.mkdir()
    ARCHIVES[case](root, place)
    before = read_all(root)
    shutil.copy(root / PAINTED, place)
    assert findings("cityscapes", place) == [] and read_all(place) == before


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("a.tar.gz", r"a\.tar\.gz: a compressed tar .* cannot be read in place\. Unpack it \(`tar -xf a\.tar\.gz`\)"),
        ("a.7z", r"a\.7z: archives of this kind are not read\. Unpack it"),
        ("cut.tar", r"cut\.tar: .*cut off.* Download it again"),
        (
            "link.tar",
            r"link\.tar: member '.*bochum.*' is a link to '/etc/passwd', which is not followed out of an archive",
        ),
        ("out.tar", r"out\.tar: member '\.\./a\.png' points outside the tar\. Refused"),
        ("joined.tar", r"joined\.tar: .*several tars were joined"),
        ("below/deep/all.zip", r"no leftImg8bit/train .* Or point --root at .*/below/deep/all\.zip\.$"),
        ("below/deep/raw/", r"no leftImg8bit/train .* Or point --root at .*/below/deep/raw\.$"),
        ("nested.zip", r"Or unpack .*/nested\.zip: it holds another archive \(more/inner\.zip\), which is then read"),
    ],
)
def test_archives_that_are_told(case: str, told: str, draw: Draw, tmp_path: Path) -> None:
    """In one line, with what to do: compressed, damaged or hostile ones, and files further down than they are read."""
    root, path = draw("cityscapes"), tmp_path / "place" / case
    path.parent.mkdir(parents=True)
    if case.endswith("/"):
        shutil.copytree(root, path)
    elif path.suffix == ".zip":
        zipped(root, inner := path.with_name("inner.zip") if case == "nested.zip" else path)
        if case == "nested.zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.write(inner, "more/inner.zip")
            inner.unlink()
    else:
        tarred(root, path, "w:gz" if case.endswith("gz") else "w:")
        data = path.read_bytes()
        if case in {"link.tar", "out.tar"}:
            with tarfile.open(path, "a") as archive:
                info = tarfile.TarInfo("../a.png" if case == "out.tar" else IMAGE)
                info.type, info.linkname = (
                    (tarfile.REGTYPE, "") if case == "out.tar" else (tarfile.SYMTYPE, "/etc/passwd")
                )
                archive.addfile(info)
        path.write_bytes({"cut.tar": data[:4096], "joined.tar": data + data}.get(case, path.read_bytes()))
    with pytest.raises(SourceError, match=told) as caught:
        findings("cityscapes", tmp_path / "place")
    assert "\n" not in str(caught.value)


def test_leftovers_are_skipped_and_counted(draw: Draw) -> None:
    """What macOS, Windows, git and hidden files leave, and suffixes in capitals: a line each, no finding."""
    root = draw("camvid")
    due = {split: len(scenes) for split, scenes in look(source("camvid"), open_tree(root), ()).scenes.items()}
    for path in sorted(root.rglob("*.png")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
        path.rename(path.with_suffix(".PNG"))
    count = len(list(root.rglob("._*")))
    put(root, ".DS_Store", "train/Thumbs.db", "desktop.ini", ".gitattributes", ".cache/huggingface/a", "train/.a.png")
    survey = look(source("camvid"), open_tree(root), ())
    assert survey.findings == [] and {split: len(scenes) for split, scenes in survey.scenes.items()} == due
    assert [set(note.split("; ")) for note in survey.notes] == [
        {
            "1 file left by Hugging Face was skipped (huggingface)",
            "1 file left by git was skipped (.gitattributes)",
            "1 hidden file was skipped (.a.png)",
            "2 files left by Windows were skipped (Thumbs.db, …)",
            f"{count + 1} files left by macOS were skipped (._train_0000.png, …)",
        },
        {f"{count} files end in capitals (train/train_0000.PNG, …): read, and named so in the shards"},
    ]


# ---- ambiguous ----------------------------------------------------------------------------------------------


def refused(name: str, root: Path, *due: str) -> None:
    with pytest.raises(SourceError) as caught:
        look(source(name), open_tree(root), ())
    for text in (*due, "Move one of them away, or point --root at the one that is meant."):
        assert text in str(caught.value)


@pytest.mark.parametrize("whole", [True, False])
def test_two_roots(whole: bool, draw: Draw, tmp_path: Path) -> None:
    """Two folders below --root that could both be meant, wholly or in part: both are named."""
    root = tmp_path / "root"
    shutil.copytree(draw("camvid"), root / "CamVid")
    shutil.copytree(root / "CamVid", root / "copy")
    if not whole:
        for split in ("val", "test"):
            shutil.rmtree(root / "copy" / split)
        shutil.rmtree(root / "CamVid/trainannot")
    refused("camvid", root, f"{root}/CamVid/train and in {root}/copy/train")


def test_parts_of_a_dataset_in_folders_of_their_own(draw: Draw, tmp_path: Path) -> None:
    """Images in one folder and labels in another are what unpacking gives: no finding."""
    root = tmp_path / "root"
    shutil.copytree(draw("cityscapes"), root / "gtFine_trainvaltest")
    (root / "leftImg8bit_trainvaltest").mkdir()
    shutil.move(root / "gtFine_trainvaltest/leftImg8bit", root / "leftImg8bit_trainvaltest")
    shutil.move(root / "gtFine_trainvaltest" / PAINTED, root)
    assert findings("cityscapes", root) == []


def test_a_folder_and_its_zip(draw: Draw, make_job: MakeJob, finished: Finished, tmp_path: Path) -> None:
    """Unpacked beside its zip: the same bytes as ever, though other files were made there or removed since."""
    root = draw("cityscapes")
    put(root, f"gtFine/train/{KEY}_gtFine_color.png")
    for top, name in TOPS.items():
        pack(root, top, root / name)
    put(root, f"gtFine/train/{KEY}_gtFine_labelTrainIds.png")
    (root / f"gtFine/train/{KEY}_gtFine_color.png").unlink()
    assert prepare(make_job("cityscapes", root, tmp_path / "set")).findings == ()
    assert (tmp_path / "set" / SUMS).read_bytes() == (finished("cityscapes") / SUMS).read_bytes()


def test_a_folder_that_is_not_all_of_its_zip(draw: Draw) -> None:
    """Both are named, and by how many files they differ."""
    root = draw("cityscapes")
    pack(root, "gtFine", root / TOPS["gtFine"])
    (root / LABEL).unlink()
    refused("cityscapes", root, f"{root}/gtFine/train and in {root}/{TOPS['gtFine']}, 0 files only in the first and 1 ")


def test_a_file_that_differs_from_its_zip(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """The frame is an error that names both files."""
    root = draw("cityscapes")
    pack(root, "gtFine", root / TOPS["gtFine"])
    shutil.copy(root / LABEL.replace("_000001_", "_000003_"), root / LABEL)
    with pytest.raises(FindingsError) as stopped:
        prepare(make_job("cityscapes", root, tmp_path / "set"))
    (finding,) = stopped.value.findings
    assert (finding.code, finding.where) == ("unreadable", LABEL)
    assert f"other bytes than {root}/{TOPS['gtFine']}:{LABEL}" in finding.found


def test_two_zips_with_one_file(draw: Draw, tmp_path: Path) -> None:
    """Both are named; zips that each hold a part are read together."""
    root, zips = draw("cityscapes"), tmp_path / "zips"
    zips.mkdir()
    shutil.copy(root / PAINTED, zips)
    for top, name in TOPS.items():
        for split in ("train", "val"):
            pack(root, f"{top}/{split}", zips / f"{split}-{name}")
    assert findings("cityscapes", zips) == []
    shutil.copy(zips / "val-gtFine_trainvaltest.zip", zips / "val-gtFine_trainvaltest (1).zip")
    refused("cityscapes", zips, "gtFine/val/", "val-gtFine_trainvaltest (1).zip:", "val-gtFine_trainvaltest.zip:")


def test_a_zip_that_cannot_be_read(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """Beside a whole dataset it is named; where something is missing, it is why."""
    root = draw("cityscapes")
    pack(root, "gtFine", root / "a.zip")
    (root / "a.zip").write_bytes((root / "a.zip").read_bytes()[:-30])
    (finding,) = prepare(make_job("cityscapes", root, tmp_path / "set")).findings
    assert (finding.code, finding.where) == ("unused-file", "a.zip")
    shutil.rmtree(root / "gtFine/train")
    for splits in ((), ("train",)):
        with pytest.raises(SourceError, match=r"a\.zip: .*Expected a complete zip"):
            prepare(make_job("cityscapes", root, tmp_path / "set", splits=splits))


# ---- splits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gone", "code", "where"),
    [
        ("camvid", ["trainannot"], "missing-label", "trainannot"),
        ("camvid", ["train"], "missing-image", "train"),
        ("cityscapes", ["gtFine/train"], "missing-label", "gtFine/train"),
        ("tas500", ["train_labels", "train_labels_ids"], "missing-label", "train_labels_ids"),
        ("tas500", ["train"], "missing-image", "train"),
    ],
)
def test_half_a_split(
    name: str, gone: list[str], code: str, where: str, draw: Draw, make_job: MakeJob, tmp_path: Path
) -> None:
    """Images without labels, or labels without images, are one error and never a split that is skipped; whoever names
    the other splits gets these."""
    root = draw(name)
    for folder in gone:
        shutil.rmtree(root / folder)
    with pytest.raises(FindingsError) as stopped:
        prepare(make_job(name, root, tmp_path / "set"))
    assert [(row.code, row.where) for row in stopped.value.findings] == [(code, where)]
    with pytest.raises(MissingError, match="name the splits that you want with --split"):
        prepare(make_job(name, root, tmp_path / "set", splits=("train",)))
    assert prepare(make_job(name, root, tmp_path / "set", splits=("val",))).findings == ()


def test_labels_of_another_kind_alone(draw: Draw) -> None:
    """A folder of labels without those that are read (train ids, colours, polygons) is one without labels."""
    root = draw("cityscapes")
    for path in sorted((root / "gtFine").rglob("*_labelIds.png")):
        path.rename(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
    with pytest.raises(SourceError, match=r"has 4 files \*_labelTrainIds\.png, and no .*_labelIds\.png\. Train ids"):
        findings("cityscapes", root)


def test_the_summary_says_where_splits_come_from(draw: Draw, tmp_path: Path) -> None:
    """By split: images and labels, how many, in which folder or zip, and what is not there."""
    root = draw("camvid")
    shutil.rmtree(root / "test")
    shutil.rmtree(root / "testannot")
    pack(root, "valannot", root / "labels.zip")
    shutil.rmtree(root / "valannot")
    arguments = ["prepare", "camvid", "--root", str(root), "--out", str(tmp_path / "set"), "--workers", "1"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.stderr.splitlines()[-3:] == [
        f"train: 4 images in {root}/train; 4 labels in {root}/trainannot",
        f"val: 3 images in {root}/val; 3 labels in {root}/labels.zip",
        "test: not there",
    ]
    assert result.stdout.startswith(f"{tmp_path / 'set'}: train 4, val 3 samples")


def test_findings_about_the_root_are_not_in_the_set(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """Files that are not read change no byte of what is published."""
    root = draw("camvid")
    prepare(make_job("camvid", root, tmp_path / "a"))
    put(root, "notes/a.doc")
    (finding,) = prepare(make_job("camvid", root, tmp_path / "b")).findings
    assert finding == Finding("unused-file", "notes/a.doc", "not read")
    for name in (SUMS, "dataset.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
