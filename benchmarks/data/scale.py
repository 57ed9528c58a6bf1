"""What lies beyond one machine, measured on one: Ray beside local processes, a million frames, a set that is remote.

    python benchmarks/data/scale.py --folder /tmp/scale --out benchmarks/results/cpu/scale.json

engines  `segdata prepare` of painted 2048x1024 pairs with 1 and 2 workers, local and Ray; rounds are interleaved.
         `speed` counts when all workers are there, `whole_command` from the start of the command.
trips    what giving out one unit of work costs that does nothing: the overhead a shard.
million  a million tiny frames in the layout of Cityscapes (hard links to 64 of them): planning; publishing 15,625
         shards, whose receipts are copied from one real shard under the frames' keys; opening, ordering and reading
         the set. A tenth of it as well: what grows with the frames, and what does not. Measured once.
remote   every sample read once in shuffled order: from disk, over HTTP (nginx on this machine: no distance, so what
         remains is our own work) with an empty cache, and again with the full one.

`--folder` keeps painted and linked frames for the next time. `--part` measures some of these, the others stay.
"""

import argparse
import itertools
import json
import os
import resource
import shutil
import socket
import statistics
import string
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from convert import SCALES, linked, machine, paint
from PIL import Image

import segdata
from segdata import ShardSet
from segdata.base.canonical import canonical_json
from segdata.cli.script import Parser
from segdata.format.finished import Finished
from segdata.format.manifest import SIDE, ShardEntry
from segdata.format.receipt import receipt_path
from segdata.making.assemble import Release, write_side_files
from segdata.making.job import Job
from segdata.making.plan import PlannedShard, plan_split
from segdata.making.prepare import prepare
from segdata.making.survey import PAINTED, look
from segdata.raw.tree import open_tree
from segdata.sources import source

Figures = dict[str, float]
PAIRS, A_SHARD = 240, 8  # a worker; few in a shard, so that the last ones of two workers end together
TRIPS = 300
FRAMES, TENTH = 1_000_000, 100_000
STOCK = 64  # distinct tiny frames
CITY = 10_000  # frames a folder
READS = 2_000
NGINX = """
daemon off;
{user}
pid {home}/pid;
error_log {home}/log;
events {{ }}
http {{
    access_log off;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def job(root: Path, out: Path, engine: str, workers: int, a_shard: int, scales: tuple[int, ...] = SCALES) -> Job:
    return segdata.make_job(
        "cityscapes", root=root, out=out, splits=("train",), scales=scales, samples_per_shard=a_shard, engine=engine,
        workers=workers,
    )  # fmt: skip


# ---- in processes of their own: each prints one line of JSON --------------------------------------------------


def converting(root: str, out: str, engine: str, workers: str) -> Figures:
    """Pairs a second once a third is done: by then all workers are there, which Ray starts one after the other."""
    moments: list[tuple[float, int]] = []
    begin = time.perf_counter()
    prepare(
        job(Path(root), Path(out), engine, int(workers), A_SHARD),
        lambda done, total: moments.append((time.perf_counter() - begin, done)),
    )
    wall = time.perf_counter() - begin
    last, total = moments[-1]
    first, had = moments[len(moments) // 3]
    return {"wall_s": wall, "speed": (total - had) / (last - first), "whole_command": total / wall}


def tripping(engine: str, workers: str) -> Figures:
    """Seconds until the engine is there, and milliseconds a unit from then on."""
    from segdata.engines import run

    begin = time.perf_counter()
    moments = [time.perf_counter() for _ in run(engine, abs, range(TRIPS), int(workers))]
    skipped = TRIPS // 3  # Ray's workers start one after the other
    each = (moments[-1] - moments[skipped]) / (TRIPS - 1 - skipped)
    return {"start_s": moments[0] - begin, "ms_a_unit": 1e3 * each}


def planning(root: str) -> Figures:
    """What `prepare` does before it converts anything."""
    begin, cpu, before = time.perf_counter(), time.process_time(), memory("VmHWM")
    plan = planned(Path(root))
    return {
        "frames": sum(len(shard.scenes) for shard in plan),
        "shards": len(plan),
        "seconds": time.perf_counter() - begin,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": memory("VmHWM"),
        "before_mb": before,
    }


def publishing(root: str, made: str) -> Figures:
    """Side files, index and manifest of all shards; `made` is a new folder."""
    folder, cut = Path(made), planned(Path(root))
    (folder / SIDE / "receipts").mkdir(parents=True)
    single = job(Path(root).with_name(f"{Path(root).name}-stock"), folder.with_name("one"), "serial", 1, STOCK, (1, 8))
    shutil.rmtree(single.out, ignore_errors=True)
    prepare(single)
    (name,) = (path.name for path in single.out.glob("*.tar"))
    receipt = json.loads(receipt_path(single.out / SIDE, name).read_bytes())
    stocked, finished = receipt["samples"], []
    for shard in cut:  # the last samples of the stock are left out where a shard has fewer
        receipt["samples"] = [row | {"key": scene.key} for row, scene in zip(stocked, shard.scenes, strict=False)]
        path = receipt_path(folder / SIDE, shard.name)
        path.write_bytes(canonical_json(receipt))
        os.link(single.out / name, folder / shard.name)
        entry = ShardEntry(shard.name, receipt["sha256"], receipt["size"], len(shard.scenes))
        finished.append(Finished(entry, path))
    count = len(cut)
    del cut
    begin, before = time.perf_counter(), memory("RssAnon")
    release = Release(
        single.name, single.conversion, single.source.licence, True, single.options, warnings=(), dropped=()
    )  # fmt: skip
    write_side_files(folder, release, {"train": finished})
    return {
        "seconds": time.perf_counter() - begin,
        "grown_mb": memory("RssAnon") - before,
        "receipts_mb": megabytes((folder / SIDE / "receipts").iterdir()),
        "index_mb": megabytes((folder / SIDE).glob("*.npy")),
        "dataset_json_mb": megabytes([folder / "dataset.json"]),
        "shards": count,
    }


def opening(folder: str) -> Figures:
    """Open the set, ask for places in its order, read samples: time, and memory of the process that is not a file."""
    ShardSet(Path(folder).with_name("one"), "train").read(0)  # imports, and what numba has compiled
    before, begin = memory("RssAnon"), time.perf_counter()
    shards = ShardSet(folder, "train")
    opened = time.perf_counter() - begin
    after, begin = memory("RssAnon"), time.perf_counter()
    order = shards.order(0, 0)
    places = [order[position] for position in range(0, len(order), len(order) // READS)]
    asked = time.perf_counter() - begin
    for i in places:
        shards.read(i)
    assert len(set(places)) == len(places)
    return {
        "frames": len(shards),
        "open_s": opened,
        "open_mb": after - before,
        "us_a_position": 1e6 * asked / len(places),
        "order_and_reads_mb": memory("RssAnon") - after,
    }


def reading(url: str, cache: str) -> Figures:
    """Every part of every sample, in a shuffled order; `cache` is where a remote one is kept."""
    os.environ["SEGDATA_CACHE"] = cache
    begin = time.perf_counter()
    shards = ShardSet(url, "train")
    opened, size = time.perf_counter() - begin, 0
    begin = time.perf_counter()
    for i in shards.order(0, 0):
        size += sum(len(shards.bytes(i, part)) for part in shards.parts)
    wall = time.perf_counter() - begin
    return {"open_s": opened, "samples_per_s": len(shards) / wall, "mb_per_s": size / wall / 1e6}


SCRIPTS: dict[str, Callable[..., Figures]] = {
    call.__name__: call for call in (converting, tripping, planning, publishing, opening, reading)
}


def script(name: str, *arguments: object) -> Figures:
    """Run one of them; its figures."""
    command = [sys.executable, __file__, "--script", name, *map(str, arguments)]
    found: Figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def memory(kind: str) -> float:
    """Megabytes of this process: VmHWM, its peak; RssAnon, what it has now besides mapped files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def megabytes(paths: Any) -> float:
    return sum(path.stat().st_size for path in paths) / 1e6


def planned(root: Path) -> list[PlannedShard]:
    survey = look(source("cityscapes"), open_tree(root), ("train",))
    return plan_split("cityscapes-20", "train", survey.scenes["train"], STOCK, 0)


# ---- the parts ------------------------------------------------------------------------------------------------


def engines(folder: Path, rounds: int) -> dict[str, Any]:
    roots = {
        workers: kept(folder / f"pairs{workers}", lambda root, n=workers: linked(paint(folder), root, PAIRS * n))
        for workers in (1, 2)
    }
    ways = [(engine, workers) for engine in ("local", "ray") for workers in (1, 2)]
    rows: dict[tuple[str, int], list[Figures]] = {way: [] for way in ways}
    for number, (engine, workers) in itertools.product(range(rounds + 1), ways):
        out = folder / "set"
        shutil.rmtree(out, ignore_errors=True)
        row = script("converting", roots[workers], out, engine, workers)
        print(f"round {number} {engine} {workers}: {row}", flush=True)
        if number:  # the first round warms the page cache and numba's
            rows[engine, workers].append(row)
    found: dict[str, Any] = {f"{engine} {workers}": medians(rows[engine, workers]) for engine, workers in ways}
    for engine in ("local", "ray"):
        two, one = (found[f"{engine} {workers}"]["speed"] for workers in (2, 1))
        found[f"{engine}, efficiency of two workers"] = round(two / one / 2, 3)
    for workers in (1, 2):
        ray, local = (found[f"{engine} {workers}"]["speed"] for engine in ("ray", "local"))
        found[f"ray over local, {workers} worker(s)"] = round(ray / local, 3)
    return found


def trips(folder: Path, rounds: int) -> dict[str, Any]:
    rows: dict[str, list[Figures]] = {"local": [], "ray": []}
    for _, engine in itertools.product(range(rounds), rows):
        rows[engine].append(script("tripping", engine, 1))
        print(engine, rows[engine][-1], flush=True)
    return {engine: medians(found) for engine, found in rows.items()}


def million(folder: Path, rounds: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, frames in (("tenth", TENTH), ("million", FRAMES)):
        root = kept(folder / name, lambda root, n=frames: simulate(root, n))
        made = folder / f"{name}-sets" / "set"
        if not (made / "dataset.json").exists():
            shutil.rmtree(made.parent, ignore_errors=True)
            made.parent.mkdir()
            found[f"publish {name}"] = rounded(script("publishing", root, made))
            (made.parent / "publishing.json").write_text(json.dumps(found[f"publish {name}"]))
        found[f"publish {name}"] = json.loads((made.parent / "publishing.json").read_text())
        found[f"plan {name}"] = rounded(script("planning", root))
        found[f"open {name}"] = rounded(script("opening", made))
        print(json.dumps(found), flush=True)
    return found


def remote(folder: Path, rounds: int) -> dict[str, Any]:
    root = kept(folder / "pairs1", lambda root: linked(paint(folder), root, PAIRS))
    made = kept(folder / "remote-set", lambda out: prepare(job(root, out, "local", 2, 64)))
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        raise SystemExit("the part `remote` needs nginx (apt-get install nginx-light)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx").write_text(NGINX.format(home=folder, root=made.resolve(), port=port, user=user))
    server = subprocess.Popen([nginx, "-p", str(folder), "-e", "log", "-c", str((folder / "nginx").resolve())])
    rows: dict[str, list[Figures]] = {"disk": [], "cold": [], "warm": []}
    try:
        for number in range(rounds + 1):
            cache = folder / "cache"
            shutil.rmtree(cache, ignore_errors=True)
            for way, found in rows.items():
                row = script("reading", made if way == "disk" else f"http://127.0.0.1:{port}/", cache)
                print(way, row, flush=True)
                if number:
                    found.append(row)
    finally:
        server.terminate()
        server.wait()
    result: dict[str, Any] = {way: medians(found) for way, found in rows.items()}
    for way in ("cold", "warm"):
        result[f"{way} over disk"] = round(result[way]["samples_per_s"] / result["disk"]["samples_per_s"], 3)
    return result | {"samples": PAIRS}


PARTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "engines": engines,
    "trips": trips,
    "million": million,
    "remote": remote,
}


def simulate(root: Path, frames: int) -> None:
    """Frames of 24x16 under the names of Cityscapes, and beside them the few that they are links to."""
    shapes = {"leftImg8bit": (16, 24, 3), "gtFine_labelIds": (16, 24)}
    stock = root.with_name(f"{root.name}-stock")
    random = np.random.default_rng(0)
    for number in range(STOCK):
        for kind, shape in shapes.items():
            path = pair_path(stock, kind, "stock", number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(7, 34, shape, np.uint8)).save(path)
    (stock / PAINTED).write_text("{}")
    cities = ("".join(letters) for letters in itertools.product(string.ascii_lowercase, repeat=3))
    for start, city in zip(range(0, frames, CITY), cities, strict=False):
        for kind in shapes:
            stocked = [str(pair_path(stock, kind, "stock", number)) for number in range(STOCK)]
            folder = pair_path(root, kind, city, 0).parent
            folder.mkdir(parents=True)
            for number in range(min(CITY, frames - start)):
                os.link(stocked[number % STOCK], f"{folder}/{file_name(kind, city, number)}")
    (root / PAINTED).write_text("{}")


def pair_path(root: Path, kind: str, city: str, number: int) -> Path:
    return root / kind.partition("_")[0] / "train" / city / file_name(kind, city, number)


def file_name(kind: str, city: str, number: int) -> str:
    return f"{city}_{number:06d}_000019_{kind}.png"


def kept(path: Path, make: Callable[[Path], object]) -> Path:
    """The path, made where it is not there yet."""
    if not path.exists():
        make(path)
    return path


def medians(rows: list[Figures]) -> Figures:
    return rounded({name: statistics.median(row[name] for row in rows) for name in rows[0]})


def rounded(row: Figures) -> Figures:
    return {name: round(value, 3) for name, value in row.items()}


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", nargs=argparse.REMAINDER, metavar="NAME")
    parser.add_argument("--folder", type=Path, help="where to work; what takes long to make is kept there")
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.script:
        print(json.dumps(SCRIPTS[options.script[0]](*options.script[1:])))
        return
    if options.folder is None:
        parser.error("--folder is needed: a million frames take minutes to make")
    options.folder.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {}
    if options.out and options.out.exists():
        result = json.loads(options.out.read_text())
    result |= {"machine": machine(), "pairs_a_worker": PAIRS}
    for part in options.part or PARTS:
        result[part] = PARTS[part](options.folder.resolve(), options.rounds) | {"rounds": options.rounds}
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
