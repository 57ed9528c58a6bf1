"""What a source file says of places: splits, where files lie, keys, and which frames belong together."""

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from segdata.documents.yaml import Entry, optional
from segdata.labels.label import CODINGS, DRAWN, Coding
from segdata.raw.template import FIELD, Naming, Template
from segdata.sources.home import HOME
from segdata.sources.source import Annotation, GroupRule, Membership, RoleFiles

T = TypeVar("T")
Table = Mapping[str, Entry]
Splits = Mapping[str, Table]  # split -> what its row says

LONGEST = 60  # characters of the name of a split
GROUP = re.compile(r"\((?:\?[:=!<]=?!?)?(?P<inside>[^()]*)\)(?P<times>[*+{]?)")
SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # goes into the names of shards
THE_SPLIT = "{split}"
OF_SPLIT = ("folder", "annotated", "where", "list", "share", "official", "caution", "image", "annotation")
OF_FILES = ("files", "package", "instead")
OF_SPLIT_FILES = ("files", "package")  # what a split may say of its own; coding and channels are those of all
OF_FRAMES = ("channels", "range")
OF_FALLBACK = ("coding", "divisor", "background")
OF_ANNOTATION = (*OF_FALLBACK, "fallback", "missing")
MISSING = ("refuse", "skip")  # what becomes of an image that has no label


def read_splits(entry: Entry) -> dict[str, Table]:
    """The splits in order; a list of names is a table of empty rows."""
    if isinstance(entry.value, list):
        names = words(entry, "splits")
        if twice := [name for name in names if names.count(name) > 1]:
            raise entry.wrong(f"splits: {twice[0]!r} stands 2 times. Name each split once.")
        empty = {name: Entry({}, each.place, each.error) for name, each in zip(names, entry.value, strict=True)}
        entry = Entry(empty, entry.place, entry.error)
    rows: dict[str, Entry] = entry.typed(dict, "splits")
    if not rows:
        raise entry.wrong("splits: none, expected at least one, such as [train, val].")
    for name, row in rows.items():
        if not SPLIT.fullmatch(name) or len(name) > LONGEST:
            raise row.wrong(
                f"splits: {name[:LONGEST]!r}; expected letters, digits, '_' and '-', at most {LONGEST} of them."
            )
    return {name: {} if row.value is None else row.table(f"split {name}", (), OF_SPLIT) for name, row in rows.items()}


def read_fields(entry: Entry | None) -> dict[str, str]:
    """Regular expressions of fields."""
    found = {}
    for name, row in mapping(entry, "fields").items():
        text = row.typed(str, f"fields: {name}")
        if not FIELD.fullmatch(name) or name == "split":
            raise row.wrong(f"fields: {name!r} is no name of a field: expected small letters, digits and '_'.")
        if _checked(row, f"fields: {name}", partial(re.compile, text)).groups:
            raise row.wrong(f"fields: {name}: a group in parentheses; write (?:…) instead of (…) or (?P<…>…).")
        if _may_hang(text):
            raise row.wrong(
                f"fields: {name}: a repeated group that itself repeats or chooses, on which matching may take forever. "
                "Write it without the inner one, such as [a-z0-9]+."
            )
        found[name] = text
    return found


def _may_hang(expression: str) -> bool:
    """Whether a group is repeated that holds a repetition or a choice: then a name can be read in very many ways."""
    text = re.sub(r"\\.", "x", expression, flags=re.DOTALL)  # an escaped character, then sets, are one character each
    text = re.sub(r"\[\^?\]?[^]]*\]", "x", text)
    while found := GROUP.search(text):
        risky = bool(re.search(r"[*+{|]", found["inside"]))
        if risky and found["times"]:
            return True
        # What is left of it holds a repetition for the groups around it.
        text = text[: found.start()] + ("x*" if risky else "x") + found["times"] + text[found.end() :]
    return False


def read_files(
    entry: Entry, what: str, key: str, splits: Splits, fields: Mapping[str, str], more: Collection[str]
) -> RoleFiles:
    """The files of one role, for each of the splits: the templates of the entry, or those of a split's own row.

    key: how a split's row calls the role, "" where it says nothing of it; more: what the entry may say besides.
    """
    templates, packages = dict[str, str](), dict[str, str]()
    common = of_files(entry, what, (*OF_FILES, *more))
    for split, row in splits.items():
        own = of_files(row[key], f"split {split}: {key}", OF_SPLIT_FILES) if key in row else {}
        table = {**common, **own}
        if "files" not in table:
            raise entry.wrong(f"{what}: missing key 'files', the template of its files.")
        text = table["files"].typed(str, f"{what}: files")
        folder = optional(row, "folder", f"split {split}", split)
        templates[split] = text.replace(THE_SPLIT, folder)
        _checked(table["files"], f"{what}: {text}", partial(Template.parse, templates[split], fields))
        packages[split] = optional(table, "package", what, "")
    instead = {end: each.typed(str, f"{what}: {end}") for end, each in mapping(common.get("instead"), what).items()}
    return RoleFiles(templates, packages, instead)


def of_files(entry: Entry, what: str, known: Collection[str]) -> dict[str, Entry]:
    """What is said of the files of one role, with these keys at most; a text alone is their template."""
    return {"files": entry} if isinstance(entry.value, str) else entry.table(what, (), known)


def read_annotation(
    entry: Entry,
    what: str,
    key: str,
    splits: Splits,
    fields: Mapping[str, str],
    more: Collection[str] = OF_ANNOTATION,
) -> Annotation:
    """Label files and their coding; key and more: as in `read_files`."""
    files = read_files(entry, what, key, splits, fields, more)
    table = of_files(entry, what, (*OF_FILES, *more))
    kind = optional(table, "coding", what, Coding.kind)
    if kind not in CODINGS:
        raise table["coding"].wrong(f"{what}: coding {kind!r}; expected one of {', '.join(CODINGS)}.")
    if "divisor" in table and kind != "ids16":
        raise table["divisor"].wrong(f"{what}: a divisor is for the coding ids16, this is {kind}.")
    if "background" in table and kind not in DRAWN:
        raise table["background"].wrong(
            f"{what}: a background is for the codings polygons and labelme, this is {kind}."
        )
    if "background" not in table and kind in DRAWN:
        raise entry.wrong(f"{what}: missing key 'background', the label of pixels that no object covers.")
    missing = optional(table, "missing", what, MISSING[0])
    if missing not in MISSING:
        raise table["missing"].wrong(f"{what}: missing {missing!r}; expected {' or '.join(MISSING)}.")
    divisor = optional(table, "divisor", what, Coding.divisor)
    if not 1 <= divisor <= 65535:
        raise table["divisor"].wrong(f"{what}: divisor {divisor}; expected 1 to 65535.")
    background = optional(table, "background", what, Coding.background)
    fallback = None
    if "fallback" in table:
        fallback = read_annotation(table["fallback"], f"{what}: fallback", "", splits, fields, OF_FALLBACK)
    return Annotation(files, Coding(kind, divisor, background), fallback, missing == "skip")


def read_naming(table: Table, files: Collection[RoleFiles], fields: Mapping[str, str]) -> Naming:
    """How keys are made. Every template must have the fields of the key: by these, images and labels join."""
    safe = optional(table, "safe_keys", "", False)
    templates = [Template.parse(text, fields) for each in files for text in each.templates.values()]
    shared = [name for name in templates[0].fields if all(name in each.fields for each in templates)]
    if "key" in table:
        naming = Naming(table["key"].typed(str, "key"), safe)
        _checked(table["key"], f"key: {naming.text}", lambda: naming.check(shared))
        return naming
    if not shared:
        raise table["image"].wrong(
            "image: its template and that of the annotation share no field, so that nothing joins them. Give the part "
            "of their names that is equal the same field, such as {name}."
        )
    return Naming("_".join(f"{{{name}}}" for name in shared), safe)


def read_members(row: Table, split: str, naming: Naming, home: Path | None) -> Membership:
    """Which frames are the split's, where several share their files. Without `home` no list is looked for."""
    given = [key for key in ("where", "list", "share") if key in row]
    if len(given) > 1:
        raise row[given[1]].wrong(f"split {split}: {' and '.join(given)}; expected one of them.")
    if "where" in row:
        where = {}
        for name, each in mapping(row["where"], f"split {split}: where").items():
            values = each.value if isinstance(each.value, list) else [each]
            where[name] = frozenset(value.typed(str, f"split {split}: {name}") for value in values)
            if name not in naming.fields:
                known = ", ".join(naming.fields)
                raise each.wrong(f"split {split}: where: the key has no field {name!r}; it has {known}.")
        return Membership(where=where)
    if "list" in row:
        name = row["list"].typed(str, f"split {split}: list")
        path = list_path(home, name) if home else Path(name)
        if home and not path.is_file():
            raise row["list"].wrong(f"split {split}: no list {path}. Name a text file with one frame a line.")
        return Membership(list=str(path))
    if "share" in row:
        share = row["share"].value
        if type(share) not in {int, float} or not 0 < share <= 1:
            raise row["share"].wrong(f"split {split}: share {row['share'].shown()}; expected a number between 0 and 1.")
        return Membership(share=share)
    return Membership()


def read_group_rule(entry: Entry | None, what: str, naming: Naming, fields: Mapping[str, str]) -> GroupRule | None:
    """Which frames belong together: a name made of the key's fields, or of those of another reading of the key."""
    if entry is None:
        return None
    if isinstance(entry.value, dict):
        table = entry.table(what, ("key", "name"), ())
        key, text = (table[part].typed(str, f"{what}: {part}") for part in ("key", "name"))
    else:
        key, text = naming.text, entry.typed(str, what)
    name = Naming(text)
    template = _checked(entry, f"{what}: {key}", lambda: Template.parse(key, fields))
    _checked(entry, f"{what}: {name.text}", lambda: name.check(template.fields))
    return GroupRule(template.pattern, name, key)


def list_path(home: Path, name: str) -> Path:
    """Where a list of a source file in the folder `home` lies: there, or where that of an extended source does."""
    own, shipped = home / name, HOME / name
    return shipped if shipped.is_file() and not own.is_file() else own


def mapping(entry: Entry | None, what: str) -> dict[str, Entry]:
    """Keys with values; nothing where nothing is said."""
    if entry is None or entry.value is None:
        return {}
    found: dict[str, Entry] = entry.typed(dict, what)
    return found


def rows(entry: Entry | None, what: str) -> list[Entry]:
    """A list of anything; nothing where nothing is said."""
    return [] if entry is None else entry.typed(list, what)


def words(entry: Entry | None, what: str) -> list[str]:
    """A list of texts; nothing where nothing is said."""
    return [each.typed(str, what) for each in rows(entry, what)]


def _checked(entry: Entry, what: str, made: Callable[[], T]) -> T:
    """What is made; where it cannot be, the entry's error says why."""
    try:
        return made()
    except (ValueError, re.error) as error:
        raise entry.wrong(f"{what}: {error}.") from None
