"""Findings: what is wrong with a dataset or a shard folder, each with a code that does not change."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from segdata.errors import SegdataError

ERROR = "error"
WARNING = "warning"

# code: (severity, what is expected). A code is part of the interface: tools filter on it.
CODES = {
    "unreadable": (ERROR, "every file can be read"),
    "bad-link": (ERROR, "symlinks lead to files and folders that are there, without circles"),
    "empty-file": (ERROR, "every file has content"),
    "bad-image": (ERROR, "every file is a complete, undamaged picture of its declared format"),
    "too-large": (ERROR, "no file declares more pixels or bytes than a picture of the dataset can have"),
    "missing-image": (ERROR, "every label has its image"),
    "missing-label": (ERROR, "every image of a labelled split has its label"),
    "no-pair": (ERROR, "images and labels join by the key that their names give"),
    "ambiguous-file": (ERROR, "a file matches one template, or one that says more of its name than the others"),
    "no-split": (WARNING, "every frame belongs to a split"),
    "unexpected-name": (ERROR, "file names follow the dataset's rule"),
    "duplicate-key": (ERROR, "keys are unique over all splits"),
    "bad-key": (
        ERROR,
        "keys are letters, digits, - and _, at most 85 of them (a source file makes them so with `safe_keys: true`)",
    ),
    "size-mismatch": (ERROR, "image and label have the same size"),
    "image-format": (ERROR, "images are 8-bit RGB, or what their source file says"),
    "reader-dependent": (ERROR, "every reader sees the same picture: one, upright and opaque"),
    "label-format": (
        ERROR,
        "labels are what their coding says, 8-bit grey where none is named; nothing is transparent",
    ),
    "unknown-id": (ERROR, "labels hold only ids that the dataset defines"),
    "label-coding": (ERROR, "labels are in the dataset's own ids, of which some are much of every set of frames"),
    "label-palette": (ERROR, "the palette shows every id as its own grey, or every id in its label's colour"),
    "bad-polygons": (ERROR, "polygon files have a height and width, and objects of known labels with their corners"),
    "unknown-color": (ERROR, "colour-coded labels hold only colours of the dataset's table"),
    "unknown-frame": (ERROR, "every line of a split list names a frame of the dataset"),
    "indivisible-size": (
        ERROR,
        "the largest scale divides height and width, or --size, --pad or --crop says how",
    ),
    "turned-size": (ERROR, "--size is upright where frames are, and lies where they lie, or --turn says so"),
    "nothing-labelled": (WARNING, "every label has a pixel of an evaluated class"),
    "duplicate-frame": (WARNING, "no frame stands in two splits"),
    "split-count": (WARNING, "a split holds the frames that its publisher lists"),
    "without-label": (WARNING, "every image has its label, or the source file says `missing: skip`"),
    "missing-split": (WARNING, "all default splits are there"),
    "unused-file": (WARNING, "every file below the root is one of the dataset's, or a document"),
    "missing-file": (ERROR, "every file that dataset.json lists is there"),
    "extra-file": (ERROR, "there are no files that dataset.json does not list"),
    "changed-bytes": (ERROR, "files have the digests that dataset.json lists"),
    "bad-manifest": (ERROR, "dataset.json is complete and unchanged"),
    "bad-member": (ERROR, "shards hold the members that the index lists"),
    "changed-pixels": (ERROR, "pictures decode to the pixels that were written"),
    "wrong-target": (ERROR, "targets of all scales follow from x1 by the set's rule"),
}


# What to do about it where no file is wrong, but the command.
OF_OPTIONS = {
    "turned-size": "Give --size the other way round, or --turn.",
    "indivisible-size": "Give --size, --pad or --crop.",
}


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong: where it is and what was found."""

    code: str
    where: str
    found: str

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"no finding has the code {self.code!r}")

    @property
    def severity(self) -> str:
        return CODES[self.code][0]

    @property
    def expected(self) -> str:
        return CODES[self.code][1]

    def __str__(self) -> str:
        return f"{self.severity}[{self.code}] {self.where}: {self.found} (expected: {self.expected})"


def advice(errors: Iterable[Finding]) -> str:
    """What to do about errors that stop a conversion."""
    codes = {finding.code for finding in errors}
    do = [text for code, text in OF_OPTIONS.items() if code in codes]
    if codes - OF_OPTIONS.keys():
        do.append("Mend the files, or leave these scenes out with --on-error quarantine.")
    return " ".join(do)


def first_few(names: Sequence[str], shown: int) -> str:
    """For a message: the first names, and how many more there are."""
    return ", ".join(names[:shown]) + f" and {len(names) - shown} more" * (len(names) > shown)


class FindingsError(SegdataError):
    """Work stopped because of findings; nothing was published. All of them are in `findings`."""

    def __init__(self, message: str, findings: Iterable[Finding]) -> None:
        super().__init__(message)
        self.findings = tuple(findings)

    def __reduce__(self) -> tuple[type["FindingsError"], tuple[str, tuple[Finding, ...]]]:
        return type(self), (str(self), self.findings)


class SampleError(SegdataError):
    """One scene cannot be used; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding

    def __reduce__(self) -> tuple[type["SampleError"], tuple[Finding]]:
        return type(self), (self.finding,)
