"""What DVC offers around a pipeline serves: metrics, plots, params, experiments."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.pipelines.workspace import Workspace, stages_run

STEPS = "runs.percentile.options.steps"


def document(workspace: Workspace, *command: str) -> Any:
    return json.loads(workspace.run("dvc", *command, "--json"))


def loaded(page: str) -> list[str | None]:
    """What a page asks for besides itself."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda _, attributes: found.extend(  # type: ignore[method-assign]
        value for name, value in attributes if name in {"src", "href", "srcset", "data"}
    )
    parser.feed(page)
    return found


def test_what_a_page_loads_is_found() -> None:
    """DVC's own page would load its library from a host; that is found, and what stands in a script is none."""
    html = "<script src='https://a.example/vega.js'></script><script>text = '<img src=\"b\">'</script>"
    assert loaded(html) == ["https://a.example/vega.js"]


def test_metrics(reproduced: Workspace) -> None:
    """`dvc metrics show` has every run's scores, those of `segmodels evaluate`."""
    files = document(reproduced, "metrics", "show")[""]["data"]
    for run in ("dilated_unet", "percentile"):
        scores = reproduced.read(f"data/scores/{run}/metrics.json")
        assert files[f"data/scores/{run}/metrics.json"]["data"]["miou"] == scores["miou"]


def test_plots_need_no_network(workspace: Workspace) -> None:
    """The page of `dvc plots show` draws curves, scores of classes and sweeps, and names no host."""
    workspace.run("dvc", "plots", "show")
    page = (workspace.path / "dvc_plots/index.html").read_text()
    for plot in ("percentile: training loss", "percentile: IoU", "percentile: mIoU by executed MACs"):
        assert plot in page
    assert page.count("vegaEmbed('#") == 5
    assert loaded(page) == []


def test_an_experiment(workspace: Workspace) -> None:
    """`dvc exp run -S` with another value runs the stages of that run; params and metrics diff tell what it did."""
    workspace.commit("reproduced")
    said = workspace.run("dvc", "exp", "run", "--set-param", f"pipelines/runs.yaml:{STEPS}=3", "evaluate@percentile")
    assert set(stages_run(said)) == {"code", "train@percentile", "evaluate@percentile"}  # the runs name the networks
    assert document(workspace, "params", "diff") == {"pipelines/runs.yaml": {STEPS: {"old": 2, "new": 3, "diff": 1}}}
    changed = document(workspace, "metrics", "diff")
    assert {path.split("/")[-2] for path in changed} == {"percentile"}
    assert changed["runs/percentile/metrics.json"]["step"] == {"old": 2, "new": 3, "diff": 1}


@pytest.mark.slow
def test_an_experiment_is_kept(workspace: Workspace) -> None:
    """`dvc exp show` lists it with its values; `dvc exp apply` brings it back."""
    workspace.commit("reproduced")
    workspace.run(
        "dvc", "exp", "run", "--name", "longer", "-S", f"pipelines/runs.yaml:{STEPS}=3", "evaluate@percentile"
    )
    workspace.run("git", "checkout", "--quiet", ".")
    workspace.run("dvc", "checkout")
    assert workspace.read("runs/percentile/metrics.json")["step"] == 2
    assert "longer" in workspace.run("dvc", "exp", "show", "--csv")
    workspace.run("dvc", "exp", "apply", "longer")
    assert workspace.read("runs/percentile/metrics.json")["step"] == 3
