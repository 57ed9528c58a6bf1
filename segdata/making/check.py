"""A dry run of `prepare`: which frames would be prepared, what their files hold, and what is wrong, without writing."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from segdata.errors import OptionError
from segdata.findings import ERROR, Finding, SampleError
from segdata.labels.coding import Tally, coding_finding
from segdata.labels.label import Label
from segdata.labels.targets import Histogram
from segdata.labels.taxonomy import LabelMap
from segdata.making.convert import Converter
from segdata.making.job import Job
from segdata.making.survey import Survey, drop_bad_keys, look
from segdata.raw.scene import Scene
from segdata.raw.tree import open_tree

ALIKE = 3  # findings of one code that are told one by one; more become one
SHOWN = 8  # ids that a finding names


@dataclass
class Seen:
    """What was read of the files that were opened: sizes (H, W) of frames; pixels and files by id, of label files."""

    opened: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: Histogram = field(default_factory=lambda: np.zeros(256, np.int64))
    files: Histogram = field(default_factory=lambda: np.zeros(256, np.int64))
    first: dict[int, str] = field(default_factory=dict)  # id -> the first label file that has it

    def add(self, path: str, size: tuple[int, int], pixels: Histogram | None) -> None:
        self.opened += 1
        self.sizes[size] += 1
        if pixels is None:
            return
        self.pixels += pixels
        self.files += pixels > 0
        for code in np.flatnonzero(pixels).tolist():
            self.first.setdefault(code, path)


@dataclass(frozen=True)
class DryRun:
    """The frames that would be prepared by split, how many groups they form, what was seen of them, what is wrong."""

    job: Job
    survey: Survey
    seen: Seen
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == ERROR]

    @property
    def groups(self) -> dict[str, int]:
        """split -> groups of its frames."""
        return {
            split: len({self.job.source.group(scene.key) for scene in scenes})
            for split, scenes in self.survey.scenes.items()
        }

    def rows(self) -> Iterator[tuple[Label, float, int, str]]:
        """Each label of the table in order of ids: its share of the pixels, label files that have it, and its class."""
        taxonomy = self.job.conversion.taxonomy
        class_of = {name: row.name for row in taxonomy.classes for name in row.feeds}
        total = max(int(self.seen.pixels.sum()), 1)
        for label in sorted(self.job.source.labels, key=lambda each: each.id):
            if label.id >= 0:
                share, files = self.seen.pixels[label.id] / total, int(self.seen.files[label.id])
                yield label, float(share), files, class_of.get(label.name, "(ignored)")


def check(job: Job, most: int | None, progress: Callable[[int, int], None] = lambda done, total: None) -> DryRun:
    """Look at the dataset as `prepare` does, and into at most so many frames (None: all), spread over each split.

    Raises SourceError and the like for what keeps `prepare` from looking at all.
    """
    LabelMap.between(job.source.labels, job.conversion.taxonomy)  # a taxonomy that does not fit fails at once
    survey = look(job.source, open_tree(job.root), job.splits, job.division)
    drop_bad_keys(survey)
    try:
        job = job.settled(scene.image.path for scenes in survey.scenes.values() for scene in scenes)
    except OptionError as error:  # frames of several formats, which `prepare` takes with a codec
        survey.notes.append(str(error))
        job = replace(job, conversion=replace(job.conversion, codec="png"))
    chosen = [scene for scenes in survey.scenes.values() for scene in _spread(scenes, survey, most)]
    seen, tallies, found = Seen(), defaultdict[str, Tally](Tally), list[Finding]()
    converter = Converter(job.conversion)
    for done, scene in enumerate(chosen, start=1):
        path = (scene.labels or scene.colors or scene.image).path
        try:
            size, pixels = converter.inspect(scene)
        except SampleError as error:
            found.append(error.finding)
        else:
            seen.add(path, size, pixels)
            if pixels is not None:
                tallies[scene.split] += Tally.of(path, pixels, job.source.landmarks, job.source.lookalikes)
        progress(done, len(chosen))
    codings = (coding_finding(job.source, split, tally) for split, tally in tallies.items())
    unknown = _unknown(job, seen, converter.map)
    return DryRun(job, survey, seen, (*survey.findings, *_grouped(found), *unknown, *filter(None, codings)))


def _spread(scenes: Sequence[Scene], survey: Survey, most: int | None) -> list[Scene]:
    """So many of them, at equal distances, as their share of all frames gives; one at least."""
    total = sum(map(len, survey.scenes.values()))
    if most is None or total <= most or not scenes:
        return list(scenes)
    count = max(1, len(scenes) * most // total)
    return [scenes[i * len(scenes) // count] for i in range(count)]


def _grouped(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Of many findings of one code one that counts them, with the first: they have one cause as a rule."""
    of_code: Mapping[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        of_code[finding.code].append(finding)
    for code, alike in of_code.items():
        if len(alike) <= ALIKE:
            yield from alike
        else:
            yield Finding(code, alike[0].where, f"{alike[0].found}; {len(alike) - 1} more of the opened files likewise")


def _unknown(job: Job, seen: Seen, known: LabelMap) -> Iterator[Finding]:
    """Ids that the label table lacks: pixels, files, and the first file."""
    codes = np.flatnonzero((seen.pixels > 0) & ~known.held).tolist()
    if codes:
        rows = [f"{code} ({seen.pixels[code]} pixels in {seen.files[code]} files)" for code in codes[:SHOWN]]
        more = f" and {len(codes) - SHOWN} more ids" if len(codes) > SHOWN else ""
        found = f"id {', '.join(rows)}{more}, which {job.source.name} does not define"
        yield Finding("unknown-id", seen.first[codes[0]], found)
