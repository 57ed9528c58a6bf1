"""Pages of a device's results: every part of a card can be shown, and no table mixes two models of GPU."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.pages.device import cuda
from benchmarks.pages.tables import RESULTS

Card = dict[str, Any]
FOUND = sorted((RESULTS / "cuda").rglob("*.json"))


@pytest.fixture(scope="module")
def results() -> dict[str, Card]:
    """What stands in the repository, by its path."""
    return {path.relative_to(RESULTS).as_posix(): json.loads(path.read_text()) for path in FOUND}


def test_every_beginning_of_a_card_is_shown(results: dict[str, Card]) -> None:
    """A card that was stopped after any of its rows renders, alone and beside the others; figures of it are shown."""
    for path, card in results.items():
        for count in range(1, len(card["rows"]) + 1):
            part = {path: card | {"rows": card["rows"][:count], "status": "partial"}}
            cuda({name.replace("/before/", "/"): each for name, each in part.items()})
            cuda(results | part)
    assert "| `pspnet` | 8 |" in cuda(results)


def test_two_gpus_have_two_sections(results: dict[str, Card]) -> None:
    """Each under its name, with the figures that it has alone."""
    one = {path: card for path, card in results.items() if "nvidia-h200" in path}
    other = {path.replace("nvidia-h200", "x9"): card | {"device": {"name": "X9"}} for path, card in one.items()}
    both = cuda(one | other)
    assert both == cuda(one) + "\n" + cuda(other)
    assert both.count("### ") == 2 and "### NVIDIA H200\n" in both and "### X9\n" in both


def test_a_kind_without_a_table_is_passed_over(results: dict[str, Card]) -> None:
    """A new card may come before its table."""
    strange = {"cuda/nvidia-h200/strange-thing.json": next(iter(results.values())) | {"card": "strange-thing"}}
    assert "strange" not in cuda(results | strange)


def test_the_results_lie_where_they_belong() -> None:
    """Each in the folder of its GPU, under the name of its card, from no rehearsal, with a commit."""
    from benchmarks.device.collect import slug

    for path in FOUND:
        card = json.loads(Path(path).read_text())
        folder = path.parent.parent if path.parent.name == "before" else path.parent
        assert (folder.name, path.stem) == (slug(card["device"]["name"]), card["card"])
        assert not card["rehearsal"] and len(card["commit"]) == 40 and card["rows"]
