"""`pack`: the folder that a machine with a device and no network needs beside the checkout.

    python -m benchmarks.device pack --camvid CamVid

Wheels of what that machine lacks, shards of CamVid's official split, shards of painted streets. A part that is there
is kept, for each appears whole or not at all; `--again PART` builds it anew. A minute or two, most of it painting.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from email.parser import Parser
from functools import partial
from pathlib import Path
from shutil import rmtree
from time import perf_counter
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from benchmarks.device.origin import origin
from segdata.format.manifest import read_manifest
from segdata.pictures.codecs import JPEG_QUALITY

LIMIT = 55  # MiB that travel
PARTS = ("wheels", "camvid", "streets")

TARGET_PYTHON = "3.12"
PLATFORMS = tuple(  # each by its exact name: pip does not know that one includes another
    f"{name}_x86_64" for name in ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")
)
PRESENT = frozenset({
    "torch", "torchvision", "numpy", "opencv-python-headless", "numba", "safetensors", "click", "pyyaml", "tqdm",
    "pillow", "matplotlib", "pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "scikit-learn", "scipy", "pandas",
    "timm", "transformers", "nvidia-ml-py", "typing-extensions", "setuptools", "fsspec", "aiohttp", "jinja2",
    "packaging", "requests",
    "typing",  # Python's own: from PYTHONPATH, the package that cityscapesScripts requires would hide it
})  # fmt: skip
LACKING = ("blake3", "isal", "zlib-ng", "cityscapesscripts", "webdataset")
TARGET = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": f"{TARGET_PYTHON}.0",
    "python_version": TARGET_PYTHON,
    "sys_platform": "linux",
    "extra": "",
}

CAMVID_QUALITY = 89  # of its JPEGs: the highest with which everything fits
STREETS = {"train": 12, "val": 1, "test": 0}  # frames of 1024x2048


@dataclass(frozen=True)
class Part:
    """A part of the pack as it lies there."""

    files: int
    size: int  # bytes
    seconds: float | None  # that building it took; None if nobody noted it


def pack(folder: Path, camvid: Path | None, again: Collection[str] = ()) -> None:
    """Build what is not there, write pack.json, print a table; ends with one line where the pack is too large."""
    seconds = _noted(folder)
    makers: dict[str, Callable[[Path], None]] = {"wheels": _wheels, "streets": _streets}
    if camvid and not camvid.is_dir():
        raise SystemExit(f"pack: --camvid {camvid} is no folder, expected CamVid as the SegNet tutorial made it.")
    if camvid:
        makers["camvid"] = partial(_camvid, camvid)
    elif "camvid" in again:
        raise SystemExit("pack: --again camvid, but no frames to build it from. Name them with --camvid.")
    elif not (folder / "camvid").exists():
        print("camvid: left out, for --camvid does not say where its frames are")
    for part, make in makers.items():
        if part in again or not (folder / part).exists():
            seconds[part] = _build(folder / part, make)
    parts = {part: _part(folder / part, seconds.get(part)) for part in PARTS if (folder / part).exists()}
    _describe(folder, parts)
    _show(folder, parts)


def _build(place: Path, make: Callable[[Path], None]) -> float:
    """Make the part beside the pack and rename it to its place when whole; the seconds that this took."""
    start = perf_counter()
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pack-", dir=place.parent.parent) as scratch:
        make(made := Path(scratch) / place.name)
        if place.exists():
            rmtree(place)
        made.rename(place)
    return perf_counter() - start


# ---- wheels -------------------------------------------------------------------------------------------------


def _wheels(out: Path) -> None:
    """What the target lacks, then what that requires, until nothing is missing."""
    missing: Collection[str] = LACKING
    while missing:
        _download(sorted(missing), out)
        there = {_name(wheel) for wheel in out.glob("*.whl")}
        missing = {name for wheel in out.glob("*.whl") for name in _required(wheel)} - there - PRESENT


def _download(names: Sequence[str], out: Path) -> None:
    target = ["--python-version", TARGET_PYTHON, "--implementation", "cp"]  # pip derives abi3 and none from these
    target += [word for platform in PLATFORMS for word in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", *target, "-d", str(out)]
    done = subprocess.run([*command, *names], capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")] or done.stderr.splitlines()
        found = errors[-1].removeprefix("ERROR: ") if errors else f"exit status {done.returncode}"
        raise SystemExit(
            f"pack: pip found no wheels of {', '.join(names)} ({found.rstrip('.')}), expected one of each for Python "
            f"{TARGET_PYTHON}. Run this where there is a network."
        )


def _name(wheel: Path) -> str:
    return parse_wheel_filename(wheel.name)[0]


def _required(wheel: Path) -> Iterator[str]:
    """Names that the wheel requires on the target, without extras."""
    with ZipFile(wheel) as file:
        (about,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        headers = Parser().parsestr(file.read(about).decode(), headersonly=True)
    for text in headers.get_all("Requires-Dist", []):
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(TARGET):
            yield canonicalize_name(requirement.name)


# ---- shards -------------------------------------------------------------------------------------------------


def _camvid(frames: Path, out: Path) -> None:
    _prepare("camvid", frames, out, "--jpeg-quality", CAMVID_QUALITY)


def _streets(out: Path) -> None:
    frames = out.with_name("frames")
    counts = [word for split, count in STREETS.items() for word in (f"--{split}", count)]
    _segdata("synth", "cityscapes", "--out", frames, *counts, "--workers", 2)
    _prepare("cityscapes", frames, out)


def _prepare(source: str, frames: Path, out: Path, *options: object) -> None:
    scales = [word for scale in (1, 2, 4, 8) for word in ("--scale", scale)]
    _segdata("prepare", source, "--root", frames, "--out", out, "--image-codec", "jpeg", *scales, *options)


def _segdata(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "segdata", *map(str, words)], check=True)


# ---- what is there ------------------------------------------------------------------------------------------


def _noted(folder: Path) -> dict[str, float | None]:
    """Part -> seconds, of the pack.json that is there."""
    try:
        about = json.loads((folder / "pack.json").read_text())
    except (FileNotFoundError, ValueError):  # none, or half of one
        return {}
    return {name: part["seconds"] for name, part in about["parts"].items()}


def _part(place: Path, seconds: float | None) -> Part:
    sizes = [path.stat().st_size for path in place.rglob("*") if path.is_file()]
    return Part(len(sizes), sum(sizes), seconds)


def _describe(folder: Path, parts: dict[str, Part]) -> None:
    """Write pack.json; its commit is the one of this moment, whatever parts were kept."""
    wheels = (parse_wheel_filename(wheel.name) for wheel in sorted((folder / "wheels").glob("*.whl")))
    about = {
        **origin(),
        "parts": {name: vars(part) for name, part in parts.items()},
        "wheels": {name: str(version) for name, version, *_ in wheels},
        "jpeg_quality": {part: _jpeg_quality(folder / part) for part in parts if part != "wheels"},
    }
    (folder / "pack.json").write_text(json.dumps(about, indent=1) + "\n")


def _jpeg_quality(shards: Path) -> int:
    found: int = read_manifest(shards).document["options"].get("jpeg_quality", JPEG_QUALITY)
    return found


def _show(folder: Path, parts: dict[str, Part]) -> None:
    total = sum(part.size for part in parts.values()) / 2**20
    print(f"{'part':<8} {'files':>5} {'MiB':>6} {'seconds':>7}")
    for name, part in parts.items():
        seconds = "?" if part.seconds is None else f"{part.seconds:.1f}"
        print(f"{name:<8} {part.files:>5} {part.size / 2**20:>6.1f} {seconds:>7}")
    print(f"{'total':<8} {sum(part.files for part in parts.values()):>5} {total:>6.1f}")
    if total > LIMIT:
        raise SystemExit(
            f"pack: {total:.1f} MiB in {folder}, expected at most {LIMIT}. Lower CAMVID_QUALITY in "
            "benchmarks/device/pack.py, then build that part anew with --again camvid."
        )
