"""Which labels belong to which images: by folders that differ in a word alone, and names that do.

A folder of labels is compared with the folders of images that have the same names around it, so that the work grows
with the number of files. How a label's name differs from its image's is a rule, found from a few and tried on all.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from segdata.drafting.finding.batches import Batch
from segdata.drafting.finding.roles import Role, Roles, spread
from segdata.drafting.finding.words import LABEL, LESS, OTHER, SEPARATORS, boundaries, split_of
from segdata.raw.member import Member

RANKS = ("ids", "palette", "ids16", "colors", "polygons", "labelme")  # the best labels first
TRIED = 12  # names of which a rule is found
LEAST = 0.5  # share of a batch's labels that have an image
MANY = 40  # folders of images that are tried for one of labels, where names do not tell


@dataclass(frozen=True)
class Rule:
    """How names differ: where a label's has `label`, the image's has `image`; place: "start", "end" or "middle"."""

    place: str
    label: str
    image: str

    def image_of(self, core: str) -> str | None:
        """The image's name for that of a label; None of a label that is not named so."""
        if self.place == "start":
            return self.image + core[len(self.label) :] if core.startswith(self.label) else None
        if self.place == "end":
            return core[: len(core) - len(self.label)] + self.image if core.endswith(self.label) else None
        return core.replace(self.label, self.image, 1) if self.label in core else None


SAME = Rule("end", "", "")


@dataclass(frozen=True)
class Match:
    """A batch of labels with its batch of images: pairs are (core of the label, image, label)."""

    image: Role
    label: Role
    rule: Rule

    @property
    def words(self) -> tuple[str, ...]:
        """What names have around and between what varies, of images and of labels."""
        rule, image, label = self.rule, self.image.batch, self.label.batch
        at = ("start", "end", "middle").index(rule.place)
        found = []
        for batch, own in ((image, rule.image), (label, rule.label)):
            found += [batch.head + own * (at == 0), own * (at == 1) + batch.tail, own * (at == 2)]
        return tuple(found)

    @cached_property
    def pairs(self) -> list[tuple[str, Member, Member]]:
        images = self.image.batch.files
        named = ((core, self.rule.image_of(core), label) for core, label in self.label.batch.files.items())
        return [(core, images[name], label) for core, name, label in named if name in images]


@dataclass(frozen=True)
class Annotation:
    """Labels of one kind for the images of all folders."""

    kind: str
    matches: tuple[Match, ...]

    @cached_property
    def count(self) -> int:
        return sum(len(match.pairs) for match in self.matches)

    @property
    def name(self) -> str:
        """For people, with one folder of several."""
        others = len(self.matches) - 1
        more = f" (and in {others} other folder{'s' * (others > 1)})" if others else ""
        return f"{self.matches[0].label.batch.name}{more}"


def find_annotations(roles: Roles) -> list[Annotation]:
    """Every kind of labels that the images have, the best first."""
    images = roles.of("image")
    labels = roles.of(*RANKS)
    signed = _Signatures(images, labels)
    stems = _owners(images)
    found: dict[object, list[Match]] = defaultdict(list)
    rules = Counter[Rule]({SAME: 1})
    for label in sorted(labels, key=lambda role: -len(role.batch.files)):  # of many files, a rule is sure
        for match in _matched(label, signed.near(label), stems, rules):
            rules[match.rule] += 1
            found[_kind(match)].append(match)
    annotations = [
        Annotation(max((match.label.kind for match in matches), key=RANKS.index), tuple(matches))
        for matches in found.values()
    ]
    most = max((each.count for each in annotations), default=0)
    return sorted(annotations, key=lambda each: (*_worth(each, most), each.name))


def _worth(annotation: Annotation, most: int) -> tuple[int, ...]:
    """By which the best one is the smallest."""
    name = annotation.matches[0].label.batch.name
    return (
        int(2 * annotation.count < most),
        int(bool(OTHER.search(name))),
        RANKS.index(annotation.kind),
        int(bool(LESS.search(name))),
        -annotation.count,
        int(not LABEL.search(name)),
    )


def _kind(match: Match) -> object:
    """What labels of one kind share: coding, name, rule, and their folders but for names of splits and drives."""
    image, label = match.image.batch, match.label.batch
    shared = set(image.parts)
    parts = []
    for part in label.parts:
        split = split_of(part)
        parts.append(f"{split[0]}{{split}}{split[2]}" if split else "*" if part in shared else part)
    kind = "palette" if match.label.kind == "ids" else match.label.kind  # some folders may have one, some the other
    return (kind, label.suffixes, *match.words, *parts)


# ---- folders that belong together ---------------------------------------------------------------------------


class _Signatures:
    """Folders by the names that images and labels share, in order: leftImg8bit/train/aachen and gtFine/train/aachen are
    both (train, aachen)."""

    def __init__(self, images: Sequence[Role], labels: Sequence[Role]) -> None:
        ours, theirs = ({part for role in roles for part in role.batch.parts} for roles in (images, labels))
        self.shared = ours & theirs
        self.images: dict[tuple[str, ...], list[Role]] = defaultdict(list)
        for role in images:
            self.images[self.of(role.batch)].append(role)

    def of(self, batch: Batch) -> tuple[str, ...]:
        found = []
        for part in batch.parts:
            split = split_of(part)
            if split:
                found.append(f"split {split[1].lower()}")
            elif part in self.shared:
                found.append(part)
        return tuple(found)

    def near(self, label: Role) -> list[Role]:
        """Images in like folders, those of the same folder first."""
        return sorted(self.images[self.of(label.batch)], key=lambda role: role.batch.folder != label.batch.folder)


def _owners(images: Sequence[Role]) -> Mapping[str, list[Role]]:
    """Name -> the batches of images that have it, as far as these are few."""
    found: dict[str, list[Role]] = defaultdict(list)
    for role in images:
        for core in role.batch.files:
            if len(found[core]) < MANY:
                found[core].append(role)
    return found


def _matched(label: Role, near: Sequence[Role], stems: Mapping[str, list[Role]], rules: Counter[Rule]) -> list[Match]:
    """The matches with the images of like folders, else with those that have the same names."""
    good = [match for role in near[:MANY] if (match := _match(role, label, rules))]
    if not good:
        owners = {id(role): role for core in list(label.batch.files)[:TRIED] for role in stems.get(core, ())}
        good = [match for role in owners.values() if (match := _match(role, label, rules))]
    chosen, taken = list[Match](), set[str]()
    for match in sorted(good, key=lambda match: (-len(match.pairs), _apart(match))):
        cores = {core for core, _, _ in match.pairs}
        if not cores & taken:  # labels of one folder may have their images in several
            chosen.append(match)
            taken |= cores
    return chosen


def _apart(match: Match) -> int:
    """How many names of the folders differ."""
    return len(set(match.image.batch.parts) ^ set(match.label.batch.parts))


def _match(image: Role, label: Role, rules: Counter[Rule]) -> Match | None:
    """By a rule that holds elsewhere, or a new one."""
    known = [rule for rule, _ in rules.most_common(5)]
    best = max((Match(image, label, rule) for rule in known), key=lambda match: len(match.pairs))
    if len(best.pairs) < LEAST * len(label.batch.files):
        new = _found_rule(image.batch, label.batch)
        best = max((best, Match(image, label, new or SAME)), key=lambda match: len(match.pairs))
    enough = len(best.pairs) >= LEAST * len(label.batch.files) or len(best.pairs) >= LEAST * len(image.batch.files)
    return best if best.pairs and enough else None


# ---- rules --------------------------------------------------------------------------------------------------


def _found_rule(image: Batch, label: Batch) -> Rule | None:
    """The rule by which most of some labels have an image that is named almost like them."""
    names = sorted(image.files)
    turned = sorted(name[::-1] for name in names)
    votes = Counter[Rule]()
    cores = {member.path: core for core, member in label.files.items()}
    for member in spread(label.files.values(), TRIED):
        core = cores[member.path]
        for near in {*_around(names, core), *(name[::-1] for name in _around(turned, core[::-1]))}:
            if rule := _difference(near, core):
                votes[rule] += 1
    for rule, count in votes.most_common(3):
        is_word = bool(LABEL.search(rule.label)) and not any(map(str.isdigit, rule.image))
        is_single = len(image.files) == len(label.files) == 1 and not (rule.label + rule.image).strip("_-. ").isdigit()
        if count > 1 or is_word or is_single:
            return rule
    return None


def _around(names: Sequence[str], name: str) -> Iterator[str]:
    """The neighbours of a name in their order."""
    at = bisect_left(names, name)
    yield from names[max(0, at - 1) : at + 2]


def _difference(image: str, label: str) -> Rule | None:
    """The part in which two names differ, widened to whole words; None of names that share nothing."""
    same, least = 0, min(len(image), len(label))
    while same < least and image[same] == label[same]:
        same += 1
    ours, theirs = boundaries(image), boundaries(label)
    while same and not (same in ours and same in theirs):
        same -= 1
    end = 0
    while end < least - same and image[-1 - end] == label[-1 - end]:
        end += 1
    while end and not (len(image) - end in ours and len(label) - end in theirs):
        end -= 1
    mine, other = image[same : len(image) - end], label[same : len(label) - end]
    if not same and not end:
        return None
    before = label[same - 1] if same and label[same - 1] in SEPARATORS else ""
    after = label[-end] if end and label[-end] in SEPARATORS else ""
    both = bool(mine and other)  # the separator goes with the words that differ
    if not end:
        return Rule("end", before * both + other, before * both + mine)
    if not same:
        return Rule("start", other + after * both, mine + after * both)
    return Rule("middle", f"{before}{other}{after}", f"{before}{mine}{after}") if other else None
