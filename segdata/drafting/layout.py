"""A layout: the templates of a draft, and the pairs that they match."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from segdata.raw.template import PLAIN_FIELD, Naming, Template


@dataclass(frozen=True)
class Pair:
    """An image and its labels by their paths, the split's folder, and the values of all fields."""

    image: str
    label: str
    split: str
    fields: Mapping[str, str]


@dataclass
class Layout:
    """image, annotation: templates. splits: name -> folder, without any "" -> "". group: a name made of fields, or "".

    fields: regular expressions. alone: images without labels in labelled splits; bare: splits without any labels.
    left: images of pairs that the templates do not match. over: files that they match and that are none of the pairs.
    where: the field that says the split, where the templates have no {split}; dropped: bare splits that this costs.
    """

    image: str
    annotation: str
    pairs: list[Pair]
    fields: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    bare: dict[str, list[str]] = field(default_factory=dict)  # split -> its images
    key: str = ""
    safe: bool = False
    group: str = ""
    alone: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    where: str = ""
    dropped: dict[str, list[str]] = field(default_factory=dict)
    over: list[str] = field(default_factory=list)

    def template(self, role: str, split: str) -> Template:
        """The template of "image" or "annotation" in a split."""
        text = self.image if role == "image" else self.annotation
        return Template.parse(text.replace("{split}", self.splits.get(split, "")), self.fields)

    def matched(self, role: str, split: str, paths: Iterable[str]) -> dict[str, dict[str, str]]:
        """path -> fields of the files that a template matches."""
        template = self.template(role, split)
        start = f"{template.folder}/" if template.folder else ""
        found = ((path, template.match(path[len(start) :])) for path in paths if path.startswith(start))
        return {path: values for path, values in found if values is not None}

    @property
    def naming(self) -> Naming:
        """How keys are made."""
        shared = set(fields_of(self.annotation)) - {"split"}
        names = [name for name in fields_of(self.image) if name in shared]
        return Naming(self.key or "_".join(f"{{{name}}}" for name in names), self.safe)


def fields_of(template: str) -> list[str]:
    """In order, {split} among them."""
    return list(dict.fromkeys(PLAIN_FIELD.findall(template)))
