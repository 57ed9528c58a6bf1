"""The page as people use it: in a real, headless Chromium without a network, by mouse and by keyboard.

Skipped where there is no Chromium, unless SEGMODELS_CHROMIUM=required says that there must be one.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import segdata
from segdata import ShardSet
from segdata.base.arrays import U8
from segdata.base.canonical import pretty_json
from segdata.labels.taxonomy import load_taxonomy, read_taxonomy
from segdata.looking.stats import stats
from segdata.synth import paint
from segmodels.report import report
from segmodels.report.observe.observe import choose_images, observe
from segmodels.report.page.page import Exhibits, render
from segmodels.report.read.collect import Board, Folders, collect
from segmodels.report.read.ranking import rank_rows
from segmodels.report.read.rows import rows_of
from tests.segmodels.report.seeded import seeded

Open = Callable[..., Any]  # open(page=…, width=…, …) -> a Playwright page
DESKTOP, PHONE = 1440, 390


def missing() -> str:
    """What keeps the page from being looked at; empty where nothing does."""
    if importlib.util.find_spec("playwright") is None:
        return "no playwright: pip install -e '.[test]'"
    return "" if executable() else "no chromium on the path (Debian: apt-get install chromium)"


def executable() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


REQUIRED = os.environ.get("SEGMODELS_CHROMIUM") == "required"
pytestmark = pytest.mark.skipif(bool(missing()) and not REQUIRED, reason=missing())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if missing():
        pytest.fail(f"SEGMODELS_CHROMIUM=required, but {missing()}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=executable())


@pytest.fixture
def opened(browser: Any, written: Path) -> Iterator[Open]:
    """opened(width=390, color_scheme="dark", …): the page, drawn. At the end: no complaint, no request but for it."""
    complaints: list[str] = []
    requests: list[str] = []
    addresses: set[str] = set()
    contexts = []

    def open_page(file: Path | None = None, width: int = DESKTOP, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url[:80]}"))
        page.on("request", lambda request: requests.append(request.url))
        address = (file or written / "index.html").as_uri()
        addresses.add(address)
        page.goto(address)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-charts=drawn]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
    assert not [url for url in requests if url not in addresses and not url.startswith(("data:", "blob:"))]


@pytest.fixture(scope="module")
def results(written: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((written / "results.json").read_text())
    return found


@pytest.fixture(scope="module")
def ranked(pipeline: Folders, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Board]:
    """A page on which the second board has two networks of three seeds that differ, one that ties, and one of one seed;
    the first has one seed of each."""
    collection = collect(pipeline)
    first, second = collection.boards
    shares = {"good": (0.8, 0.81, 0.82), "poor": (0.3, 0.31, 0.32), "poor too": (0.31, 0.3, 0.32), "alone": (0.9,)}
    runs = [each for name, seeds in shares.items() for each in seeded(second.results[0], name, seeds, range(60))]
    rows = rows_of(runs)
    board = replace(second, results=tuple(runs), rows=rows, ranking=rank_rows(rows))
    shown = tuple(choose_images(each, 1) for each in collection.boards)
    seen = {result.name: observe(result, shown[0]) for result in first.results}
    seen |= dict.fromkeys((run.name for run in runs), observe(second.results[0], shown[1]))
    page = render(replace(collection, boards=(first, board)), Exhibits(shown, seen, ((),) * len(collection.datasets)))
    file = tmp_path_factory.mktemp("ranked") / "index.html"
    file.write_text(page)
    return file, board


# ---- it opens ---------------------------------------------------------------------------------------


SLOW = pytest.mark.slow


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=SLOW)])
def test_every_chart_is_drawn(opened: Open, scheme: str) -> None:
    """As many pictures as places for them; the marks have names for those who do not see them."""
    page = opened(color_scheme=scheme)
    places = page.locator(".plot:not([hidden])")
    assert places.count() >= 5 + 2 + 2  # learning curves, steps, costs
    for place in places.all():
        assert place.locator("svg").count() == 1
        assert place.locator("svg [aria-label]").count() >= 1
    label = page.locator(".plot.learning").first.locator("path[aria-roledescription=point]").first
    assert "mIoU" in label.get_attribute("aria-label") or "miou" in label.get_attribute("aria-label")
    outputs = page.locator(".plot[data-chart^=outputs][data-run=res_hourglass] path[aria-roledescription=point]")
    told = [each.get_attribute("aria-label") for each in outputs.all()]  # one epoch, two outputs, two splits
    assert [each.partition(": ")[2].rpartition(" ")[0] for each in told] == [
        f"output {number}, {split} mIoU" for split in ("validation", "training") for number in (1, 2)
    ]


@pytest.mark.parametrize("width", [PHONE, pytest.param(768, marks=SLOW), pytest.param(DESKTOP, marks=SLOW)])
def test_the_page_never_scrolls_sideways(opened: Open, width: int) -> None:
    """What is wider than the window scrolls in its own box; also with all columns shown and everything unfolded."""
    page = opened(width=width)
    page.click("#more-scores")
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    page.wait_for_timeout(100)
    found, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert found <= room == width
    for box in page.locator(".scroll").all():
        inner, outer = box.evaluate("(each) => [each.scrollWidth, each.clientWidth]")
        assert inner <= outer or box.get_attribute("tabindex") == "0"  # the keyboard can scroll it


@pytest.mark.parametrize(
    ("width", "scheme"),
    [(DESKTOP, "light"), pytest.param(DESKTOP, "dark", marks=SLOW), pytest.param(PHONE, "light", marks=SLOW)],
)
def test_axe_finds_nothing(opened: Open, ranked: tuple[Path, Board], width: int, scheme: str) -> None:
    """axe-core's rules: names of controls, order of headings, contrast, tables, landmarks."""
    from axe_playwright_python.sync_playwright import Axe

    page = opened(ranked[0], width=width, color_scheme=scheme)
    page.click("#more-scores")
    page.locator(".tie").first.click()
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    found = Axe().run(page).response["violations"]
    assert not [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found]


def test_without_scripts_the_page_is_still_there(opened: Open) -> None:
    """Tables and pictures are in the page itself."""
    page = opened(java_script_enabled=False)
    assert page.locator("table.leaderboard tbody tr").count() == 5
    assert page.locator(".strip img").count() == 2 * 2 * 5
    assert page.locator("noscript").count() == 1


# ---- the leaderboard --------------------------------------------------------------------------------


def test_columns_sort(opened: Open, results: dict[str, Any]) -> None:
    """Every column, both ways, by mouse and by keyboard; what is undefined stays last; the header says which way."""
    page = opened()
    page.click("#more-scores")
    keys: dict[str, Callable[[dict[str, Any]], Any]] = {
        "Network": lambda row: row["run"],
        "mIoU": lambda row: row["scores"]["miou"],
        "Micro IoU": lambda row: row["scores"]["micro_iou"],
        "mIoU, own stride": lambda row: row["own_stride"]["miou"],
        "Parameters": lambda row: row["parameters"],
        "GMAC": lambda row: row["macs"],
        "Training": lambda row: row["train_seconds"],
    }
    for number, board in enumerate(results["boards"]):
        table = page.locator("table.leaderboard").nth(number)
        for title, key in keys.items():
            header = table.locator("th", has=page.get_by_role("button", name=title, exact=True))
            header.locator("button").focus()
            for press in ("", "Enter", "Space"):
                before = header.get_attribute("aria-sort")
                page.keyboard.press(press) if press else header.locator("button").click()
                order = header.get_attribute("aria-sort")
                assert order in {"ascending", "descending"} - {before}
                assert table.locator("th[aria-sort]").count() == 1
                shown = [row.get_attribute("data-run") for row in table.locator("tbody tr").all()]
                values = {row["run"]: key(row) for row in board["rows"]}
                defined = [values[run] for run in shown if values[run] is not None]
                assert defined == sorted(defined, reverse=order == "descending")
                assert [values[run] for run in shown[len(defined) :]] == [None] * (len(shown) - len(defined))
                assert page.locator("#sorted").text_content() == f"Sorted by {title}, {order}."


def test_the_switch_shows_the_other_scores(opened: Open, results: dict[str, Any]) -> None:
    """Off at first; on by mouse or by keyboard; the values are those of results.json."""
    page = opened()
    switch, extra = page.get_by_role("switch"), page.locator("td.extra")
    assert switch.get_attribute("aria-checked") == "false" and not extra.first.is_visible()
    switch.focus()
    page.keyboard.press("Space")
    assert switch.get_attribute("aria-checked") == "true" and extra.first.is_visible()
    row = results["boards"][0]["rows"][0]
    micro = page.locator(f"tr[data-run='{row['run']}'] td.extra").nth(5)
    assert micro.text_content() == f"{row['scores']['micro_iou']:.3f}"
    assert page.get_by_text("the dilated U-Net's author's mIoU").is_visible()
    switch.click()
    assert switch.get_attribute("aria-checked") == "false" and not extra.first.is_visible()


def test_rows_say_whom_they_are_not_ranked_against(opened: Open, ranked: tuple[Path, Board]) -> None:
    """The button of a row names the others, and marks them; a second press, or another row's, takes the marks away."""
    file, board = ranked
    page = opened(file)
    for row in board.rows:
        others = board.ranking.ranks[row.name].tied
        cell = page.locator(f"tr[data-run='{row.name}'] td.rank")
        button = cell.locator(".tie")
        if len(row.runs) == 1:
            assert cell.text_content() == "not ranked: one seed" and not button.count()
            continue
        assert button.get_attribute("aria-label") == f"Not ranked against {', '.join(others)}: mark them"
        button.click()
        marked = [each.get_attribute("data-run") for each in page.locator("tr.tied").all()]
        assert sorted(marked) == sorted(others)
        assert button.get_attribute("aria-pressed") == "true"
        button.click()
        assert page.locator("tr.tied").count() == 0
    assert [len(row.runs) for row in board.rows] == [1, 3, 3, 3]


def test_what_is_not_ranked_says_why(opened: Open, ranked: tuple[Path, Board]) -> None:
    """A board of one seed has no ranks, but one line; a row of several seeds says how many, and how they differ."""
    page = opened(ranked[0])
    plain, of_seeds = page.locator("table.leaderboard").nth(0), page.locator("table.leaderboard").nth(1)
    assert plain.locator(".unranked").text_content() == "one seed, 3 images: not ranked"
    assert not plain.locator(".rank").count() and not of_seeds.locator(".unranked").count()
    assert page.get_by_text("No interval: 3 images, an interval needs at least 50.").count() == 1
    good = of_seeds.locator("tr[data-run='good']")
    assert re.search(r"mean of 3 seeds with standard deviation 0\.0\d\d$", good.locator("th").text_content())
    assert re.fullmatch(r"0\.\d{3}–0\.\d{3}", good.locator(".interval").text_content())
    assert good.locator(".rank").text_content().startswith("1–2") and good.locator(".whisker").count() == 1


def test_a_name_leads_to_its_provenance(opened: Open, results: dict[str, Any]) -> None:
    """The entry is unfolded, and has the whole of what identifies the run."""
    page = opened()
    row = results["boards"][1]["rows"][0]
    page.get_by_role("link", name=row["run"], exact=True).click()
    entry = page.locator("details.run[open]")
    assert entry.count() == 1
    for text in (row["id"], row["trained_on"], row["config_digest"], row["commit"] or "unknown"):
        assert text in entry.text_content()
    assert entry.get_by_text("batch_size 4").evaluate("(each) => each.closest('strong') !== null")  # 8 by default


# ---- the comparison ---------------------------------------------------------------------------------


def seen(page: Any, at: str = "#compare-frame") -> U8:
    """The pixels of an element."""
    return np.asarray(Image.open(BytesIO(page.locator(at).screenshot())).convert("RGB"))


def expected(written: Path, board: int, image: int, run: int | None) -> U8:
    """Ids of a picture on the page as colours, read from the page's own data: truth, or a run's answer."""
    text = (written / "index.html").read_text()
    data = json.loads(text.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    about = data["boards"][board]
    uri = about["images"][image]["truth"] if run is None else about["runs"][run]["maps"][image]
    return np.asarray(Image.open(BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


def agreement(shot: U8, colours: U8, left: float, right: float) -> float:
    """Share of the cells between two parts of the width whose middle has the colour that it should have."""
    rows, columns = colours.shape[:2]
    ys = np.arange(4, rows - 14)  # without the tags below
    xs = np.arange(int(left * columns) + 2, int(right * columns) - 2)
    places = np.ix_(((ys + 0.5) / rows * shot.shape[0]).astype(int), ((xs + 0.5) / columns * shot.shape[1]).astype(int))
    return float((shot[places] == colours[np.ix_(ys, xs)]).all(axis=-1).mean())


def test_the_divider_shows_truth_left_and_prediction_right(opened: Open, written: Path) -> None:
    """In the pixels of the screen: at every position of the divider each side has its own picture."""
    page = opened()
    slider = page.get_by_role("slider")
    for at in (0, 50, 100):
        slider.fill(str(at))
        shot = seen(page)
        if at > 0:
            assert agreement(shot, expected(written, 0, 0, None), 0, at / 100 - 0.06) > 0.98
        if at < 100:
            assert agreement(shot, expected(written, 0, 0, 0), at / 100 + 0.06, 1) > 0.98


def test_the_divider_moves_by_mouse_and_by_keyboard(opened: Open) -> None:
    """Dragging puts it under the pointer; arrows move it by one, Home and End to the ends; it says where it is."""
    page = opened()
    slider, frame = page.get_by_role("slider"), page.locator("#compare-frame")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    middle = box["y"] + box["height"] / 3
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, middle, steps=5)
    page.mouse.up()
    assert abs(int(slider.input_value()) - 25) <= 1
    for key, value in (("Home", "0"), ("ArrowRight", "1"), ("ArrowRight", "2"), ("End", "100"), ("ArrowLeft", "99")):
        slider.press(key)
        assert slider.input_value() == value
        assert frame.evaluate("(each) => each.style.getPropertyValue('--at')") == f"{value}%"
    assert slider.get_attribute("aria-valuetext").startswith("99 % ground truth, 1 % ")


def test_image_and_network_can_be_chosen(opened: Open, written: Path, results: dict[str, Any]) -> None:
    """Another set, image and network: the pictures and the table beside them follow."""
    page = opened()
    page.select_option("#compare-board", "1")
    page.locator("#compare-images label").nth(1).click()
    page.select_option("#compare-right", label=results["boards"][1]["rows"][2]["run"])
    page.get_by_role("slider").fill("0")
    assert agreement(seen(page), expected(written, 1, 1, 2), 0.06, 1) > 0.98
    caption = page.locator("#compare-classes caption").text_content()
    assert caption.startswith(results["boards"][1]["rows"][2]["run"] + " on ")
    page.select_option("#compare-left", "photograph")
    page.get_by_role("slider").fill("100")
    assert agreement(seen(page), expected(written, 1, 1, 2), 0, 0.94) < 0.5


@SLOW
def test_the_table_beside_the_picture_is_the_score_sheet(opened: Open, pipeline: Folders) -> None:
    """Shares and IoU of a network on one image follow from its confusion matrix there, by a loop over classes."""
    page = opened()
    page.select_option("#compare-right", label="dilated_unet")
    caption = page.locator("#compare-classes caption").text_content()
    key = caption.removeprefix("dilated_unet on ").partition(":")[0]
    shards = ShardSet(pipeline.shards / "streets", "val")
    matrix = np.load(pipeline.scores / "dilated_unet" / "confusion.npy")[shards.keys.index(key)]
    rows = {
        line.locator("th").text_content(): [cell.text_content() for cell in line.locator("td").all()]
        for line in page.locator("#compare-classes tbody tr").all()
    }
    for i, each in enumerate(shards.taxonomy.classes):
        truth, found = matrix[i].sum(), matrix[:, i].sum()
        assert (each.name in rows) == bool(truth + found)
        if each.name in rows and each.evaluated:
            kept = [j for j, row in enumerate(shards.taxonomy.classes) if row.evaluated]
            union = truth + sum(matrix[j, i] for j in kept) - matrix[i, i]
            assert rows[each.name][2] == (f"{matrix[i, i] / union:.3f}" if union else "–")
            if truth / matrix.sum() >= 0.005:
                assert rows[each.name][0] == f"{int(100 * truth / matrix.sum() + 0.5)} %"


@SLOW
def test_the_pointer_names_the_classes_under_it(opened: Open, pipeline: Folders) -> None:
    """In the middle of the largest class' cell of the truth stands its name, without a look at colours."""
    page = opened()
    shards = ShardSet(pipeline.shards / "streets", "val")
    ids = shards.read(0, scales=(1,)).targets[1]
    frame = page.locator("#compare-frame")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.wait_for_timeout(200)  # the pictures are decoded a moment after they are chosen
    for row, column in ((5, 20), (40, 64), (60, 100)):
        y, x = (row + 0.5) / ids.shape[0], (column + 0.5) / ids.shape[1]
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        name = shards.taxonomy.classes[ids[row, column]].name
        assert page.locator("#compare-readout").text_content().startswith(f"ground truth: {name} · ")


# ---- theme, charts, matrices ------------------------------------------------------------------------


def background(page: Any) -> float:
    """Brightness of the page, 0 to 255."""
    return float(seen(page, ".masthead").mean())


@SLOW
def test_the_theme_follows_the_system_until_somebody_chooses(opened: Open) -> None:
    """The button turns it, says so, and is remembered."""
    light, dark = opened(color_scheme="light"), opened(color_scheme="dark")
    assert background(light) > 200 and background(dark) < 60
    button = dark.get_by_role("button", name="Dark theme")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert background(dark) > 200 and button.get_attribute("aria-pressed") == "false"
    dark.reload()
    dark.wait_for_selector("html[data-charts=drawn]")
    assert background(dark) > 200


def test_charts_change_what_they_show(opened: Open) -> None:
    """Loss instead of mIoU, milliseconds instead of GMAC."""
    page = opened()
    point = page.locator(".plot.learning").first.locator("path[aria-roledescription=point]").first
    assert ": miou " in point.get_attribute("aria-label")
    page.get_by_label("training loss").check()
    page.wait_for_function(
        "document.querySelector('.plot.learning path[aria-roledescription=point]').ariaLabel.includes(': loss ')"
    )
    milliseconds = page.locator("[data-chart=ms-0], [data-chart=ms-1]")
    assert milliseconds.count() == 1 and not milliseconds.is_visible()  # one set has a sweep
    page.get_by_label("measured milliseconds").check()
    milliseconds.locator("svg").wait_for()
    assert milliseconds.locator("[aria-roledescription=point]").count() == 3
    assert not page.locator("[data-chart=macs-0]").is_visible()


@SLOW
def test_the_confusion_matrix_is_the_one_that_was_counted(opened: Open, pipeline: Folders) -> None:
    """Percentages of each class' pixels, for the network that is chosen."""
    page = opened()
    boards = [option.text_content() for option in page.locator("#confusion-board option").all()]
    page.select_option("#confusion-board", str(len(boards) - 1))
    for name in [option.text_content() for option in page.locator("#confusion-run option").all()]:
        page.select_option("#confusion-run", label=name)
        matrix = np.load(pipeline.scores / name / "confusion.npy").sum(0)
        lines = page.locator("#confusion-matrix tbody tr")
        assert lines.count() == len(matrix)
        for i, row in enumerate(matrix):
            cells = [cell.text_content() for cell in lines.nth(i).locator("td").all()]
            shares = [1000 * int(count) / max(int(row.sum()), 1) for count in row]
            for cell, share in zip(cells, shares, strict=True):
                assert (cell == "") == (round(share) < 5)
                assert not cell or abs(int(cell) - share / 10) <= 0.56
        assert page.locator("#confusion-matrix caption").text_content() == f"Confusion matrix of {name}"


def test_reduced_motion_is_respected(opened: Open) -> None:
    """No transitions, no smooth scrolling."""
    page = opened(reduced_motion="reduce")
    assert page.locator(".knob").evaluate("(each) => getComputedStyle(each, '::after').transitionDuration") == "0s"
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_the_focus_is_always_seen(opened: Open, ranked: tuple[Path, Board]) -> None:
    """Tab through the page to its end: whatever has the focus, it or the frame around it has an outline."""
    page = opened(ranked[0])
    visited = []
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
              const now = document.activeElement;
              if (now === document.body) return null;
              const around = [now, now.closest("label"), now.closest(".frame")].filter(Boolean);
              const outlined = around.some((each) => getComputedStyle(each).outlineStyle !== "none");
              return [now.id || now.textContent.slice(0, 30), outlined];
            }"""
        )
        if found is None:  # after the last one
            break
        name, outlined = found
        assert outlined, name
        visited.append(name)
    assert {"theme", "compare-board", "compare-slider", "more-scores", "\N{ALMOST EQUAL TO}1"} <= set(visited)
    assert len(visited) > 40


# ---- planted names ----------------------------------------------------------------------------------

PLANTED = "<img src=x onerror=planted()>"
BREAKOUT = "</script><script>document.title = 'planted'</script>"


@pytest.fixture(scope="module")
def hostile(pipeline: Folders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on shards with a class, and on a run, that are named like code."""
    home = tmp_path_factory.mktemp("hostile")
    plain = load_taxonomy("cityscapes-20").document()
    names = {"road": BREAKOUT, "car": PLANTED, "sky": "{{ 7 * 7 }} & \"quoted\" 'too'"}
    for row in plain["classes"]:
        row["name"] = names.get(row["name"], row["name"])
    taxonomy = read_taxonomy(json.dumps(plain).encode(), "hostile")
    paint("cityscapes", home / "raw", train=2, val=2, test=1, size=(48, 96), seed=1)
    folders = Folders(home / "runs", home / "scores", home / "stats", home / "shards")
    for folder in (folders.runs, folders.scores, folders.stats, folders.shards):
        folder.mkdir()
    shards = folders.shards / "hostile"
    job = segdata.make_job(
        "cityscapes", root=home / "raw", out=shards, taxonomy=taxonomy, name="painted", splits=("train", "val"),
        scales=(1, 8), samples_per_shard=2, engine="serial",
    )  # fmt: skip
    segdata.prepare(job)
    (folders.stats / "hostile.json").write_bytes(pretty_json(stats(shards)))
    _train(folders, PLANTED, shards)
    report(folders, home / "report", 1)
    return home / "report" / "index.html"


def _train(folders: Folders, name: str, shards: Path) -> None:
    """A run of this name."""
    import torch

    from segmodels.config.config import TrainConfig
    from segmodels.inference.trained import load_trained
    from segmodels.networks import spec
    from segmodels.scoring.evaluate import evaluate
    from segmodels.training.train import train

    chosen = tuple(sorted(spec("dilated_unet").resolve({"width_factor": 0.125}).items()))
    few: dict[str, Any] = {"epochs": None, "steps": 1, "batch_size": 2, "workers": 0, "scale": (1.0, 1.0)}
    train(TrainConfig("dilated_unet", shards, folders.runs / name, chosen, device="cpu", **few))
    evaluate(load_trained(folders.runs / name, torch.device("cpu")), ShardSet(shards, "val"), folders.scores / name)


def test_names_are_never_code(opened: Open, hostile: Path) -> None:
    """A class and a run that are named like scripts are shown letter by letter, in tables, choices, charts, words."""
    page = opened(hostile)
    assert page.title() == "Street-scene segmentation: results"
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("table.leaderboard tbody th a").text_content() == PLANTED
    for place in (".heat thead", "#compare-classes", "#confusion-matrix thead", ".shares"):
        assert BREAKOUT in page.locator(place).first.text_content()
    assert page.locator("#compare-right option").last.text_content() == PLANTED
    assert "{{ 7 * 7 }} & \"quoted\" 'too'" in page.locator(".shares").text_content()
    page.locator(".plot.learning path[aria-roledescription=point]").first.hover()
    assert PLANTED in page.locator("#vg-tooltip-element").text_content()
