"""What names a frame, and which frames belong together."""

import re
from collections import Counter
from dataclasses import replace

from segdata.drafting.layout import Layout, Pair, fields_of
from segdata.drafting.narrow import telling
from segdata.raw.template import KEY, Template

FRAME = re.compile(r"(.+?)([_\-.])([A-Za-z]?\d+)")  # a drive and a running number
PART = "part"  # the field of the split's folder, where keys need it


def name_frames(layout: Layout) -> None:
    """Fields of names, the group, and the key where the usual one is not enough."""
    _cut_names(layout)
    folders = [name for name in fields_of(layout.image) if name not in {"split", "name", "rest", "drive", "frame"}]
    folders = [name for name in folders if name in layout.naming.fields]
    keys = Counter(layout.naming.of(pair.fields) for pair in layout.pairs)
    if len(keys) < len(layout.pairs):
        _add_split(layout)
    layout.group = "/".join(f"{{{name}}}" for name in folders) or ("{drive}" if "drive" in layout.naming.fields else "")
    _tell_apart(layout)
    layout.safe = not all(KEY.fullmatch(layout.naming.of(pair.fields)) for pair in layout.pairs)


def _cut_names(layout: Layout) -> None:
    """What stands before a running number in all names becomes the field {drive}, where no folder is one."""
    found = [FRAME.fullmatch(pair.fields["name"]) for pair in layout.pairs]
    cut = [each for each in found if each]
    drives, marks = {each[1] for each in cut}, {each[2] for each in cut}
    given = set(fields_of(layout.image)) | set(fields_of(layout.annotation)) | set(layout.fields)
    is_told = not given & {"name", "rest"} - {"name"} and "name" not in layout.fields and given <= {"split", "name"}
    if not is_told or len(cut) < len(found) or len(marks) > 1 or not 1 < len(drives) <= len(cut) / 3:
        return
    name = f"{{drive}}{marks.pop()}{{frame}}"
    image, annotation = (text.replace("{name}", name) for text in (layout.image, layout.annotation))
    tried = replace(layout, image=image, annotation=annotation, fields={**layout.fields, "frame": r"[A-Za-z]?\d+"})
    unpaired = {path: split for split, paths in layout.bare.items() for path in paths}
    lost = [path for path, split in unpaired.items() if not tried.matched("image", split, [path])]
    lost += [path for path in layout.alone if not any(tried.matched("image", split, [path]) for split in tried.splits)]
    if not lost:
        layout.image, layout.annotation, layout.fields = image, annotation, tried.fields
        values = [{"drive": each[1], "frame": each[3]} for each in cut]
        layout.pairs = [_with(pair, more, without="name") for pair, more in zip(layout.pairs, values, strict=True)]


def _with(pair: Pair, more: dict[str, str], without: str = "") -> Pair:
    """The pair with more fields."""
    return replace(pair, fields={**{key: value for key, value in pair.fields.items() if key != without}, **more})


def _add_split(layout: Layout) -> None:
    """The split's folder as a field of the key, where frames of several splits have one name."""
    if "{split}" not in layout.image or "{split}" not in layout.annotation:
        return
    layout.image, layout.annotation = (
        text.replace("{split}", f"{{{PART}}}") for text in (layout.image, layout.annotation)
    )
    layout.pairs = [_with(pair, {PART: pair.split}) for pair in layout.pairs]
    layout.dropped = dict(layout.bare)
    layout.bare = {}
    layout.splits = {name: folder for name, folder in layout.splits.items() if name not in layout.dropped}
    layout.fields = {**layout.fields, PART: "|".join(re.escape(folder) for folder in layout.splits.values())}
    layout.where = PART


def _tell_apart(layout: Layout) -> None:
    """Fields are read from the key again: regular expressions say where each ends, if the names do not."""
    if not (layout.group or layout.where) or _is_read(layout):
        return
    before = layout.fields
    rules = {}
    for field in reversed(layout.naming.fields):
        values = {pair.fields[field] for pair in layout.pairs}
        if field not in before and (rule := telling(values, set(), listed=f"{{{field}}}" in layout.group)):
            rules[field] = rule
    for tried in [*({field: rule} for field, rule in rules.items()), rules]:
        layout.fields = {**before, **tried}
        if _is_read(layout):
            return
    layout.fields = before
    layout.group = ""


def _is_read(layout: Layout) -> bool:
    """Whether every key gives back the fields that it is made of."""
    plain = replace(layout, safe=False).naming
    pattern = Template.parse(plain.text, layout.fields).pattern
    found = ((pair, pattern.fullmatch(plain.of(pair.fields))) for pair in layout.pairs)
    return all(
        each is not None and each.groupdict() == {n: pair.fields[n] for n in plain.fields} for pair, each in found
    )
