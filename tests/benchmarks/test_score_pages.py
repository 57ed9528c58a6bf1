"""README's tables of scores: no rank and no interval that the results do not bear."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.pages.evidence import _verdict
from benchmarks.pages.scores import camvid, results
from benchmarks.pages.tables import load


def table(text: str) -> list[list[str]]:
    """The cells of every row, the header first."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if "---" not in row[0] and "--:" not in row[0]]


def test_old_results_of_few_images_have_no_interval() -> None:
    """A leaderboard of 16 images with intervals of the old kind: they are not shown, nor a rank."""
    board = old_board()
    text = results({"boards": [board]})
    assert text.count("one seed, 16 images: not ranked\n") == 1
    assert "interval" not in text.casefold()
    header, *rows = table(text)
    assert header[:3] == ["network", "mIoU", "pixel accuracy"]
    assert [row[0] for row in rows] == [f"`{row['run']}`" for row in board["rows"]]


def old_board() -> dict[str, Any]:
    """The committed leaderboard as versions wrote it that had intervals of any number of images."""
    (board, *_) = load("repro-results.json")["boards"]
    rows = [row | {"interval": {"miou": {"low": 0.2, "high": 0.24}}} for row in board["rows"]]
    return {key: value for key, value in board.items() if key not in {"interval_reason", "not_ranked"}} | {"rows": rows}


def board_of(**changes: Any) -> dict[str, Any]:
    """A leaderboard of today's form: two networks of three seeds, one of one."""
    old = old_board()
    rows = [
        row | {"seeds": seeds, "spread": {"miou": 0.01 if len(seeds) > 1 else None}, "rank": {"best": best, "worst": 2}}
        for row, seeds, best in zip(old["rows"], ([0, 1, 2], [0, 1, 2], [0]), (2, 1, 1), strict=False)
    ]
    return old | {"images": 60, "not_ranked": None, "interval_reason": None, "rows": rows} | changes


def test_several_seeds_are_one_row_with_a_rank() -> None:
    """Mean, standard deviation and number; a network of one seed says that it has no rank."""
    header, first, second, third = table(results({"boards": [board_of()]}))
    assert header[:3] == ["rank", "network", "mIoU"]
    assert (first[0], second[0], third[0]) == ("2", "1 to 2", "not ranked: one seed")
    assert first[2].endswith(" ± 0.010 (3 seeds)") and "±" not in third[2] and " to " in first[3]


def test_a_new_board_says_itself_why_nothing_is_ranked() -> None:
    """Its own words are shown."""
    text = results({"boards": [board_of(not_ranked="one seed: not ranked", interval_reason="of one clip")]})
    assert "\n\none seed: not ranked\n\n" in text and "No interval: of one clip." in text
    assert table(text)[0][0] == "network"


def test_a_row_of_camvid_has_an_interval_only_of_the_new_kind() -> None:
    """An older result says nothing of its groups; a newer one says why it has none."""
    found = {name: row for name, row in load("**/camvid-*.json").items() if name.startswith("cpu/")}
    name, old = next(iter(found.items()))
    for change, shown, said in (
        ({}, "-", "scored by an older version"),
        ({"interval_reason": None}, f"{old['interval']['miou']['low']:.3f} to", ""),
        ({"interval": None, "interval_reason": "101 images of one clip"}, "-", "101 images of one clip"),
    ):
        text = camvid({name: old | change})
        assert table(text)[1][2].startswith(shown)
        assert ("Rows without an interval: " + said in text) == bool(said)


@pytest.mark.parametrize(("seeds", "said"), [(1, "; one seed: this training only"), (2, "; 2 seeds: too few"), (3, "")])
def test_a_verdict_says_of_how_few_trainings_it_is(seeds: int, said: str) -> None:
    """Of one, of fewer than the least, and of enough."""
    measured = {"low": 0.1, "high": 0.2, "seeds": seeds, "verdict": "shown", "within_a_run": True, "difference": 0.15}
    assert f"| {seeds} | shown{said}" in _verdict("a claim", measured)
    assert said or _verdict("a claim", measured).endswith("| shown |")
