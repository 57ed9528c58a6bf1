"""One scene to the members of one sample: read, check, decode, resize, map, downscale, encode.

An image whose size and codec stay is never decoded: its container is checked (every CRC, every marker) and its bytes
pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from segdata.base.arrays import U8
from segdata.base.canonical import canonical_json, digest_pixels, digest_sample, digest_source
from segdata.base.numbers import turned
from segdata.format.counts import ClassCounts, ImageSums
from segdata.labels.coding import Tally, guess
from segdata.labels.targets import IDENTITY, Histogram, majority, make_targets, remap
from segdata.labels.taxonomy import IGNORE, LabelMap
from segdata.making.job import Conversion
from segdata.pictures.codecs import SUFFIXES, decode_image, encode_image
from segdata.pictures.containers.kinds import KEPT
from segdata.pictures.png import encode_labels
from segdata.raw.contents.frames import FrameReader
from segdata.raw.contents.labelfiles import label_opener
from segdata.raw.contents.picture import PictureFile, problem
from segdata.raw.scene import Scene


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


class Converter:
    """Converts scenes of one `Conversion`; holds the lookup tables so that they are made once per shard."""

    def __init__(self, conversion: Conversion) -> None:
        self.conversion = conversion
        self.map = LabelMap.between(conversion.labels, conversion.taxonomy)
        self.frames = FrameReader(conversion.frame_rule)
        self.open_labels = label_opener(conversion.coding, conversion.labels)
        self.open_fallback = label_opener(conversion.fallback, conversion.labels)
        self.evaluated = [i for i, row in enumerate(conversion.taxonomy.classes) if row.evaluated]

    def convert(self, scene: Scene) -> Converted:
        """Raises SampleError with the finding that keeps the scene from being used."""
        image, ids, sources = self._open(scene)
        shape = self._shape(scene, image.size)
        name, data, pixels, sums = self._image(image, shape)
        parts = {name: data}
        counts, tally = None, Tally()
        if ids is not None:
            targets, counts, tally = self._targets(scene, ids, shape)
            for part, target in targets.items():
                parts[part] = encode_labels(target.reshape(-1, target.shape[-1]))  # planes stand below each other
                pixels[part] = digest_pixels(target)
        parts["json"] = self._meta(scene, shape)
        passed = {name: sources["image"]} if self.conversion.codec == "keep" else {}  # whose digest is known
        sample = sorted(parts.items())
        digest = digest_sample([passed.get(part) or digest_source(data) for part, data in sample])
        return Converted(scene.key, tuple(sample), shape, sources, digest, pixels, counts, sums, tally)

    def review(self, scene: Scene) -> tuple[Mapping[str, str], Tally]:
        """Of a scene that some version converted before: its sources' digests, and what its label file holds.

        Raises SampleError where this version would not convert it.
        """
        _, ids, sources = self._open(scene)
        if ids is None:
            return sources, Tally()
        codes = remap(ids, IDENTITY)[1]
        self._check_ids(scene, codes)
        return sources, Tally.of(_label_path(scene), codes, self.conversion.landmarks, self.conversion.lookalikes)

    def inspect(self, scene: Scene) -> tuple[tuple[int, int], Histogram | None]:
        """(H, W) of a scene's image, and pixels per raw id (256,) of its label file, whatever ids these are.

        Raises SampleError where the scene could not be converted for another reason.
        """
        image, ids, _ = self._open(scene)
        self._shape(scene, image.size)
        return image.size, None if ids is None else remap(ids, IDENTITY)[1]

    def _open(self, scene: Scene) -> tuple[PictureFile, U8 | None, dict[str, str]]:
        """Read and check both files: the image, raw ids (H, W) where the split has labels, and the files' digests."""
        image = self.frames.open(scene.image)
        member = scene.labels or scene.colors
        if member is None:
            return image, None, {"image": image.digest}
        file = self.open_labels(member) if scene.labels else self.open_fallback(member)
        if file.size != image.size:
            (height, width), (due_height, due_width) = file.size, image.size
            raise file.problem("size-mismatch", f"{width}x{height} beside an image of {due_width}x{due_height}")
        return image, file.ids(), {"image": image.digest, "labels": file.digest}

    def _shape(self, scene: Scene, size: tuple[int, int]) -> tuple[int, int]:
        """(H, W) of the sample's image and x1."""
        wanted, multiple = self.conversion.size, max(self.conversion.scales)
        if wanted and turned(wanted, size) and not self.conversion.turn:
            there, here, meant = ("x".join(map(str, each)) for each in (size, wanted, wanted[::-1]))
            found = f"a frame of {there} (HxW) would be squashed to {here}; did you mean --size {meant}?"
            raise problem("turned-size", scene.image, found)
        shape = fitted(wanted or size, self.conversion.fit, multiple)
        if shape is None or 0 in shape:
            height, width = wanted or size
            found = f"{height}x{width} (HxW) is not a multiple of {multiple}; give --size, --pad or --crop"
            raise problem("indivisible-size", scene.image, found)
        return shape

    def _image(
        self, file: PictureFile, shape: tuple[int, int]
    ) -> tuple[str, bytes, dict[str, str], ImageSums | None]:  # fmt: skip
        """The image's part and its bytes; its pixel digest and sums, both only where it was decoded anyway."""
        conversion = self.conversion
        if conversion.codec == "keep":
            suffix = KEPT.get(file.container.format)
            if suffix is None:
                raise file.problem("image-format", f"{file.kind}, whose bytes no sample holds. Give --image-codec png")
            if shape != file.size:
                (height, width), (new_height, new_width) = file.size, shape
                found = f"{width}x{height} would become {new_width}x{new_height}; --image-codec keep cannot"
                raise file.problem("indivisible-size", found)
            name = f"image.{suffix}"
            if not conversion.full_check:
                return name, file.data, {}, None
            image = self.frames.pixels(file)
            return name, file.data, {name: digest_pixels(image)}, ImageSums.of(image)
        image = resized_image(self.frames.pixels(file), conversion.size, shape)
        name = f"image.{SUFFIXES[conversion.codec]}"
        encoded = encode_image(image, conversion.codec, conversion.jpeg_quality)
        if conversion.codec == "jpeg":  # what readers will see, not what was compressed
            image = decode_image(encoded, size=shape)
        return name, encoded, {name: digest_pixels(image)}, ImageSums.of(image)

    def _targets(
        self, scene: Scene, ids: U8, shape: tuple[int, int]
    ) -> tuple[dict[str, U8], ClassCounts, Tally]:  # fmt: skip
        """Targets by the names of their parts, what was counted of them, and of the label file."""
        conversion, lut, classes = self.conversion, self.map.lut, len(self.conversion.taxonomy.classes)
        if conversion.size in {None, ids.shape} and ids.shape == shape:
            targets = make_targets(ids, lut, conversion.scales, conversion.rule, classes)
            codes = targets.histogram
            self._check_ids(scene, codes)
            per_class = np.bincount(lut, weights=codes, minlength=256).astype(np.int64)
        else:
            mapped, codes = remap(ids, lut)
            self._check_ids(scene, codes)
            x1 = resized_labels(mapped, conversion.size, shape)
            targets = make_targets(x1, IDENTITY, conversion.scales, conversion.rule, classes)
            per_class = targets.histogram
        kind = "coverage" if conversion.rule == "coverage" else "target"
        named = {f"{kind if scale > 1 else 'target'}{scale}.png": target for scale, target in targets.maps.items()}
        tally = Tally.of(_label_path(scene), codes, conversion.landmarks, conversion.lookalikes)
        if not per_class[self.evaluated].any():
            tally = replace(tally, blank=1, blanks=(_label_path(scene),))
        return named, ClassCounts.of(per_class, classes), tally

    def _check_ids(self, scene: Scene, codes: Histogram) -> None:
        unknown = np.flatnonzero((codes > 0) & ~self.map.held)
        if len(unknown):
            shown = ", ".join(f"{i} ({codes[i]} pixels)" for i in unknown[:8])
            source = self.conversion.source
            why = f"no label file of {source} holds" if self.map.defined[unknown].any() else f"{source} does not define"
            found = f"id {shown}, which {why}" + guess(np.flatnonzero(codes).tolist(), self.conversion.lookalikes)
            raise problem("unknown-id", scene.labels or scene.image, found)

    def _meta(self, scene: Scene, shape: tuple[int, int]) -> bytes:
        """The sample's flat `json` member: one type a key, no nulls, no lists."""
        files = {"image_file": scene.image.path}
        if label := scene.labels or scene.colors:
            files["label_file"] = label.path
        known = {"key": scene.key, "source": self.conversion.source, "split": scene.split}
        return canonical_json({**known, "height": shape[0], "width": shape[1], **files})


def _label_path(scene: Scene) -> str:
    return (scene.labels or scene.colors or scene.image).path


# ---- sizes --------------------------------------------------------------------------------------------------


def fitted(size: tuple[int, int], fit: str, multiple: int) -> tuple[int, int] | None:
    """What `size` becomes by the rule `fit`: None where `multiple` does not divide it and no rule says what to do."""
    height, width = size
    if fit == "pad":
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple
    if fit == "crop":
        return height // multiple * multiple, width // multiple * multiple
    return None if height % multiple or width % multiple else size


def resized_image(image: U8, size: tuple[int, int] | None, shape: tuple[int, int]) -> U8:
    """Image (H, W, 3) resized to `size` by area, bilinear where it grows; then cropped, or padded black, to `shape`."""
    if size and size != image.shape[:2]:
        shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, size[::-1], interpolation=way), np.uint8)
    return _filled(image, shape, 0)


def resized_labels(x1: U8, size: tuple[int, int] | None, shape: tuple[int, int]) -> U8:
    """Target ids (H, W) resized to `size`, then cropped, or padded with 255, to `shape`.

    Whole factors go by majority; others take for each new pixel the old one that holds its centre, which is
    floor((i + 1/2) * old / new), in integers.
    """
    if size and size != x1.shape:
        (rows, row_rest), (columns, column_rest) = divmod(x1.shape[0], size[0]), divmod(x1.shape[1], size[1])
        if not row_rest and not column_rest:
            x1 = majority(x1, rows, columns)
        else:
            y, x = (
                (2 * np.arange(new, dtype=np.int64) + 1) * old // (2 * new)
                for old, new in zip(x1.shape, size, strict=True)
            )
            x1 = np.ascontiguousarray(x1[y[:, None], x])
    return _filled(x1, shape, IGNORE)


def _filled(picture: U8, shape: tuple[int, int], fill: int) -> U8:
    """Cropped to, or padded with `fill` up to, `shape` at the bottom and the right."""
    picture = picture[: shape[0], : shape[1]]
    missing = shape[0] - picture.shape[0], shape[1] - picture.shape[1]
    if any(missing):
        width = [(0, missing[0]), (0, missing[1]), (0, 0)][: picture.ndim]
        picture = np.pad(picture, width, constant_values=fill)
    return np.ascontiguousarray(picture)
