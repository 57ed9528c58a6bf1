"""`segmodels list` and `segmodels summary`, and how errors reach the user."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import segmodels
from segmodels.bench import facts
from segmodels.bench.facts import TABLE, count, every_network, table_of
from segmodels.cli import cli, main
from segmodels.networks import families, specs_of

FIGURES = ("dilated_unet", "percentile", "distill_x8")
FIRST = tuple({each.family: each.name for file in families() for each in reversed(specs_of(file))}.values())
WRITE = "`python -m segmodels.bench.facts` writes segmodels/networks/facts.json anew"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_shows_each_networks_facts() -> None:
    """One line for each registered name: parameters, GMAC, stride and constraint."""
    header, *lines, others = run("list").splitlines()
    assert header.split() == ["name", "family", "parameters", "GMAC", "stride", "at", "sizes"]
    assert [line.split()[0] for line in lines] == list(segmodels.names())
    assert others.startswith("Others: FILE.py:NAME, package.module:NAME, ")
    unet, percentile, distill = (lines[segmodels.names().index(each)] for each in FIGURES)
    assert re.search(r"887,840 +9\.98 +1 +512x1024, 20 +multiples of 16$", unet)
    assert re.search(r"5,736,952 +751\.\d\d +1 +256x512, 10 +any$", percentile)
    assert re.search(r"10,567,378 +14\.46 +8 +384x768, 10 +multiples of 128, fixed at build$", distill)


@pytest.mark.parametrize("name", FIRST)
def test_the_table_has_the_facts_of_the_networks(name: str) -> None:
    """What `list` says without building a network is what the network is: one of each family."""
    assert {each.name: each for each in every_network()}[name] == count(segmodels.spec(name)), WRITE


def test_the_table_was_made_of_these_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is built for `list`: no network file has changed since."""

    def count(declared: segmodels.ModelSpec) -> facts.Facts:
        raise AssertionError(f"{declared.name} is built. {WRITE}")

    monkeypatch.setattr(facts, "count", count)
    assert len(list(every_network())) == len(segmodels.names())


@pytest.mark.slow
def test_the_table_is_as_it_would_be_written() -> None:
    """Of all networks, to the byte."""
    assert TABLE.read_text(encoding="utf-8") == table_of(families()), WRITE


def test_a_network_that_is_not_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file is shown at once, and so is one that has changed: they are built, the others are not."""
    table = json.loads(TABLE.read_bytes())
    whole, built = list(every_network()), list[str]()
    del table["dilated_unet"]
    table["percentile"] |= {"digest": "of another text", "networks": []}
    monkeypatch.setattr(facts, "TABLE", tmp_path / "facts.json")
    facts.TABLE.write_text(json.dumps(table))
    monkeypatch.setattr(facts, "count", lambda declared: built.append(declared.name) or count(declared))
    assert list(every_network()) == whole
    assert built == ["dilated_unet", "percentile"]


def test_what_computes_takes_threads() -> None:
    """One option for all commands that have a device; `verify` takes the number of the run."""
    having = {
        flag: {name for name, command in cli.commands.items() if any(flag in option.opts for option in command.params)}
        for flag in ("--device", "--threads")
    }
    assert having["--threads"] == having["--device"] >= {"train", "evaluate", "predict", "bench", "sweep", "calibrate"}


def test_summary_shows_layers_and_options() -> None:
    """Shapes, parameters and MACs of every layer; options as given, the others at their defaults."""
    output = run(
        *("summary", "distill_x2", "--classes", "3", "--size", "32x64", "--depth", "3"),
        *("--option", "width=4", "--option", "depth=1", "--option", "norm=batch"),
    )
    # 5x5 convolution 3 to 4 channels, at full resolution
    assert re.search(rf"prenet\.0\.0 \(Conv2d\) +1 +1x4x32x64 +304 +{3 * 4 * 25 * 32 * 64:,}\n", output)
    assert re.search(r"\ndistill_x2 \(Tas500Net\) +1 +1x3x16x32 ", output)
    assert "--option width=4 " in output
    assert "--option norm=batch " in output
    assert "--option base=resUnet " in output
    assert "Stacked Hourglass" in output


def test_depth_limits_the_table() -> None:
    """`--depth 0` is the network alone."""
    output = run("summary", "percentile", "--classes", "3", "--size", "8x8", "--depth", "0")
    assert len(output.split("\n\n")[0].splitlines()) == 2


def test_several_numbers_and_flags_as_options() -> None:
    """A comma list for one number per class; true and false for a flag."""
    output = run(
        *("summary", "percentile", "--classes", "3", "--size", "8x8"),
        *("--option", "q=0.1,0.2,0.9", "--option", "as_published=true"),
    )
    assert "--option q=0.1,0.2,0.9 " in output
    assert "--option as_published=true " in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("summary percentil --classes 3 --size 8x8", "no network 'percentil' (did you mean percentile?)"),
        ("summary dilated_unet --classes 3 --size 30x32", "multiples of 16. The next that fit: 16x32 and 32x32."),
        ("summary percentile --classes 1 --size 8x8", "1 classes, expected at least 2"),
        ("summary percentile --classes 3 --size 8x8 --option p=1", "no option 'p'"),
        ("summary percentile --classes 3 --size 8x8 --option q=2", "expected a number from 0 up to 1"),
        ("summary percentile --classes 3 --size 8x8 --option q=0.5,0.5", "expected a number from 0 to 1 or 3"),
    ],
)
def test_an_error_is_one_line_and_exit_status_1(
    arguments: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a user did wrong is said on stderr, without a traceback and with nothing on stdout."""
    monkeypatch.setattr(sys, "argv", ["segmodels", *arguments.split()])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("segmodels: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("arguments", ["--size 8by8", "--size 8x8 --option q", "--size 8x8 --option =1"])
def test_a_malformed_argument_is_a_usage_error(arguments: str) -> None:
    """Click's own exit status 2, and what was expected."""
    result = CliRunner().invoke(cli, ["summary", "percentile", "--classes", "3", *arguments.split()])
    assert result.exit_code == 2
    assert "is not " in result.output
