"""The page's charts as Vega-Lite specifications, and the library that draws them.

Why Vega-Lite (Altair writes and checks the specification, vl-convert bundles Vega, Vega-Lite and vega-embed): 0.9 MB in
the page, where plotly.min.js has 4.7; every mark of its SVG carries an ARIA label; colours are CSS variables,
so that a switch of the theme redraws nothing; it needs neither `eval` nor a network; and it comes whole from the
Python package index. Bokeh draws on a canvas, which tells a screen reader nothing; ECharts is not in any wheel.

Data stands beside the specification, so that twenty small charts of one kind share both.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import altair as alt
import vl_convert

INK, MUTED, FAINT, LINE, ACCENT, PAPER = (
    f"var(--{name})" for name in ("ink", "muted", "faint", "line", "accent", "paper")
)
# Okabe and Ito's hues, told apart by people of every colour vision; each with a shape of its own.
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-left", "triangle-right")
COLOURS = tuple(f"var(--family-{number})" for number in range(1, len(SHAPES) + 1))
Spec = dict[str, Any]


@cache
def library() -> str:
    """JavaScript that defines `vegaEmbed`: no request, nothing of the page's own."""
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)


def learning_curve() -> Spec:
    """`metric` of `run` over the steps of training, those of the other runs faint behind it.

    Rows: run, step, metric, value, label.
    """
    run, metric = alt.param(name="run", value=""), alt.param(name="metric", value="miou")
    base = (
        alt.Chart(alt.NamedData(name="rows"))
        .transform_filter("datum.metric === metric")
        .encode(
            x=alt.X("step:Q", title="step", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=4, grid=False)),
            y=_y("value:Q", None),
        )
    )
    tips = [_tip("run:N", "run"), _tip("step:Q", "step"), _tip("value:Q", "value", ".4f")]
    return _spec(alt.layer(*_one_of_many(base, tips)).add_params(run, metric), height=120)


def step_curve() -> Spec:
    """What `run` would score if it stopped after each step; other networks faint behind it.

    Rows: run, step, value, label, told (whether the value is written beside its mark).
    """
    run = alt.param(name="run", value="")
    base = alt.Chart(alt.NamedData(name="rows")).encode(
        x=alt.X("step:O", title="step", axis=alt.Axis(labelAngle=0, grid=False)), y=_y("value:Q", None)
    )
    tips = [_tip("run:N", "run"), _tip("step:O", "step"), _tip("value:Q", "mIoU", ".4f")]
    values = base.transform_filter("datum.run === run && datum.told").encode(text=alt.Text("value:Q", format=".3f"))
    halo = values.mark_text(dy=-11, stroke=PAPER, strokeWidth=4, strokeJoin="round", aria=False)
    told = values.mark_text(dy=-11, fill=INK, aria=False)
    return _spec(alt.layer(*_one_of_many(base, tips), halo, told).add_params(run), height=140)


def output_curves(outputs: int) -> Spec:
    """How the outputs of `run` learn: a line an output, solid on the validation split, dashed on the training split.

    Rows: run, step, output (from 1), split, value, label.
    """
    run = alt.param(name="run", value="")
    numbers = list(range(1, outputs + 1))
    colours = alt.Scale(domain=numbers, range=_repeated(COLOURS, outputs))
    dashes = alt.Scale(domain=["validation", "training"], range=[[1, 0], [4, 3]])
    base = (
        alt.Chart(alt.NamedData(name="rows"))
        .transform_filter("datum.run === run")
        .encode(
            x=alt.X(
                "step:Q", title="optimiser step", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=4, grid=False)
            ),
            y=_y("value:Q", "mIoU"),
            color=alt.Color("output:O", scale=colours, legend=alt.Legend(title="output", orient="top")),
        )
    )
    tips = [
        _tip("output:O", "output"),
        _tip("split:N", "split"),
        _tip("step:Q", "step"),
        _tip("value:Q", "mIoU", ".4f"),
    ]
    lines = base.mark_line(strokeWidth=1.75, aria=False).encode(
        strokeDash=alt.StrokeDash("split:N", scale=dashes, legend=alt.Legend(title=None, orient="top"))
    )
    marks = base.mark_point(filled=True, opacity=0, size=40).encode(tooltip=tips, description="label:N")
    return _spec(alt.layer(lines, marks).add_params(run), height=200)


def _one_of_many(base: alt.Chart, tips: list[alt.Tooltip]) -> tuple[alt.Chart, alt.Chart, alt.Chart]:
    """The line of `run` with its marks, before the lines of all."""
    mine = base.transform_filter("datum.run === run")
    return (
        base.mark_line(stroke=FAINT, strokeWidth=1, aria=False).encode(detail="run:N"),
        mine.mark_line(stroke=ACCENT, strokeWidth=2.25, aria=False),
        mine.mark_point(filled=True, opacity=1, size=30, color=ACCENT).encode(tooltip=tips, description="label:N"),
    )


def trade_off(cost: str, title: str, families: list[str], kinds: frozenset[str]) -> Spec:
    """mIoU against a cost, on a logarithmic axis.

    Rows: kind, run, family, macs, ms, miou, low, high, value, line, order, label, named. `kinds` has those that occur:
    `network` (a large mark and its interval), `sweep` (small marks joined), `best` (joined by a dashed line).
    """
    base = alt.Chart(alt.NamedData(name="rows")).encode(
        x=alt.X(
            f"{cost}:Q", title=title, scale=alt.Scale(type="log", nice=False, padding=24), axis=alt.Axis(tickCount=6)
        ),
        y=_y("miou:Q", "mIoU"),
    )
    layers = {
        "best": base.mark_line(
            interpolate="step-after", stroke=MUTED, strokeDash=[3, 3], strokeWidth=1.25, aria=False
        ).transform_filter("datum.kind === 'best'"),
        "sweep": _sweeps(base.transform_filter("datum.kind === 'sweep'"), cost, title, families),
        "network": _networks(base.transform_filter("datum.kind === 'network'"), cost, title, families),
    }
    names = base.transform_filter("datum.named").mark_text(align="left", dx=9, dy=-8, fill=INK, aria=False)
    shown = [layer for kind, layer in layers.items() if kind in kinds]
    return _spec(alt.layer(*shown, names.encode(text="run:N")), height=340)


def _sweeps(rows: alt.Chart, cost: str, title: str, families: list[str]) -> alt.LayerChart:
    colour, shape = _family(families)
    lines = rows.mark_line(stroke=MUTED, strokeWidth=1.5, aria=False).encode(detail="line:N", order="order:Q")
    marks = rows.mark_point(size=36, filled=True, opacity=1).encode(color=colour, shape=shape, description="label:N")
    return alt.LayerChart(layer=[lines, marks.encode(tooltip=_tips(cost, title))])


def _networks(rows: alt.Chart, cost: str, title: str, families: list[str]) -> alt.LayerChart:
    colour, shape = _family(families)
    ranges = rows.mark_rule(strokeWidth=1.25, opacity=0.6, aria=False).encode(
        y=alt.Y("low:Q", title="mIoU"), y2="high:Q", color=colour
    )
    marks = rows.mark_point(size=110, filled=True, opacity=1, stroke=PAPER, strokeWidth=1.5).encode(
        color=colour, shape=shape, description="label:N"
    )
    return alt.LayerChart(layer=[ranges, marks.encode(tooltip=_tips(cost, title))])


def _family(families: list[str]) -> tuple[alt.Color, alt.Shape]:
    """A colour and a shape for each."""
    legend = alt.Legend(title=None, orient="top", columns=alt.ExprRef("width < 440 ? 1 : 3"), labelLimit=260)
    colours, shapes = (_repeated(marks, len(families)) for marks in (COLOURS, SHAPES))
    return (
        alt.Color("family:N", scale=alt.Scale(domain=families, range=colours), legend=legend),
        alt.Shape("family:N", scale=alt.Scale(domain=families, range=shapes), legend=legend),
    )


def _tips(cost: str, title: str) -> list[alt.Tooltip]:
    return [
        _tip("run:N", "run"),
        _tip("family:N", "family"),
        _tip("value:N", "setting"),
        _tip("miou:Q", "mIoU", ".4f"),
        _tip(f"{cost}:Q", title, ".4~g"),
    ]


def _repeated(marks: tuple[str, ...], count: int) -> list[str]:
    return [marks[i % len(marks)] for i in range(count)]


def _y(field: str, title: str | None) -> alt.Y:
    return alt.Y(field, title=title, scale=alt.Scale(zero=False, padding=10), axis=alt.Axis(tickCount=4, format=".3~g"))


def _tip(field: str, title: str, form: str = "") -> alt.Tooltip:
    return alt.Tooltip(field, title=title, format=form) if form else alt.Tooltip(field, title=title)


def _spec(chart: alt.LayerChart | alt.FacetChart, height: int) -> Spec:
    whole = chart.properties(width="container", height=height, background="transparent").configure(
        font="system-ui, sans-serif",
        axis=alt.AxisConfig(
            labelColor=MUTED,
            titleColor=MUTED,
            titleFontWeight="normal",
            domainColor=LINE,
            tickColor=LINE,
            gridColor=LINE,
            labelFontSize=11,
            titleFontSize=12,
        ),
        legend=alt.LegendConfig(symbolOpacity=1, labelColor=INK, titleColor=MUTED, labelFontSize=12, symbolSize=80),
        view=alt.ViewConfig(stroke=None),
        text=alt.MarkConfig(fontSize=11),
    )
    document: Spec = whole.to_dict()
    del document["$schema"]  # an address; the library beside it is of this version
    return document
