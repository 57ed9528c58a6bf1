"""Label tables by name, which source files take over: `labels: cityscapes`.

A name is a source that ships, a table in `tables/`, or a rule of RULES, for tables that another package publishes.
"""

from collections.abc import Callable, Mapping

from segdata.documents.yaml import Entry, nearest, optional, read_yaml
from segdata.errors import SourceError
from segdata.labels.label import Label
from segdata.sources.home import HOME

PLACES = (HOME, HOME / "tables")
LOWEST, HIGHEST = -1, 255  # of an id. -1: the dataset defines the label, and its files never hold it
MOST = 256  # ids that a label file can hold


def _cityscapes_scripts() -> tuple[Label, ...]:
    """The table of the dataset's own package, cityscapesScripts."""
    from cityscapesscripts.helpers.labels import labels

    return tuple(Label(row.id, row.name, tuple(row.color), row.category) for row in labels)


RULES: Mapping[str, Callable[[], tuple[Label, ...]]] = {"cityscapesScripts": _cityscapes_scripts}


def label_table(name: str) -> tuple[Label, ...]:
    """The table of that name. Raises KeyError where there is none."""
    if name in RULES:
        return RULES[name]()
    document = table_document(name)
    entry = document.get("labels") or document["extends"]
    return label_table(entry.value) if isinstance(entry.value, str) else _labels(entry)


def table_names() -> list[str]:
    """All names: sources, tables, rules."""
    return sorted({*(path.stem for place in PLACES for path in place.glob("*.yaml")), *RULES})


def table_document(name: str) -> Mapping[str, Entry]:
    """The keys of the file of a source or table. Raises KeyError where there is none."""
    for place in PLACES:
        if (path := place / f"{name}.yaml").is_file():
            found: Mapping[str, Entry] = read_yaml(path.read_bytes(), path.name, SourceError).value
            return found
    raise KeyError(name)


# ---- reading ------------------------------------------------------------------------------------------------


def read_table(entry: Entry) -> tuple[Label, ...] | str:
    """The labels of a list, or the name of a table that exists. Raises the entry's error with the line."""
    if not isinstance(entry.value, str):
        return _labels(entry)
    if entry.value not in (names := table_names()):
        raise entry.wrong(
            f"labels: no label table {entry.value!r}{nearest(entry.value, names)}; write a list of labels, or one of "
            f"{', '.join(names)}."
        )
    return entry.value


def _labels(entry: Entry) -> tuple[Label, ...]:
    rows = entry.typed(list, "labels")
    labels, places = list[Label](), dict[tuple[str, object], str]()
    for number, row in enumerate(rows):
        label = _label(row, number)
        for what, value in (("id", label.id), ("name", label.name)):
            if other := places.get((what, value)):
                raise row.wrong(f"labels: {what} {value!r} stands 2 times, first in {other}. Give each label its own.")
            places[what, value] = row.place
        labels.append(label)
    if not 2 <= len(labels) <= MOST + 1:
        raise entry.wrong(f"{len(labels)} labels; expected 2 to {MOST}.")
    return tuple(labels)


def _label(row: Entry, number: int) -> Label:
    table = row.table(f"label {number}", ("id", "name", "color"), ("category",))
    name = table["name"].typed(str, f"label {number}: name")
    what = f"label {number} ({name})"
    code = table["id"].typed(int, f"{what}: id")
    if not LOWEST <= code <= HIGHEST:
        raise table["id"].wrong(f"{what}: id {code}; expected 0 to {HIGHEST}, what a label file can hold.")
    color = [each.value for each in table["color"].typed(list, f"{what}: color")]
    if len(color) != 3 or not all(type(value) is int and 0 <= value <= 255 for value in color):
        found = table["color"].shown()
        raise table["color"].wrong(f"{what}: color is {found}; expected [red, green, blue], each 0 to 255.")
    category = optional(table, "category", what, name)
    return Label(code, name, (color[0], color[1], color[2]), category)
