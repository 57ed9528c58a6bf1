"""Which frames are in which split, where several splits have their files in the same places: a source's `members`."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from segdata.errors import SourceError
from segdata.findings import ERROR, Finding
from segdata.raw.listing import without_label
from segdata.raw.scene import Listing, Scene
from segdata.raw.template import Template
from segdata.sources.source import Source
from segdata.splits.shares import Shares, share_out
from segdata.splits.splitlist import SplitList, parse_list, read_list
from segdata.splits.unknown import told, unknown_frames

SHOWN = 3


def by_split(source: Source, pool: str, listing: Listing) -> Iterator[tuple[str, Listing]]:
    """The splits of a pool, each with its frames and its findings; those that may be of any of them, with all."""
    _check_readable(source, pool, listing.scenes)
    splits = source.pools[pool]
    if splits == (pool,) and not source.members[pool].is_rule:
        yield pool, listing
        return
    split_of = _split_of(source, splits, listing.scenes)
    chosen: dict[str, list[Scene]] = {split: [] for split in splits}
    left = []
    for scene in listing.scenes:
        if split := split_of.get(scene.key):
            chosen[split].append(replace(scene, split=split))
        else:
            left.append(scene)
    findings = [*_unknown(source, splits, listing)]
    if left:
        few = ", ".join(scene.key for scene in left[:SHOWN]) + ", …" * (len(left) > SHOWN)
        findings.append(Finding("no-split", pool, f"{len(left)} frames belong to none of {', '.join(splits)}: {few}"))
    is_mixed = bool(source.unlabelled_splits.intersection(splits)) and not source.unlabelled_splits.issuperset(splits)
    rules = {split: _taker(source, split) for split in splits if not source.members[split].share}
    homes = [(finding, _homes(source, rules, finding) or splits) for finding in listing.findings]
    for split, scenes in chosen.items():
        absent = listing.absent
        if not scenes and not absent and not any(finding.severity == ERROR for finding in listing.findings):
            found = f"{source.name}: none of the {len(listing.scenes)} frames belongs to {split}."
            absent = Finding("missing-split", split, found)
        origin = f"{len(scenes)} frames of {listing.origin}" if len(splits) > 1 else listing.origin
        own = [finding for finding, of_splits in homes if split in of_splits]
        used, bare = _as_labelled(source, split, scenes) if is_mixed else (tuple(scenes), [])
        yield split, Listing(used, (*own, *bare, *findings), origin, absent)


def _as_labelled(source: Source, split: str, scenes: Sequence[Scene]) -> tuple[tuple[Scene, ...], list[Finding]]:
    """The scenes as the split has them, with labels or without; and what is said of those that lack theirs."""
    if split in source.unlabelled_splits:
        return tuple(replace(scene, labels=None, colors=None) for scene in scenes), []
    used = tuple(scene for scene in scenes if scene.labels or scene.colors)
    bare = [scene for scene in scenes if not (scene.labels or scene.colors)]
    missing = [Finding("missing-label", scene.image.path, f"no label for {scene.key}") for scene in bare]
    return used, without_label(
        split, len(scenes), missing
    ) if source.annotation and source.annotation.is_partial else missing


def _homes(source: Source, rules: Mapping[str, Callable[[str], bool]], finding: Finding) -> Sequence[str]:
    """The splits whose rules take the frame that a finding names."""
    key = next((key for folder in source.folders if (key := folder.key(finding.where)) is not None), "")
    return [split for split, takes in rules.items() if takes(key)]


def _split_of(source: Source, splits: Sequence[str], scenes: Sequence[Scene]) -> Mapping[str, str]:
    """key -> split, of every frame that belongs to one. Raises SourceError for one that belongs to two."""
    found: dict[str, str] = {}
    for split in splits:
        member = source.members[split]
        if member.share:
            continue
        takes = _taker(source, split)
        for scene in scenes:
            if takes(scene.key) and found.setdefault(scene.key, split) != split:
                raise SourceError(
                    f"{source.name}: {scene.key} belongs to {found[scene.key]} and to {split}. A frame belongs to one "
                    "split: mend `where` or the lists of the source file."
                )
    shares = {split: Fraction(str(source.members[split].share)) for split in splits if source.members[split].share}
    if shares and scenes:
        # Of frames that a rule takes: their neighbours would stand in two splits.
        beside = {source.split_group(key) for key in found}
        left = [scene for scene in scenes if source.split_group(scene.key) not in beside]
        found |= _shared_out(source, Shares(shares), left)
    return found


def _shared_out(source: Source, shares: Shares, scenes: Sequence[Scene]) -> Mapping[str, str]:
    """key -> split, of the frames that no other rule takes: what belongs together is never in two splits."""
    sizes = Counter(source.split_group(scene.key) for scene in scenes)
    split_of = share_out(shares, sizes)
    return {scene.key: split_of[source.split_group(scene.key)] for scene in scenes}


def _unknown(source: Source, splits: Sequence[str], listing: Listing) -> list[Finding]:
    """Lines of the splits' lists that name no frame."""
    of_splits = [_list(source, split) for split in splits if source.members[split].list]
    lists = {key: each for each in of_splits for key in each.lines}
    if not lists or not listing.scenes:
        return []
    keys = {scene.key for scene in listing.scenes}
    others = keys | set(told(source.folders, listing.findings))
    return unknown_frames([key for key in lists if key not in others], lists, keys)


def _list(source: Source, split: str) -> SplitList:
    path = source.members[split].list
    return parse_list(split, path, read_list(path, f"{source.name}, split {split}"), source.folders)


def _taker(source: Source, split: str) -> Callable[[str], bool]:
    """Whether the frame with a key is the split's, by its rule on fields, or by its list."""
    member = source.members[split]
    if member.list:
        return _list(source, split).lines.__contains__
    template = Template.parse(source.naming.text, source.fields)
    due = {name: frozenset(map(source.naming.part, values)) for name, values in member.where.items()}

    def takes(key: str) -> bool:
        fields = template.match(key)
        return fields is not None and all(fields[name] in values for name, values in due.items())

    return takes


def _check_readable(source: Source, pool: str, scenes: Sequence[Scene]) -> None:
    """Raise SourceError where the fields of a key, by which frames are grouped, are not those of its file.

    A key of names with underscores can be read in several ways, until `fields` says what each field looks like.
    """
    folder = next(each for each in source.folders if each.pool == pool and each.role == "image")
    uses = source.group_rule or source.split_by_rule or any(source.members[split].where for split in source.pools[pool])
    if source.ships or not uses:
        return
    template = Template.parse(source.naming.text, source.fields)
    for scene in scenes:
        fields = folder.fields(scene.image.path) or {}
        due = {name: source.naming.part(fields[name]) for name in template.fields}
        read = template.match(scene.key)
        if read != due:
            name = next(name for name in due if read is None or read[name] != due[name])
            got = "no field" if read is None else repr(read[name])
            raise SourceError(
                f"{source.name}: the key {scene.key} of {scene.image.path} does not give back its field {name!r}: "
                f"it is {due[name]!r}, and {got} is read. Say under `fields` what it looks like, as {name}: '[0-9]+', "
                "or put another character between the fields of the key."
            )
