"""What lies beside the folders: the source file that prepares them again, its taxonomy, and a page for people."""

import re
from collections.abc import Mapping
from dataclasses import replace
from shlex import quote

from segdata.base.canonical import pretty_json
from segdata.documents.yaml import flow
from segdata.labels.taxonomy import Taxonomy
from segdata.making.survey import PAINTED
from segdata.reading.listed import source_of
from segdata.reading.shardset import ShardSet
from segdata.sources.source import GroupRule
from segdata.unpacking.ids import PART, Ids

SOURCE, TAXONOMY, CARD = "source.yaml", "taxonomy.yaml", "README.md"
GROUPS = (
    " The set says which frames belong together by a rule of its own source. To keep it, add `group: {key: KEY, name: "
    f"GROUP}}` to the `{SOURCE}` here: KEY is the template of the keys in the `{SOURCE}` of the set, such as "
    '`"{drive}_{frame}"`, and GROUP its `group`. Copy `fields` too, and `split_by` in the same form.'
)
COLORS = "* `colors/SPLIT/NAME.png`: the labels in the colours below, for people; ignored pixels are black.\n"


def documents(sets: Mapping[str, ShardSet], ids: Ids, *, colors: bool) -> dict[str, bytes]:
    """Path -> bytes. The source file names the set's fingerprint: it is the same for the same pictures alone.

    colors: whether there is a folder of colour pictures as well.
    """
    first = next(iter(sets.values()))
    taxonomy = _taxonomy(first.taxonomy, ids)
    found = {
        SOURCE: _source(sets, ids, colors).encode("ascii"),
        TAXONOMY: taxonomy.yaml().encode("ascii"),
        CARD: _card(sets, ids, colors).encode("utf-8", "backslashreplace"),
    }
    if first.manifest.document["source"].get("painted"):
        found[PAINTED] = pretty_json({"complete": True, "painted": True, "unpacked": first.manifest.name})
    return found


def suffix(shards: ShardSet) -> str:
    """Of the split's images: png, jpg or webp."""
    return next(part.partition(".")[2] for part in shards.parts if part.startswith("image."))


# ---- for `prepare` ------------------------------------------------------------------------------------------


def _source(sets: Mapping[str, ShardSet], ids: Ids, colors: bool) -> str:
    manifest = next(iter(sets.values())).manifest
    suffixes = sorted({suffix(shards) for shards in sets.values()})
    image = suffixes[0] if len(suffixes) == 1 else f"{{{','.join(suffixes)}}}"
    rules, fields = _rules(sets)
    name = next(each for each in ("name", "key", *map("name{}".format, range(len(fields)))) if each not in fields)
    rows = {split: "" if PART in shards.parts else "annotated: false" for split, shards in sets.items()}
    return "\n".join(
        [
            f"# Plain folders of the shard set {flow(manifest.name)} with the fingerprint",
            f"# {manifest.fingerprint}. {CARD} says how to prepare them again.",
            f"name: {flow(_plain(manifest.name) + '-unpacked')}",
            f"title: {flow(manifest.name + ', as plain folders')}",
            f"licence: {flow(str(manifest.document['source'].get('licence') or ''))}",
            f"taxonomy: {TAXONOMY}",
            "labels:",
            *_labels(next(iter(sets.values())).taxonomy, ids),
            f'image: "images/{{split}}/{{{name}}}.{image}"',
            f'annotation: "labels/{{split}}/{{{name}}}.png"',
            f'key: "{{{name}}}"',
            *_groups(rules, fields),
            "splits:",
            *(f"  {flow(split)}: {{{row}}}" for split, row in rows.items()),
            f"others: [{SOURCE}, {TAXONOMY}{', colors/' * colors}]",
            "",
        ]
    )


def _labels(taxonomy: Taxonomy, ids: Ids) -> list[str]:
    rows = [(code, row.name, row.color, row.category) for code, row in zip(ids.classes, taxonomy.classes, strict=True)]
    if ids.ignored is not None:
        rows.append((ids.ignored, _ignored_name(taxonomy), (0, 0, 0), "void"))
    return [
        f"  - {{id: {code}, name: {flow(name)}, color: {list(color)}, category: {flow(category)}}}"
        for code, name, color, category in rows
    ]


def _rules(sets: Mapping[str, ShardSet]) -> tuple[Mapping[str, GroupRule], Mapping[str, str]]:
    """Which frames belong together, by their keys, and what fields are: intervals and shares go by it as before.

    Nothing where the set's source does not give the groups that the set has noted, or means something else by `split`.
    """
    source = source_of(next(iter(sets.values())))
    if (
        source is None
        or "split" in source.fields
        or not all(_gives(source.group_rule, shards) for shards in sets.values())
    ):
        return {}, {}
    rules = {key: rule for key, rule in (("group", source.group_rule), ("split_by", source.split_by_rule)) if rule}
    return rules, source.fields if rules else {}


def _gives(rule: GroupRule | None, shards: ShardSet) -> bool:
    """Whether the rule makes the groups that the set has noted, as sets of sources of one's own do."""
    return shards.groups is None or (rule is not None and [rule.of(key) for key in shards.keys] == shards.groups)


def _groups(rules: Mapping[str, GroupRule], used: Mapping[str, str]) -> list[str]:
    lines = [f"fields: {{{', '.join(f'{field}: {flow(text)}' for field, text in used.items())}}}"] if used else []
    return lines + [
        f"{key}: {{key: {flow(rule.template)}, name: {flow(rule.naming.text)}}}" for key, rule in rules.items()
    ]


def _taxonomy(taxonomy: Taxonomy, ids: Ids) -> Taxonomy:
    """The same classes, each of the label that has its name and value here."""
    classes = tuple(
        replace(row, export=code, feeds=(row.name,)) for code, row in zip(ids.classes, taxonomy.classes, strict=True)
    )
    return replace(taxonomy, classes=classes, ignore=() if ids.ignored is None else (_ignored_name(taxonomy),))


def _ignored_name(taxonomy: Taxonomy) -> str:
    """That of the only raw label which is ignored, or a name that no class has."""
    if len(taxonomy.ignore) == 1:
        return taxonomy.ignore[0]
    names = {row.name for row in taxonomy.classes}
    return next(name for i in range(len(names) + 1) if (name := "ignored" + "_" * i) not in names)


def _plain(name: str) -> str:
    """With the characters of a source's name alone."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


# ---- for people ---------------------------------------------------------------------------------------------


def _card(sets: Mapping[str, ShardSet], ids: Ids, colors: bool) -> str:
    first = next(iter(sets.values()))
    document, taxonomy = first.manifest.document, first.taxonomy
    painted = " (painted data)" if document["source"].get("painted") else ""
    splits = "".join(
        f"| {_cell(split)} | {len(shards)} | {suffix(shards)} | {'yes' if PART in shards.parts else 'no'} |\n"
        for split, shards in sets.items()
    )
    classes = "".join(
        f"| {code} | {_cell(row.name)} | {_cell(row.category)} | {' '.join(map(str, row.color))} |\n"
        for code, row in zip(ids.classes, taxonomy.classes, strict=True)
    )
    ignored = f"| {ids.ignored} | (ignored) | | |\n" if ids.ignored is not None else ""
    groups = GROUPS if first.groups is not None and not _rules(sets)[0] else ""
    return (
        f"# {_cell(first.manifest.name)}, as plain folders\n\n"
        f"Images and labels of a shard set of {_cell(str(document['source']['name']))}{painted}. Licence of the "
        f"frames: {_cell(str(document['source'].get('licence') or 'not stated'))}.\n\n"
        f"* `images/SPLIT/NAME.SUFFIX`: the images.\n"
        f"* `labels/SPLIT/NAME.png`: the labels, 8-bit grey. The value of a pixel is the id of its class"
        f"{_meaning(ids)}.\n"
        f"{COLORS * colors}"
        f"* `{SOURCE}` and `{TAXONOMY}`: what segdata needs to prepare these folders again.\n\n"
        f"| split | images | format | labels |\n|---|---|---|---|\n{splits}\n"
        f"| id | class | category | colour (red green blue) |\n|---|---|---|---|\n{classes}{ignored}\n"
        "To prepare the shard set again, run this command in this folder, and name a new folder in the place of "
        f"`../SHARDS`. It gives the same pixels and the same targets.{groups}\n\n    {_command(sets)}\n"
    )


def _meaning(ids: Ids) -> str:
    if ids.ignored is None:
        return ", and no pixel is ignored"
    return f"; pixels of id {ids.ignored} are ignored: they neither train nor score"


def _command(sets: Mapping[str, ShardSet]) -> str:
    """That prepares the set again, with every option on which pixels, targets, or their order in the shards depend."""
    manifest = next(iter(sets.values())).manifest
    options = manifest.document["options"]
    words = [f"segdata prepare {SOURCE} --root . --out ../SHARDS --name {_plain(manifest.name)}"]
    words += [f"--split {quote(split)}" for split in sets]
    words += [f"--scale {quote(str(scale))}" for scale in options["scales"]]  # whoever made the set wrote these
    words += [f"--rule {quote(options['rule'])}"]
    words += [
        f"--{name.replace('_', '-')} {quote(str(options[name]))}"
        for name in ("samples_per_shard", "seed")
        if name in options
    ]
    return " ".join(words)


def _cell(text: str) -> str:
    """In one cell of a table, whatever characters it holds."""
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return shown.replace("|", "\\|")
