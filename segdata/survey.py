"""What a dataset has: the scenes of its splits, and what is wrong before any of them is read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segdata.errors import MissingError, SourceError
from segdata.findings import ERROR, Finding
from segdata.plan import key_findings
from segdata.scene import Scene, SceneSource, uncommon
from segdata.tree import Tree
from segdata.url import Place

PAINTED = "segdata-synth.json"  # the marker that `segdata synth` leaves: official frame lists do not apply
SHOWN = 5


@dataclass
class Survey:
    """The scenes of all splits, with what was found while looking for them."""

    scenes: dict[str, tuple[Scene, ...]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == ERROR]


def look(source: SceneSource, tree: Tree, splits: Sequence[str]) -> Survey:
    """All scenes of the splits. Raises SourceError where an asked split, or every usual one, is missing."""
    survey = Survey()
    for split in splits or source.default_splits:
        if split not in source.splits:
            raise SourceError(f"{source.name} has no split {split!r}; it has {', '.join(source.splits)}.")
        try:
            listing = source.listing(tree, split)
        except MissingError as error:
            if splits and not tree.faults:
                raise
            survey.findings.append(Finding("missing-split", split, str(error)))
            continue
        survey.scenes[split] = listing.scenes
        survey.findings += listing.findings
    survey.findings += sorted(set(tree.faults))
    if not any(survey.scenes.values()) and not survey.errors:
        raise SourceError(survey.findings[0].found if survey.findings else f"{tree.root}: no scenes at all.")
    survey.findings += key_findings([scene for scenes in survey.scenes.values() for scene in scenes])
    if not is_painted(tree.root):
        survey.findings += _official_findings(source, survey)
    return survey


def is_painted(root: Place) -> bool:
    if isinstance(root, Path):
        return (root / PAINTED).is_file()
    from segdata.stores import open_store

    return not root.name.endswith(".zip") and open_store(root).has(PAINTED)


def _official_findings(source: SceneSource, survey: Survey) -> list[Finding]:
    findings = []
    for split, scenes in survey.scenes.items():
        official = source.official.get(split)
        if official is None:
            continue
        missing, foreign = uncommon([scene.key for scene in scenes], official)
        if len(scenes) != official.count or missing or foreign:
            found = f"{len(scenes)} frames where the release has {official.count}"
            found += f"; missing {_some(missing)}" if missing else ""
            found += f"; not in the release {_some(foreign)}" if foreign else ""
            findings.append(Finding("split-count", f"{source.name} {split}", found))
    return findings


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest


def drop_bad_keys(survey: Survey) -> None:
    """No shard can hold these scenes. The others are converted all the same, so that every finding is told."""
    bad_keys = {finding.where for finding in survey.errors if finding.code in {"bad-key", "duplicate-key"}}
    survey.scenes = {
        split: tuple(scene for scene in scenes if scene.image.path not in bad_keys)
        for split, scenes in survey.scenes.items()
    }
