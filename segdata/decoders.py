"""Decode samples inside other loaders: their own decoders turn class ids into RGB or floats, this one does not.

Imports none of them: in every loader a sample is a mapping from names of parts to their contents.
"""

import json
from collections.abc import Mapping
from typing import Any

from segdata.codecs import decode_image, decode_map
from segdata.scene import U8


def decode_sample(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Decode `image.*` to (H, W, 3), `target*` to ids (H/S, W/S), `coverage*` to counts (K+1, H/S, W/S), `json`.

    Contents are bytes (webdataset, Energon) or open files under names with a leading dot (wids); the result
    is the same in each: uint8 arrays under the names of the parts. Entries like `__key__` stay as they are.
    """
    own = {name: value for name, value in sample.items() if name.startswith("__")}
    parts = {name.lstrip("."): _bytes(value) for name, value in sample.items() if name not in own}
    meta = json.loads(parts.pop("json"))
    return {**own, **{name: _decoded(name, data, meta) for name, data in parts.items()}, "json": meta}


def _bytes(content: Any) -> bytes:
    return content if isinstance(content, bytes) else bytes(content.read())


def _decoded(name: str, data: bytes, meta: Mapping[str, Any]) -> U8:
    stem = name.partition(".")[0]
    if stem == "image":
        return decode_image(data)
    if not stem.startswith("coverage"):
        return decode_map(data)
    planes = decode_map(data)  # below each other, so the height of one says how many there are
    return planes.reshape(-1, meta["height"] // int(stem.removeprefix("coverage")), planes.shape[1])
