"""The draft as a source file: YAML with comments that say what was met, and ??? where a person must write."""

import json
import re
import textwrap
from collections.abc import Iterator

from segdata.drafting.draft import Draft
from segdata.drafting.finding.looks import NAMES
from segdata.drafting.finding.pairing import Annotation
from segdata.drafting.known import Row, background_of, title_of
from segdata.drafting.strays import folders_apart
from segdata.labels.label import DRAWN
from segdata.raw.template import Naming

OPEN = "???"
MOST_TOLD = 5  # folders of other datasets
WIDTH = 118
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.()/-]*( [A-Za-z0-9_.()/-]+)*")  # text that YAML reads as text
WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
SHARES = (("train", 0.8), ("val", 0.2))


def source_text(draft: Draft, root: str, file: str, lists: dict[str, str]) -> str:
    """`root` and `file` as a command line has them; lists: split -> the name of its list beside the file."""
    lines = [
        *_comment(
            f"Drafted by `segdata init` from {root}. Look it through and fill in every {OPEN}. Then look at what would "
            f"be prepared: segdata check {file} --root {root}"
        ),
        *_known_layout(draft, root),
        f"name: {_quoted(draft.name)}",
        f"title: {_quoted(draft.inventory.place.resolve().name)}",
        f"licence: {OPEN} # who may use the frames, and for what",
        "",
        *_files(draft),
        *_fields(draft),
        "",
        *_splits(draft, lists),
        "",
        *_table(draft),
        *_others(draft),
    ]
    return "\n".join(lines) + "\n"


def _known_layout(draft: Draft, root: str) -> Iterator[str]:
    if draft.layout_of:
        yield from _comment(
            f"This is the layout of {draft.layout_of}, which segdata knows: `segdata prepare {draft.layout_of} "
            f"--root {root} --out SHARDS` reads it without this file."
        )


# ---- files --------------------------------------------------------------------------------------------------


def _files(draft: Draft) -> Iterator[str]:
    """Images and annotation, with what was seen of them."""
    layout, census = draft.layout, draft.census
    sizes = ", ".join(f"{height}x{width}" for height, width in sorted(census.sizes)[:3])
    more = ", and more" if len(census.sizes) > 3 else ""
    yield from _comment(f"{len(layout.pairs)} pairs of image and labels. Frames (height x width): {sizes}{more}.")
    channels = max(census.channels, key=lambda each: census.channels[each], default="rgb")
    if len(census.channels) > 1:
        yield from _comment(f"Frames differ: {', '.join(f'{n} of {c}' for c, n in sorted(census.channels.items()))}.")
    bits = census.most.bit_length()
    rule = [f"channels: {channels}"] * (channels != "rgb") + [f"range: [0, {(1 << bits) - 1}]"] * bool(bits)
    if bits:
        yield from _comment(
            f"16-bit frames: the values of `range` become 0 and 255. {census.most} is the largest value met, which "
            f"takes {bits} bits."
        )
    image = _quoted(layout.image, always=True)
    yield f"image: {{{', '.join([f'files: {image}', *rule])}}}" if rule else f"image: {image}"
    for path in layout.over[:1]:
        yield from _comment(f"The templates match {len(layout.over)} other files too, such as {path}: see `fields`.")
    yield from _comment(elsewhere_of(draft))
    yield from _annotation(draft)


def elsewhere_of(draft: Draft) -> str:
    """That pairs lie in other folders, and what to do; "" where there are none."""
    if not draft.elsewhere:
        return ""
    path, count = draft.elsewhere[0], len(draft.elsewhere)
    apart = folders_apart(draft.layout, draft.elsewhere)
    few = f"{', '.join(apart[:MOST_TOLD])}{', …' if len(apart) > MOST_TOLD else ''}"
    where = f"each of these folders ({few})" if len(apart) > 1 else f"the folder {few or 'that holds it alone'}"
    return (
        f"Pairs lie in other folders too and are not in this draft: {count} images with labels, such as {path}. If "
        f"they are of another dataset, draft it by itself: give {where} to `segdata init`."
    )


def _annotation(draft: Draft) -> Iterator[str]:
    kind, files = draft.annotation.kind, _quoted(draft.layout.annotation, always=True)
    if draft.census.clashing:
        yield from _comment("The palettes of the files differ: the colours of the first one met are in the table.")
    yield "annotation:"
    yield f"  files: {files}"
    yield f"  coding: {kind} # {NAMES[kind]}"
    if kind == "ids16":
        yield f"  divisor: {draft.census.divisor} # an id is the value divided by this"
    if kind in DRAWN:
        yield f"  background: {_quoted(background_of(draft.rows) or OPEN)} # the label of pixels that no object covers"
    for path in draft.layout.alone[:1]:
        count = len(draft.layout.alone)
        yield f"  missing: skip # {count} images have no labels, such as {path}: `refuse` stops at them"
    if draft.endings:
        yield "  instead: # files beside the labels, which are not read"
        for ending, what in draft.endings.items():
            told = f"These are {NAMES.get(what, 'other files')}; the labels are other files"
            yield f"    {_quoted(ending, always=True)}: {_quoted(told, always=True)}"
    for path in draft.strays[:1]:
        yield from _comment(
            f"{len(draft.strays)} more files lie among these, such as {path}: `prepare` refuses them. Move them away, "
            "or write templates whose folders do not hold them."
        )


def _fields(draft: Draft) -> Iterator[str]:
    """Regular expressions, the key, and the group."""
    layout = draft.layout
    if layout.fields:
        yield f"fields: {{{', '.join(f'{name}: {_single(rule)}' for name, rule in layout.fields.items())}}}"
    if layout.key:
        yield f"key: {_quoted(layout.key, always=True)}"
    if layout.safe:
        yield "safe_keys: true # names hold characters that no key may have: they become hyphens"
    if layout.group:
        groups = {Naming(layout.group).of(pair.fields) for pair in layout.pairs}
        yield f"group: {_quoted(layout.group, always=True)} # frames that belong together: {len(groups)} groups"
    else:
        yield from _comment(
            "group: a name made of fields, by which frames belong together, such as a drive. Frames of one are alike: "
            "intervals of scores and own splits then take whole drives. Nothing in the names says it here."
        )


# ---- splits -------------------------------------------------------------------------------------------------


def _splits(draft: Draft, lists: dict[str, str]) -> Iterator[str]:
    layout, samples, dummies = draft.layout, draft.samples, draft.dummies
    if draft.list_paths:
        listed = ", ".join(draft.list_paths.values())
        yield from _comment(f"The frames of each split are those that {listed} list.")
    elif layout.splits == {"": ""}:
        yield from _comment(
            "Nothing says which frames are for training: these shares are a suggestion. They keep groups whole."
        )
    for split, paths in layout.dropped.items():
        yield from _comment(f"Not here: {len(paths)} images of {split} without labels, such as {paths[0]}.")
    yield "splits:"
    if draft.list_paths:
        for split in draft.list_paths:
            yield f"  {split}: {{list: {_quoted(lists.get(split, OPEN))}}} # frames: {samples[split]}"
    elif layout.splits == {"": ""}:
        for split, share in SHARES:
            yield f"  {split}: {{share: {share}}}"
    else:
        for split, folder in layout.splits.items():
            row = [f"folder: {_quoted(folder)}"] * (folder != split and not layout.where)
            row += [f"where: {{{layout.where}: [{_quoted(folder, always=True)}]}}"] * bool(layout.where)
            row += ["annotated: false"] * (split in layout.bare or split in dummies)
            what = " without labels" if split in layout.bare else ""
            if split in dummies:
                what += (
                    f" whose label files all hold {', '.join(map(str, dummies[split]))} and no more: dummies, it seems"
                )
            yield f"  {split}: {{{', '.join(row)}}} # frames{what}: {samples[split]}"


# ---- labels -------------------------------------------------------------------------------------------------


def _table(draft: Draft) -> Iterator[str]:
    census, known, kind = draft.census, draft.known, draft.annotation.kind
    what = "Objects" if kind in DRAWN else "Colours" if kind == "colors" else "Ids"
    yield from _comment(f"{what} in {census.files} of {len(draft.layout.pairs)} label files.")
    if known:
        table = f"{known}" if known.path else f"{known.name} ({title_of(known.name)}): {known}"
        is_guess = known.by == "ids" and not known.path
        alone = " Ids alone say little: compare the names with a few frames." if is_guess else ""
        also = f" They fit {', '.join(known.others)} as well." if known.others else ""
        yield from _comment(f"The names are those of {table}.{alone}{also}")
    yield from _comment(
        "category: any group of your own; labels of `void` are ignored. Without `taxonomy`, each label is a class."
    )
    yield "labels:"
    for row in draft.rows:
        color = ", ".join(map(str, row.color))
        name, category = _quoted(row.name or OPEN), _quoted(row.category or OPEN)
        yield f"  - {{id: {row.id}, name: {name}, color: [{color}], category: {category}}}{_met(draft, row)}"


def _met(draft: Draft, row: Row) -> str:
    """A comment: how much of the sample is of this label."""
    census = draft.census
    if row.value is None:
        return " # not met"
    unit = "objects" if draft.annotation.kind in DRAWN else "pixels"
    text = f" # {_percent(census.share(row.value))} of the {unit}, in {census.files_of[row.value]} files"
    if not row.name and row.value in {0, 255} and census.looks_void(row.value):
        text += f"; {_percent(census.edge(row.value))} of the frames' borders: it may be void"
    elif not row.name and row.value == 255:
        text += "; 255 is often void"
    return text


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def _others(draft: Draft) -> Iterator[str]:
    """Other labels of the same frames, and lists: they belong to the dataset, and are not read."""
    patterns = []
    for each in draft.spare:
        yield from _comment(f"Not taken: {each.name} ({NAMES[each.kind]}, {each.count} of them belong to images).")
        patterns.append(_glob(each))
    files = [*draft.list_paths.values(), *([draft.known.path] if draft.known and draft.known.path else [])]
    patterns += [re.sub(r"[{}*]", "*", path) for path in files]
    if patterns:
        yield f"others: [{', '.join(_quoted(each, always=True) for each in dict.fromkeys(patterns))}]"


def _glob(annotation: Annotation) -> str:
    """A pattern of the paths of all labels of one kind."""
    batches = [match.label.batch for match in annotation.matches]
    depth = max(len(batch.parts) for batch in batches)
    columns = [{batch.parts[level] for batch in batches if level < len(batch.parts)} for level in range(depth)]
    parts = [re.sub(r"[{}*]", "*", column.pop()) if len(column) == 1 else "*" for column in columns]
    last = batches[0]
    return "/".join([*parts, f"{last.head}*{last.tail}.{last.suffixes[0]}"])


# ---- YAML ---------------------------------------------------------------------------------------------------


def _comment(text: str) -> list[str]:
    """Lines of a comment; a name with a line's end in it ends none."""
    plain = "".join(each if each.isprintable() else "?" for each in text)
    return textwrap.wrap(
        plain, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )


def _quoted(text: str, *, always: bool = False) -> str:
    """Text as YAML has it: in quotes where it would be read as something else."""
    if not always and PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _single(text: str) -> str:
    """In quotes in which a backslash is a backslash."""
    return "'" + text.replace("'", "''") + "'"
