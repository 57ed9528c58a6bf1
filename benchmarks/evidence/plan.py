"""The plan as it stands in `plan.yaml`, checked, and as the command lines that it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PLAN = Path(__file__).with_name("plan.yaml")
Options = Mapping[str, Any]  # of a command, by name; a list repeats the option, true is a switch


@dataclass(frozen=True)
class Answer:
    """What is compared: a run, and of its scores those of another setting (`run/q0`) or an earlier output (`run@1`)."""

    run: str
    scores: str = ""
    output: int = 0  # from 1; 0: the answer


@dataclass(frozen=True)
class Comparison:
    """A claim about two answers."""

    claim: str
    first: Answer
    second: Answer
    margin: float  # in mIoU: the first may be worse by that much


@dataclass(frozen=True)
class Row:
    """An experiment: some trainings on one set, and what is compared of them."""

    name: str
    title: str
    source: str
    claim: str
    set: str
    runs: Mapping[str, Mapping[str, Any]]  # network, options; start: a script of benchmarks/networks/ that makes --init
    split: str = "test"
    views: Options = field(default_factory=dict)  # of `evaluate`
    scores: Mapping[str, Options] = field(default_factory=dict)  # further settings of `evaluate`, by name
    sweep: Options = field(default_factory=dict)  # of `segmodels sweep`: what its knob's positions cost
    measure: str = ""  # a script of benchmarks/networks/ that measures a finished run besides
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Training:
    """One run of a row with one seed."""

    row: Row
    run: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.row.name}-{self.run}-{self.seed}"

    @property
    def start(self) -> str:
        """The script that makes the weights that it starts from; empty for random ones."""
        return str(self.row.runs[self.run].get("start", ""))

    def command(self, shards: Path, out: Path, init: Path) -> list[str]:
        """`segmodels train`, as it is repeated to the bit; `init` are the weights of `start`."""
        chosen = self.row.runs[self.run]
        more = ({"seed": self.seed} if self.seed else {}) | ({"init": init} if self.start else {})
        where = ["--shards", str(shards), "--out", str(out)]
        return ["train", chosen["network"], *where, *flags({**chosen["options"], **more})]

    def start_command(self, shards: Path, out: Path) -> list[str]:
        """Arguments of the script `start`."""
        options = {"option": self.row.runs[self.run]["options"]["option"], "seed": self.seed}
        return ["--shards", str(shards), *flags(options), "--out", str(out)]

    def evaluations(self) -> Iterator[tuple[str, Options]]:
        """Name of the scores ("" for the answer as it is), options of `segmodels evaluate`."""
        yield "", self.row.views
        for name, options in self.row.scores.items():
            yield name, {**self.row.views, **options}


@dataclass(frozen=True)
class Plan:
    sets: Mapping[str, Mapping[str, Any]]  # taxonomy, options of `segdata prepare`
    rows: Mapping[str, Row]
    more_seeds: Mapping[str, list[int]]

    def trainings(self) -> list[Training]:
        """All of them in order of value: every row once, then further seeds."""
        first = [Training(row, run, 0) for row in self.rows.values() for run in row.runs]
        more = [
            Training(self.rows[name], run, seed)
            for seed in sorted({seed for seeds in self.more_seeds.values() for seed in seeds})
            for name, seeds in self.more_seeds.items()
            if seed in seeds
            for run in self.rows[name].runs
        ]
        return first + more


def read_plan(path: Path = PLAN) -> Plan:
    document = yaml.safe_load(path.read_text())
    rows = {name: _row(name, each) for name, each in document["rows"].items()}
    return Plan(document["sets"], rows, document["more_seeds"])


def _row(name: str, document: Mapping[str, Any]) -> Row:
    values = dict(document)
    comparisons = tuple(map(_comparison, values.pop("compare", [])))
    row = Row(name=name, comparisons=comparisons, **values)
    for each in comparisons:
        for answer in (each.first, each.second):
            assert answer.run in row.runs, f"{name}: {answer.run}"
            assert not answer.scores or answer.scores in row.scores, f"{name}: {answer.scores}"
    return row


MARGIN = 0.01  # of "as good as", in mIoU


def _comparison(document: Mapping[str, str]) -> Comparison:
    if "better" in document:
        return Comparison(document["claim"], _answer(document["better"]), _answer(document["than"]), 0.0)
    return Comparison(document["claim"], _answer(document["as_good"]), _answer(document["as"]), MARGIN)


def _answer(text: str) -> Answer:
    text, _, output = text.partition("@")
    run, _, scores = text.partition("/")
    return Answer(run, scores, int(output or 0))


def flags(options: Options) -> list[str]:
    """Options as a command takes them."""
    found = []
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            found += [f"--{name}"] if each is True else [f"--{name}", str(each)]
    return found
