"""What is asked for: a dataset, where its shards go, and everything that decides what they hold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segdata.base.numbers import LARGEST_SEED, LARGEST_SIDE, MOST, MOST_WORKERS
from segdata.engines import ENGINES
from segdata.errors import OptionError, TaxonomyError
from segdata.labels.label import COLORS, IDS, Coding, Label, Lookalike
from segdata.labels.perlabel import class_per_label
from segdata.labels.targets import RULES, SCALES
from segdata.labels.taxonomy import Taxonomy, load_taxonomy, taxonomy_names
from segdata.output.standing import identity_of
from segdata.output.workfolder import WorkFolders, work_folders
from segdata.pictures.codecs import CODECS, JPEG_QUALITY
from segdata.raw.contents.frames import can_be_kept
from segdata.raw.scene import AS_THEY_ARE, FrameRule
from segdata.sources import source as source_named
from segdata.sources.source import Source
from segdata.splits.division import Division, read_division
from segdata.stores.url import Place, Url, place

FITS = ("", "pad", "crop")


@dataclass(frozen=True)
class Conversion:
    """Everything besides the scenes that decides what the shards hold.

    size: (H, W) to resize to, or None. fit: "" (the largest scale must divide the sizes), "pad" or "crop" at the bottom
    and the right. turn: `size` may be upright where a frame lies, or the reverse; it changes no byte of what is
    converted at all.
    """

    source: str
    labels: tuple[Label, ...]
    taxonomy: Taxonomy
    coding: Coding = IDS  # of the label files
    fallback: Coding = COLORS  # of those that serve where a scene has none of the first kind
    frame_rule: FrameRule = AS_THEY_ARE
    source_digest: str = ""  # of the labels, codings and rule for frames of a source that does not ship
    scales: tuple[int, ...] = (1,)
    rule: str = "majority"
    size: tuple[int, int] | None = None
    fit: str = ""
    turn: bool = False
    codec: str = "keep"
    full_check: bool = False
    jpeg_quality: int = JPEG_QUALITY
    landmarks: frozenset[int] = frozenset()  # the source's, on which findings alone depend, as on the next
    lookalikes: tuple[Lookalike, ...] = ()
    label_files: str = "ids"  # what labels are made of: "polygons" are drawn

    def document(self) -> dict[str, object]:
        """What of this goes into digests: names and numbers, no paths."""
        # The default quality goes unsaid: sets from before it could be chosen keep their digests and bytes.
        chosen: dict[str, object] = {} if self.jpeg_quality == JPEG_QUALITY else {"jpeg_quality": self.jpeg_quality}
        if self.label_files != "ids":  # unsaid for the same reason
            chosen["labels"] = self.label_files
        if self.source_digest:
            chosen["source_file"] = self.source_digest
        if self.size and self.fit:  # shards of before, whose labels may not have been resized, are made anew
            chosen["fitted"] = "images and labels"
        return {
            "source": self.source,
            "taxonomy": self.taxonomy.digest,
            "scales": list(self.scales),
            "rule": self.rule,
            "size": list(self.size or ()),
            "fit": self.fit,
            "codec": self.codec,
            "full_check": self.full_check,
            **chosen,
        }


@dataclass(frozen=True)
class Job:
    """What `prepare` is asked to do. An empty `splits` means the source's usual ones, as far as they are there; with a
    `division` all of them are drawn on."""

    source: Source
    root: Place
    out: Path  # where shards are made; `upload.publish` sends them on to a store
    conversion: Conversion
    name: str
    splits: tuple[str, ...] = ()
    division: Division | None = None  # which frames stand in which split, by lists and shares
    samples_per_shard: int = 64
    seed: int = 0
    engine: str = "local"
    workers: int | None = None  # None: all processors, of this machine or of the cluster at `address`
    address: str | None = None  # of a Ray cluster that runs
    timeout: float | None = None  # seconds that a shard may take; None: `prepare.SECONDS_A_SAMPLE` a sample
    work_dir: Path | None = None
    quarantine: bool = False
    readers: tuple[str, ...] = ()  # loaders that want files of their own: "energon"
    replace: bool = False  # another set that stands at `out` may go
    codec_asked: bool = False  # the conversion's was given, and does not follow from the frames

    @property
    def folders(self) -> WorkFolders:
        return work_folders(self.out, self.work_dir)

    @property
    def options(self) -> dict[str, object]:
        """What dataset.json says of how the set was made."""
        division = self.division.options if self.division else {}
        return {
            **self.conversion.document(),
            "samples_per_shard": self.samples_per_shard,
            "seed": self.seed,
            **division,
        }

    def settled(self, frames: Iterable[str]) -> "Job":
        """The job with the codec that the names of all its frames lead to: a TIFF is stored as PNG where none is asked
        for. Raises OptionError where their bytes cannot be kept."""
        if self.conversion.codec != "keep" or can_be_kept(frames):
            return self
        if self.codec_asked:
            raise OptionError(
                "--image-codec keep passes bytes through, and no loader of shards reads a TIFF. Choose png, or leave "
                "the option out."
            )
        return replace(self, conversion=replace(self.conversion, codec="png"))

    def identity(self, splits: Iterable[str], *, painted: bool) -> dict[str, Any]:
        """What makes the set with these splits, of painted frames or real ones, this one: see `output.standing`."""
        taxonomy = self.conversion.taxonomy.name
        return identity_of(self.name, self.source.name, painted, taxonomy, self.options, splits)


def make_job(
    source: str | Source,
    *,
    root: Place | str,
    out: Path | str,
    taxonomy: str | Taxonomy | None = None,
    name: str | None = None,
    splits: Sequence[str] = (),
    split_lists: Sequence[str] = (),
    split_shares: Sequence[str] = (),
    fold: str | None = None,
    split_seed: int | None = None,
    scales: Iterable[int] = (1,),
    rule: str = "majority",
    size: tuple[int, int] | None = None,
    fit: str = "",
    turn: bool = False,
    image_codec: str | None = None,
    jpeg_quality: int | None = None,
    full_check: bool = False,
    labels: str = "ids",
    samples_per_shard: int = 64,
    seed: int = 0,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    timeout: float | None = None,
    work_dir: Path | None = None,
    on_error: str = "fail",
    readers: Sequence[str] = (),
    replace: bool = False,
) -> Job:
    """The job of `segdata prepare` with these options, which have the meanings and defaults that they have there.

    `source` and `taxonomy` are names, or what the names stand for; `size` is (height, width) in pixels. Raises
    OptionError for values that are none and for options that do not fit each other, in the words of the command;
    SourceError and TaxonomyError for a name that does not exist.
    """
    scene_source = (source_named(source) if isinstance(source, str) else source).with_labels(labels)
    classes = taxonomy if isinstance(taxonomy, Taxonomy) else taxonomy_of(scene_source, taxonomy)
    scales = tuple(sorted(scales))
    folder = place(out) if isinstance(out, str) else out
    if isinstance(folder, Url):
        raise OptionError(f"out {folder} is a store: make the set in a folder, then publish it, as the command does.")
    _check_words(
        {"--rule": (rule, RULES), "fit": (fit, FITS), "--image-codec": (image_codec, (None, *CODECS))}
        | {"--engine": (engine, ENGINES), "--on-error": (on_error, ("fail", "quarantine"))}
    )
    if not scales or len(set(scales)) < len(scales) or not set(scales) <= set(SCALES):
        raise OptionError(f"--scale {scales}: expected one or more of {', '.join(map(str, SCALES))}, each once.")
    if isinstance(splits, str):
        raise OptionError(f"--split {splits!r}: expected a list of names.")
    for option, other in (("--split-list", split_lists), ("--split-share", split_shares), ("--fold", fold)):
        if splits and other:
            raise OptionError(f"--split chooses official splits, {option} makes other ones: give one of both.")
    _check_bounds("--samples-per-shard", samples_per_shard, 1, MOST)
    _check_bounds("--seed", seed, 0, LARGEST_SEED)
    _check_bounds("--workers", workers, 1, MOST_WORKERS)
    _check_bounds("--jpeg-quality", jpeg_quality, 1, 100)
    if timeout is not None and not 0 < timeout <= MOST:
        raise OptionError(f"--timeout {timeout}: expected seconds from above 0 to {MOST}.")
    if size and not all(1 <= side <= LARGEST_SIDE for side in size):
        raise OptionError(f"--size {size}: expected (height, width) in pixels, each from 1 to {LARGEST_SIDE}.")
    if address and engine != "ray":
        raise OptionError(f"--address is for --engine ray, this is --engine {engine}.")
    if turn and not size:
        raise OptionError("--turn is for --size, which is not given.")
    if image_codec == "keep" and size:
        raise OptionError("--image-codec keep passes bytes through; --size changes them. Choose png.")
    if image_codec == "keep" and scene_source.frame_rule != AS_THEY_ARE:
        raise OptionError(
            "--image-codec keep passes bytes through; the source's rule for frames (channels, range) changes pixels. "
            "Choose png, or leave the option out."
        )
    if jpeg_quality and image_codec != "jpeg":
        found = f"--image-codec {image_codec}" if image_codec else "without it"
        raise OptionError(f"--jpeg-quality is for --image-codec jpeg, this is {found}.")
    conversion = Conversion(
        source=scene_source.name,
        labels=scene_source.labels,
        coding=scene_source.coding,
        fallback=scene_source.fallback,
        frame_rule=scene_source.frame_rule,
        source_digest=scene_source.digest,
        landmarks=scene_source.landmarks,
        lookalikes=scene_source.lookalikes,
        taxonomy=classes.resolved(scene_source.labels),
        scales=scales,
        rule=rule,
        size=size,
        fit=fit,
        turn=turn,
        codec=image_codec or ("png" if size or fit or scene_source.frame_rule != AS_THEY_ARE else "keep"),
        full_check=full_check,
        label_files=labels,
        jpeg_quality=jpeg_quality or JPEG_QUALITY,
    )
    return Job(
        source=scene_source,
        root=place(root) if isinstance(root, str) else root,
        out=folder,
        conversion=conversion,
        name=name or classes.name,
        splits=tuple(splits),
        division=read_division(scene_source, split_lists, split_shares, fold, split_seed),
        samples_per_shard=samples_per_shard,
        seed=seed,
        engine=engine,
        workers=workers,
        address=address,
        timeout=timeout,
        work_dir=work_dir,
        quarantine=on_error == "quarantine",
        readers=tuple(readers),
        replace=replace,
        codec_asked=image_codec is not None,
    )


def taxonomy_of(source: Source, name: str | None) -> Taxonomy:
    """The taxonomy of that name or path; where none is asked for, the source's own, or a class for each label."""
    wanted = name or source.default_taxonomy
    if not wanted and source.name in taxonomy_names():
        raise TaxonomyError(
            f"{source.name} is the name of a taxonomy that ships, whose classes are others. Give the source file "
            "another name, or name a taxonomy in it."
        )
    return load_taxonomy(wanted) if wanted else class_per_label(source.name, source.labels)


def _check_words(given: Mapping[str, tuple[str | None, tuple[str | None, ...]]]) -> None:
    """Raise OptionError for a word that is none of its option's; the command's own parser tells before."""
    for option, (value, choices) in given.items():
        if value not in choices:
            raise OptionError(f"{option} {value!r}: expected one of {', '.join(filter(None, choices))}.")


def _check_bounds(option: str, value: int | None, low: int, high: int) -> None:
    """Raise OptionError for a number out of the bounds that the command has as well; None is not given."""
    if value is not None and not low <= value <= high:
        raise OptionError(f"{option} {value}: expected a whole number from {low} to {high}.")
