"""A dataset as its source file says it: labels, splits, facts, and where its files lie."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

from segdata.base.canonical import canonical_json, digest_bytes
from segdata.errors import OptionError
from segdata.labels.label import COLORS, IDS, Coding, Label, Lookalike
from segdata.raw.scene import AS_THEY_ARE, NEVER, Folder, FrameRule, Official
from segdata.raw.template import Naming, Template
from segdata.sources.tables import label_table

Templates = Mapping[str, str]  # split -> where its files lie, as a template


@dataclass(frozen=True)
class RoleFiles:
    """The files of one role: where they lie by split, what people download to have them, and what lies beside them.

    `instead`: the ending of other files of the same frames ("color.png") -> what to do where there are only these.
    """

    templates: Templates
    packages: Mapping[str, str] = field(default_factory=dict)  # by split
    instead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Annotation:
    """Label files and their coding; those of `fallback` serve where a frame has none of the first kind."""

    files: RoleFiles
    coding: Coding = IDS
    fallback: "Annotation | None" = None
    is_partial: bool = False  # frames without labels are left out


@dataclass(frozen=True)
class Membership:
    """Which frames of the files that several splits share are this split's: by a field's values, a list, or a share."""

    where: Mapping[str, frozenset[str]] = field(default_factory=dict)
    list: str = ""  # path of a file with one frame a line
    share: float = 0.0

    @property
    def is_rule(self) -> bool:
        return bool(self.where or self.list or self.share)


@dataclass(frozen=True)
class GroupRule:
    """Which frames belong together: the fields of a key, and the name of the group made of them.

    A key that is not named so is a group of its own.
    """

    key: re.Pattern[str]
    naming: Naming
    template: str = ""  # the pattern as it is written

    def of(self, key: str) -> str:
        found = self.key.fullmatch(key)
        return self.naming.of(found.groupdict()) if found else key


@dataclass(frozen=True)
class NamedDivision:
    """Other splits than the official ones that come with the source: in words, and split -> (name, text) of lists."""

    about: str
    lists: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Source:
    """A dataset: facts, and where its files lie. Raw ids are what a label file holds, 0 to 255.

    `table` is the label table, or the name of one; it names every id that the dataset defines, and any other id in a
    file is an error. `landmarks` are labels that cover much of any set of frames, but next to nothing where the files
    hold another coding: the other codings in use give their ids to rare labels. `lookalikes` are such codings.

    `members` says of the splits whose files lie in the same places which frames are whose. `ships`: whether the source
    comes with segdata, so that its name says all of it.
    """

    name: str
    table: tuple[Label, ...] | str
    image: RoleFiles
    annotation: Annotation | None
    naming: Naming
    splits: tuple[str, ...]
    fields: Mapping[str, str] = field(default_factory=dict)  # regular expressions of some
    unlabelled_splits: frozenset[str] = frozenset()
    members: Mapping[str, Membership] = field(default_factory=dict)
    official: Mapping[str, Official] = field(default_factory=dict)
    divisions: Mapping[str, NamedDivision] = field(default_factory=dict)
    annotations: Mapping[str, Annotation] = field(default_factory=dict)  # others, which `prepare --labels` chooses
    frame_rule: FrameRule = AS_THEY_ARE
    group_rule: GroupRule | None = None
    split_by_rule: GroupRule | None = None  # what shares and folds never cut in two; None: the group
    default_taxonomy: str = ""  # the name or path of one; "": a class for each label
    landmark_names: tuple[str, ...] = ()
    lookalikes: tuple[Lookalike, ...] = ()
    others: re.Pattern[str] = NEVER  # what begins the paths of everything else that its publishers put there
    title: str = ""
    licence: str = ""
    homepage: str = ""
    citation: str = ""
    ships: bool = False
    text: bytes = b""  # the source file of one that does not ship

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """The label table. Named ones are read when they are asked for: one of them takes another package."""
        return label_table(self.table) if isinstance(self.table, str) else self.table

    @cached_property
    def landmarks(self) -> frozenset[int]:
        return frozenset(label.id for label in self.labels if label.name in self.landmark_names)

    @property
    def about(self) -> str:
        """Title, homepage and citation, a sentence each, as far as they are known."""
        said = [self.title, self.homepage, self.citation and f"To be cited as: {self.citation}"]
        return " ".join(f"{each.rstrip('.')}." for each in said if each)

    @property
    def default_splits(self) -> tuple[str, ...]:
        """Those with labels; of a dataset that has none, all."""
        return tuple(split for split in self.splits if split not in self.unlabelled_splits) or self.splits

    @property
    def coding(self) -> Coding:
        return self.annotation.coding if self.annotation else IDS

    @property
    def fallback(self) -> Coding:
        chained = self.annotation and self.annotation.fallback
        return chained.coding if chained else COLORS

    def with_labels(self, name: str) -> "Source":
        """The source whose labels are made of another annotation. Raises OptionError where it has none of that name."""
        if name == IDS.kind:
            return self
        if name not in self.annotations:
            known = ", ".join([IDS.kind, *self.annotations])
            raise OptionError(f"--labels {name}: {self.name} has no annotation of that name; expected {known}.")
        return replace(self, annotation=self.annotations[name])

    @cached_property
    def digest(self) -> str:
        """What of a source that does not ship decides the bytes of its shards; "" of those that do."""
        if self.ships:
            return ""
        labels = [[label.id, label.name, list(label.color)] for label in self.labels]
        chain = [self.annotation, self.annotation and self.annotation.fallback]
        codings = [[each.coding.kind, each.coding.divisor, each.coding.background] for each in chain if each]
        frames = [self.frame_rule.channels, list(self.frame_rule.range or ())]
        return digest_bytes(canonical_json({"labels": labels, "codings": codings, "frames": frames}))

    # ---- where its files lie --------------------------------------------------------------------------------

    @cached_property
    def pools(self) -> Mapping[str, tuple[str, ...]]:
        """Splits by the place of their files: those of one pool are told apart by their `members`."""
        labelled = {self.image.templates[split]: self._places(split) for split in self._labelled(self.splits)}
        found: dict[tuple[str, ...], list[str]] = {}
        for split in self.splits:
            places = self._places(split)
            alone = split in self.unlabelled_splits  # joins the labelled splits whose images lie where its own do
            found.setdefault(labelled.get(places[0], places) if alone else places, []).append(split)
        return MappingProxyType({" and ".join(splits): tuple(splits) for splits in found.values()})

    @cached_property
    def folders(self) -> tuple[Folder, ...]:
        """Of all pools; one without labels has images alone."""
        return tuple(
            self._folder(pool, lead, role, files)
            for pool, splits in self.pools.items()
            for lead in [next(iter(self._labelled(splits)), splits[0])]
            for role, files in self._roles(lead)
        )

    def cautions(self, splits: Iterable[str]) -> dict[str, str]:
        """The cautions of these official splits, of those that have one."""
        found = {split: self.official[split].caution for split in splits if split in self.official}
        return {split: caution for split, caution in found.items() if caution}

    def group(self, key: str) -> str:
        """The clip that the frame with this key is from: frames of one group resemble each other, as neighbours do.

        Intervals of scores resample groups. The key alone decides.
        """
        return self.group_rule.of(key) if self.group_rule else key

    def split_group(self, key: str) -> str:
        """What shares and folds do not cut in two: by default the group."""
        return self.split_by_rule.of(key) if self.split_by_rule else self.group(key)

    def _roles(self, split: str) -> list[tuple[str, RoleFiles]]:
        """The roles of its files, in the order in which they are told."""
        if not self.annotation or split in self.unlabelled_splits:
            return [("image", self.image)]
        fallback = self.annotation.fallback
        roles = [("image", self.image), ("labels", self.annotation.files)]
        return [*roles, ("colors", fallback.files)] if fallback else roles

    def _labelled(self, splits: Iterable[str]) -> list[str]:
        return [split for split in splits if self.annotation and split not in self.unlabelled_splits]

    def _places(self, split: str) -> tuple[str, ...]:
        return tuple(files.templates[split] for _, files in self._roles(split))

    def _folder(self, pool: str, split: str, role: str, files: RoleFiles) -> Folder:
        template = Template.parse(files.templates[split], self.fields)
        package = files.packages.get(split, "")
        beside = NEVER if role == "image" else self._beside(template, files.instead)
        skips = role == "labels" and self.annotation is not None and self.annotation.is_partial
        mixed = role == "image" and 0 < len(self._labelled(self.pools[pool])) < len(self.pools[pool])
        return Folder(template.folder, pool, role, template, self.naming, package, beside, files.instead, skips, mixed)

    def _beside(self, template: Template, endings: Mapping[str, str]) -> re.Pattern[str]:
        """Names like the template's with one of the other endings, which begin after its last underscore."""
        start, underscore, own = template.text.rpartition("/")[2].rpartition("_")
        others = [each for each in endings if each != own]
        if not underscore or not others or "}" in own:
            return NEVER
        ending = "|".join(re.sub(r"\\\.\w+$", lambda suffix: f"(?i:{suffix[0]})", re.escape(each)) for each in others)
        return Template.parse(f"{start}_{{its_ending}}", {**self.fields, "its_ending": ending}).pattern
