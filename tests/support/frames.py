"""Datasets of whole numbers, whose files no library has a say in: what comes of them speaks of the conversion alone."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdata.cli import cli
from segdata.making.survey import PAINTED
from segdata.sources import source


def prepare(typed: str, root: Path, out: Path) -> None:
    """`segdata prepare` with what is typed, in this process; two samples a shard where nothing else is said."""
    many = "" if "--samples-per-shard" in typed else " --samples-per-shard 2"
    places = ["--root", str(root), "--out", str(out), "--engine", "serial"]
    cli.main(["prepare", *places, *f"{typed}{many}".split()], standalone_mode=False)


def write_dataset(name: str, root: Path, shape: tuple[int, int]) -> None:
    """Nine frames in the layout of the source that `name` begins with."""
    kind = name.split(maxsplit=1)[0]
    places = {"camvid": camvid, "cityscapes": cityscapes, "cityscapes-coarse": cityscapes, "tas500": tas500}[kind]
    ids = {"camvid": 12, "tas500": 23}.get(kind, 34)
    for i, (image, labels) in enumerate(places(name)):
        codes = label_codes(i, shape, ids)
        if labels.split("/")[0] in {"train_labels", "val_labels"}:
            codes = np.array([label.color for label in source("tas500").labels[:ids]], np.uint8)[codes]
        for path, pixels in ((image, picture(i, shape)), (labels, codes)):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(png_file(pixels))
    (root / PAINTED).write_text("{}")  # so that no official lists apply


def camvid(name: str) -> Iterator[tuple[str, str]]:
    for i, split in enumerate(["train"] * 5 + ["val"] * 2 + ["test"] * 2):
        yield f"{split}/frame_{i:04d}.png", f"{split}annot/frame_{i:04d}.png"


def cityscapes(name: str) -> Iterator[tuple[str, str]]:
    kind, third = ("gtCoarse", "train_extra") if name == "cityscapes-coarse" else ("gtFine", "test")
    for i, split in enumerate(["train"] * 5 + ["val"] * 2 + [third] * 2):
        city = "aachen" if i % 2 else "bochum"
        path = f"{split}/{city}/{city}_{i:06d}_000019"
        yield f"leftImg8bit/{path}_leftImg8bit.png", f"{kind}/{path}_{kind}_labelIds.png"


def tas500(name: str) -> Iterator[tuple[str, str]]:
    suffix = "labels" if name == "tas500 colours" else "labels_ids"
    for i, split in enumerate(["train"] * 5 + ["val"] * 4):
        yield f"{split}/{1527245932460366848 + i}.png", f"{split}_{suffix}/{1527245932460366848 + i}.png"


def picture(i: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    channels = [(x * (3 + c) + y * (5 + i) + (x * x * y >> 7 - c)) % 256 for c in range(3)]
    return np.asarray(np.stack(channels, axis=2), np.uint8)


def label_codes(i: int, shape: tuple[int, int], ids: int) -> NDArray[np.uint8]:
    """(H, W): blocks of one id each, some of whose edges lie in cells, and a patch where every cell has several."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    codes = (x // 9 + y // 7 * 5 + i) % ids
    codes[5:21, 3:31] = ((x * x + y * 3 + x * y) // 3 % ids)[5:21, 3:31]
    codes[0, 0] = 8  # evaluated in the default taxonomy of each source
    return np.asarray(codes, np.uint8)


def png_file(pixels: NDArray[np.uint8]) -> bytes:
    """Grey (H, W) or RGB (H, W, 3), without compression: no library has a say in these bytes."""
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    size = len(rows).to_bytes(2, "little") + (len(rows) ^ 0xFFFF).to_bytes(2, "little")
    data = b"\x78\x01\x01" + size + rows + zlib.adler32(rows).to_bytes(4)
    header = struct.pack(">II5B", pixels.shape[1], pixels.shape[0], 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    framed = [len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4) for kind, body in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)
