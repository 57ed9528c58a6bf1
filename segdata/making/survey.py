"""What a dataset has: the scenes of its splits, and what is wrong before any of them is read."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from segdata.base.files import read_file
from segdata.documents.json import load_json
from segdata.errors import MissingError, SourceError
from segdata.findings import ERROR, Finding, first_few
from segdata.making.plan import key_findings
from segdata.raw.archives.kinds import is_archive
from segdata.raw.listing import list_split
from segdata.raw.scene import NEVER, Folder, Listing, Scene, uncommon
from segdata.raw.tree import Tree
from segdata.raw.used import DOCUMENT, Shelf, suffix_of
from segdata.sources.source import Source
from segdata.splits.divide import divide
from segdata.splits.divided import Divided
from segdata.splits.division import Division
from segdata.splits.membership import by_split
from segdata.stores.url import Place

PAINTED = "segdata-synth.json"  # the marker that `segdata synth` leaves: official frame lists do not apply
SHOWN = 5


@dataclass
class Survey:
    """The scenes of all splits, with what was found while looking for them; `origins` says where each split lies."""

    scenes: dict[str, tuple[Scene, ...]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    halves: list[str] = field(default_factory=list)  # splits that have images and no labels, or labels and no images
    painted: bool = False  # by `segdata synth`
    notes: list[str] = field(default_factory=list)  # for people: links that led out of the root, leftovers
    divided: Divided | None = None  # where lists make the splits: then `scenes` has these, `origins` has both

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == ERROR]


def look(source: Source, tree: Tree, splits: Sequence[str], division: Division | None = None) -> Survey:
    """All scenes of the splits, or of the division's.

    Raises SourceError where an asked split, or every usual one, is missing, and FindingsError for listed frames that
    are.
    """
    try:
        return _look(source, tree, splits, division)
    except SourceError as error:
        if not (other := _other(source, tree)):
            raise
        told = f"{error} The files look like {other}, this is `segdata prepare {source.name}`."
        raise type(error)(told, error.findings) from None


def _other(source: Source, tree: Tree) -> str:
    """The dataset whose training files are where they belong, where those of `source` are not; "" for none."""
    from segdata.sources import SOURCES

    return "" if _is_there(source, tree) else next((name for name in SOURCES if _is_there(SOURCES[name], tree)), "")


def _is_there(source: Source, tree: Tree) -> bool:
    wanted = [folder.path for folder in source.folders if folder.pool == "train" and folder.role != "colors"]
    return bool(wanted) and tree.contents(wanted).keys() == set(wanted)


def _look(source: Source, tree: Tree, splits: Sequence[str], division: Division | None) -> Survey:
    for split in splits:
        if split not in source.splits:
            raise SourceError(f"{source.name} has no split {split!r}; it has {', '.join(source.splits)}.")
    survey, absent = Survey(), list[Finding]()
    wanted = source.splits if division else splits or source.default_splits
    folders = {
        pool: [each for each in source.folders if each.pool == pool]
        for pool, members in source.pools.items()
        if set(members) & set(wanted)
    }
    for split, listing in _listings(source, tree, folders, division, survey):
        if split not in wanted:
            continue  # of a pool of which other splits are wanted
        survey.origins[split] = listing.origin
        told = {*survey.findings}  # of splits whose files lie together, the same ones
        survey.findings += [finding for finding in listing.findings if finding not in told]
        if listing.scenes:
            survey.scenes[split] = listing.scenes
        if listing.absent:
            if listing.absent not in absent:
                absent.append(listing.absent)
            if listing.absent.severity == ERROR:
                survey.halves.append(split)
            if splits and not tree.faults and not any(finding.severity == ERROR for finding in listing.findings):
                _refuse(tree)
                raise MissingError(listing.absent.found + _or(tree, source.folders), [listing.absent])
    if absent:
        _refuse(tree)
    survey.findings += sorted({fault for _, fault in tree.faults})  # a link may hide several folders
    missed = {path for path, _ in tree.faults}
    absent = [finding for finding in absent if finding.where not in missed]
    if not any(survey.scenes.values()) and not survey.errors:
        found = absent[0].found if absent else f"{tree.root}: no scenes at all."
        raise SourceError(found + _or(tree, source.folders), absent)
    survey.findings += [*(each for each in absent if each not in survey.findings), *_unused(source, tree)]
    survey.painted = is_painted(tree.root)
    _check_groups(source, survey)
    official = [] if survey.painted else _official_findings(source, survey)
    _settle_splits(source, survey)
    survey.findings += key_findings([scene for scenes in survey.scenes.values() for scene in scenes])
    survey.notes += [*tree.notes(), *_loud(survey.scenes)]
    if survey.painted and not _is_complete(tree.root):
        survey.notes.append(f"{PAINTED} says that `segdata synth` has not finished there: run the same command again")
    survey.findings += official
    return survey


def _listings(
    source: Source, tree: Tree, folders: Mapping[str, Sequence[Folder]], division: Division | None, survey: Survey
) -> Iterable[tuple[str, Listing]]:
    """The official splits one after the other; where a division makes others, those in which its frames lie."""
    wanted = [folder for each in folders.values() for folder in each]
    contents = tree.contents(list(dict.fromkeys(folder.path for folder in wanted)), partial(_fits, wanted))
    # Those of a source that ships begin the paths of whole splits: they speak of what is beside its folders alone.
    others = NEVER if source.ships else source.others
    shelf = Shelf(contents, wanted, source.folders, others)
    listings = (
        each
        for pool, of_pool in folders.items()
        for each in by_split(source, pool, list_split(source.name, tree, of_pool, shelf))
    )
    if division is None:
        return listings
    found = dict(listings)
    if any(listing.absent for listing in found.values()):
        _refuse(tree)
    divided = survey.divided = divide(division, source, tree, found)
    return [(split, listing) for split, listing in found.items() if split in divided.drawn]


def _check_groups(source: Source, survey: Survey) -> None:
    """Raise SourceError for a rule of groups that no key fits: each frame would be a group of its own."""
    for name, rule in {"group": source.group_rule, "split_by": source.split_by_rule}.items():
        keys = [scene.key for scenes in survey.scenes.values() for scene in scenes]
        if rule and keys and not source.ships and not survey.painted and not any(map(rule.key.fullmatch, keys)):
            raise SourceError(
                f"{source.name}: no key is one of {name} {rule.template}, such as {keys[0]}. Mend its `key` in the "
                "source file."
            )


def _settle_splits(source: Source, survey: Survey) -> None:
    """From official splits to those of lists, where these make them; else a note on what the official ones hide."""
    if divided := survey.divided:
        survey.scenes = dict(divided.scenes)
        survey.origins = {f"official {split}": origin for split, origin in survey.origins.items()} | divided.origins()
        survey.notes += divided.notes()
    elif not survey.painted:
        found = source.cautions(survey.scenes)
        survey.notes += [f"{source.name}, official {split}: {caution}" for split, caution in found.items()]


def _refuse(tree: Tree) -> None:
    """Where something is missing, it may be in an archive that cannot be read."""
    for error in tree.refused.values():
        raise error


def _or(tree: Tree, folders: Sequence[Folder]) -> str:
    """What to do instead, where the files lie elsewhere below the root."""
    do = tree.misplaced({folder.path for folder in folders if folder.path})
    return f" Or {do}." if do else ""


def _unused(source: Source, tree: Tree) -> list[Finding]:
    """What lies below the root and is no part of the dataset: a finding for all files of a sort in a folder or zip."""

    inside = [folder for folder in source.folders if not folder.path]  # the dataset's own: which may hold anything

    def known(path: str) -> bool:
        name = path.rpartition("/")[2]
        return source.others.match(path) is not None or DOCUMENT.fullmatch(name) is not None or path == PAINTED

    groups: dict[tuple[str, str], tuple[int, str]] = {}  # (first name below the root, suffix) -> count, an example
    folders = {folder.path for folder in source.folders if folder.path}
    for top, path in tree.unused(folders, known, partial(_fits, inside)):
        group = (top if path else "", suffix_of(path or top))
        count, example = groups.get(group, (0, f"{top}/{path}" if path else top))
        groups[group] = count + 1, example
    found = [Finding("unused-file", name, str(error)) for name, error in sorted(tree.refused.items())]
    for (top, suffix), (count, example) in sorted(groups.items()):
        if count == 1:
            found.append(Finding("unused-file", example, "not read"))
        else:
            what = f"{count} files {suffix or 'without a suffix'} (such as {example}), not read"
            found.append(Finding("unused-file", top or ".", what))
    return found


def _fits(folders: Iterable[Folder], path: str) -> bool:
    """Whether one of the folders uses the file at this path, from the dataset's top folder on."""
    return any(folder.key(path) is not None for folder in folders)


def is_painted(root: Place) -> bool:
    if isinstance(root, Path):
        return (root / PAINTED).is_file()
    from segdata.stores.opening import open_store

    return not is_archive(root.name) and open_store(root).has(PAINTED)


def _loud(scenes: Mapping[str, Sequence[Scene]]) -> list[str]:
    """A note on files that end in .PNG: samples name their files, so that the same dataset has other bytes."""
    files = (each for of_split in scenes.values() for scene in of_split for each in (scene.image, scene.labels))
    found = [file.path for file in files if file and not suffix_of(file.path).islower()]
    return [f"{len(found)} files end in capitals ({found[0]}, …): read, and named so in the shards"] if found else []


def _is_complete(root: Place) -> bool:
    """Whether the painting is, as far as the marker in a local folder says so."""
    with suppress(Exception):  # whatever another file of this name holds
        return not isinstance(root, Path) or load_json(read_file(root / PAINTED))["complete"] is not False
    return True


def _official_findings(source: Source, survey: Survey) -> list[Finding]:
    findings = []
    for split, scenes in survey.scenes.items():
        official = source.official.get(split)
        if official is None:
            continue
        missing, foreign = uncommon([scene.key for scene in scenes], official)
        if len(scenes) != official.count or missing or foreign:
            found = f"{len(scenes)} frames where the release has {official.count}"
            found += f"; missing {first_few(missing, SHOWN)}" if missing else ""
            found += f"; not in the release {first_few(foreign, SHOWN)}" if foreign else ""
            findings.append(Finding("split-count", f"{source.name} {split}", found))
    return findings


def drop_bad_keys(survey: Survey) -> None:
    """No shard can hold these scenes. The others are converted all the same, so that every finding is told."""
    bad_keys = {finding.where for finding in survey.errors if finding.code in {"bad-key", "duplicate-key"}}
    survey.scenes = {
        split: tuple(scene for scene in scenes if scene.image.path not in bad_keys)
        for split, scenes in survey.scenes.items()
    }
