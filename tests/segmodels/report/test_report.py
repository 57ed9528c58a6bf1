"""What the report collects, computes and refuses; what the page looks like in a browser is in test_report_page.py."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segdata import ShardSet
from segdata.base.arrays import U8
from segdata.labels.taxonomy import IGNORE, load_taxonomy
from segdata.reading.listed import listed
from segmodels.bench.summary import summarize
from segmodels.cli import cli
from segmodels.data.images import windows
from segmodels.errors import SegmodelsError
from segmodels.inference.trained import load_trained
from segmodels.networks import spec
from segmodels.report import report
from segmodels.report.observe.budget import WIDEST, images_shown, map_width, thinned
from segmodels.report.observe.cost import cost
from segmodels.report.observe.observe import Observation, choose_images, observe
from segmodels.report.observe.pictures import label_map, photograph
from segmodels.report.page.figures import frontier, network_rows
from segmodels.report.page.finding import finding, step_gain
from segmodels.report.page.leaderboard import leaderboard
from segmodels.report.read.collect import Folders, collect
from segmodels.report.read.ranking import rank_rows, ranks
from segmodels.report.read.result import SCORES, Step
from segmodels.report.read.rows import rows_of
from segmodels.report.read.sweep import Sweep, Turned
from segmodels.scoring.evaluate import evaluate, predict_maps
from segmodels.scoring.intervals import OLDER
from segmodels.scoring.metrics import confusion
from tests.segmodels.report.seeded import seeded

STYLE = files("segmodels.report") / "templates" / "style.css"


def arguments(folders: Folders, out: Path) -> list[str]:
    """As one types it."""
    named = {"runs": folders.runs, "scores": folders.scores, "stats": folders.stats, "shards": folders.shards}
    pairs = named | {"bench": folders.bench, "out": out}
    return ["report", *(str(word) for name, path in pairs.items() for word in (f"--{name}", path)), "--images", "2"]


# ---- rows and ranks ---------------------------------------------------------------------------------


def test_a_tie_is_not_handed_on() -> None:
    """b ties with a and with c, while a is better than c: b's rank spans both, theirs do not meet."""
    found = ranks(["a", "b", "c"], {("a", "c")})
    assert {name: (rank.best, rank.worst, rank.tied) for name, rank in found.items()} == {
        "a": (1, 2, ("b",)),
        "b": (1, 3, ("a", "c")),
        "c": (2, 3, ("b",)),
    }
    assert str(found["b"]) == "1–3"


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=7))
def test_a_rank_is_every_place_that_some_order_gives(ends: list[tuple[int, int]]) -> None:
    """Oracle: draw each score anywhere in a range; the places that a row can come out at are its rank."""
    spans = {str(i): (min(each), max(each)) for i, each in enumerate(ends)}
    better = {(one, other) for one in spans for other in spans if spans[one][0] > spans[other][1]}
    for name, rank in ranks(list(spans), better).items():
        mine = spans[name]
        others = [each for other, each in spans.items() if other != name]
        drawn = [(at, points) for at in mine for points in product(*others)]
        best = min(1 + sum(point > at for point in points) for at, points in drawn)
        worst = max(1 + sum(point >= at for point in points) for at, points in drawn)
        assert (rank.best, rank.worst) == (best, worst)
        assert set(rank.tied) == {each for each in spans if each != name} - {
            other for pair in better if name in pair for other in pair
        }


def test_runs_that_differ_by_seed_alone_are_one_row(pipeline: Folders) -> None:
    """With the mean, the standard deviation and an interval of the mean; a second run of one seed is another row."""
    plain = collect(pipeline).boards[0].results[0]
    a, b = seeded(plain, "a", (0.4, 0.5, 0.6), range(60)), seeded(plain, "b", (0.7,), range(60))
    again = replace(a[1], name="a-again")  # after a-1 by its name
    first, second, third = rows_of([again, *b, *a])
    scores = [run.scores["miou"] or 0 for run in a]
    assert {each.name for each in (first, second, third)} == {"b-0", "a", "a-again"}
    row = next(each for each in (first, second, third) if len(each.runs) == 3)
    assert [run.provenance.seed for run in row.runs] == [0, 1, 2] and row.name == "a"
    assert row.scores["miou"] == pytest.approx(np.mean(scores))
    assert row.spread["miou"] == pytest.approx(np.std(scores, ddof=1))
    ends, alone = row.intervals["miou"], a[0].intervals["miou"]
    assert ends and alone and ends.high - ends.low > alone.high - alone.low
    assert first.spread["miou"] is None and first.intervals == b[0].intervals


@pytest.mark.parametrize(
    ("seeds", "groups", "said"),
    [
        ((1, 1), range(16), "one seed, 16 images: not ranked"),
        ((1, 3), range(60), "fewer than 3 seeds: not ranked"),
        ((3, 3), range(16), "16 images: not ranked"),
        ((1, 1), range(60), "one seed: not ranked"),
        ((2, 3), [0] * 101, "fewer than 3 seeds, 101 images of one clip: not ranked"),
        ((3, 3), (), "scored by an older version: not ranked"),
        ((3, 3), range(60), ""),
    ],
)
def test_why_nothing_is_ranked(pipeline: Folders, seeds: tuple[int, int], groups: Sequence[int], said: str) -> None:
    """Too few seeds, too few images, or both: one line says it, and all ranks are open."""
    plain = collect(pipeline).boards[0].results[0]
    one, other = ((0.3, 0.31, 0.32)[: seeds[0]], (0.8, 0.81, 0.82)[: seeds[1]])
    known = groups or range(60)
    results = [*seeded(plain, "one", one, known), *seeded(plain, "other", other, known)]
    found = rank_rows(rows_of(replace(each, groups=groups) for each in results))
    assert found.not_ranked == said
    places = [(rank.best, rank.worst) for rank in found.ranks.values()]
    assert places == ([(1, 2), (1, 2)] if said else [(1, 1), (2, 2)])


def test_scores_of_an_older_version_have_no_interval(copied: Folders, edit: Callable[..., None]) -> None:
    """metrics.json of before has intervals, which were too narrow, and images.csv no groups: read, but not shown."""
    folder = copied.scores / "iterative_v6"
    ends = {name: {"low": 0.1, "high": 0.2} for name in SCORES}
    edit(folder / "metrics.json", interval=ends, interval_reason=..., groups=...)
    lines = (folder / "images.csv").read_text().splitlines()
    (folder / "images.csv").write_text("".join(line.rpartition(",")[0] + "\n" for line in lines))
    (folder / "steps.npy").unlink()
    board = next(board for board in collect(copied).boards if board.staged is None)
    result = next(row for row in board.results if row.name == "iterative_v6")
    assert set(result.intervals.values()) == {None} and result.no_interval == OLDER
    assert (result.groups, result.step_confusions, len(result.steps)) == ((), None, 2)
    assert board.ranking.not_ranked == "one seed, scored by an older version: not ranked"
    assert board.no_interval.count(";") == 1 and OLDER in board.no_interval
    assert step_gain(result).endswith(f"no interval: {OLDER}")


def test_a_row_of_one_seed_has_no_rank_beside_others(pipeline: Folders) -> None:
    """Two networks of three seeds are ranked, one that is alike ties, and one of one seed may have any place."""
    plain = collect(pipeline).boards[0].results[0]
    results = [
        each
        for name, scores in {
            "a": (0.8, 0.81, 0.82),
            "b": (0.3, 0.31, 0.32),
            "c": (0.31, 0.3, 0.32),
            "d": (0.9,),
        }.items()
        for each in seeded(plain, name, scores, range(60))
    ]
    found = {name: (rank.best, rank.worst, rank.tied) for name, rank in rank_rows(rows_of(results)).ranks.items()}
    best, worst, tied = found.pop("d-0")
    assert (best, worst, sorted(tied)) == (1, 4, ["a", "b", "c"])
    assert found["a"][:2] == (1, 2) and found["b"][:2] == found["c"][:2] == (2, 4)


# ---- what it computes -------------------------------------------------------------------------------


def test_results_are_the_score_sheets(pipeline: Folders, written: Path) -> None:
    """results.json repeats metrics.json, timing.json and run.json, the best first."""
    results = json.loads((written / "results.json").read_text())
    assert [(board["set"], board["split"], board["images"]) for board in results["boards"]] == [
        ("painted (streets)", "val", 3),
        ("painted (wilds)", "val", 3),
    ]
    rows = [row for board in results["boards"] for row in board["rows"]]
    assert {row["run"] for row in rows} == {path.name for path in pipeline.runs.iterdir()}
    for row in rows:
        sheet = json.loads((pipeline.scores / row["run"] / "metrics.json").read_text())
        timing = json.loads((pipeline.runs / row["run"] / "timing.json").read_text())
        about = json.loads((pipeline.runs / row["run"] / "run.json").read_text())
        assert row["scores"] == {name: sheet[name] for name in row["scores"]}
        assert set(row["interval"].values()) == {None} and sheet["interval"] is None
        assert (row["runs"], row["seeds"], set(row["spread"].values())) == ([row["run"]], [0], {None})
        assert row["steps"] == [step["miou"] for _, step in sorted(sheet.get("steps", {}).items())]
        assert (row["train_seconds"], row["train_images_per_second"]) == (
            timing["seconds"],
            timing["images_per_second"],
        )
        assert (row["id"], row["commit"], row["trained_on"]) == (
            about["id"],
            about["commit"],
            about["shards"]["digest"],
        )
    for board in results["boards"]:
        scores = [row["scores"]["miou"] for row in board["rows"]]
        assert scores == sorted(scores, reverse=True)
        assert board["not_ranked"] == "one seed, 3 images: not ranked"
        assert board["interval_reason"] == "3 images, an interval needs at least 50"


def test_costs_are_those_of_the_network(pipeline: Folders, written: Path) -> None:
    """Parameters are counted on the weights; GMAC are those of `segmodels summary` at the images' size."""
    boards = json.loads((written / "results.json").read_text())["boards"]
    rows = {row["run"]: row for board in boards for row in board["rows"]}
    for name, row in rows.items():
        network = load_trained(pipeline.runs / name, torch.device("cpu")).network
        assert row["parameters"] == sum(each.numel() for each in network.parameters())
    options = json.loads((pipeline.runs / "dilated_unet" / "run.json").read_text())["config"]["options"]
    layers = summarize(spec("dilated_unet"), 20, (64, 128), dict(options))
    assert rows["dilated_unet"]["macs"] == layers[0].macs


def test_a_network_of_fixed_size_costs_as_many_windows_as_it_needs() -> None:
    """An image twice as wide as the network was built for is seen through the windows that `evaluate` slides."""
    options = {"width": 8, "depth": 2, "steps": 2}
    one = cost(spec("iterative_v6"), 10, (64, 128), options, (64, 128))[1]
    wide = cost(spec("iterative_v6"), 10, (64, 128), options, (64, 256))[1]
    assert wide == len(windows((64, 256), (64, 128))) * one > one


def test_an_image_that_does_not_fit_costs_what_it_is_padded_to() -> None:
    """60x120 becomes 64x128 before a U-Net sees it."""
    odd, even = (cost(spec("dilated_unet"), 20, (64, 128), {}, size) for size in ((60, 120), (64, 128)))
    assert odd == even


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), max_size=8))
def test_the_frontier_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    """Oracle: a point is on it where no other is as cheap or cheaper and better, nor as good and cheaper."""
    rows: list[dict[str, Any]] = [{"run": str(i), "macs": macs, "miou": miou} for i, (macs, miou) in enumerate(points)]
    best = {
        (macs, miou)
        for macs, miou in points
        if not any((a <= macs and b > miou) or (a < macs and b >= miou) for a, b in points)
    }
    assert {(row["macs"], row["miou"]) for row in frontier(rows, "macs")} == best


def test_the_shown_prediction_is_the_scored_one(pipeline: Folders) -> None:
    """The pixels of the label map on the page have the classes that `evaluate` counted."""
    board = next(board for board in collect(pipeline).boards if board.results[0].taxonomy.name == "cityscapes-20")
    images = choose_images(board, 2)
    result = next(row for row in board.results if row.name == "dilated_unet")
    shards = ShardSet(board.dataset.folder, "val")
    segmenter = load_trained(result.run, torch.device("cpu"))
    for image, uri in zip(images, observe(result, images).maps, strict=True):
        ids = predict_maps(segmenter, shards.read(image.place).image, result.views).full[-1]
        assert (decoded(uri)[..., :3] == shards.taxonomy.palette[ids]).all()
        assert image.key == shards.key(image.place)


def test_scores_of_a_list_have_a_board_of_their_own(copied: Folders, tmp_path: Path) -> None:
    """Beside the board of the whole split, named after the list, without its sweeps; its images are those of the list,
    with their own rows of the scores. A list that is another than the images' is refused."""
    run = copied.runs / "dilated_unet"
    shards = ShardSet(copied.shards / "streets", "val")
    (tmp_path / "frames.txt").write_text(f"{shards.key(2)}\n{shards.key(1)}\n")
    frames = listed(shards, str(tmp_path / "frames.txt"))
    scores = copied.scores / "dilated_unet"
    evaluate(load_trained(run, torch.device("cpu")), shards, scores, frames=frames)
    boards = [board for board in collect(copied).boards if board.dataset.digest == shards.digest]
    whole, part = boards
    assert [each.name for each in part.results] == ["dilated_unet"] and part.listed == frames.digest
    assert [each.name for each in whole.results] == ["percentile"] and (whole.part, whole.listed) == ("val", "")
    assert part.part == f"val, frames of the list {frames.digest[:8]}" and not part.sweeps
    seen = {row.name: Observation(1, 1, (64, 128), (), ()) for row in part.results}
    (row,) = leaderboard((part,), seen)["boards"]
    assert (row["split"], row["frames"], row["images"]) == ("val", frames.digest, 2)
    segmenter = load_trained(run, torch.device("cpu"))
    images = choose_images(part, 2)
    assert [(image.key, image.place, image.row) for image in images] == [(shards.key(i), i, i - 1) for i in (1, 2)]
    for image in images:
        record = shards.read(image.place)
        ids = predict_maps(segmenter, record.image, part.results[0].views).full[-1]
        counted = confusion(record.targets[1], ids, len(shards.taxonomy.classes))
        assert (part.results[0].confusions[image.row] == counted).all()
    (scores / "images.csv").write_text((scores / "images.csv").read_text().replace(shards.key(1), shards.key(0)))
    with pytest.raises(SegmodelsError, match=r"metrics\.json: it lists other frames than images\.csv has"):
        collect(copied)


def test_the_stages_of_the_percentile_network_share_all_pixels(pipeline: Folders) -> None:
    """What the stages settle adds up to the image; each sees what the ones before left; other networks have none."""
    board = next(board for board in collect(pipeline).boards if board.results[0].taxonomy.name == "cityscapes-20")
    images = choose_images(board, 1)
    seen = {row.name: observe(row, images) for row in board.results}
    (stages,) = seen["percentile"].stages
    assert len(stages) == 3
    assert sum(stage.accepted for stage in stages) == pytest.approx(1)
    assert [stage.reached for stage in stages] == pytest.approx([1, 1 - stages[0].accepted, stages[2].accepted])
    for stage in stages:
        white = (decoded(stage.region)[..., 0] == 255).mean()
        assert white == pytest.approx(stage.accepted)
    assert seen["dilated_unet"].stages == ()


def test_the_q_that_was_scored_is_the_q_that_is_shown(copied: Folders, edit: Callable[..., None]) -> None:
    """Scored with q 1 every pixel goes through all stages: so it does in the pictures."""
    edit(copied.scores / "percentile" / "metrics.json", q=[1.0] * 20)
    board = next(board for board in collect(copied).boards if board.results[0].taxonomy.name == "cityscapes-20")
    result = next(row for row in board.results if row.name == "percentile")
    (stages,) = observe(result, choose_images(board, 1)).stages
    assert [stage.reached for stage in stages] == pytest.approx([1, 1, 1], abs=0.01)


# ---- what was found -------------------------------------------------------------------------------


def found_with(
    pipeline: Folders, steps: tuple[float, ...], images: int, rows: tuple[Turned, ...] = (), change: Any = None
) -> str:
    """The paragraph about a percentile network with these scores after each stage, and this sweep."""
    board = next(board for board in collect(pipeline).boards if board.staged)
    assert board.staged
    runs = [seeded(board.staged, "same", (share,), range(images))[0] for share in steps]
    stages = None if change == "no matrices" else np.stack([run.confusions for run in runs])
    shown = tuple(Step(run.scores["miou"], None) for run in runs)
    result = replace(runs[-1], steps=shown, step_confusions=stages)
    sweep = Sweep("s", "q", "a processor", 2, board.dataset.digest, "val", 1, tuple(replace_run(rows, result.name)))
    return finding(replace(board, sweeps=(sweep,) if rows else ()), result)


def replace_run(rows: tuple[Turned, ...], run: str) -> Iterator[Turned]:
    return (row._replace(run=run) for row in rows)


@pytest.mark.parametrize(
    ("shares", "images", "said"),
    [
        ((0.40, 0.45, 0.50), 60, "Deeper stages predict better here: "),
        ((0.50, 0.45, 0.40), 60, "Deeper stages do not predict better here: "),
        ((0.40, 0.38, 0.60), 60, "The last stage predicts best here, though not every stage is better"),
        ((0.40, 0.60, 0.50), 60, "Deeper is not better throughout: stage 2 predicts best here: "),
        ((0.40, 0.45, 0.50), 16, "It is not settled whether deeper stages predict better here: "),
        ((0.40, 0.50, 0.40), 60, "It is not settled whether deeper stages predict better here: "),
    ],
)
def test_what_is_said_of_deeper_stages_follows_from_their_scores(
    pipeline: Folders, shares: tuple[float, ...], images: int, said: str
) -> None:
    """The verdict, the scores, and the paired difference of last and first on the same images with its interval."""
    text = found_with(pipeline, shares, images)
    assert text.startswith(said)
    gain = r"From first to last that is ([+-]\d\.\d{3}), "
    if images < 50:
        assert re.search(gain + "without an interval: 16 images, an interval needs at least 50", text)
        return
    found = re.search(gain + r".* interval ([+-]\d\.\d{3}) to ([+-]\d\.\d{3})\. This speaks of this run alone", text)
    assert found
    difference, low, high = map(float, found.groups())
    listed = [float(each) for each in re.findall(r"mIoU ([\d., ]+)\.", text)[0].split(", ")]
    assert len(listed) == len(shares) and difference == pytest.approx(listed[-1] - listed[0], abs=0.0011)
    assert low <= difference <= high and (low > 0 or high < 0) == ("not settled" not in said)


def test_without_the_matrices_of_the_stages_nothing_is_settled(pipeline: Folders) -> None:
    """As an older version, or DVC's cache, leaves scores."""
    text = found_with(pipeline, (0.2, 0.8), 60, change="no matrices")
    assert text.startswith("It is not settled") and "the matrices of the stages were not kept" in text


def test_what_is_said_of_the_sweep_is_in_its_rows(pipeline: Folders) -> None:
    """Its ends, and its best row, which is here in the middle."""
    rows = [("0", 0.0, 1e9, 0.3), ("0.5", 0.25, 2e9, 0.6), ("1", 1.0, 4e9, 0.5)]
    name = "percentile"
    text = found_with(
        pipeline,
        (0.4, 0.5),
        60,
        tuple(Turned(name, q, (1.0, deep, deep), macs, 1.0, 2.0, miou) for q, deep, macs, miou in rows),
    )
    assert "q 0 sends 0 % of the pixels into the last stage and scores 0.300 for 1 GMAC" in text
    assert "q 1 100 % and 0.500 for 4 GMAC" in text
    assert "the best, q 0.5, scores 0.600 for 2 GMAC" in text


# ---- many runs --------------------------------------------------------------------------------------


@given(st.integers(1, 5000), st.integers(1, 50))
def test_many_runs_share_the_room(runs: int, wanted: int) -> None:
    """However many there are: never more pictures than asked for, and together no more than the page has room for."""
    images = images_shown(wanted, runs)
    assert 1 <= images <= wanted
    width = map_width(runs * images)
    assert width == 160 or runs * images * width * width // 2 <= 9_000_000
    assert 160 <= width <= 640


@given(st.lists(st.integers(), max_size=400), st.integers(1, 300))
def test_a_thinned_curve_keeps_its_ends_and_its_order(points: list[int], runs: int) -> None:
    """No point is told twice, none is moved, and few are few."""
    places = thinned(list(enumerate(points)), runs)
    assert places == sorted(set(places))
    assert places[:1] == list(enumerate(points))[:1] and places[-1:] == list(enumerate(points))[-1:]
    assert len(places) <= max(12, 1500 // runs)


@pytest.mark.slow
def test_a_page_of_many_runs_is_less_than_three_megabytes(copied: Folders, tmp_path: Path) -> None:
    """Sixty runs with three hundred epochs each, with eight images wanted."""
    history = ["epoch,step,lr,loss,miou", *(f"{i},{10 * i},0.01,{2 / i:.4f},{1 - 1 / i:.4f}" for i in range(1, 301))]
    for i in range(55):
        for folder in (copied.runs, copied.scores):
            shutil.copytree(folder / "dilated_unet", folder / f"run{i:02}")
        (copied.runs / f"run{i:02}" / "history.csv").write_text("\n".join(history) + "\n")
    report(copied, tmp_path / "out", 8)
    assert (tmp_path / "out" / "index.html").stat().st_size < 3_000_000


def test_a_large_split_stays_on_disk(pipeline: Folders) -> None:
    """Confusion matrices are mapped, not read, and keys are not kept: a million images cost no more than three."""
    for board in collect(pipeline).boards:
        for result in board.results:
            assert isinstance(result.confusions, np.memmap)
            assert result.images == len(result.confusions) == 3


# ---- latency ----------------------------------------------------------------------------------------


def test_measured_times_stand_beside_the_scores(copied: Folders, edit: Callable[..., None]) -> None:
    """`bench RUN --json` of a run as it is now, at the images' size, is shown; of another training it is noted."""
    assert copied.bench
    for name in ("dilated_unet", "iterative_v6"):
        identity = json.loads((copied.runs / name / "run.json").read_text())["id"]
        rows = [
            {"run": identity, "size": [32, 64], "ms_median": 1.0, "ms_p95": 1.0},
            {"run": identity, "size": [64, 128], "ms_median": 7.5, "ms_p95": 9.0},
        ]
        (copied.bench / name).mkdir()
        document = {"format": 1, "device": {"name": "a processor", "threads": 2}, "rows": rows}
        (copied.bench / name / "bench.json").write_text(json.dumps(document))
    edit(copied.bench / "iterative_v6" / "bench.json", rows=[rows[1] | {"run": "0" * 64}])
    found = collect(copied)
    assert found.notes == (
        f"{copied.bench}/iterative_v6/bench.json: times of another training than {copied.runs}/iterative_v6 holds.",
    )
    seen = {row.name: Observation(1, 10**9, (64, 128), (), ()) for board in found.boards for row in board.results}
    boards = leaderboard(found.boards, seen)["boards"]
    latencies = {row["run"]: row["latency"] for board in boards for row in board["rows"]}
    assert latencies.pop("dilated_unet") == {"ms": 7.5, "ms_p95": 9.0, "device": "a processor", "threads": 2}
    assert set(latencies.values()) == {None}
    marks = {row["run"]: row["ms"] for board in found.boards for row in network_rows(board, seen)}
    assert marks == {name: 7.5 if name == "dilated_unet" else None for name in seen}


# ---- pictures ---------------------------------------------------------------------------------------


def decoded(uri: str) -> U8:
    """A data URI as (H, W, 4)."""
    data = base64.b64decode(uri.partition("base64,")[2])
    return np.asarray(Image.open(BytesIO(data)).convert("RGBA"))


def test_a_label_map_keeps_every_class() -> None:
    """Its colours are the taxonomy's, exactly; what is ignored is transparent, and nothing else is."""
    taxonomy = load_taxonomy("cityscapes-20")
    ids = np.arange(20, dtype=np.uint8).repeat(3).reshape(5, 12).copy()
    ids[0, 0] = IGNORE
    found = decoded(label_map(ids, taxonomy))
    assert (found[..., :3] == taxonomy.palette[ids])[ids != IGNORE].all()
    assert ((found[..., 3] == 0) == (ids == IGNORE)).all()


def test_pictures_are_no_larger_than_a_page_needs() -> None:
    """A full Cityscapes frame of the worst kind, noise, becomes 640 pixels wide and less than 200 kB."""
    noise = np.random.default_rng(0).integers(0, 256, (1024, 2048, 3), dtype=np.uint8)
    uri = photograph(noise)
    assert decoded(uri).shape[:2] == (WIDEST // 2, WIDEST)
    assert len(uri) < 200_000


# ---- the same bytes ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(pipeline: Folders, written: Path, tmp_path: Path) -> None:
    """Again in another process with another hash seed, by the command: both files are equal to the byte."""
    environment = os.environ | {"PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "segmodels", *arguments(pipeline, tmp_path / "again")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "5 networks on 2 sets" in done.stdout
    for name in ("index.html", "results.json"):
        assert (tmp_path / "again" / name).read_bytes() == (written / name).read_bytes()


# ---- the page as text -------------------------------------------------------------------------------


class Addresses(HTMLParser):
    """Every address that a page mentions in an attribute a browser would follow, and every id."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        follows = {"src", "href", "srcset", "action", "data", "poster"}
        self.found += [value or "" for name, value in attributes if name in follows]
        self.ids += [value or "" for name, value in attributes if name == "id"]


def test_nothing_on_the_page_leads_outside(written: Path) -> None:
    """Addresses are data or lie on the page, whose targets exist and stand once; the policy forbids the rest."""
    page = Addresses()
    text = (written / "index.html").read_text()
    page.feed(text)
    assert len(page.ids) == len(set(page.ids))
    for address in page.found:
        assert address.startswith("data:") or address[1:] in page.ids, address
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy and policy[1].startswith("default-src 'none'") and "unsafe-eval" not in policy[1]


def test_the_page_stays_small(written: Path) -> None:
    """Without its pictures it is the charts' library and little else."""
    text = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]*", "", (written / "index.html").read_text())
    assert len(text) < 1_250_000


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's ratio of two colours like #1d1d1b."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_are_told_apart(theme: int) -> None:
    """Text has a contrast of 4.5 in both themes, on the heat map too; marks of charts have 3."""
    style = STYLE.read_text(encoding="utf-8")
    pair = r"light-dark\((#\w{6}), (#\w{6})\)"
    named = {name: (light, dark)[theme] for name, light, dark in re.findall(rf"--([\w-]+): {pair}", style)}
    for background in (named["paper"], named["panel"]):
        for name in ("ink", "muted", "accent"):
            assert contrast(named[name], background) >= 4.5, name
    for name in (name for name in named if name.startswith("family-")):
        assert contrast(named[name], named["paper"]) >= 3, name
    assert contrast(named["ink"], named["mark"]) >= 4.5
    levels = re.findall(rf"\.h(\d+) {{ background: {pair}; color: {pair}; }}", style)
    assert [int(each[0]) for each in levels] == list(range(11))
    for _, *colours in levels:
        assert contrast(colours[theme], colours[2 + theme]) >= 4.5


# ---- what is left out, and what is refused ----------------------------------------------------------


def test_what_cannot_be_shown_is_said(copied: Folders, tmp_path: Path) -> None:
    """A run without scores, an unfinished one, a folder that is none, scores and sweeps of nothing: each is noted."""
    assert copied.bench
    (copied.scores / "distill_x2" / "metrics.json").unlink()
    (copied.runs / "iterative_v6" / "metrics.json").unlink()
    (copied.runs / "notes").mkdir()
    (copied.scores / "gone").mkdir()
    (copied.bench / "empty").mkdir()
    found, where = collect(copied), copied.scores / "distill_x2"
    assert {row.name for board in found.boards for row in board.results} == {
        "dilated_unet",
        "percentile",
        "res_hourglass",
    }
    assert [note.partition(": ")[::2] for note in found.notes] == [
        (
            f"{copied.runs}/distill_x2",
            f"not scored. Run `segmodels evaluate {copied.runs}/distill_x2 --shards … --out {where}`.",
        ),
        (f"{copied.runs}/iterative_v6", "unfinished. Run its `segmodels train` again to go on."),
        (f"{copied.runs}/notes", "no run.json, so this is no run."),
        (f"{copied.scores}/gone", f"scores of a run that {copied.runs} does not have."),
        (f"{copied.bench}/empty", "neither sweep.json nor bench.json, so nothing was measured."),
    ]


def test_a_sweep_of_other_images_is_not_drawn(copied: Folders, edit: Callable[..., None]) -> None:
    """Its mIoU cannot stand in one chart with theirs."""
    assert copied.bench
    edit(copied.bench / "percentile" / "sweep.json", split="train")
    found = collect(copied)
    assert not any(board.sweeps for board in found.boards)
    assert found.notes == (f"{copied.bench}/percentile: its mIoU is of other images than the runs were scored on.",)


Damage = Callable[[Folders, Callable[..., None]], object]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "no folder": (lambda f, edit: f.runs.rename(f.runs.parent / "x"), r"--runs .*/runs is no folder"),
    "no shards": (
        lambda f, edit: [each.unlink() for each in f.shards.iterdir()],
        r"no shard set, nor one in any folder of it",
    ),
    "nothing scored": (
        lambda f, edit: [path.unlink() for path in f.scores.glob("*/metrics.json")],
        r"no finished run with scores in .* not scored\. Run `segmodels evaluate",
    ),
    "not JSON": (
        lambda f, edit: (f.scores / "dilated_unet" / "metrics.json").write_text("{"),
        r"dilated_unet/metrics\.json is not JSON: .* Run its `segmodels evaluate .*` again",
    ),
    "a list": (lambda f, edit: (f.stats / "streets.json").write_text("[]"), r"streets\.json holds list, expected an"),
    "a score that is a text": (
        lambda f, edit: edit(f.scores / "dilated_unet" / "metrics.json", miou="high"),
        r"metrics\.json: 'miou' is 'high', expected a number or null\.",
    ),
    "a score that is missing": (
        lambda f, edit: edit(f.scores / "dilated_unet" / "metrics.json", micro_iou=...),
        r"metrics\.json: no 'micro_iou', expected a number or null\.",
    ),
    "an infinite score": (
        lambda f, edit: (f.scores / "dilated_unet" / "metrics.json").write_text(
            (f.scores / "dilated_unet" / "metrics.json").read_text().replace('"miou": 0', '"miou": 1e999, "x": 0', 1)
        ),
        r"expected a number or null",
    ),
    "another training": (
        lambda f, edit: edit(f.scores / "dilated_unet" / "metrics.json", run="0" * 64),
        r"dilated_unet: these scores belong to another training than .*runs/dilated_unet holds",
    ),
    "other weights": (
        lambda f, edit: (f.runs / "dilated_unet" / "model.safetensors").write_bytes(
            (f.runs / "percentile" / "model.safetensors").read_bytes()
        ),
        r"model\.safetensors is not the file that training wrote: run\.json has another digest",
    ),
    "other shards": (
        lambda f, edit: (f.shards / "streets").unlink(),
        r"scores/dilated_unet was scored on shards painted \w{12}, --shards has painted \w{12}\.",
    ),
    "counts of other shards": (
        lambda f, edit: (f.stats / "wilds.json").write_bytes((f.stats / "streets.json").read_bytes()),
        r"wilds\.json counts other shards than .*wilds holds\. Run `segdata stats",
    ),
    "no counts": (lambda f, edit: (f.stats / "wilds.json").unlink(), r"cannot read .*wilds\.json: No such file"),
    "too small a matrix": (
        lambda f, edit: np.save(f.scores / "dilated_unet" / "confusion.npy", np.zeros((3, 2, 2), np.int64)),
        r"confusion\.npy holds int64 \(3, 2, 2\), expected int64 \(3, 20, 20\)",
    ),
    "a matrix that is Python": (
        lambda f, edit: np.save(f.scores / "dilated_unet" / "confusion.npy", np.array([{}]), allow_pickle=True),
        r"cannot read .*confusion\.npy",
    ),
    "another history": (
        lambda f, edit: (f.runs / "dilated_unet" / "history.csv").write_text("epoch,step,loss,miou\n1,1,0.1,0.9\n"),
        r"history\.csv is not the file that training wrote",
    ),
    "a torn history of an older version": (
        lambda f, edit: (
            edit(f.runs / "dilated_unet" / "run.json", history=...),
            (f.runs / "dilated_unet" / "history.csv").write_text("epoch,step\n1,many\n"),
        ),
        r"history\.csv is no history",
    ),
    "another run.json": (
        lambda f, edit: edit(f.runs / "dilated_unet" / "run.json", init="0" * 64),
        r"run\.json was changed by hand, or is damaged: its id does not follow",
    ),
    "an unknown network": (
        lambda f, edit: edit(f.runs / "dilated_unet" / "run.json", config={"network": "dilated_unte"}),
        r"no network 'dilated_unte' \(did you mean dilated_unet",
    ),
    "a sweep of the future": (
        lambda f, edit: edit((f.bench or f.runs) / "percentile" / "sweep.json", format=9),
        r"sweep\.json: format 9, this release reads 1",
    ),
    "images in another order": (
        lambda f, edit: (f.scores / "dilated_unet" / "images.csv").write_text("key\na\nb\nc\n"),
        r"the scores of dilated_unet are of other images than",
    ),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_bad_input_is_one_line(what: str, copied: Folders, edit: Callable[..., None], tmp_path: Path) -> None:
    """Whatever is wrong with the inputs: one line that names the file, and nothing is written."""
    damage, expected = DAMAGES[what]
    damage(copied, edit)
    with pytest.raises(SegmodelsError) as caught:
        report(copied, tmp_path / "out", 1)
    message = str(caught.value)
    assert re.search(expected, message), message
    assert "\n" not in message
    assert not list((tmp_path / "out").glob("*"))


def test_the_report_never_goes_into_a_run(copied: Folders) -> None:
    """Only `train` writes there."""
    with pytest.raises(SegmodelsError, match="is the folder of a run"):
        report(copied, copied.runs / "dilated_unet", 1)


def test_no_images_is_no_number_of_images(copied: Folders, tmp_path: Path) -> None:
    """The command refuses it before it reads anything."""
    done = CliRunner().invoke(cli, [*arguments(copied, tmp_path / "out")[:-1], "0"])
    assert done.exit_code == 2
    assert "--images" in done.output


def test_without_its_packages_the_report_says_what_to_install(
    copied: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain installation has neither Jinja nor a plotting library."""
    monkeypatch.setattr("segdata.requirements.find_spec", lambda name: None)
    with pytest.raises(
        SegmodelsError,
        match=r"needs the extra `report`: altair, vl_convert, jinja2 are not installed. Run: pip install .*\[report\]",
    ):
        report(copied, tmp_path / "out", 1)
