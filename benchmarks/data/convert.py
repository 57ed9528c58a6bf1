"""Conversion speed against what people write and against the floor, in one run, on painted 2048x1024 pairs.

(a) the script that people write: webdataset.ShardWriter, Pillow, numpy majority, PNG encoded again
(b) a careful script: image bytes copied, Pillow label decode, numpy LUT, stride targets, Pillow PNG
(c) `segdata prepare`: pass-through, majority x1 to x8
(d) the floor: both files copied into a tar, with CRC-32 of the image and SHA-256 of the tar
(z) `segdata prepare` from the zips
(w) an image's bytes written to a file, again and again, and nothing else: what the kernel takes of every way above
(j) `segdata prepare` of the same frames as JPEG, whose bytes are kept too

    python benchmarks/data/convert.py --out benchmarks/results/cpu/convert.json
    python benchmarks/data/convert.py --long --out benchmarks/results/cpu/convert-long.json
    python benchmarks/data/convert.py --jpeg --out benchmarks/results/cpu/convert-jpeg.json

Every way runs in processes of its own; rounds are interleaved, medians reported. `--long` converts 3,474 frames
once; `--jpeg` compares (j) with (c) alone, by frames and by bytes. Figures are ratios of one run: absolute ones drift
with the machine.
"""

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from watch import Watch

from segdata.cli.script import Parser

SCALES = (1, 2, 4, 8)
PAINTED = 12  # distinct frames; more pairs are hard links to them under names of their own
PAIRS = {"a": 4, "b": 64, "c": 480, "d": 480, "z": 240, "w": 480}  # per worker: each way runs for some seconds
Pair = tuple[str, Path, Path]


# ---- the ways -----------------------------------------------------------------------------------------------


def lut() -> np.ndarray:
    """Raw id -> train id, misc 19, as the scripts write it."""
    from cityscapesscripts.helpers.labels import labels

    table = np.full(256, 19, np.uint8)
    for label in labels:
        if label.id >= 0 and label.trainId not in (255, -1):
            table[label.id] = label.trainId
    return table


def majority(x1: np.ndarray, scale: int) -> np.ndarray:
    height, width = x1.shape
    cells = x1.reshape(height // scale, scale, width // scale, scale).transpose(0, 2, 1, 3).reshape(-1, scale * scale)
    counts = np.stack([(cells == k).sum(1) for k in range(20)], 1)
    return counts.argmax(1).astype(np.uint8).reshape(height // scale, width // scale)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def people(pairs: list[Pair], out: Path) -> None:
    import webdataset

    table = lut()
    with webdataset.TarWriter(str(out)) as writer:
        for key, image, label in pairs:
            x1 = table[np.array(Image.open(label))]
            targets = {f"target{s}.png": png(majority(x1, s) if s > 1 else x1) for s in SCALES}
            writer.write({"__key__": key, "image.png": png(np.array(Image.open(image))), **targets})


def careful(pairs: list[Pair], out: Path) -> None:
    table = lut()
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as archive:
        for key, image, label in pairs:
            x1 = table[np.array(Image.open(label))]
            members = {"image.png": image.read_bytes()}
            members |= {f"target{s}.png": png(np.ascontiguousarray(x1[::s, ::s])) for s in SCALES}
            for name, data in members.items():
                info = tarfile.TarInfo(f"{key}.{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def floor(pairs: list[Pair], out: Path) -> None:
    digest, offset = hashlib.sha256(), 0
    with out.open("wb") as file:
        for key, image, label in pairs:
            for name, path in (("image.png", image), ("label.png", label)):
                data = path.read_bytes()
                if name == "image.png":
                    zlib.crc32(data)
                info = tarfile.TarInfo(f"{key}.{name}")
                info.size = len(data)
                for piece in (info.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % 512)):
                    file.write(piece)
                    digest.update(piece)
                    offset += len(piece)
        os.fsync(file.fileno())


def write_alone(pairs: list[Pair], out: Path) -> None:
    data = pairs[0][1].read_bytes()
    with out.open("wb") as file:
        for _ in pairs:
            file.write(data)
        os.fsync(file.fileno())


SCRIPTS: dict[str, Callable[[list[Pair], Path], None]] = {"a": people, "b": careful, "d": floor, "w": write_alone}


def script(way: str, root: Path, out: Path, count: int, workers: int) -> None:
    """One of the scripts, each worker with its own shard."""
    images = sorted((root / "leftImg8bit").rglob("*_leftImg8bit.png"))[: count * workers]
    pairs = [(path.name.removesuffix("_leftImg8bit.png"), path, label_of(path)) for path in images]
    out.mkdir(parents=True, exist_ok=True)
    shares = [(SCRIPTS[way], pairs[i::workers], out / f"{i}.tar") for i in range(workers)]
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        pool.starmap(_call, shares)


def _call(function: Callable[[list[Pair], Path], None], pairs: list[Pair], out: Path) -> None:
    function(pairs, out)


def label_of(image: Path) -> Path:
    parts = list(image.parts)
    parts[parts.index("leftImg8bit")] = "gtFine"
    return Path(*parts[:-1]) / f"{image.name.partition('_leftImg8bit')[0]}_gtFine_labelIds.png"


# ---- measuring ----------------------------------------------------------------------------------------------


def paint(folder: Path) -> Path:
    root = folder / "painted"
    if not root.exists():
        subprocess.run(
            [sys.executable, "-m", "segdata", "synth", "cityscapes", f"--out={root}"]  # noqa: RUF005 two halves
            + [f"--train={PAINTED}", "--val=0", "--test=0"],
            check=True,
        )
    return root


def linked(painted: Path, root: Path, count: int) -> Path:
    """`count` pairs under names of their own, hard-linked to the painted ones."""
    images = sorted((painted / "leftImg8bit" / "train").rglob("*_leftImg8bit.*"))
    for i in range(count):
        image = images[i % len(images)]
        key = f"linkstadt_{i:06d}_000019"
        pair = (
            (image, root / "leftImg8bit/train/linkstadt" / f"{key}_leftImg8bit{image.suffix}"),
            (label_of(image), root / "gtFine/train/linkstadt" / f"{key}_gtFine_labelIds.png"),
        )
        for source, target in pair:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target)
    return root


def as_jpeg(painted: Path, root: Path) -> Path:
    """The painted pairs with their images as a camera would store them, and the source file that reads them."""
    for image in sorted((painted / "leftImg8bit" / "train").rglob("*.png")):
        jpeg = (root / image.relative_to(painted)).with_suffix(".jpg")
        label = root / label_of(image).relative_to(painted)
        for path in (jpeg, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(image).convert("RGB").save(jpeg, quality=92)
        os.link(label_of(image), label)
    template = "leftImg8bit/{split}/**/{city}_{sequence}_{frame}_leftImg8bit.jpg"
    jpeg_source(root.parent).write_text(f'name: cityscapes-jpeg\nextends: cityscapes\nimage: "{template}"\n')
    return root


def jpeg_source(folder: Path) -> Path:
    return folder / "jpeg.yaml"


def zipped(root: Path, folder: Path) -> Path:
    """The same files as the zips that people download (deflated)."""
    folder.mkdir()
    for kind in ("leftImg8bit", "gtFine"):
        with zipfile.ZipFile(
            folder / f"{kind}_trainvaltest.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1
        ) as archive:
            for path in sorted((root / kind).rglob("*.png")):
                archive.write(path, path.relative_to(root))
    return folder


def command(way: str, root: Path, out: Path, count: int, workers: int) -> list[str]:
    if way in "czj":
        source = jpeg_source(root.parent) if way == "j" else "cityscapes"
        options = [f"--scale={s}" for s in SCALES] + [f"--workers={workers}", "--split=train"]
        options += ["--engine=serial"] if workers == 1 else ["--engine=local"]
        return [sys.executable, "-m", "segdata", "prepare", str(source), f"--root={root}", f"--out={out}", *options]
    return [sys.executable, __file__, "--script", way, str(root), str(out), str(count), str(workers)]


def measure(way: str, root: Path, out: Path, count: int, workers: int) -> dict[str, float]:
    """Wall and CPU time of one whole process tree, and the peak of its memory (PSS summed over processes)."""
    shutil.rmtree(out, ignore_errors=True)
    start = time.perf_counter()
    process = subprocess.Popen(
        command(way, root, out, count, workers), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    watch = Watch(process.pid)
    output, _ = process.communicate()
    wall = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(output.decode())
    watch.stop()
    pairs = count * workers
    return {
        "pairs": pairs,
        "pairs_per_s": pairs / wall,
        "cpu_ms_per_pair": 1e3 * sum(watch.cpu.values()) / pairs,
        "peak_mb": watch.peak / 1e6,
        "wall_s": wall,
    }


def stages(root: Path, name: str = "cityscapes") -> dict[str, float]:
    """CPU ms per pair of each step of (c) or (j), in one process, over all painted pairs."""
    from segdata.base.canonical import digest_pixels, digest_source
    from segdata.format.shard import ShardWriter
    from segdata.labels.targets import make_targets
    from segdata.labels.taxonomy import LabelMap, load_taxonomy
    from segdata.making.survey import look
    from segdata.pictures import png as codec
    from segdata.pictures.containers.kinds import KEPT, format_of, inspect
    from segdata.pictures.png import encode_labels
    from segdata.raw.tree import open_tree
    from segdata.sources import source

    cityscapes = source(name)
    label_map = LabelMap.between(cityscapes.labels, load_taxonomy("cityscapes-20"))
    spent: dict[str, float] = {}

    def timed(name: str, call: Callable[..., object], *arguments: object) -> object:
        start = time.process_time()
        result = call(*arguments)
        spent[name] = spent.get(name, 0) + time.process_time() - start
        return result

    scenes = look(cityscapes, open_tree(root), ("train",)).scenes["train"]
    with tempfile.TemporaryDirectory(dir=root.resolve()) as folder:
        for warm in (True, False):
            spent.clear()
            with ShardWriter(Path(folder) / f"{warm}.tar") as writer:
                for scene in scenes:
                    image, raw = timed("read", scene.image.read), timed("read", scene.labels.read)
                    timed("source digests", digest_source, image)
                    kind = str(format_of(scene.image.path))
                    timed("image check", inspect, image, kind)
                    labels = timed("label decode", codec.decode, raw)
                    made = timed("targets", make_targets, labels, label_map.lut, SCALES, "majority", 20).maps.values()
                    encoded = [timed("label encode", encode_labels, target) for target in made]
                    for target in made:
                        timed("pixel digests", digest_pixels, target)
                    names = [f"target{scale}.png" for scale in SCALES]
                    parts = [(f"image.{KEPT[kind]}", image), *zip(names, encoded, strict=True)]
                    timed("tar and its digest", writer.add, scene.key, parts)
    return {name: round(1e3 * seconds / len(scenes), 2) for name, seconds in spent.items()}


def machine() -> dict[str, object]:
    model = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {"cpu": model[0] if model else "unknown", "cores": os.cpu_count(), "python": sys.version.split()[0]}


def compare(folder: Path, rounds: int) -> dict[str, object]:
    painted = paint(folder)
    roots = {}
    for workers in (1, 2):
        for way, count in PAIRS.items():
            if way == "z":
                continue
            roots[way, workers] = linked(painted, folder / f"root-{way}{workers}", count * workers)
        roots["z", workers] = zipped(
            linked(painted, folder / f"root-z{workers}", PAIRS["z"] * workers), folder / f"zips{workers}"
        )
    rows: dict[tuple[str, int], list[dict[str, float]]] = {key: [] for key in roots}
    for number in range(rounds + 1):  # the first round warms the page cache and numba's
        for (way, workers), root in roots.items():
            row = measure(way, root, folder / "out", PAIRS[way], workers)
            print(
                f"round {number} ({way}) {workers} worker(s): {row['pairs_per_s']:.1f} pairs/s, "
                f"{row['cpu_ms_per_pair']:.1f} CPU ms, {row['peak_mb']:.0f} MB",
                flush=True,
            )
            if number:
                rows[way, workers].append(row)
    medians = {
        f"{way}{workers}": {name: round(statistics.median(row[name] for row in found), 3) for name in found[0]}
        for (way, workers), found in rows.items()
    }
    return {
        "machine": machine(),
        "rounds": rounds,
        "medians": medians,
        "ratios": ratios(medians),
        "cpu_ms_by_stage": stages(painted),
    }


def compare_jpeg(folder: Path, rounds: int) -> dict[str, object]:
    """(j) beside (c), one worker each: frames, and bytes of images, in a second and in a second of the processor."""
    painted = paint(folder)
    pictures = {"c": painted, "j": as_jpeg(painted, folder / "painted-jpeg")}
    roots = {way: linked(pictures[way], folder / f"root-{way}", PAIRS["c"]) for way in pictures}
    size = {
        way: statistics.mean(path.stat().st_size for path in (root / "leftImg8bit").rglob("*_leftImg8bit.*"))
        for way, root in roots.items()
    }
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in roots}
    for number in range(rounds + 1):
        for way, root in roots.items():
            row = measure(way, root, folder / "out", PAIRS["c"], 1)
            print(f"round {number} ({way}): {row['pairs_per_s']:.1f} pairs/s, {row['cpu_ms_per_pair']:.1f} CPU ms")
            if number:
                rows[way].append(row)
    medians = {
        way: {name: statistics.median(row[name] for row in found) for name in found[0]} for way, found in rows.items()
    }
    steps = {"c": stages(pictures["c"]), "j": stages(pictures["j"], str(jpeg_source(folder)))}
    image = {way: sum(found[step] for step in ("source digests", "image check")) for way, found in steps.items()}
    speed = {way: medians[way]["pairs_per_s"] for way in roots}
    return {
        "machine": machine(),
        "rounds": rounds,
        "bytes_an_image": {way: round(each) for way, each in size.items()},
        "medians": medians,
        "cpu_ms_by_stage": steps,
        "ratios": {
            "j over c, frames": round(speed["j"] / speed["c"], 2),
            "j over c, bytes of images": round(speed["j"] * size["j"] / (speed["c"] * size["c"]), 2),
            "CPU of j over c, frames": round(medians["j"]["cpu_ms_per_pair"] / medians["c"]["cpu_ms_per_pair"], 2),
            "CPU of the image's digest and check, j over c, frames": round(image["j"] / image["c"], 2),
            "CPU of the image's digest and check, j over c, bytes": round(
                image["j"] / size["j"] / (image["c"] / size["c"]), 2
            ),
        },
    }


def ratios(m: dict[str, dict[str, float]]) -> dict[str, float]:
    made = {}
    for workers in "12":
        speed = {way: m[way + workers]["pairs_per_s"] for way in PAIRS}
        made[f"c over a, {workers} worker(s)"] = speed["c"] / speed["a"]
        made[f"c over b, {workers} worker(s)"] = speed["c"] / speed["b"]
        made[f"CPU of c over d, {workers} worker(s)"] = (
            m["c" + workers]["cpu_ms_per_pair"] / m["d" + workers]["cpu_ms_per_pair"]
        )
        made[f"time from zips over tree, {workers} worker(s)"] = speed["c"] / speed["z"]
    made["c, two workers over one"] = m["c2"]["pairs_per_s"] / m["c1"]["pairs_per_s"]
    return {name: round(value, 2) for name, value in made.items()}


def long_way(folder: Path, frames: int) -> dict[str, object]:
    root = linked(paint(folder), folder / "root-long", frames)
    row = measure("c", root, folder / "out", frames // 2, 2)
    written = json.loads((folder / "out" / "dataset.json").read_text())["splits"]["train"]
    assert written["samples"] == frames // 2 * 2, written["samples"]
    return {
        "machine": machine(),
        "frames": frames,
        "samples_written": written["samples"],
        "shards": len(written["shards"]),
        **{k: round(v, 2) for k, v in row.items()},
    }


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", nargs=5, metavar=("WAY", "ROOT", "OUT", "COUNT", "WORKERS"))
    parser.add_argument("--folder", type=Path, help="where to work; painted frames are kept there")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--jpeg", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.script:
        way, root, out, count, workers = options.script
        script(way, Path(root), Path(out), int(count), int(workers))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        if options.folder and (options.folder / "painted").exists():
            (folder / "painted").symlink_to((options.folder / "painted").resolve())
        if options.long:
            result = long_way(folder, 3474)
        else:
            result = (compare_jpeg if options.jpeg else compare)(folder, options.rounds)
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
