"""One scene to the members of one sample: read, check, decode, map, downscale, encode.

An image whose size and codec stay is never decoded: its container is checked (every CRC) and its bytes pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segdata import png
from segdata.canonical import canonical_json, digest_pixels, digest_sample, digest_source
from segdata.codecs import JPEG_QUALITY, SUFFIXES, decode_image, encode_image, encode_target
from segdata.errors import CodecError, LinkError, SizeError, SourceError, TooLargeError
from segdata.findings import Finding, SampleError
from segdata.geometry import Geometry
from segdata.numbers import turned
from segdata.pngchunks import GREY, GREY_ALPHA, PALETTE, RGB, RGBA
from segdata.scene import U8, Label, Scene
from segdata.statistics import ClassCounts, ImageSums
from segdata.targets import IDENTITY, Targets, make_targets, remap
from segdata.taxonomy import LabelMap, Taxonomy
from segdata.tree import Member

KEPT = Geometry()  # size and codec stay


@dataclass(frozen=True)
class Conversion:
    """Everything besides the scenes that decides what the shards hold."""

    source: str
    labels: tuple[Label, ...]
    palette_labels: bool  # whether the source's id maps may be palette PNGs
    taxonomy: Taxonomy
    scales: tuple[int, ...] = (1,)
    rule: str = "majority"
    geometry: Geometry = KEPT
    codec: str = "keep"
    full_check: bool = False
    jpeg_quality: int = JPEG_QUALITY

    @property
    def label_map(self) -> LabelMap:
        return LabelMap.between(self.labels, self.taxonomy)

    def document(self) -> dict[str, object]:
        """What of this goes into digests: names and numbers, no paths."""
        # The default quality goes unsaid: sets from before it could be chosen keep their digests and bytes.
        chosen = {} if self.jpeg_quality == JPEG_QUALITY else {"jpeg_quality": self.jpeg_quality}
        return {
            "source": self.source,
            "taxonomy": self.taxonomy.digest,
            "scales": list(self.scales),
            "rule": self.rule,
            "size": list(self.geometry.size or ()),
            "fit": self.geometry.fit,
            "codec": self.codec,
            "full_check": self.full_check,
            **chosen,
        }


@dataclass(frozen=True)
class Converted:
    """A sample ready to be written: parts (name, bytes) sorted by name, digests, and what was counted."""

    key: str
    parts: tuple[tuple[str, bytes], ...]
    size: tuple[int, int]
    sources: Mapping[str, str]  # "image", "labels" -> BLAKE3 of the file
    digest: str  # of all parts' bytes
    pixels: Mapping[str, str]  # part -> BLAKE3 of the decoded array's bytes
    counts: ClassCounts | None
    sums: ImageSums | None


class Converter:
    """Converts scenes of one `Conversion`; holds the lookup tables so that they are made once per shard."""

    def __init__(self, conversion: Conversion) -> None:
        self.conversion = conversion
        self.map = conversion.label_map
        colors = {label.color: label.id % 256 for label in conversion.labels}
        self.color_codes = np.array(sorted(_code(color) for color in colors), np.uint32)
        self.color_ids = np.array([colors[_color(int(code))] for code in self.color_codes], np.uint8)

    def convert(self, scene: Scene) -> Converted:
        """Raises SampleError with the finding that keeps the scene from being used."""
        sources: dict[str, str] = {}
        data = _read(scene.image, sources, "image")
        header = _inspected(scene.image, data)
        if (header.bit_depth, header.color_type) != (8, RGB):
            raise _problem("image-format", scene.image, f"{_described(header)}")
        size = (header.height, header.width)
        labels = self._labels(scene, size, sources)
        shape = self._shape(scene, size)
        image_parts, image_pixels, sums = self._image(scene, data, size, shape)
        targets, counts = self._targets(scene, labels, shape)
        arrays = {f"target{scale}.png": target for scale, target in targets.items()}
        if self.conversion.rule == "coverage":
            arrays = {
                (f"coverage{scale}.png" if scale > 1 else "target1.png"): target for scale, target in targets.items()
            }
        parts = {
            **image_parts,
            "json": _meta(scene, self.conversion, shape),
            **{name: encode_target(array) for name, array in arrays.items()},
        }
        pixels = {**image_pixels, **{name: digest_pixels(array) for name, array in arrays.items()}}
        digest = self._digest(parts, sources)
        return Converted(scene.key, tuple(sorted(parts.items())), shape, sources, digest, pixels, counts, sums)

    def _digest(self, parts: Mapping[str, bytes], sources: Mapping[str, str]) -> str:
        """Of the sample; an image whose bytes passed through has its source's digest already."""
        known = {"image.png": sources["image"]} if self.conversion.codec == "keep" else {}
        return digest_sample(known.get(name) or digest_source(data) for name, data in sorted(parts.items()))

    def _labels(self, scene: Scene, size: tuple[int, int], sources: dict[str, str]) -> U8 | None:
        """Raw codes (H, W) of the id map, else of the colour map; None in an unlabelled split."""
        member = scene.labels or scene.colors
        if member is None:
            return None
        data = _read(member, sources, "labels")
        header = _inspected(member, data)
        if (header.height, header.width) != size:
            found = f"{header.width}x{header.height} beside an image of {size[1]}x{size[0]}"
            raise _problem("size-mismatch", member, found)
        if scene.labels is None:
            if header.bit_depth != 8 or header.color_type not in {RGB, RGBA}:
                raise _problem("label-format", member, f"{_described(header)} where 8-bit colours are due")
            return self._ids_of_colors(member, _decoded(member, data))
        kinds = {GREY, PALETTE} if self.conversion.palette_labels else {GREY}
        if header.bit_depth != 8 or header.color_type not in kinds:
            raise _problem("label-format", member, _described(header))
        return _decoded(member, data)

    def _ids_of_colors(self, member: Member, colors: U8) -> U8:
        codes = (
            (colors[..., 0].astype(np.uint32) << 16)
            | (colors[..., 1].astype(np.uint32) << 8)
            | colors[..., 2].astype(np.uint32)
        )
        at = np.searchsorted(self.color_codes, codes).clip(max=len(self.color_codes) - 1)
        if (foreign := self.color_codes[at] != codes).any():
            values, pixels = np.unique(codes[foreign], return_counts=True)
            shown = ", ".join(f"{_color(int(v))} ({n} pixels)" for v, n in zip(values[:5], pixels, strict=False))
            raise _problem("unknown-color", member, f"colour {shown}")
        return np.asarray(self.color_ids[at], np.uint8)

    def _shape(self, scene: Scene, size: tuple[int, int]) -> tuple[int, int]:
        wanted = self.conversion.geometry.size
        if wanted and turned(wanted, size) and not self.conversion.geometry.turn:
            there, here, meant = ("x".join(map(str, each)) for each in (size, wanted, wanted[::-1]))
            found = f"a frame of {there} (HxW) would be squashed to {here}; did you mean --size {meant}?"
            raise _problem("turned-size", scene.image, found)
        multiple = max(self.conversion.scales)
        shape = self.conversion.geometry.shape(*size, multiple)
        if shape is None or 0 in shape:
            height, width = self.conversion.geometry.size or size
            found = f"{width}x{height} is not a multiple of {multiple}; give --size, --pad or --crop"
            raise _problem("indivisible-size", scene.image, found)
        return shape

    def _image(
        self, scene: Scene, data: bytes, size: tuple[int, int], shape: tuple[int, int]
    ) -> tuple[dict[str, bytes], dict[str, str], ImageSums | None]:
        """The image's member, its pixel digest and sums (both only where it was decoded anyway)."""
        conversion = self.conversion
        if conversion.codec == "keep":
            if shape != size:
                found = f"{size[1]}x{size[0]} would become {shape[1]}x{shape[0]}; --image-codec keep cannot"
                raise _problem("indivisible-size", scene.image, found)
            parts = {"image.png": data}
            if not conversion.full_check:
                return parts, {}, None
            image = _image_decoded(scene.image, data)
            return parts, {"image.png": digest_pixels(image)}, ImageSums.of(image)
        image = conversion.geometry.image(_image_decoded(scene.image, data), shape)
        name = f"image.{SUFFIXES[conversion.codec]}"
        encoded = encode_image(image, conversion.codec, conversion.jpeg_quality)
        if conversion.codec == "jpeg":  # what readers will see, not what was compressed
            image = decode_image(encoded, size=shape)
        return {name: encoded}, {name: digest_pixels(image)}, ImageSums.of(image)

    def _targets(
        self, scene: Scene, labels: U8 | None, shape: tuple[int, int]
    ) -> tuple[dict[int, U8], ClassCounts | None]:
        if labels is None:
            return {}, None
        classes = len(self.conversion.taxonomy.classes)
        rule, scales = self.conversion.rule, self.conversion.scales
        if labels.shape == shape:
            targets = make_targets(labels, self.map.lut, scales, rule, classes)
            self._check_ids(scene, targets)
            per_code = np.bincount(self.map.lut, weights=targets.histogram, minlength=256).astype(np.int64)
        else:
            mapped, histogram = remap(labels, self.map.lut)
            self._check_ids(scene, Targets({}, histogram))
            x1 = self.conversion.geometry.labels(mapped, shape)
            targets = make_targets(x1, IDENTITY, scales, rule, classes)
            per_code = targets.histogram
        self._check_use(scene, per_code)
        return targets.maps, ClassCounts.of(per_code, classes)

    def _check_ids(self, scene: Scene, targets: Targets) -> None:
        unknown = np.flatnonzero((targets.histogram > 0) & ~self.map.defined)
        if len(unknown):
            member = scene.labels or scene.image
            shown = ", ".join(f"{i} ({targets.histogram[i]} pixels)" for i in unknown[:8])
            raise _problem("unknown-id", member, f"id {shown}, which {self.conversion.source} does not define")

    def _check_use(self, scene: Scene, per_code: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        evaluated = [i for i, row in enumerate(self.conversion.taxonomy.classes) if row.evaluated]
        if not per_code[evaluated].any():
            member = scene.labels or scene.colors or scene.image
            raise _problem("nothing-labelled", member, "no pixel of an evaluated class")


# ---- small steps --------------------------------------------------------------------------------------------


def _read(member: Member, sources: dict[str, str], role: str) -> bytes:
    try:
        data = member.read()
    except SourceError as error:
        code = {TooLargeError: "too-large", LinkError: "bad-link"}.get(type(error), "unreadable")
        raise _problem(code, member, str(error).removeprefix(f"{member.where}: ")) from error
    if not data:
        raise _problem("empty-file", member, "0 bytes")
    sources[role] = digest_source(data)
    return data


def _inspected(member: Member, data: bytes) -> png.Header:
    try:
        return png.inspect(data)
    except CodecError as error:
        code = "too-large" if isinstance(error, SizeError) else "bad-image"
        raise _problem(code, member, str(error)) from error


def _decoded(member: Member, data: bytes) -> U8:
    try:
        return np.asarray(png.decode(data), np.uint8)
    except CodecError as error:
        raise _problem("bad-image", member, str(error)) from error


def _image_decoded(member: Member, data: bytes) -> U8:
    try:
        return decode_image(data)
    except CodecError as error:
        raise _problem("bad-image", member, str(error)) from error


def _described(header: png.Header) -> str:
    names = {GREY: "grey", RGB: "RGB", PALETTE: "palette", GREY_ALPHA: "grey with alpha", RGBA: "RGBA"}
    return f"a {header.bit_depth}-bit {names.get(header.color_type, 'unknown')} PNG"


def _problem(code: str, member: Member, found: str) -> SampleError:
    return SampleError(Finding(code, member.path, found))


def _meta(scene: Scene, conversion: Conversion, shape: tuple[int, int]) -> bytes:
    """The sample's flat `json` member: one type a key, no nulls, no lists."""
    files = {"image_file": scene.image.path}
    if label := scene.labels or scene.colors:
        files["label_file"] = label.path
    return canonical_json(
        {
            "key": scene.key,
            "source": conversion.source,
            "split": scene.split,
            "height": shape[0],
            "width": shape[1],
            **files,
        }
    )


def _code(color: Sequence[int]) -> int:
    return (color[0] << 16) | (color[1] << 8) | color[2]


def _color(code: int) -> tuple[int, int, int]:
    return code >> 16, code >> 8 & 255, code & 255
