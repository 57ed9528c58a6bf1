"""What PNG costs, by library, filter and deflate strategy: one image and one label map of 2048x1024, in one run.

    python benchmarks/data/codecs.py                       # paints a Cityscapes-like frame
    python benchmarks/data/codecs.py --image A.png --labels B.png --out benchmarks/results/cpu/codecs.json

CPU milliseconds of one thread, medians of interleaved rounds. The choices in segdata/pictures/png.py rest on these:
which inflater for which pictures, and how `encode_image` and `encode_labels` filter and compress.
"""

import io
import json
import platform
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
from isal import isal_zlib
from PIL import Image
from zlib_ng import zlib_ng

from segdata.cli.script import Parser
from segdata.pictures import png
from segdata.pictures.chunks import GREY, RGB, assemble, open_png
from segdata.synth import paint

FILTERS = ("None", "Sub", "Up", "Average", "Paeth")
LIBRARIES = ("numpy", "numba", "isal", "zlib-ng", "pillow", "opencv-python-headless")
Work = dict[str, Callable[[], object]]


def painted(folder: Path) -> tuple[bytes, bytes]:
    """An image and its label map, as `segdata synth` writes them."""
    paint("cityscapes", folder, train=1, val=0, test=0, seed=1)
    image, labels = (next(folder.rglob(f"*_{part}.png")) for part in ("leftImg8bit", "labelIds"))
    return image.read_bytes(), labels.read_bytes()


def filtered(picture: np.ndarray, code: int) -> bytes:
    """The picture's rows, all by one filter."""
    height, width = picture.shape[:2]
    x = picture.reshape(height, width, -1).astype(np.int16)
    a, b, c = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    a[:, 1:], b[1:], c[1:, 1:] = x[:, :-1], x[:-1], x[:-1, :-1]
    to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    nearest = np.where((to_a <= to_b) & (to_a <= to_c), a, np.where(to_b <= to_c, b, c))
    rows = (x - (np.zeros_like(x), a, b, (a + b) // 2, nearest)[code]).astype(np.uint8).reshape(height, -1)
    return np.insert(rows, 0, code, axis=1).tobytes()


def deflated(library: ModuleType, rows: bytes, strategy: int, memory: int = 9) -> bytes:
    stream = library.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, memory, strategy)
    return stream.compress(rows) + stream.flush()


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def to_pillow(picture: np.ndarray, level: int) -> bytes:
    Image.fromarray(picture).save(file := io.BytesIO(), "png", compress_level=level)
    return file.getvalue()


def to_opencv(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def by_opencv(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def milliseconds(work: Work, rounds: int) -> dict[str, float]:
    """Median CPU time of each, taking turns, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds + 1):
        for name, function in work.items():
            start = time.process_time()
            function()
            times[name].append((time.process_time() - start) * 1e3)
    return {name: round(statistics.median(taken[1:]), 3) for name, taken in times.items()}


def reading(data: bytes, rounds: int) -> dict[str, float]:
    """Decode this file by everything at hand; inflate its data alone by each library."""
    header, bodies = open_png(data)
    body = b"".join(bodies)
    size = header.height * (1 + header.row_bytes(header.width))
    height, width = header.height // 2, header.width // 2
    window = (height // 2, width // 2, height, width)
    work: Work = {
        "Pillow": lambda: by_pillow(data),
        "OpenCV": lambda: by_opencv(data),
        "segdata": lambda: png.decode(data),
        f"segdata, window of {width}x{height}": lambda: png.decode(data, window=window),
        "segdata, inspect": lambda: png.inspect(data),
        "inflate alone: zlib": lambda: zlib.decompress(body, bufsize=size + 1),
        "inflate alone: zlib-ng": lambda: zlib_ng.decompress(body, bufsize=size + 1),
        "inflate alone: isal": lambda: isal_zlib.decompress(body, bufsize=size + 1),
    }
    return milliseconds(work, rounds)


def writings(picture: np.ndarray) -> Work:
    """Ways to write the picture. Filters are applied beforehand, but for those that segdata does itself."""
    color = GREY if picture.ndim == 2 else RGB
    height, width = picture.shape[:2]
    rows = [filtered(picture, code) for code in range(len(FILTERS))]

    def way(code: int, deflate: Callable[[bytes], bytes]) -> Callable[[], bytes]:
        return lambda: assemble(width, height, color, [(b"IDAT", deflate(rows[code]))])

    work: Work = {
        "segdata": lambda: (png.encode_labels if color == GREY else png.encode_image)(picture),
        "Pillow 6": lambda: to_pillow(picture, 6),
        "Pillow 1": lambda: to_pillow(picture, 1),
        "OpenCV": lambda: to_opencv(picture),
    }
    for code, name in enumerate(FILTERS):
        work[f"{name} + Z_HUFFMAN_ONLY"] = way(code, lambda raw: deflated(zlib_ng, raw, zlib.Z_HUFFMAN_ONLY))
        work[f"{name} + Z_RLE"] = way(code, lambda raw: deflated(zlib_ng, raw, zlib.Z_RLE))
        work[f"{name} + isal 1"] = way(code, lambda raw: isal_zlib.compress(raw, 1))
    up = FILTERS.index("Up")
    for memory in (7, 8):
        huffman = way(up, lambda raw, memory=memory: deflated(zlib_ng, raw, zlib.Z_HUFFMAN_ONLY, memory))
        work[f"Up + Z_HUFFMAN_ONLY, memLevel {memory}"] = huffman
    work["Up + Z_HUFFMAN_ONLY, zlib"] = way(up, lambda raw: deflated(zlib, raw, zlib.Z_HUFFMAN_ONLY))
    work["Up + Z_RLE, zlib"] = way(up, lambda raw: deflated(zlib, raw, zlib.Z_RLE))
    return work


def writing(picture: np.ndarray, rounds: int) -> dict[str, dict[str, float]]:
    """Each way to write: encode and decode (by segdata) in ms, and the size."""
    work = writings(picture)
    files = {name: encode() for name, encode in work.items()}
    for name, data in files.items():
        read = png.decode(data)
        assert np.array_equal(read[..., ::-1] if name == "OpenCV" and read.ndim == 3 else read, picture), name
    decode = milliseconds({name: lambda data=data: png.decode(data) for name, data in files.items()}, rounds)
    encode = milliseconds(work, max(3, rounds // 4))
    sizes = {name: round(len(data) / 1000, 1) for name, data in files.items()}
    return {name: {"encode": encode[name], "decode": decode[name], "kB": sizes[name]} for name in files}


def show(title: str, rows: dict[str, float] | dict[str, dict[str, float]]) -> None:
    print(f"\n{title}")
    for name, value in rows.items():
        cells = value if isinstance(value, dict) else {"ms": value}
        print(f"  {name:34}", "  ".join(f"{key} {cell:8.2f}" for key, cell in cells.items()))


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, help="an RGB PNG (default: painted)")
    parser.add_argument("--labels", type=Path, help="a grey PNG (default: painted)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image, labels = painted(Path(folder)) if not (options.image and options.labels) else (b"", b"")
    image = options.image.read_bytes() if options.image else image
    labels = options.labels.read_bytes() if options.labels else labels
    results = {
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
        "versions": {name: version(name) for name in LIBRARIES},
        "image": {"read as it came": reading(image, options.rounds)},
        "labels": {"read as they came": reading(labels, options.rounds)},
    }
    results["image"]["read as segdata writes it"] = reading(png.encode_image(png.decode(image)), options.rounds)
    results["image"]["written and read"] = writing(png.decode(image), options.rounds)
    results["labels"]["written and read"] = writing(png.decode(labels), options.rounds)
    for kind in ("image", "labels"):
        for title, rows in results[kind].items():
            show(f"{kind}, {title}", rows)
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
