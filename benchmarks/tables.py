"""Write the figures of benchmarks/results/ into the pages that show them: `python benchmarks/tables.py`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scaletables import SCALE
from scoretables import SCORES
from speedtables import FOUND, SPEED

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
Tables = dict[str, tuple[str, Callable[[dict[str, Any]], str]]]  # section -> its result, and what is written of it
PAGES: dict[str, Tables] = {"README.md": SCORES, "docs/speed.md": SPEED, "docs/bench.md": FOUND, "docs/scale.md": SCALE}


def filled(page: str) -> str:
    """The page with every marked section made anew from its result."""
    text = (ROOT / page).read_text()
    for name, (file, render) in PAGES[page].items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        assert begin and end, name
        text = before + begin + render(load(RESULTS / file)) + end + after
    return text


def load(path: Path) -> dict[str, Any]:
    """A result; of a folder all results in it, by their names."""
    if path.is_dir():
        return {each.stem: json.loads(each.read_text()) for each in sorted(path.glob("*.json"))}
    document: dict[str, Any] = json.loads(path.read_text())
    return document


if __name__ == "__main__":
    for page in PAGES:
        (ROOT / page).write_text(filled(page))
