"""The pages with their marked sections made anew from benchmarks/results/."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.pages.contract import CONTRACT
from benchmarks.pages.device import DEVICE
from benchmarks.pages.evidence import EVIDENCE, README
from benchmarks.pages.networks import NETWORKS
from benchmarks.pages.scale import SCALE
from benchmarks.pages.scores import SCORES, SMOKE
from benchmarks.pages.speed import FOUND, SPEED

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
Tables = dict[str, tuple[str, Callable[[dict[str, Any]], str]]]  # section -> its result, and what is written of it
PAGES: dict[str, Tables] = {
    "README.md": SCORES | README,
    "docs/evidence.md": EVIDENCE | SMOKE,
    "docs/speed.md": SPEED | DEVICE,
    "docs/bench.md": FOUND,
    "docs/networks.md": CONTRACT | NETWORKS,
    "docs/scale.md": SCALE,
}


def filled(page: str) -> str:
    """The page with every marked section made anew from its result."""
    text = (ROOT / page).read_text()
    for name, (result, render) in PAGES[page].items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        assert begin and end, name
        text = before + begin + render(load(result)) + end + after
    return text


def load(name: str) -> dict[str, Any]:
    """The result of that name under RESULTS; of a pattern all that match, each by its own: `cpu/camvid-pspnet.json`."""
    if "*" not in name:
        document: dict[str, Any] = json.loads((RESULTS / name).read_text())
        return document
    found = {path.relative_to(RESULTS).as_posix(): json.loads(path.read_text()) for path in RESULTS.glob(name)}
    assert found, name
    return dict(sorted(found.items()))
