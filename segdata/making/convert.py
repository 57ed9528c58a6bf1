"""One scene to the members of one sample: read, check, decode, map, downscale, encode.

An image whose size and codec stay is never decoded: its container is checked (every CRC) and its bytes pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from segdata.base.arrays import U8
from segdata.base.canonical import canonical_json, digest_pixels, digest_sample, digest_source
from segdata.base.numbers import turned
from segdata.format.counts import ClassCounts, ImageSums
from segdata.labels.coding import Tally, guess
from segdata.labels.label import Label, Lookalike
from segdata.labels.targets import IDENTITY, Histogram, make_targets, remap
from segdata.labels.taxonomy import LabelMap, Taxonomy
from segdata.making.geometry import Geometry
from segdata.pictures.chunks import RGB
from segdata.pictures.codecs import JPEG_QUALITY, SUFFIXES, decode_image, encode_image, encode_target
from segdata.raw.pngfiles import LabelTable, PngFile, open_member, problem
from segdata.raw.scene import Scene

KEPT = Geometry()  # size and codec stay


@dataclass(frozen=True)
class Conversion:
    """Everything besides the scenes that decides what the shards hold."""

    source: str
    labels: tuple[Label, ...]
    palette_labels: bool  # whether the source's id maps may be palette PNGs, whose colours say the ids
    taxonomy: Taxonomy
    scales: tuple[int, ...] = (1,)
    rule: str = "majority"
    geometry: Geometry = KEPT
    codec: str = "keep"
    full_check: bool = False
    jpeg_quality: int = JPEG_QUALITY
    landmarks: frozenset[int] = frozenset()  # the source's, on which findings alone depend, as on the next
    lookalikes: tuple[Lookalike, ...] = ()

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
    tally: Tally  # of the label file


@dataclass(frozen=True)
class Opened:
    """A scene whose files are what they should be: its image, and raw codes (H, W) where it has labels."""

    image: PngFile
    labels: U8 | None
    sources: Mapping[str, str]


class Converter:
    """Converts scenes of one `Conversion`; holds the lookup tables so that they are made once per shard."""

    def __init__(self, conversion: Conversion) -> None:
        self.conversion = conversion
        self.map = conversion.label_map
        self.table = LabelTable(conversion.labels, conversion.palette_labels)

    def convert(self, scene: Scene) -> Converted:
        """Raises SampleError with the finding that keeps the scene from being used."""
        opened = self._open(scene)
        sources, shape = opened.sources, self._shape(scene, opened.image.size)
        image_parts, image_pixels, sums = self._image(opened.image, shape)
        targets, counts, tally = self._targets(scene, opened.labels, shape)
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
        return Converted(scene.key, tuple(sorted(parts.items())), shape, sources, digest, pixels, counts, sums, tally)

    def review(self, scene: Scene) -> tuple[Mapping[str, str], Tally]:
        """Of a scene that some version converted before: its sources' digests, and what its label file holds.

        Raises SampleError where this version would not convert it.
        """
        opened = self._open(scene)
        if opened.labels is None:
            return opened.sources, Tally()
        codes = remap(opened.labels, IDENTITY)[1]
        self._check_ids(scene, codes)
        return opened.sources, self._tally(scene, codes)

    def _digest(self, parts: Mapping[str, bytes], sources: Mapping[str, str]) -> str:
        """Of the sample; an image whose bytes passed through has its source's digest already."""
        known = {"image.png": sources["image"]} if self.conversion.codec == "keep" else {}
        return digest_sample(known.get(name) or digest_source(data) for name, data in sorted(parts.items()))

    def _open(self, scene: Scene) -> Opened:
        """Read and check both files. An unlabelled split has no labels."""
        image = open_member(scene.image)
        if (image.header.bit_depth, image.header.color_type) != (8, RGB):
            raise image.problem("image-format", image.kind)
        if image.chunk(b"tRNS") is not None:
            raise image.problem("reader-dependent", "a transparent colour (tRNS): some readers give a fourth channel")
        member = scene.labels or scene.colors
        if member is None:
            return Opened(image, None, {"image": image.digest})
        file = open_member(member)
        if file.size != image.size:
            (height, width), (due_height, due_width) = file.size, image.size
            raise file.problem("size-mismatch", f"{width}x{height} beside an image of {due_width}x{due_height}")
        labels = self.table.ids_of(file) if scene.labels else self.table.ids_of_colors(file)
        return Opened(image, labels, {"image": image.digest, "labels": file.digest})

    def _shape(self, scene: Scene, size: tuple[int, int]) -> tuple[int, int]:
        wanted = self.conversion.geometry.size
        if wanted and turned(wanted, size) and not self.conversion.geometry.turn:
            there, here, meant = ("x".join(map(str, each)) for each in (size, wanted, wanted[::-1]))
            found = f"a frame of {there} (HxW) would be squashed to {here}; did you mean --size {meant}?"
            raise problem("turned-size", scene.image, found)
        multiple = max(self.conversion.scales)
        shape = self.conversion.geometry.shape(*size, multiple)
        if shape is None or 0 in shape:
            height, width = self.conversion.geometry.size or size
            found = f"{width}x{height} is not a multiple of {multiple}; give --size, --pad or --crop"
            raise problem("indivisible-size", scene.image, found)
        return shape

    def _image(
        self, file: PngFile, shape: tuple[int, int]
    ) -> tuple[dict[str, bytes], dict[str, str], ImageSums | None]:
        """The image's member, its pixel digest and sums (both only where it was decoded anyway)."""
        conversion = self.conversion
        if conversion.codec == "keep":
            if shape != file.size:
                (height, width), (new_height, new_width) = file.size, shape
                found = f"{width}x{height} would become {new_width}x{new_height}; --image-codec keep cannot"
                raise file.problem("indivisible-size", found)
            parts = {"image.png": file.data}
            if not conversion.full_check:
                return parts, {}, None
            image = file.decoded()
            return parts, {"image.png": digest_pixels(image)}, ImageSums.of(image)
        image = conversion.geometry.image(file.decoded(), shape)
        name = f"image.{SUFFIXES[conversion.codec]}"
        encoded = encode_image(image, conversion.codec, conversion.jpeg_quality)
        if conversion.codec == "jpeg":  # what readers will see, not what was compressed
            image = decode_image(encoded, size=shape)
        return {name: encoded}, {name: digest_pixels(image)}, ImageSums.of(image)

    def _targets(
        self, scene: Scene, labels: U8 | None, shape: tuple[int, int]
    ) -> tuple[dict[int, U8], ClassCounts | None, Tally]:
        """Maps by scale, what was counted of them, and of the label file."""
        if labels is None:
            return {}, None, Tally()
        classes = len(self.conversion.taxonomy.classes)
        rule, scales = self.conversion.rule, self.conversion.scales
        if labels.shape == shape:
            targets = make_targets(labels, self.map.lut, scales, rule, classes)
            codes = targets.histogram
            self._check_ids(scene, codes)
            per_code = np.bincount(self.map.lut, weights=codes, minlength=256).astype(np.int64)
        else:
            mapped, codes = remap(labels, self.map.lut)
            self._check_ids(scene, codes)
            x1 = self.conversion.geometry.labels(mapped, shape)
            targets = make_targets(x1, IDENTITY, scales, rule, classes)
            per_code = targets.histogram
        self._check_use(scene, per_code)
        return targets.maps, ClassCounts.of(per_code, classes), self._tally(scene, codes)

    def _tally(self, scene: Scene, codes: Histogram) -> Tally:
        path = (scene.labels or scene.colors or scene.image).path
        return Tally.of(path, codes, self.conversion.landmarks, self.conversion.lookalikes)

    def _check_ids(self, scene: Scene, codes: Histogram) -> None:
        unknown = np.flatnonzero((codes > 0) & ~self.map.held)
        if len(unknown):
            shown = ", ".join(f"{i} ({codes[i]} pixels)" for i in unknown[:8])
            source = self.conversion.source
            why = f"no label file of {source} holds" if self.map.defined[unknown].any() else f"{source} does not define"
            found = f"id {shown}, which {why}" + guess(np.flatnonzero(codes).tolist(), self.conversion.lookalikes)
            raise problem("unknown-id", scene.labels or scene.image, found)

    def _check_use(self, scene: Scene, per_code: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        evaluated = [i for i, row in enumerate(self.conversion.taxonomy.classes) if row.evaluated]
        if not per_code[evaluated].any():
            member = scene.labels or scene.colors or scene.image
            raise problem("nothing-labelled", member, "no pixel of an evaluated class")


# ---- small steps --------------------------------------------------------------------------------------------


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
