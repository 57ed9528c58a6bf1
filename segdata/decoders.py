"""Decode samples inside other loaders: their own decoders turn class ids into RGB or floats, this one does not.

Imports none of them: in every loader a sample is a mapping from names of parts to their contents.
"""

from collections.abc import Mapping
from typing import Any

from segdata.base.arrays import U8
from segdata.errors import CodecError
from segdata.format.receipt import PART
from segdata.labels.taxonomy import IGNORE
from segdata.pictures.chunks import open_png
from segdata.pictures.codecs import decode_image, decode_map, decode_meta, decode_planes


def decode_sample(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Decode `image.*` to (H, W, 3), `target*` to ids (H/S, W/S), `coverage*` to counts (K+1, H/S, W/S), `json`.

    Contents are bytes (webdataset, Energon) or open files under names with a leading dot (wids); the result
    is the same in each: uint8 arrays under the names of the parts. Entries like `__key__` stay as they are.
    Raises CodecError for a part that is damaged, or a picture of another size than the metadata says.
    """
    own = {name: value for name, value in sample.items() if name.startswith("__")}
    parts = {name.lstrip("."): _bytes(value) for name, value in sample.items() if name not in own}
    meta = decode_meta(parts.pop("json", b""))
    return {**own, **{name: _decoded(name, data, meta) for name, data in parts.items()}, "json": meta}


def _bytes(content: Any) -> bytes:
    return content if isinstance(content, bytes) else bytes(content.read())


def _decoded(name: str, data: bytes, meta: Mapping[str, Any]) -> U8:
    if not PART.fullmatch(name):
        raise CodecError(f"{name}: a part of that name is in no sample, expected image, target or coverage.")
    stem = name.partition(".")[0]
    height, width = meta["height"], meta["width"]
    if stem == "image":
        return decode_image(data, size=(height, width))
    scale = int(stem.removeprefix("target").removeprefix("coverage"))
    size = height // scale, width // scale
    if stem.startswith("target"):
        return decode_map(data, size=size)
    header, _ = open_png(data)
    planes = header.height // max(size[0], 1)  # below each other, so the height of one says how many there are
    if not 0 < planes <= IGNORE:
        raise CodecError(f"{name} of {header.height} rows, expected a plane of {size[0]} for each class.")
    return decode_planes(data, planes, size=size)
