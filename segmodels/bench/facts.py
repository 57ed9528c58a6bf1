"""How large every network is, for `segmodels list`: from a table, so that none has to be built for it.

The table, `segmodels/networks/facts.json`, holds the digest of the files that it was made of. What a file declares
that is new, or has changed since, is built and counted. `python -m segmodels.bench.facts` writes the table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from segmodels import networks
from segmodels.networks import digest_family, families, specs_of
from segmodels.spec import Geometry, ModelSpec, Size

TABLE = Path(networks.__file__).with_name("facts.json")


class Facts(NamedTuple):
    """A network with its default options, for the classes and the size of its source."""

    name: str
    family: str
    parameters: int
    macs: int  # of one image
    classes: int
    size: Size
    geometry: Geometry


def every_network() -> Iterator[Facts]:
    """The networks in the order of their names' registry; torch is imported only where the table is not enough."""
    table = json.loads(TABLE.read_bytes()) if TABLE.is_file() else {}
    for file in families():
        row = table.get(file, {})
        if row.get("digest") == digest_family(file):
            yield from map(_from_document, row["networks"])
        else:
            yield from map(count, specs_of(file))


def count(declared: ModelSpec) -> Facts:
    """The facts of a network, which is built for it on the meta device."""
    from segmodels.bench.summary import summarize

    classes, size = declared.example
    whole = summarize(declared, classes, size, {})[0]
    geometry = declared.geometry({})
    return Facts(declared.name, declared.family, whole.parameters, whole.macs, classes, size, geometry)


def table_of(files: Iterable[str]) -> str:
    """The table on these files of `segmodels/networks/`, as JSON with a line for each network. All are built."""
    rows = []
    for file in files:
        lines = ",\n".join(json.dumps(_document(count(each))) for each in specs_of(file))
        rows.append(f'"{file}": {{"digest": "{digest_family(file)}", "networks": [\n{lines}\n]}}')
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _document(facts: Facts) -> dict[str, Any]:
    return facts._asdict() | {"size": list(facts.size), "geometry": facts.geometry._asdict()}


def _from_document(row: dict[str, Any]) -> Facts:
    height, width = row["size"]
    return Facts(**row | {"size": (height, width), "geometry": Geometry(**row["geometry"])})


def main() -> None:
    """Write the table anew."""
    TABLE.write_text(table_of(families()), encoding="utf-8")


if __name__ == "__main__":
    main()
