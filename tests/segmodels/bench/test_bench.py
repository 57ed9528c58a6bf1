"""`segmodels bench`: what a row says, where figures come from, how the best batch is found. Never how fast it is."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import segmodels
from segmodels import SegmodelsError
from segmodels.bench import child, memory, rows
from segmodels.bench.case import CHOICES, Case, Setting, Subject, case_from_document, cases, named, settings, trained
from segmodels.bench.clock import FEWEST, MOST, WARM_UP, clocked, series, times, warm_up
from segmodels.bench.energy import meter
from segmodels.bench.figure import Figure, measure
from segmodels.bench.rows import Plan
from segmodels.bench.search import best_batch, needed
from segmodels.bench.summary import summarize
from segmodels.compute.memory import available
from tests.segmodels.commands import refused, run

CPU = torch.device("cpu")
UNET = {"width_factor": 0.25}
QUICK = ("--seconds", "0", "--device", "cpu", "--threads", "1")
Make = Callable[..., Path]


def a_case(**setting: Any) -> Case:
    return Case(named("dilated_unet", 5, {"width_factor": "0.25"}), (32, 64), Setting(threads=1, **setting))


def a_figure(batch: int = 1, ms: float = 10.0, peak: int = 300, base: int = 200) -> Figure:
    return Figure(batch, [ms] * 5, peak, base, None, "", {"device": {"kind": "cpu", "threads": 1}})


# ---- rows ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], list[dict[str, str]]]:
    """The table, JSON and CSV of a small network in two settings, measured once."""
    out = tmp_path_factory.mktemp("bench")
    text = run(
        *("bench", "dilated_unet", "--classes", 5, "--size", "32x64", "--option", "width_factor=0.25", *QUICK),
        *("--precision", "fp32,bf16", "--largest-batch", 2, "--json", out / "a.json", "--csv", out / "a.csv"),
    )
    lines = (out / "a.csv").read_text().splitlines()
    return text, json.loads((out / "a.json").read_text()), list(csv.DictReader(lines))


def test_figures_are_there_and_positive(report: tuple[str, dict[str, Any], list[dict[str, str]]]) -> None:
    """Every row has all of them, in relations that hold on any machine."""
    _, document, _ = report
    assert document["format"] == 1
    assert document["device"]["threads"] == 1
    assert "torch" in document["versions"]
    first, second = document["rows"]
    assert (first["precision"], second["precision"]) == ("fp32", "bf16")
    for row in (first, second):
        assert 0 < row["ms_median"] <= row["ms_p95"]
        assert row["ms_iqr"] >= 0
        assert row["forwards"] >= FEWEST
        assert row["images_per_second"] > 0
        assert row["best_batch"] in {1, 2}
        assert row["stopped"] in {"growth", "largest"}
        assert 0 < row["base_memory_bytes"] < row["peak_memory_bytes"]
        assert row["joules_per_image"] is None and "CPU" in row["no_energy"]
        assert (row["network"], row["run"], row["classes"], row["size"]) == ("dilated_unet", "", 5, [32, 64])


def test_parameters_and_macs_are_those_of_the_summary(
    report: tuple[str, dict[str, Any], list[dict[str, str]]],
) -> None:
    """And the table shows them."""
    text, document, _ = report
    layer = summarize(segmodels.spec("dilated_unet"), 5, (32, 64), UNET)[0]
    assert {(row["parameters"], row["macs"]) for row in document["rows"]} == {(layer.parameters, layer.macs)}
    header, first, second, energy = text.splitlines()
    assert header.split()[0] == "network" and f"{layer.parameters:,}" in first
    assert "fp32" in first and "bf16" in second
    assert energy == "energy: not measured, no counter for the CPU"


def test_csv_has_the_rows_of_the_json(report: tuple[str, dict[str, Any], list[dict[str, str]]]) -> None:
    """Sizes as HxW, options as name=value, everything else as it is."""
    _, document, plain = report
    for row, line in zip(document["rows"], plain, strict=True):
        assert (line["size"], line["options"]) == ("32x64", "width_factor=0.25 separable=True")
        for name in ("ms_median", "images_per_second", "peak_memory_bytes", "macs"):
            assert float(line[name]) == row[name]
        assert line["joules_per_image"] == ""


def test_a_run_is_measured_as_it_was_trained(make_run: Make, tmp_path: Path) -> None:
    """Its classes, options, size and weights; the row names its id."""
    folder = make_run("percentile", width_factor=0.125, q=0.25)
    subject = trained(folder)
    assert (subject.network, subject.classes, subject.size, subject.run) == ("percentile", 20, (64, 128), "0" * 64)
    assert subject.options["q"] == 0.25
    saved = segmodels.runs.checkpoint.load_weights(folder / "model.safetensors")[0]
    for name, weight in subject.build((32, 32)).state_dict().items():
        assert torch.equal(weight, saved[name])
    run("bench", folder, *QUICK, "--size", "32x64", "--largest-batch", 1, "--json", tmp_path / "a.json")
    (row,) = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert (row["run"], row["size"], row["best_batch"], row["stopped"]) == ("0" * 64, [32, 64], 1, "largest")


def test_all_measures_every_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that there is, at 128x256, with the classes of its source."""
    there = ("dilated_unet", "distill_x8", "fcn_resnet_v2")
    asked: list[Case] = []

    def instead(case: Case, batch: int, seconds: float) -> Figure:
        asked.append(case)
        return a_figure(batch)

    monkeypatch.setattr("segmodels.bench.rows.measured", instead)
    monkeypatch.setattr(sys.modules["segmodels.cli.bench"], "names", lambda: there)
    lines = run("bench", "--all", "--device", "cpu", "--largest-batch", 1).splitlines()
    assert tuple(line.split()[0] for line in lines[1:]) == there
    assert {case.size for case in asked} == {(128, 256)}
    assert [case.subject.classes for case in asked] == [20, 10, 4]


@pytest.mark.slow
def test_every_network_can_be_measured(tmp_path: Path) -> None:
    """Really, in a process each."""
    run("bench", "--all", *QUICK, "--largest-batch", 1, "--json", tmp_path / "a.json")
    found = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert [row["network"] for row in found] == list(segmodels.names())
    assert all(row["ms_median"] > 0 for row in found)


def test_rounds_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency is that of all rounds together; in each, every setting has its turn."""
    asked: list[str] = []

    def instead(case: Case, batch: int, seconds: float) -> Figure:
        asked.append(case.setting.precision)
        return a_figure(ms=float(len(asked)))

    monkeypatch.setattr("segmodels.bench.rows.measured", instead)
    both = [a_case(), a_case(precision="bf16")]
    first, second = rows.bench(both, Plan(rounds=3, largest_batch=1))
    assert asked == ["fp32", "bf16"] * 3
    assert (first.ms_median, second.ms_median) == (3, 4)
    assert first.forwards == 15


# ---- one figure ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting", [{}, {"layout": "channels_last", "precision": "bf16"}, {"arithmetic": "fast"}], ids=str
)
def test_a_setting_is_really_set(setting: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The network sees a batch of this layout, under this arithmetic, and computes in this precision."""
    seen: list[tuple[Any, ...]] = []
    build = Subject.build

    def watched(self: Subject, size: tuple[int, int]) -> torch.nn.Module:
        network = build(self, size)

        def note(module: Any, images: Any, prediction: Any) -> None:
            last = images[0].is_contiguous(memory_format=torch.channels_last)
            seen.append((tuple(images[0].shape), last, torch.are_deterministic_algorithms_enabled()))
            seen.append((prediction.logits.dtype, module.training, torch.is_inference_mode_enabled()))

        network.register_forward_hook(note)
        return network

    monkeypatch.setattr(Subject, "build", watched)
    figure = measure(a_case(**setting), 2, seconds=0)
    dtype = torch.bfloat16 if setting.get("precision") == "bf16" else torch.float32
    assert set(seen) == {
        ((2, 3, 32, 64), "layout" in setting, "arithmetic" not in setting),
        (dtype, False, True),
    }
    assert len(seen) == 2 * (WARM_UP + FEWEST)
    assert figure.batch == 2 and len(figure.ms) == FEWEST and min(figure.ms) > 0
    assert not torch.are_deterministic_algorithms_enabled()  # as it was


def test_a_case_survives_the_way_to_its_process(make_run: Make) -> None:
    """JSON and back: the same case, of fresh weights and of a run's."""
    several = named("percentile", 3, {"q": "0.1,0.2,0.3"})
    for subject in (several, trained(make_run("dilated_unet", **UNET))):
        case = Case(subject, (32, 64), Setting("bf16", "channels_last", "fast", True, "cpu", 2))
        there = case_from_document(json.loads(json.dumps(case.document())))
        assert there.size == case.size and there.setting == case.setting
        assert there.subject.weights == subject.weights
        built = [each.subject.build((32, 64)).state_dict() for each in (case, there)]
        assert all(torch.equal(built[0][name], built[1][name]) for name in built[0])


def test_a_figure_comes_from_another_process() -> None:
    """Its memory is its own: as much again held here does not count."""
    mine = np.ones(600 * 2**20, np.uint8)
    figure = child.measured(a_case(), 1, 0)
    assert figure is not None
    assert figure.base_memory_bytes < figure.peak_memory_bytes < mine.nbytes + 200 * 2**20
    assert len(figure.ms) == FEWEST and figure.environment["device"]["threads"] == 1


@pytest.mark.parametrize(
    ("program", "found"),
    [
        (f"import os; os.kill(os.getpid(), {signal.SIGKILL.value})", "memory"),
        ("print('{\"figure\": null}')", "memory"),
        ('print(\'{"error": "no such thing"}\')', "no such thing"),
        ("raise RuntimeError('a kernel is missing')", "ended with status 1: RuntimeError: a kernel is missing"),
        ("raise SystemExit(3)", "ended with status 3: it said nothing"),
    ],
)
def test_how_a_process_may_end(program: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory is no error but an answer; everything else is one line."""
    real = subprocess.run

    def instead(command: list[str], **options: Any) -> Any:
        return real([sys.executable, "-c", program], **options)

    monkeypatch.setattr("segmodels.bench.child.subprocess.run", instead)
    if found == "memory":
        assert child.measured(a_case(), 1, 0) is None
        return
    with pytest.raises(SegmodelsError) as error:
        child.measured(a_case(), 1, 0)
    assert found in str(error.value) and "\n" not in str(error.value)


def test_running_out_of_memory_is_recognised(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's own refusal of a petabyte on the CPU; any other error passes through."""

    def answer(work: Callable[..., Any]) -> Any:
        monkeypatch.setattr("segmodels.bench.child.measure", work)
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(wanted)))
        child.main()
        return json.loads(capsys.readouterr().out)

    wanted = {"case": a_case().document(), "batch": 1, "seconds": 0}
    assert answer(lambda *_: torch.empty(2**50)) == {"figure": None}
    assert answer(lambda *_: _raise(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))) == {
        "figure": None
    }
    assert answer(lambda *_: _raise(SegmodelsError("a line"))) == {"error": "a line"}
    with pytest.raises(RuntimeError, match="something else"):
        answer(lambda *_: _raise(RuntimeError("something else")))


def _raise(error: Exception) -> None:
    raise error


# ---- clock and memory ----------------------------------------------------------------------------------


def test_times_against_a_sorted_list() -> None:
    """Of 1 … 101: median 51, 95 % at 96, the middle half from 26 to 76."""
    assert times([float(ms) for ms in range(101, 0, -1)]) == pytest.approx((51, 96, 50))


def test_a_series_ends_by_time_and_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow forwards: the fewest; quick ones: as long as it says; the quickest: the most."""
    now = 0.0

    def forward(seconds: float) -> Callable[[], None]:
        def tick() -> None:
            nonlocal now
            now += seconds

        return tick

    monkeypatch.setattr("segmodels.bench.clock.perf_counter", lambda: now)
    assert series(forward(10), CPU, 1) == pytest.approx([10_000] * FEWEST)
    assert len(series(forward(0.125), CPU, 1)) == 8
    assert len(series(forward(0), CPU, 1)) == MOST
    assert clocked(lambda: 7, CPU) == (7, 0)
    calls: list[int] = []
    warm_up(lambda: calls.append(1), CPU)
    assert len(calls) == WARM_UP


@pytest.mark.skipif(not memory.STATUS.exists(), reason="Linux tells it in /proc")
def test_the_peak_of_memory() -> None:
    """What was held and given back since the peak was forgotten counts, what was before does not."""
    np.ones(100 * 2**20, np.uint8).sum()
    memory.forget_peak(CPU)
    before = memory.resident()
    np.ones(50 * 2**20, np.uint8).sum()
    peak = memory.peak(CPU) - before
    assert 40 * 2**20 < peak < 80 * 2**20
    assert (room := available()) and room > 0


def test_a_system_that_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without /proc there is still a peak, and no word on what is available."""
    for name in ("bench.memory.STATUS", "bench.memory.RESET", "compute.memory.MEMORY", "compute.memory.GROUP"):
        monkeypatch.setattr(f"segmodels.{name}", tmp_path / "none" / "x")
    memory.forget_peak(CPU)
    assert memory.peak(CPU) > 0
    assert memory.resident() == 0
    assert available() is None


# ---- the best batch ------------------------------------------------------------------------------------


def test_the_search_stops_where_it_no_longer_pays() -> None:
    """At 4: a batch of 8 takes 1.98 times as long."""
    ms = {1: 10.0, 2: 12.0, 4: 16.0, 8: 31.7, 16: 40.0}
    asked: list[int] = []

    def figure_of(batch: int) -> Figure:
        asked.append(batch)
        return a_figure(batch, ms[batch])

    best = best_batch(a_figure(), figure_of, 256)
    assert asked == [2, 4, 8]
    assert (best.figure.batch, best.stopped) == (8, "growth")  # the fastest, if by little
    assert best.images_per_second == pytest.approx(1000 * 8 / 31.7)
    slower = best_batch(a_figure(), lambda batch: a_figure(batch, 10.0 * batch + 1), 256)
    assert (slower.figure.batch, slower.images_per_second, slower.stopped) == (1, 100, "growth")


def test_the_search_stops_where_memory_ends() -> None:
    """And at the largest batch that may be tried."""
    best = best_batch(a_figure(), lambda batch: None if batch == 16 else a_figure(batch), 256)
    assert (best.figure.batch, best.stopped) == (8, "memory")
    best = best_batch(a_figure(), a_figure, 6)
    assert (best.figure.batch, best.stopped) == (4, "largest")


def test_a_batch_that_will_not_fit_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU what it will take is known before, so that the machine is not brought down."""
    asked: list[int] = []

    def instead(case: Case, batch: int, seconds: float) -> Figure:
        asked.append(batch)
        return a_figure(batch, peak=200 + 100 * batch)

    monkeypatch.setattr("segmodels.bench.rows.measured", instead)
    monkeypatch.setattr("segmodels.bench.rows.available", lambda: 1200)
    (row,) = rows.bench([a_case()], Plan())
    assert asked == [1, 2, 4, 8]  # 16 would take 200 + 1600; 90 % of 1200 may be taken
    assert (row.best_batch, row.stopped, row.best_peak_memory_bytes) == (8, "memory", 1000)
    assert needed(a_figure(peak=300, base=200)) == 400


def test_no_room_for_one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there is no row but an error that says what to do."""
    monkeypatch.setattr("segmodels.bench.rows.measured", lambda *_: None)
    with pytest.raises(SegmodelsError, match="dilated_unet at 32x64: the memory is not enough for one image"):
        next(rows.bench([a_case()], Plan()))


# ---- settings and bad input ----------------------------------------------------------------------------


def test_a_row_for_every_combination() -> None:
    """The product of what is given; twice the same is once."""
    axes = CHOICES | {"compile": ("no", "no")}
    found = settings(axes, "cpu", None)
    assert len(set(found)) == len(found) == 8
    sizes = [(32, 64), (64, 64)]
    assert len(cases(named("dilated_unet", None, {}), sizes, found)) == 16


def test_bad_input_is_one_line(make_run: Make, tmp_path: Path) -> None:
    """What was found, what is expected, before anything is measured."""
    folder = make_run("dilated_unet", **UNET)
    fixed = make_run("iterative_v5", (32, 64), width=4, depth=1, steps=3, prenet="x2")
    for arguments, message in (
        ((), "Name networks or runs, or give --all"),
        (("dilated_unet", "--all"), "give --all and name none"),
        (("dilated_unett",), "no network 'dilated_unett' (did you mean dilated_unet?)"),
        ((tmp_path,), "is no run: it has no run.json"),
        (("--all", "--option", "width_factor=1"), "--all takes no --option"),
        ((folder, "--classes", 5), "are for networks by name"),
        (("dilated_unet", "--option", "width=1"), "has no option 'width'"),
        (("dilated_unet", "--size", "30x32"), "multiples of 16"),
        ((fixed, "--size", "64x64"), "was built for 32x64 alone, not for 64x64"),
        (("dilated_unet", "--precision", "fp16"), "--precision has 'fp16', expected fp32 or bf16"),
        (("dilated_unet", "--compile", "yes,maybe"), "--compile has 'maybe', expected no or yes"),
        (("dilated_unet", "--device", "tpu"), "--device is 'tpu'"),
        (("dilated_unet", "--json", tmp_path / "none" / "a.json"), "there is no folder"),
        (("dilated_unet", "--csv", folder / "a.csv"), "lies in the folder of a run"),
    ):
        assert message in refused("bench", *arguments)


def test_energy_is_left_out_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """No counter on the CPU; without nvidia-ml-py what to install."""
    assert meter(CPU) == (None, "no counter for the CPU")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "nvidia-ml-py is not installed" in meter(torch.device("cuda")).why_not


# ---- CUDA ----------------------------------------------------------------------------------------------

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.cuda
@needs_cuda
def test_figures_on_cuda() -> None:
    """Times by events, memory of the device's tensors alone, energy where there is a counter."""
    figure = measure(a_case(device="cuda", precision="bf16"), 4, seconds=0.2)
    assert min(figure.ms) > 0 and figure.base_memory_bytes == 0
    images = 4 * 3 * 32 * 64 * 4
    assert images < figure.peak_memory_bytes < 2**30
    assert (figure.joules_per_image is None) == bool(figure.no_energy)
    assert figure.environment["device"]["kind"] == "cuda"


@pytest.mark.cuda
@needs_cuda
def test_a_batch_beyond_the_devices_memory_is_none() -> None:
    """It is an answer, not an error."""
    assert child.measured(a_case(device="cuda"), 2**22, 0) is None


@pytest.mark.cuda
@needs_cuda
def test_the_clock_waits_for_the_device() -> None:
    """A hundred large products take longer than to ask for them: about a hundred times one."""
    a = torch.randn(4096, 4096, device="cuda")
    warm_up(lambda: a @ a, a.device)
    one = min(series(lambda: a @ a, a.device, 0))
    many = clocked(lambda: [a @ a for _ in range(100)], a.device)[1]
    assert many > 30 * one
