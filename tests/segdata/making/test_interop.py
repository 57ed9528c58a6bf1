"""One shard folder in every loader, with the real packages: same keys, same pixels, nothing changed in it.

The code that reads is the code of docs/loaders.md; each loader runs in a process of its own. Energon's tests need
a Python that has it: this one, or the one that SEGDATA_ENERGON_PYTHON names (made by tests/segdata/energon_env.sh).
"""

import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import segdata
from segdata.decoders import decode_sample
from segdata.reading.shardset import ShardSet

ROOT = Path(__file__).parents[3]
NAME = "cs-train-v2"  # so that what looks like a split's name stands in the names of all shards
SPLITS = {"train": 7, "val": 3, "test": 2}
HEIGHT, WIDTH = 40, 72
Truth = dict[str, dict[str, dict[str, Any]]]  # split -> key -> part -> shape, type and digest, or the parsed json
MOVES = (("shards", "aside"), ("following", "shards"), ("aside", "following"))
PAGE = (ROOT / "docs/loaders.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
TORCH = importlib.util.find_spec("torch") is not None  # wids imports it, and so does the documented DataLoader
PACKAGES = {"wids": ("wids", "torch"), "Hugging Face datasets": ("datasets",)}  # which `make test-lowest` has not
BLOCKS = {loader: re.findall(r"^```python\n(.+?)^```", text, re.M | re.S) for loader, text in SECTIONS.items()}

# Runs the code of each case; what it leaves in `samples` is reported by key, as shapes and digests. Columns that
# Hugging Face fills with None in an unlabelled split are left out.
REPORT = """
import hashlib, json, sys
import numpy as np

def parts(sample):
    if isinstance(sample, dict):
        return sample
    targets = {f"target{scale}.png": target for scale, target in sample.targets.items()}
    return {"__key__": sample.key, "image.png": sample.image, **targets, "json": sample.meta}

def described(value):
    if isinstance(value, dict):
        return {name: item for name, item in value.items() if item is not None}
    array = np.asarray(value)
    return [list(array.shape), str(array.dtype), hashlib.sha256(array.tobytes()).hexdigest()]

found = {}
for case, code in json.loads(sys.argv[1]).items():
    names = {}
    exec(code, names)
    for sample in map(parts, names["samples"]):
        stored = {name: value for name, value in sample.items() if name[:2] != "__" and value is not None}
        found.setdefault(case, {})[sample["__key__"]] = {name: described(value) for name, value in stored.items()}
print(json.dumps(found))
"""
THIRD_PARTY = [
    "ignore:'pin_memory' argument is set as true:UserWarning",  # Energon asks for it without a GPU as well
    "ignore:This DataLoader will create:UserWarning",  # of more workers than processors
]


# ---- the folder, and what is in it according to tarfile and Pillow ------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard folder named `shards`, of noise in Cityscapes' layout; the test split has no labels."""
    folder = tmp_path_factory.mktemp("interop") / "shards"
    _write_dataset(folder.parent / "raw")
    _prepare(folder.parent / "raw", folder, "majority")
    return folder


def _write_dataset(root: Path, seed: int = 5) -> None:
    rng = np.random.default_rng(seed)
    for split, count in SPLITS.items():
        for i in range(count):
            town = ("aachberg", "bonnfels")[i % 2]
            stem = f"{split}/{town}/{town}_{i:06d}_{len(split):06d}"
            image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            labels = rng.integers(0, 34, (HEIGHT // 4, WIDTH // 4), np.uint8).repeat(4, 0).repeat(4, 1)
            for path, picture in (
                (f"leftImg8bit/{stem}_leftImg8bit.png", image),
                (f"gtFine/{stem}_gtFine_labelIds.png", labels),
            ):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(root / path)


def _prepare(root: Path, out: Path, rule: str) -> None:
    job = segdata.make_job(
        "cityscapes", root=root, out=out, taxonomy="cityscapes-19", name=NAME, splits=tuple(SPLITS), scales=(1, 2, 8),
        rule=rule, samples_per_shard=3, engine="serial", readers=("energon",),
    )  # fmt: skip
    segdata.prepare(job)


@pytest.fixture(scope="module")
def following(folder: Path) -> Path:
    """Its next version: the same keys, other pixels; for a folder of the same name."""
    _write_dataset(folder.parent / "mended", seed=6)
    _prepare(folder.parent / "mended", folder.parent / "following", "majority")
    return folder.parent / "following"


def _shards(folder: Path, split: str) -> list[Path]:
    return sorted(folder.glob(f"{NAME}-{split}-*.tar"))


def _described(array: np.ndarray) -> list[Any]:
    return [list(array.shape), str(array.dtype), hashlib.sha256(array.tobytes()).hexdigest()]


@pytest.fixture(scope="module")
def truth(folder: Path) -> Truth:
    """What tarfile and Pillow find in the shards."""
    return _truth(folder)


def _truth(folder: Path) -> Truth:
    found: Truth = {split: {} for split in SPLITS}
    for split in SPLITS:
        for path in _shards(folder, split):
            with tarfile.open(path) as archive:
                for member in archive:
                    key, _, part = member.name.partition(".")
                    data = archive.extractfile(member).read()  # type: ignore[union-attr]
                    found[split].setdefault(key, {})[part] = (
                        json.loads(data) if part == "json" else _described(np.asarray(Image.open(io.BytesIO(data))))
                    )
    return found


@pytest.fixture(scope="module")
def found(folder: Path, following: Path) -> Callable[..., Any]:
    """What a loader finds: case -> key -> part, as in `truth`.

    All cases of a loader are read once, in one process whose warnings are errors; the folder must stay as it is.
    """

    @cache
    def read(loader: str, python: str = sys.executable) -> Any:
        for package in PACKAGES.get(loader, ()) if python == sys.executable else ():
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"{loader}: {package} is not installed")
        before = _content(folder)
        home = folder.parent / f"remade for {loader}"
        for name, version in (("shards", folder), ("following", following)):
            shutil.copytree(version, home / name)
        warnings = [f"-W{rule}" for rule in ("error", *THIRD_PARTY)]
        process = subprocess.run(
            [python, *warnings, "-c", REPORT, json.dumps(_cases(loader, folder, home / "shards"))],
            cwd=folder.parent,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "HF_HUB_OFFLINE": "1",
                "HF_HOME": str(folder.parent / "cache"),
                "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        assert _content(folder) == before
        return json.loads(process.stdout.splitlines()[-1])

    return read


def _cases(loader: str, folder: Path, remade: Path) -> dict[str, str]:
    """The documented code for every split (without asking for targets of the unlabelled one), and variants.

    `remade` is read, replaced by what stands beside it, and read again.
    """
    documented, *more = BLOCKS[loader]
    opening = re.sub(r"^(    )?(image, target =|for sample in) .*\n", "", documented, flags=re.M)
    codes = {
        "train": documented,
        "val": _changed(documented, "train", "val"),
        "test": _changed(opening, "train", "test"),
    }
    if loader == "webdataset":
        urls = f'"shards/{NAME}-train-{{000000..000002}}.tar"'
        codes["braces"] = documented.replace("WebDataset(urls", f"WebDataset({urls}")
        workers = documented + more.pop()
        codes |= {"workers": workers} if TORCH else {}
        codes["pil"] = _changed(codes["val"], "map(decode_sample)", 'decode("pil")')
        codes["rgb"] = _changed(codes["val"], "map(decode_sample)", 'decode("rgb")')
    if loader == "wids":
        copied = documented + more.pop()
        codes["copied"] = _changed(copied, "train", "val")
        codes |= _before_and_after(copied, remade, "copied ")
    if loader == "Hugging Face datasets":
        streaming = _changed(opening, 'split="train"', 'split="train", streaming=True')
        codes |= {f"streamed {split}": streaming.replace("train", split) for split in SPLITS}
    if loader == "Megatron Energon":
        undecided = _changed(codes["val"], "    decoder = None", "    pass")
        codes["default"] = _changed(undecided, "stateless(decode_sample)", "stateless(lambda sample: sample)")
        codes["workers"] = _changed(codes["val"], "num_workers=2", "num_workers=4")
    assert not more, f"docs/loaders.md has code for {loader} that no case runs"
    codes |= _before_and_after(documented, remade)
    return {**codes, "elsewhere": f"import os; os.chdir('/')\n{_moved(documented, folder)}"}


def _before_and_after(code: str, folder: Path, name: str = "") -> dict[str, str]:
    """The code on the folder, on its next version in its place, and with the first one there again."""
    swap = "\n".join(
        ["import os", *(f"os.rename({str(folder.with_name(a))!r}, {str(folder.with_name(b))!r})" for a, b in MOVES), ""]
    )
    code = _moved(code, folder)
    return {f"{name}before": code, f"{name}after": swap + code, f"{name}back": swap + code}


def _moved(code: str, folder: Path) -> str:
    """The code for the folder at another place."""
    moved, count = re.subn(r'(?<!\[)"shards(?=[/"])', f'"{folder}', code)
    assert count, "docs/loaders.md no longer names the folder `shards`"
    return moved


def _changed(code: str, old: str, new: str) -> str:
    assert old in code, f"docs/loaders.md no longer has {old}"
    return code.replace(old, new)


def _content(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


# ---- the matrix ---------------------------------------------------------------------------------------------

LOADERS = ["segdata", "webdataset", "wids", "Hugging Face datasets"]


def test_no_code_of_the_page_is_left_out() -> None:
    """Every block of docs/loaders.md stands under a loader whose cases run it (`_cases` takes all of them)."""
    assert {loader for loader, blocks in BLOCKS.items() if blocks} == {*LOADERS, "Megatron Energon"}
    assert sum(map(len, BLOCKS.values())) == len(re.findall("^```", PAGE, re.M)) / 2


def test_the_folder_holds_what_the_matrix_compares(truth: Truth) -> None:
    """All samples are there; labelled splits have three targets, the test split none: no comparison is empty."""
    assert {split: len(samples) for split, samples in truth.items()} == SPLITS
    parts = {split: {tuple(sorted(sample)) for sample in samples.values()} for split, samples in truth.items()}
    labelled = {("image.png", "json", "target1.png", "target2.png", "target8.png")}
    assert parts == {"train": labelled, "val": labelled, "test": {("image.png", "json")}}
    shapes = {tuple(sample["target8.png"][0]) for sample in truth["train"].values()}
    assert shapes == {(HEIGHT // 8, WIDTH // 8)}


@pytest.mark.parametrize("loader", LOADERS)
def test_documented_code_reads_the_same_samples(loader: str, found: Callable[..., Any], truth: Truth) -> None:
    """docs/loaders.md, run as it stands: every key, the pixels of every part, the json, in every split."""
    assert {split: found(loader)[split] for split in SPLITS} == truth


@pytest.mark.parametrize("loader", LOADERS)
def test_an_absolute_path_works_from_any_folder(loader: str, found: Callable[..., Any], truth: Truth) -> None:
    """The lists of shards in the folder are relative to the folder, not to where the reader runs."""
    assert found(loader)["elsewhere"] == truth["train"]


@pytest.mark.parametrize("loader", LOADERS)
def test_a_set_that_is_made_anew_is_read_anew(
    loader: str, found: Callable[..., Any], truth: Truth, following: Path
) -> None:
    """At the same place, and in another folder of the same name: no loader's cache gives what it read before."""
    _check_versions(found(loader), truth, following)


def _check_versions(found: Any, truth: Truth, following: Path, name: str = "") -> None:
    new = _truth(following)["train"]
    assert new.keys() == truth["train"].keys()
    assert all(new[key]["image.png"] != sample["image.png"] for key, sample in truth["train"].items())
    assert [found[f"{name}{case}"] for case in ("before", "after", "back")] == [truth["train"], new, truth["train"]]


def test_webdataset_takes_braces(found: Callable[..., Any], truth: Truth) -> None:
    """The notation that webdataset's users know, which needs numbers without gaps."""
    assert found("webdataset")["braces"] == truth["train"]


@pytest.mark.skipif(not TORCH, reason="DataLoader is of torch, which is not installed")
def test_webdataset_with_more_workers_than_shards(found: Callable[..., Any], truth: Truth) -> None:
    """The documented number of workers, of which webdataset refuses one more than shards: nothing is left out."""
    assert found("webdataset")["workers"] == truth["train"]


def test_wids_finds_the_shards_by_their_urls(
    found: Callable[..., Any], folder: Path, following: Path, truth: Truth
) -> None:
    """A cache elsewhere, one a version, is filled through the urls of the list, which in-place reading ignores."""
    assert found("wids")["copied"] == truth["val"]
    copies = {path.name for path in (folder.parent / "copies" / ShardSet(folder, "val").digest).glob("*-val-*.tar")}
    assert copies == {path.name for path in _shards(folder, "val")}
    _check_versions(found("wids"), truth, following, "copied ")


@pytest.mark.parametrize("split", SPLITS)
def test_hugging_face_streams(split: str, found: Callable[..., Any], truth: Truth) -> None:
    """streaming=True reads the shards in place and finds the same; an unlabelled split does not hide the targets."""
    assert found("Hugging Face datasets")[f"streamed {split}"] == truth[split]


@pytest.mark.parametrize(("decoder", "kind"), [("pil", "uint8"), ("rgb", "float32")])
def test_webdatasets_own_decoders_damage_masks(decoder: str, kind: str, found: Callable[..., Any]) -> None:
    """Why docs/loaders.md warns: both give every target three channels, "rgb" makes fractions of the ids too."""
    samples = found("webdataset")[decoder].values()
    assert [sample["target8.png"][:2] for sample in samples] == [[[HEIGHT // 8, WIDTH // 8, 3], kind]] * SPLITS["val"]


# ---- Megatron Energon ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def energon() -> str:
    """A Python that has Megatron Energon."""
    if python := os.environ.get("SEGDATA_ENERGON_PYTHON"):
        return python
    if importlib.util.find_spec("megatron") and importlib.util.find_spec("megatron.energon"):
        return sys.executable
    pytest.skip("Megatron Energon: neither installed nor named by SEGDATA_ENERGON_PYTHON (energon_env.sh makes one)")


def test_energon_reads_the_same_samples(energon: str, found: Callable[..., Any], truth: Truth, following: Path) -> None:
    """docs/loaders.md, run as it stands, in every split, from another folder, and after the set was made anew."""
    samples = found("Megatron Energon", energon)
    assert {split: samples[split] for split in SPLITS} == truth
    assert samples["elsewhere"] == truth["train"]
    assert samples["workers"] == truth["val"]
    _check_versions(samples, truth, following)


def test_energons_own_decoder_damages_masks(energon: str, found: Callable[..., Any]) -> None:
    """Why docs/loaders.md sets `decoder = None`: the default gives three channels of fractions."""
    samples = found("Megatron Energon", energon)["default"].values()
    damaged = [[3, HEIGHT // 8, WIDTH // 8], "float32"]
    assert [sample["target8.png"][:2] for sample in samples] == [damaged] * SPLITS["val"]


def test_energons_own_tool_writes_the_same_index(energon: str, folder: Path, tmp_path: Path) -> None:
    """`energon prepare --tar-index-only` on the folder without an index gives ours, byte for byte."""
    copy = shutil.copytree(folder, tmp_path / "shards", ignore=shutil.ignore_patterns("*.tar.idx"))
    command = "from megatron.energon.cli.main import main; main()"
    arguments = ["prepare", "--tar-index-only", "--num-workers", "1", str(copy)]
    subprocess.run([energon, "-c", command, *arguments], check=True, capture_output=True)
    theirs = {path.name: path.read_bytes() for path in copy.glob("*.tar.idx")}
    assert theirs == {path.name: path.read_bytes() for path in folder.glob("*.tar.idx")}
    assert len(theirs) == 5


# ---- indices against tarfile --------------------------------------------------------------------------------


def test_dali_index_is_what_tarfile_finds(folder: Path) -> None:
    """Version 1.2: the number of samples, then a line each of extension, offset of the data, bytes and member."""
    shards = [path for split in SPLITS for path in _shards(folder, split)]
    assert len(list((folder / ".segdata/dali").iterdir())) == len(shards)
    for path in shards:
        samples: dict[str, list[str]] = {}
        with tarfile.open(path) as archive:
            for member in archive:
                key, _, part = member.name.partition(".")
                samples.setdefault(key, []).append(f"{part} {member.offset_data} {member.size} {member.name}")
        expected = [f"v1.2 {len(samples)}", *(" ".join(entries) for entries in samples.values())]
        assert (folder / f".segdata/dali/{path.stem}.idx").read_text() == "\n".join(expected) + "\n"


def test_energon_index_is_what_tarfile_finds(folder: Path) -> None:
    """Little-endian 64 bits: the offset of every sample's first header, then where the next one would begin."""
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as archive:
            starts = {member.name.partition(".")[0]: member.offset for member in reversed(archive.getmembers())}
            expected = [*sorted(starts.values()), archive.offset]
        assert np.fromfile(f"{path}.idx", "<u8").tolist() == expected


# ---- decode_sample ------------------------------------------------------------------------------------------


def test_decode_sample_gives_coverage_as_counts(folder: Path, tmp_path: Path) -> None:
    """The planes of a coverage part come apart without knowing the taxonomy; streams under dotted names do as well."""
    _prepare(folder.parent / "raw", tmp_path / "shards", "coverage")
    shards = ShardSet(tmp_path / "shards", "val")
    for i in range(len(shards)):
        stored = {part: shards.bytes(i, part) for part in shards.parts}
        streams = {f".{part}": io.BytesIO(data) for part, data in stored.items()}
        record = shards.read(i)
        for decoded in (decode_sample({"__key__": "k", **stored}), decode_sample({"__key__": "k", **streams})):
            assert decoded.keys() == {"__key__", *stored}
            for scale in (2, 8):
                assert decoded[f"coverage{scale}.png"].shape == (20, HEIGHT // scale, WIDTH // scale)
                np.testing.assert_array_equal(decoded[f"coverage{scale}.png"], record.targets[scale])
            np.testing.assert_array_equal(decoded["target1.png"], record.targets[1])


def test_no_loader_is_imported() -> None:
    """segdata writes for these loaders and decodes in them without needing one."""
    code = "import sys, segdata.decoders, segdata.making.interop; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert not {"torch", "webdataset", "wids", "datasets", "megatron"} & set(modules.split())
