"""`segmodels sweep`: properties of the rows, never of the clock."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from click.testing import CliRunner

import segmodels
from segdata import ShardSet
from segmodels.bench.summary import count_macs, summarize
from segmodels.cli import cli
from segmodels.cli.bench import OF_SWEEP, bench
from segmodels.cli.sweep import sweep as command
from segmodels.inference.trained import load_trained
from segmodels.knobs.point import SCALE, points
from segmodels.knobs.sweep import sweep
from segmodels.networks.hourglass import Tas500Net
from segmodels.scoring.evaluate import measure
from segmodels.scoring.metrics import miou
from tests.segmodels.commands import refused, run

CPU = torch.device("cpu")
PERCENTILE = {"width_factor": 0.125}
SHARED = {"width": 4, "depth": 1, "steps": 3, "prenet": "x2", "norm": "batch"}
Make = Callable[..., Path]


def swept(knob: str, runs: list[Path], shards: Path, out: Path, *more: object) -> dict[str, Any]:
    run("sweep", *runs, "--knob", knob, "--shards", shards, "--out", out, "--forwards", 1, *more)
    document: dict[str, Any] = json.loads((out / "sweep.json").read_text())
    return document


def evaluated(folder: Path, shards: Path, out: Path, *more: object) -> dict[str, Any]:
    run("evaluate", folder, "--shards", shards, "--out", out, *more)
    document: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return document


# ---- q -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def q_sweep(make_run: Make, make_street_shards: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of five values, not to be changed."""
    out = tmp_path_factory.mktemp("q-sweep")
    values = ("--values", "0,0.25,0.5,0.75,1")
    swept("q", [make_run("percentile", **PERCENTILE)], make_street_shards(), out, *values)
    return out


def test_more_goes_on_the_larger_q_is(q_sweep: Path) -> None:
    """Shares and work rise with q, from little to everything."""
    document = json.loads((q_sweep / "sweep.json").read_text())
    rows = document["rows"]
    assert [row["value"] for row in rows] == [0, 0.25, 0.5, 0.75, 1]
    for stage in (1, 2):
        shares = [row["shares"][stage] for row in rows]
        assert shares == sorted(shares) and shares[0] < 0.05 and shares[-1] == 1
    assert all(row["shares"][0] == 1 for row in rows)
    assert rows[2]["shares"] == pytest.approx([1, 0.5, 0.25], abs=0.02)
    macs = [row["macs"] for row in rows]
    assert macs == sorted(macs) and macs[0] < macs[-1] == document["full_macs"]
    declared, size = segmodels.spec("percentile"), (64, 128)
    assert document["full_macs"] == summarize(declared, 20, size, declared.resolve(PERCENTILE))[0].macs
    assert all(0 < row["ms_median"] <= row["ms_p95"] for row in rows)


@pytest.mark.parametrize("row", [0, 2, 4])
def test_miou_is_that_of_evaluate(
    q_sweep: Path, row: int, make_run: Make, make_street_shards: Make, tmp_path: Path
) -> None:
    """To the last digit, at q = 0, a half and 1."""
    found = json.loads((q_sweep / "sweep.json").read_text())["rows"][row]
    folder = make_run("percentile", **PERCENTILE)
    metrics = evaluated(folder, make_street_shards(), tmp_path, "--q", found["value"])
    assert found["miou"] == metrics["miou"]
    assert metrics["q"] == [found["value"]] * 20


def test_what_a_sweep_leaves(q_sweep: Path, make_run: Make) -> None:
    """The document says what was measured; the table has the same rows; the figure is SVG with both costs."""
    document = json.loads((q_sweep / "sweep.json").read_text())
    assert (document["format"], document["knob"], document["split"]) == (1, "q", "val")
    assert document["run"] == load_trained(make_run("percentile", **PERCENTILE), CPU).run
    assert document["network"] == "percentile"
    assert document["device"] and document["threads"] == torch.get_num_threads()
    rows = list(csv.DictReader((q_sweep / "sweep.csv").read_text().splitlines()))
    for row, plain in zip(document["rows"], rows, strict=True):
        assert [float(plain[f"share{stage}"]) for stage in (1, 2, 3)] == row["shares"]
        for name in ("value", "macs", "ms_median", "ms_p95", "miou"):
            assert float(plain[name]) == row[name]
    figure = (q_sweep / "sweep.svg").read_text()
    ElementTree.fromstring(figure)
    assert "GMAC an image" in figure and "ms an image" in figure


def test_q_is_swept_by_tenths(make_run: Make) -> None:
    """Unless other values are given."""
    tenths = points("q", [load_trained(make_run("percentile", **PERCENTILE), CPU)], None)
    assert [point.value for point in tenths] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]


def test_each_second_image(make_run: Make, val: ShardSet) -> None:
    """Of three images the first and the last count; of these, as many forwards are timed as asked for."""
    (row,) = sweep(
        points("q", [segmenter := load_trained(make_run("percentile", **PERCENTILE), CPU)], [1]), val, every=2
    )
    scored, _ = measure(segmenter, val)
    assert scored is not None
    kept = [each.evaluated for each in val.taxonomy.classes]
    assert row.miou == float(miou(scored.full[-1, [0, 2]].sum(0), kept))


# ---- steps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["iterative_v5", "res_hourglass_iter_ex"])
def test_a_row_for_every_step(name: str, make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """The network cut after n steps scores what evaluate finds for its step n, and does less work."""
    folder, shards = make_run(name, **SHARED), make_street_shards()
    document = swept("steps", [folder], shards, tmp_path / "sweep")
    steps = evaluated(folder, shards, tmp_path / "scores")["steps"]
    assert [row["value"] for row in document["rows"]] == [1, 2, 3]
    assert [row["miou"] for row in document["rows"]] == [steps[step]["miou"] for step in ("01", "02", "03")]
    macs = [row["macs"] for row in document["rows"]]
    assert 0 < macs[0] < macs[1] < macs[2] == document["full_macs"]
    declared = segmodels.spec(name)
    assert macs[2] == summarize(declared, 20, (64, 128), declared.resolve(SHARED))[0].macs
    assert all(row["shares"] is None and row["ms_median"] > 0 for row in document["rows"])


@pytest.mark.parametrize("name", ["iterative_v1", "iterative_v4", "hourglass", "res_hourglass_iter"])
@torch.no_grad()
def test_a_network_that_stops_early_says_the_same(name: str) -> None:
    """Bit by bit what the whole network says after that step; and whole again, it goes on."""
    network = segmodels.build(name, 5, (16, 32), **SHARED | {"alpha_init": 0.5}).eval()
    assert isinstance(network, Tas500Net)
    image = torch.randn(1, 3, 16, 32)
    whole = network(image).steps
    for steps in (1, 2, 3):
        network.stop_after = steps
        prediction = network(image)
        assert len(prediction.steps) == steps
        assert torch.equal(prediction.logits, whole[steps - 1])


def test_a_fixed_size_network_is_swept_through_windows(
    make_run: Make, make_street_shards: Make, tmp_path: Path
) -> None:
    """Work is that of all windows of an image, mIoU that of evaluate."""
    folder, shards = make_run("iterative_v6", (32, 64), **SHARED | {"norm": "layerHW"}), make_street_shards()
    document = swept("steps", [folder], shards, tmp_path / "sweep", "--values", "3")
    window = count_macs(load_trained(folder, CPU).network, (32, 64))
    assert document["rows"][0]["macs"] % window == 0 and document["rows"][0]["macs"] >= 4 * window
    assert document["rows"][0]["miou"] == evaluated(folder, shards, tmp_path / "scores")["miou"]


# ---- scale ---------------------------------------------------------------------------------------------


def test_a_row_for_every_run(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """Distillation networks at two scales, side by side: each row is its run's."""
    small = {"width": 4, "depth": 1, "norm": "batch"}
    folders = [make_run(f"distill_{scale}", **small) for scale in ("x2", "x4")]
    shards = make_street_shards()
    document = swept("scale", folders, shards, tmp_path / "sweep")
    assert [row["value"] for row in document["rows"]] == [2, 4]
    assert [row["network"] for row in document["rows"]] == ["distill_x2", "distill_x4"]
    assert document["rows"][0]["macs"] > document["rows"][1]["macs"]
    for folder, row in zip(folders, document["rows"], strict=True):
        scored, _ = measure(load_trained(folder, CPU), ShardSet(shards, "val"))
        assert scored is not None
        kept = [each.evaluated for each in ShardSet(shards, "val").taxonomy.classes]
        assert row["miou"] == float(miou(scored.full[-1].sum(0), kept))


# ---- MACs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dilated_unet", "percentile", "clusternet"])
def test_macs_of_a_network_at_hand(name: str) -> None:
    """Those of the summary, and the network is as it was."""
    options = {"clusternet": {"backbone_depth": 18, "clusters": 8}}.get(name, {"width_factor": 0.25})
    declared = segmodels.spec(name)
    network = declared.build(5, (64, 96), options)
    before = network.training, next(network.parameters()).device
    assert count_macs(network.eval(), (64, 96)) == summarize(declared, 5, (64, 96), options)[0].macs
    assert (network.train().training, next(network.parameters()).device) == before


# ---- bad input -----------------------------------------------------------------------------------------


def test_the_knobs_are_those_of_the_command() -> None:
    """Their names stand in the command as well, so that `--help` needs no torch: all that a network declares."""
    declared = {knob.name for name in segmodels.names() for knob in segmodels.spec(name).knobs}
    (option,) = (param for param in command.params if param.name == "knob")
    assert set(option.type.choices) == declared | {SCALE}  # type: ignore[attr-defined]


def test_bad_input_is_one_line(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """What was found, what is expected."""
    staged, plain = make_run("percentile", **PERCENTILE), make_run("dilated_unet", width_factor=0.25)
    refining = make_run("iterative_v5", **SHARED)
    shards, other = make_street_shards(), make_street_shards("cityscapes-19")
    where = ("--shards", shards, "--out", tmp_path / "out")
    for arguments, message in (
        ((plain, "--knob", "q", *where), "--knob q: dilated_unet has no q, it has no knob"),
        ((staged, "--knob", "steps", *where), "--knob steps: percentile has no steps, its knob is q"),
        ((staged, "--knob", "q", *where, "--values", "0.5,1.5"), "q is 1.5, expected a number from 0 to 1"),
        (
            (refining, "--knob", "steps", *where, "--values", "1,4"),
            "steps is 4, expected a whole number from 1 to 3",
        ),
        ((refining, "--knob", "steps", *where, "--values", "1.5"), "steps is 1.5, expected a whole number"),
        ((staged, plain, "--knob", "q", *where), "turns a knob of one run, found 2"),
        ((plain, staged, "--knob", "scale", *where), "several of the runs are at x1"),
        ((plain, "--knob", "scale", *where, "--values", "1"), "takes no --values"),
        ((tmp_path / "nowhere", "--knob", "q", *where), "no run"),
        (("percentile", "--knob", "q", *where), "no run percentile"),
        ((staged, "--knob", "q", "--shards", other, "--out", tmp_path / "out"), "the run learnt cityscapes-20"),
        ((staged, "--knob", "q", "--shards", shards, "--out", staged), "is the folder of a run"),
    ):
        assert message in refused("sweep", *arguments)
    assert not (tmp_path / "out" / "sweep.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run --knob q --shards a", "Missing option '--out'"),
        ("run --knob q --out b", "Missing option '--shards'"),
        ("run --shards a --out b", "Missing option '--knob'"),
        ("--knob q --shards a --out b", "Missing argument 'RUN...'"),
        ("run --knob q --shards a --out b --precision fp32,bf16", "'fp32,bf16' is not one of 'fp32', 'bf16'"),
        ("run --knob q --shards a --out b --largest-batch 4", "No such option"),
    ],
)
def test_wrong_usage(arguments: str, message: str) -> None:
    """Of one setting and with all three options, and with none of `bench`; exit status 2."""
    result = CliRunner().invoke(cli, ["sweep", *arguments.split()])
    assert result.exit_code == 2 and message in result.output


@pytest.mark.parametrize("option", sorted(OF_SWEEP))
def test_the_old_form_names_the_new_command(option: str) -> None:
    """`bench RUN --sweep q` was what `sweep RUN --knob q` is: one line says so, whichever option comes first."""
    result = CliRunner().invoke(cli, ["bench", "run", option, "1"])
    assert result.exit_code == 2
    (line,) = (line for line in result.output.splitlines() if line.startswith("Error"))
    assert line == f"Error: {option} belongs to another command: segmodels sweep RUN --knob q --shards SHARDS --out DIR"
    assert "No such option" in CliRunner().invoke(cli, ["bench", "run", "--swept", "q"]).output


def test_all_options_that_moved_are_known() -> None:
    """What `sweep` has and `bench` has not, apart from --knob, whose name was --sweep."""
    moved = {name for option in command.params for name in option.opts} - {"runs", "--knob"}
    assert moved - {name for option in bench.params for name in option.opts} | {"--sweep"} == OF_SWEEP


# ---- --q of predict and evaluate -----------------------------------------------------------------------


def test_q_of_evaluate_is_a_number_or_one_a_class(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """A list of equal numbers is the number; another q gives another answer; without --q the run's own counts."""
    folder, shards = make_run("percentile", **PERCENTILE), make_street_shards()
    same = [
        evaluated(folder, shards, tmp_path / str(i), "--q", q) for i, q in enumerate(("0.3", ",".join(["0.3"] * 20)))
    ]
    assert same[0] == same[1]
    assert (
        evaluated(folder, shards, tmp_path / "own")["miou"]
        == evaluated(folder, shards, tmp_path / "h", "--q", 0.5)["miou"]
    )
    assert same[0]["miou"] != evaluated(folder, shards, tmp_path / "all", "--q", 1)["miou"]
    assert "q" not in json.loads((tmp_path / "own" / "metrics.json").read_text())


def test_q_of_predict(make_run: Make, streets: Path, tmp_path: Path) -> None:
    """At q = 1 every pixel reaches the last stage: another picture than at q = 0."""
    (image,) = sorted((streets / "leftImg8bit" / "train").rglob("*.png"))
    for q in (0, 1):
        run("predict", make_run("percentile", **PERCENTILE), image, "--out", tmp_path / str(q), "--q", q)
    pictures = [next((tmp_path / str(q)).glob("*_labels.png")).read_bytes() for q in (0, 1)]
    assert pictures[0] != pictures[1]


@pytest.mark.parametrize(
    ("q", "message"),
    [
        ("1.5", "q is 1.5, expected a number from 0 to 1"),
        ("0.5,0.5", "expected a number from 0 to 1 or 20 of them"),
        ("nan", "--q nan: no number"),
        ("nowhere.json", "no number, no list of numbers, and no file"),
        ("", "no number, no list of numbers, and no file"),
    ],
)
def test_a_wrong_q_is_one_line(q: str, message: str, make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """Said before anything is computed."""
    where = ("--shards", make_street_shards(), "--out", tmp_path / "out")
    assert message in refused("evaluate", make_run("percentile", **PERCENTILE), *where, f"--q={q}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"format": 1, "q": [0.5] * 20, "taxonomy": "camvid-11"}, "for taxonomy camvid-11, but the run learnt"),
        ({"format": 1, "q": [0.5] * 20, "taxonomy": "cityscapes-20", "classes": ["a"] * 20}, "for the classes a, a, a"),
        ({"format": 1, "q": [0.5] * 3, "taxonomy": "cityscapes-20"}, "or 20 of them"),
        ({"format": 2, "q": [0.5] * 20, "taxonomy": "cityscapes-20"}, "format 2, this is 1"),
        ({"format": 1, "taxonomy": "cityscapes-20"}, "no file of `segmodels calibrate`"),
        ([0.5], "no file of `segmodels calibrate`"),
    ],
)
def test_a_wrong_file_of_q_is_one_line(
    document: object, message: str, make_run: Make, make_street_shards: Make, tmp_path: Path
) -> None:
    """Another taxonomy, another one under the same name, number of classes or version; not ours at all."""
    (tmp_path / "q.json").write_text(json.dumps(document))
    where = ("--shards", make_street_shards(), "--out", tmp_path / "out")
    assert message in refused("evaluate", make_run("percentile", **PERCENTILE), *where, "--q", tmp_path / "q.json")


def test_a_network_without_q(make_run: Make, make_street_shards: Make, tmp_path: Path) -> None:
    """Refused by its name."""
    where = ("--shards", make_street_shards(), "--out", tmp_path / "out")
    assert "dilated_unet has no q" in refused(
        "evaluate", make_run("dilated_unet", width_factor=0.25), *where, "--q", "1"
    )
