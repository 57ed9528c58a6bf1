"""Sets of JPEG, WebP and TIFF frames, and of label files of every coding, from a source file to a step of training."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import segdata
from segdata.base.canonical import digest_pixels
from segdata.checking.verify import verify
from segdata.cli import cli
from segdata.errors import OptionError
from segdata.findings import FindingsError
from segdata.format.manifest import read_manifest
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.reading.shardset import ShardSet

LABELS = """
labels:
  - {id: 1, name: road, color: [128, 64, 128]}
  - {id: 2, name: car, color: [0, 0, 142]}
  - {id: 9, name: void, color: [0, 0, 0], category: void}
splits: [train, val]
"""
COLOURS = np.zeros((10, 3), np.uint8)
COLOURS[[1, 2]] = [(128, 64, 128), (0, 0, 142)]
SUFFIX = {"jpg": "JPEG", "webp": "WEBP", "tif": "TIFF", "png": "PNG"}
Save = Callable[..., None]


def pixels(i: int) -> np.ndarray[Any, Any]:
    """Smooth, so that a lossy codec stays near it."""
    y, x = np.mgrid[:16, :24]
    return np.stack([x * 7 + i, y * 11 + i, x * y // 2 + i], axis=2).astype(np.uint8)


def ids(i: int) -> np.ndarray[Any, Any]:
    return np.where(np.mgrid[:16, :24][1] < 5 + 3 * i, 1, np.where(np.mgrid[:16, :24][0] < 12, 2, 9)).astype(np.uint8)


def dataset(folder: Path, *, frames: str = "jpg", image: Any = "", annotation: Any = "", **by_hand: str) -> Path:
    """A source file beside five frames of three suffixes' spelling and their labels; its path."""
    for split, numbers in (("train", (0, 1, 2)), ("val", (3, 4))):
        for i in numbers:
            suffix = by_hand.get(f"f{i}", frames.upper() if i % 2 else frames)
            at = folder / "raw" / split / f"drive_{i}.{suffix}"
            at.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(i)).save(at, SUFFIX[suffix.lower()])
            Image.fromarray(ids(i)).save(at.with_name(f"drive_{i}_ids.png"))
    if not image:
        image = f"{{split}}/drive_{{frame}}.{{{','.join({frames, *by_hand.values()})}}}"
    lines = {"name": "mine", "image": image, "annotation": annotation or "{split}/drive_{frame}_ids.png"}
    (folder / "mine.yaml").write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in lines.items()) + LABELS)
    return folder / "mine.yaml"


def job_of(file: Path, **options: Any) -> Job:
    few = {"engine": "serial", "workers": 1, "samples_per_shard": 2, "scales": (1, 8), "root": file.parent / "raw"}
    return segdata.make_job(str(file), **few | {"out": file.parent / "set"} | options)


def frame_of(file: Path, key: str) -> Path:
    (path,) = [path for path in (file.parent / "raw").rglob("drive_*") if path.stem == f"drive_{key}"]
    return path


def typed(*words: object) -> str:
    result = CliRunner().invoke(cli, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
@pytest.mark.parametrize("full_check", [False, True])
def test_frames_are_kept(suffix: str, full_check: bool, tmp_path: Path) -> None:
    """The bytes of the frames stand in the shards under the name of their format; everything that reads sets does."""
    file = dataset(tmp_path, frames=suffix)
    job = job_of(file, full_check=full_check)
    assert prepare(job).findings == () and prepare(job).reused == 3
    assert verify(job.out, pixels=True) == []
    assert read_manifest(job.out).parts("train") == (f"image.{suffix}", "json", "target1.png", "target8.png")
    for split in ("train", "val"):
        shards = ShardSet(job.out, split)
        for i, key in enumerate(shards.keys):
            frame = frame_of(file, key)
            assert shards.bytes(i, f"image.{suffix}") == frame.read_bytes()
            assert np.array_equal(shards.read(i).image, np.array(Image.open(frame)))
            assert np.array_equal(shards.read(i).image[8:16, :16], shards.read(i, window=(8, 0, 8, 16)).image)
    typed("show", job.out, "--out", tmp_path / "sheet.png")
    assert "train" in typed("stats", job.out)
    other = job_of(file, out=tmp_path / "png", image_codec="png")
    prepare(other)
    told = CliRunner().invoke(cli, ["diff", str(job.out), str(other.out)]).output
    assert f"train image.{suffix} -> image.png: 3 samples with other bytes, but the same pixels" in told


def test_a_kept_jpeg_that_changed_is_told(tmp_path: Path) -> None:
    """`verify` holds its bytes to the digest of its source, and with --full-check its pixels to theirs."""
    job = job_of(dataset(tmp_path), full_check=True)
    prepare(job)
    shards = ShardSet(job.out, "val")
    at = next(job.out.glob("*-val-*.tar"))
    data = at.read_bytes()
    jpeg = shards.bytes(0, "image.jpg")
    place = data.index(jpeg) + jpeg.index(b"\xff\xda") + 30
    at.chmod(0o644)
    at.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
    assert {finding.code for finding in verify(job.out, pixels=True)} >= {"changed-bytes"}


def test_tiff_becomes_png(tmp_path: Path) -> None:
    """No loader of shards reads a TIFF: its pixels are stored as PNG, unless keep was asked for."""
    file = dataset(tmp_path, frames="tif")
    job = job_of(file)
    assert prepare(job).findings == () and verify(job.out, pixels=True) == []
    assert read_manifest(job.out).document["options"]["codec"] == "png"
    shards = ShardSet(job.out, "train")
    for i, key in enumerate(shards.keys):
        assert np.array_equal(shards.read(i).image, pixels(int(key)))
    assert prepare(job_of(file)).reused == 3
    with pytest.raises(OptionError, match="no loader of shards reads a TIFF"):
        prepare(job_of(file, image_codec="keep"))


def test_frames_of_two_formats(tmp_path: Path) -> None:
    """One line before anything is converted; another codec takes them."""
    file = dataset(tmp_path, f3="png")
    with pytest.raises(OptionError, match=r"4 frames \.jpg and 1 frame \.png: .* Give --image-codec png\."):
        prepare(job_of(file))
    assert not (tmp_path / "set").exists()
    prepare(job_of(file, image_codec="webp"))
    shards = ShardSet(tmp_path / "set", "val")
    assert np.array_equal(shards.read(shards.keys.index("3")).image, pixels(3))


def saved(kind: str, image: Any, **options: Any) -> bytes:
    buffer = BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


TURNED = Image.Exif()
TURNED[0x0112] = 8
JPEG, ONE, TWO = saved("JPEG", pixels(0)), Image.fromarray(pixels(1)), Image.fromarray(255 - pixels(1))
PLANTED = {  # name: bytes, code and a part of what was found; one damage each
    "cut.jpg": (JPEG[:-40], "bad-image", "JPEG: truncated"),
    "cut.webp": (saved("WEBP", ONE)[:-9], "bad-image", "WebP: truncated"),
    "cut.tif": (saved("TIFF", ONE)[:-9], "bad-image", "a TIFF of"),
    "more.jpg": (JPEG + b"?", "bad-image", "1 bytes after its end"),
    "named.png": (JPEG, "bad-image", "begins as a JPEG does, its name says PNG"),
    "turned.jpg": (saved("JPEG", ONE, exif=TURNED), "reader-dependent", "orientation 8"),
    "turned.webp": (saved("WEBP", ONE, exif=TURNED), "reader-dependent", "orientation 8"),
    "turned.tif": (saved("TIFF", ONE, exif=TURNED), "reader-dependent", "orientation 8"),
    "ink.jpg": (saved("JPEG", ONE.convert("CMYK")), "image-format", "an 8-bit CMYK JPEG"),
    "grey.jpg": (saved("JPEG", ONE.convert("L")), "image-format", "an 8-bit grey JPEG"),
    "deep.jpg": (JPEG.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), "image-format", "a 12-bit RGB JPEG"),
    "codes.jpg": (JPEG.replace(b"\xff\xc0", b"\xff\xc9"), "image-format", "an arithmetic-coded JPEG"),
    "film.webp": (saved("WEBP", ONE, save_all=True, append_images=[TWO]), "reader-dependent", "an animation"),
    "glass.webp": (saved("WEBP", ONE.convert("RGBA").rotate(9), lossless=True), "image-format", "an 8-bit RGBA WebP"),
    "pages.tif": (saved("TIFF", ONE, save_all=True, append_images=[TWO]), "image-format", "several pages"),
    "float.tif": (saved("TIFF", pixels(0)[..., 0].astype(np.float32)), "image-format", "float"),
    "huge.jpg": (JPEG.replace(b"\x08\0\x10\0\x18", b"\x08\xff\xff\xff\xff"), "too-large", "65535x65535"),
}


def test_planted_damage(tmp_path: Path) -> None:
    """One finding for each file, of whatever format; and a whole set without them."""
    file = dataset(tmp_path, image="{split}/drive_{frame}.{jpg,png,webp,tif}")
    for name, (content, _, _) in PLANTED.items():
        (tmp_path / "raw/train" / f"drive_{name.replace('.', '-')}.{name.partition('.')[2]}").write_bytes(content)
        Image.fromarray(ids(0)).save(tmp_path / "raw/train" / f"drive_{name.replace('.', '-')}_ids.png")
    result = prepare(job_of(file, image_codec="png", on_error="quarantine"))
    found = {finding.where.partition("drive_")[2].partition(".")[0]: finding for finding in result.findings}
    told = {name: found[name.replace(".", "-")] for name in PLANTED}
    assert {name: finding.code for name, finding in told.items()} == {name: row[1] for name, row in PLANTED.items()}
    assert [name for name, row in PLANTED.items() if row[2] not in told[name].found] == []
    assert len(result.findings) == len(PLANTED) and verify(tmp_path / "set", pixels=True) == []


@pytest.mark.parametrize(
    "rule, store, expected",
    [
        ({"channels": "grey"}, lambda i: pixels(i)[..., 0], lambda i: np.dstack([pixels(i)[..., 0]] * 3)),
        ({"channels": "rgba"}, lambda i: np.dstack([pixels(i), ids(i)]), pixels),
        ({"channels": "grey", "range": [0, 1020]}, lambda i: pixels(i)[..., 1].astype(np.uint16) * 4,
         lambda i: np.dstack([pixels(i)[..., 1]] * 3)),
    ],
)  # fmt: skip
def test_declared_frames(rule: dict[str, Any], store: Any, expected: Any, tmp_path: Path) -> None:
    """What the source file says that frames are is made RGB of 8 bits; what is otherwise is a finding."""
    file = dataset(tmp_path, frames="png", image={"files": "{split}/drive_{frame}.png"} | rule)
    for i in range(5):
        Image.fromarray(store(i)).save(frame_of(file, str(i)), "PNG")
    job = job_of(file)
    assert prepare(job).findings == () and verify(job.out, pixels=True) == []
    shards = ShardSet(job.out, "train")
    assert [np.array_equal(shards.read(i).image, expected(int(key))) for i, key in enumerate(shards.keys)] == [True] * 3
    with pytest.raises(OptionError, match="the source's rule for frames"):
        job_of(file, image_codec="keep")
    Image.fromarray(pixels(0)).save(frame_of(file, "0"), "PNG")
    with pytest.raises(FindingsError) as stopped:
        prepare(job_of(file, out=tmp_path / "other"))
    (finding,) = stopped.value.findings
    assert finding.code == "image-format" and "an 8-bit RGB PNG where" in finding.found


def labelme(i: int) -> bytes:
    """`ids` as rectangles, in order."""
    corners = [("car", (0, 0), (23, 11)), ("road", (0, 0), (4 + 3 * i, 15))]
    shapes = [{"label": name, "points": [*map(list, points)], "shape_type": "rectangle"} for name, *points in corners]
    return json.dumps({"imageHeight": 16, "imageWidth": 24, "shapes": shapes}).encode()


CODINGS: dict[str, tuple[dict[str, Any], Any]] = {
    "colors as TIFF": ({"files": "{split}/drive_{frame}_ids.tif", "coding": "colors"}, lambda i: COLOURS[ids(i)]),
    "ids16": ({"files": "{split}/drive_{frame}_ids.png", "coding": "ids16", "divisor": 1000},
              lambda i: ids(i) * np.uint16(1000) + np.uint16(i)),
    "labelme": ({"files": "{split}/drive_{frame}.json", "coding": "labelme", "background": "void"}, labelme),
    "ids, or colors": ({"files": "{split}/drive_{frame}_i.png",
                        "fallback": {"files": "{split}/drive_{frame}_c.png", "coding": "colors"}},
                       lambda i: COLOURS[ids(i)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CODINGS)
def test_label_files_of_every_coding(name: str, tmp_path: Path) -> None:
    """They give the targets of the same ids in 8-bit grey."""
    annotation, store = CODINGS[name]
    file = dataset(tmp_path, annotation=annotation)
    plain = job_of(dataset(tmp_path / "plain"))
    for path in sorted((tmp_path / "raw").rglob("*_ids.png")):
        i = int(path.stem.split("_")[1])
        content = store(i)
        pattern = annotation["fallback"] if "fallback" in annotation and i else annotation
        where = path.parent.parent / pattern["files"].format(split=path.parent.name, frame=i)
        path.unlink()
        if isinstance(content, bytes):
            where.write_bytes(content)
        else:
            Image.fromarray(content if pattern is not annotation or "fallback" not in annotation else ids(i)).save(
                where
            )
    job = job_of(file)
    assert prepare(job).findings == prepare(plain).findings == ()
    assert verify(job.out, pixels=True) == []
    for split in ("train", "val"):
        ours, theirs = ShardSet(job.out, split), ShardSet(plain.out, split)
        assert ours.keys == theirs.keys
        for i in range(len(ours)):
            mine, due = ours.read(i).targets, theirs.read(i).targets
            assert all(digest_pixels(mine[scale]) == digest_pixels(due[scale]) for scale in (1, 8))
