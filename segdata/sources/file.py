"""Source files: a dataset as one YAML file, checked to the line.

A source that ships is such a file in this folder; anybody's own is read alike. `extends` takes over what another one
says, key by key. docs/datasets.md describes the form.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from segdata.base.files import parsing, read_file
from segdata.documents.yaml import PLAIN, Entry, nearest, optional, read_yaml
from segdata.errors import SourceError
from segdata.labels.label import IDS
from segdata.raw.template import PLAIN_FIELD, Naming, Template
from segdata.sources.facts import read_divisions, read_frame_rule, read_lookalike, read_official, read_others
from segdata.sources.home import HOME
from segdata.sources.places import (
    OF_FRAMES,
    THE_SPLIT,
    Splits,
    Table,
    mapping,
    read_annotation,
    read_fields,
    read_files,
    read_group_rule,
    read_members,
    read_naming,
    read_splits,
    rows,
    words,
)
from segdata.sources.source import Annotation, Source
from segdata.sources.tables import read_table

MAX_BYTES = 1 << 20  # a hundred times the longest here
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # goes into file names, globs, brace urls and YAML
LONGEST = 100  # characters of a name
COMMENT = re.compile(rb"(^|\s)#.*")
OPEN = b"???"  # what `segdata init` could not know
DEEPEST = 4  # sources that extend each other

FACTS = ("title", "licence", "homepage", "citation")
REQUIRED = ("name", "labels", "image", "splits")
OPTIONAL = (
    *("annotation", "other_annotations", "fields", "key", "safe_keys", "group", "split_by", "taxonomy", "extends"),
    *(*FACTS, "divisions", "landmarks", "lookalikes", "others"),
)


def load_source(path: Path) -> Source:
    """A source from a file of the user's; a copy of the file of one that ships is that one. Raises SourceError."""
    try:
        data = read_file(path, MAX_BYTES, SourceError)
    except FileNotFoundError:
        raise SourceError(f"no source file {path}.") from None
    if any(shipped(name).read_bytes() == data for name in shipped_names()):
        return read_source(data, str(path), HOME, ships=True)
    return read_source(data, str(path), path.absolute().parent)


def read_source(data: bytes, where: str, home: Path | None, *, ships: bool = False) -> Source:
    """Parse and check; `where` names the file in messages, and paths in it are relative to the folder `home`.

    None as `home`: the files that it names are not at hand, as those of the copy in a set, and nothing of them is read.

    Raises SourceError that says what is wrong in which line.
    """
    if len(data) > MAX_BYTES:
        raise SourceError(f"{where}: {len(data)} bytes; a source file has at most {MAX_BYTES}.")
    with parsing(where, SourceError, PLAIN):
        found = _source(_extended(_document(data, where), DEEPEST), home, ships=ships)
    return found if ships else replace(found, text=data)


def shipped(name: str) -> Path:
    """Where the file of a source that ships would be."""
    return HOME / f"{name}.yaml"


@cache
def shipped_names() -> tuple[str, ...]:
    """The sources that ship, in order."""
    return tuple(sorted(path.stem for path in HOME.glob("*.yaml")))


def _document(data: bytes, where: str) -> Entry:
    _check_filled_in(data, where)
    document = read_yaml(data, where, SourceError)
    if document.value is None:
        raise document.wrong("is empty, expected a source file: name, labels, image, splits.")
    return document


def _check_filled_in(data: bytes, where: str) -> None:
    """Raise SourceError for a line that `segdata init` left open, whatever YAML makes of it."""
    lines = [COMMENT.sub(b"", line) for line in data.replace(b"\0", b"").splitlines()]  # of UTF-16 too
    if left := [number for number, line in enumerate(lines, start=1) if OPEN in line]:
        more = f" (and in {len(left) - 1} more lines)" if len(left) > 1 else ""
        raise SourceError(
            f"{where}, line {left[0]}{more}: {OPEN.decode()} stands for what is not known yet. Write the value in its "
            "place."
        )


def _extended(document: Entry, left: int) -> Entry:
    """The document with what it extends, as far as it does not say it itself."""
    own: dict[str, Entry] = document.typed(dict, "")
    if "extends" not in own:
        return document
    name = own["extends"].typed(str, "extends")
    path = shipped(name)
    if not NAME.fullmatch(name) or not path.is_file():
        raise own["extends"].wrong(f"extends: no source {name!r} ships{nearest(name, shipped_names())}.")
    if not left:
        raise own["extends"].wrong(f"extends: more than {DEEPEST} sources that extend each other.")
    base = _extended(_document(path.read_bytes(), path.name), left - 1)
    taken = {key: _taken_over(each, own["extends"].place) for key, each in base.value.items()}
    return Entry(taken | own, document.place, document.error)


def _taken_over(entry: Entry, place: str) -> Entry:
    """An entry of another source's file, told at the line that extends it: the user has no other file to mend."""
    value = entry.value
    if isinstance(value, dict):
        value = {key: _taken_over(each, place) for key, each in value.items()}
    elif isinstance(value, list):
        value = [_taken_over(each, place) for each in value]
    where = entry.place if entry.place.startswith(place) else f"{place}, which takes over {entry.place}"
    return replace(entry, value=value, place=where)


def _source(document: Entry, home: Path | None, *, ships: bool) -> Source:
    table = document.table("", REQUIRED, OPTIONAL)
    name = table["name"].typed(str, "name")
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise table["name"].wrong(
            f"name: {name[:LONGEST]!r}; expected letters, digits, '_', '-' and '.', at most {LONGEST} of them."
        )
    if shipped(name).is_file() and not ships:
        raise table["name"].wrong(f"name: {name} is a source that ships with segdata. Give yours a name of its own.")
    fields = read_fields(table.get("fields"))
    splits = read_splits(table["splits"])
    unlabelled = _unlabelled(table, splits)
    labelled = {split: row for split, row in splits.items() if split not in unlabelled}
    image = read_files(table["image"], "image", "image", splits, fields, OF_FRAMES)
    annotation = (
        read_annotation(table["annotation"], "annotation", "annotation", labelled, fields) if labelled else None
    )
    others = {
        key: read_annotation(each, key, "", labelled, fields)
        for key, each in mapping(table.get("other_annotations"), "other_annotations").items()
        if labelled
    }
    chain = [each.files for each in (annotation, annotation and annotation.fallback) if each]
    naming = read_naming(table, [image, *chain], fields)
    _check_others(table, others, naming, fields)
    facts = {fact: optional(table, fact, "", "") for fact in FACTS}
    official = {split: read_official(row, split, home) if home else None for split, row in splits.items()}
    source = Source(
        name=name,
        table=read_table(table["labels"]),
        image=image,
        annotation=annotation,
        annotations=others,
        naming=naming,
        fields=fields,
        splits=tuple(splits),
        unlabelled_splits=unlabelled,
        members={split: read_members(row, split, naming, home) for split, row in splits.items()},
        official={split: found for split, found in official.items() if found},
        divisions=read_divisions(table.get("divisions"), home) if home else {},
        frame_rule=read_frame_rule(table["image"]),
        group_rule=read_group_rule(table.get("group"), "group", naming, fields),
        split_by_rule=read_group_rule(table.get("split_by"), "split_by", naming, fields),
        default_taxonomy=_taxonomy(table, home),
        landmark_names=tuple(words(table.get("landmarks"), "landmarks")),
        lookalikes=tuple(map(read_lookalike, rows(table.get("lookalikes"), "lookalikes"))),
        others=read_others(table.get("others")),
        title=facts["title"],
        licence=facts["licence"],
        homepage=facts["homepage"],
        citation=facts["citation"],
        ships=ships,
    )
    if not ships:  # a table that ships may take another package, and is tested
        _check_names(source, table)
    _check_used(source, table, splits)
    _check_pools(source, table)
    return source


def _unlabelled(table: Table, splits: Splits) -> frozenset[str]:
    """Splits that say `annotated: false`; all of a source that says nothing of annotations."""
    found = {split for split, row in splits.items() if not optional(row, "annotated", f"split {split}", True)}
    return frozenset(found if "annotation" in table else splits)


def _check_others(
    table: Table, annotations: Mapping[str, Annotation], naming: Naming, fields: Mapping[str, str]
) -> None:  # fmt: skip
    """Raise the error for other annotations that `--labels` cannot choose, or whose files have no key."""
    for name, entry in mapping(table.get("other_annotations"), "other_annotations").items():
        if name == IDS.kind:
            raise entry.wrong(f"other_annotations: {name!r} means the usual label files. Give these another name.")
        found = annotations.get(name)
        for text in _templates(found, found and found.fallback):
            there = Template.parse(text, fields).fields
            if lacking := [field for field in naming.fields if field not in there]:
                raise entry.wrong(f"other_annotations: {name}: {text} lacks the field {lacking[0]!r} of the key.")


def _templates(*annotations: Annotation | None) -> list[str]:
    return [text for each in annotations if each for text in each.files.templates.values()]


def _taxonomy(table: Table, home: Path | None) -> str:
    """The name of a taxonomy, or the path of one; "" where none is named."""
    name = optional(table, "taxonomy", "", "")
    return str((home or Path()) / name) if Path(name).suffix in {".yaml", ".yml"} else name


def _check_names(source: Source, table: Table) -> None:
    """Raise the error for labels that are named and not in the table."""
    names = {label.name for label in source.labels}
    told = [("landmarks", name) for name in source.landmark_names]
    chain = [
        part for each in (source.annotation, *source.annotations.values()) if each for part in (each, each.fallback)
    ]
    told += [("annotation", each.coding.background) for each in chain if each and each.coding.background]
    for key, name in told:
        if name not in names:
            raise table[key].wrong(f"{key}: the label table has no {name!r}{nearest(name, names)}.")


def _check_used(source: Source, table: Table, splits: Splits) -> None:
    """Raise the error for what changes nothing: a folder that no template names, a field that stands nowhere."""
    places = str([table[key].plain() for key in ("image", "annotation", "other_annotations", "splits") if key in table])
    for split, row in splits.items():
        if "folder" in row and THE_SPLIT not in places:
            raise row["folder"].wrong(f"split {split}: a folder, and no template has {THE_SPLIT} where it would stand.")
    rules = [rule.key.groupindex for rule in (source.group_rule, source.split_by_rule) if rule]
    used = {*PLAIN_FIELD.findall(places), *(name for rule in rules for name in rule)}
    for name, entry in mapping(table.get("fields"), "fields").items():
        if name not in used and _is_own(entry, table):  # one that is extended may have templates of other fields
            raise entry.wrong(f"fields: {name} stands in no template{nearest(name, used)}.")


def _is_own(entry: Entry, table: Table) -> bool:
    """Whether it stands in this file, as the name does, and not in one that it extends."""
    return entry.place.partition(", line")[0] == table["name"].place.partition(", line")[0]


def _check_pools(source: Source, table: Table) -> None:
    """Raise the error where splits share their files and do not say which frames are whose."""
    for pool in source.pools.values():
        ruled = [split for split in pool if source.members[split].is_rule]
        if len(pool) > 1 and len(ruled) < len(pool):
            bare = next(split for split in pool if split not in ruled)
            raise table["splits"].wrong(
                f"splits: the files of {' and '.join(pool)} lie in the same places, and {bare} does not say which "
                "frames are its own. Write {split} into the templates, or give each split `where`, `list` or `share`."
            )
        shares = [source.members[split].share for split in pool]
        if sum(shares) > 1 + 1e-9:
            raise table["splits"].wrong(
                f"splits: the shares of {' and '.join(pool)} add up to {sum(shares):g}; expected at most 1."
            )
