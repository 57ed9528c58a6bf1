"""Fields that match the names of the pairs and no others, where a template would take other files too."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from segdata.drafting.finding.roles import Role
from segdata.drafting.layout import Layout

LISTED = 40  # values of a field that are written out


def keep_out(layout: Layout, images: Sequence[Role], paths: Sequence[str]) -> None:
    """Regular expressions for fields, where the templates would match other files too."""
    ours = {path for role in images for path in (member.path for member in role.batch.files.values())}
    for _ in range(3):
        wrong = _strangers(layout, ours, paths)
        if not wrong:
            break
        _narrow(layout, wrong)
    layout.over = sorted(_strangers(layout, ours, paths))
    paired, split_of_bare = {pair.image for pair in layout.pairs}, set(layout.bare)
    matched = (
        path for split in layout.splits if split not in split_of_bare for path in layout.matched("image", split, paths)
    )
    layout.alone = sorted(path for path in matched if path not in paired and path in ours)


def _strangers(layout: Layout, ours: set[str], paths: Sequence[str]) -> dict[str, dict[str, str]]:
    """path -> fields of what the templates match, though it is no image, or no label of a pair."""
    labels = {pair.label for pair in layout.pairs}
    found: dict[str, dict[str, str]] = {}
    for split in layout.splits:
        found |= {path: each for path, each in layout.matched("image", split, paths).items() if path not in ours}
        if split not in layout.bare:
            matched = layout.matched("annotation", split, paths)
            found |= {path: each for path, each in matched.items() if path in ours or _is_other(path, labels, layout)}
    return found


def _is_other(path: str, labels: set[str], layout: Layout) -> bool:
    """Whether labels without an image are no such: they are where most others of their folder are none either."""
    return path not in labels and path.rpartition("/")[0] not in {
        pair.label.rpartition("/")[0] for pair in layout.pairs
    }


def _narrow(layout: Layout, wrong: Mapping[str, Mapping[str, str]]) -> None:
    """Let the first field that tells strangers from pairs do it."""
    for name in next(iter(wrong.values())):
        good = {pair.fields[name] for pair in layout.pairs if name in pair.fields}
        bad = {fields[name] for fields in wrong.values() if name in fields}
        if good and name not in layout.fields and (rule := telling(good, bad, listed=name not in {"name", "rest"})):
            layout.fields[name] = rule
            return


def telling(good: set[str], bad: set[str], *, listed: bool) -> str:
    """A regular expression of the good values that most bad ones do not match; "" where there is none."""
    if good & bad:
        return ""
    shape = _shape(good)
    if shape and not any(re.fullmatch(shape, each) for each in bad):
        return shape
    if listed and len(good) <= LISTED:
        return "|".join(re.escape(each) for each in sorted(good))
    ends = Counter(found[0] for each in bad if (found := re.search(r"[_\-. ][A-Za-z]+$", each)))
    ends = Counter({end: count for end, count in ends.items() if not any(each.endswith(end) for each in good)})
    if not ends:
        return ""
    words = "|".join(re.escape(end) for end in sorted(ends))
    return rf"(?:(?!(?:{words})\.)[^/])+"


def _shape(values: Iterable[str]) -> str:
    r""" "\d{6}" or "[a-z]+_\d+" of values that are all made so; "" of others."""

    def shape(value: str) -> str:
        runs = re.findall(r"\d+|[A-Za-z]+|[^A-Za-z\d]", value)
        return "".join(r"\d+" if run.isdigit() else "[A-Za-z]+" if run.isalpha() else re.escape(run) for run in runs)

    shapes = {shape(value) for value in values}
    if len(shapes) != 1:
        return ""
    found = shapes.pop()
    lengths = {len(value) for value in values}
    return rf"\d{{{lengths.pop()}}}" if found == r"\d+" and len(lengths) == 1 else found
