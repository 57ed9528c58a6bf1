"""What the command lines of both programs have in common: an option is given once, and every number has bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import segdata.cli
import segmodels
import segmodels.cli
from segdata.cli.command import Command
from segdata.cli.parameters import Number, Whole
from segdata.cli.script import Parser

PROGRAMS = {"segdata": segdata.cli.cli, "segmodels": segmodels.cli.cli}
COMMANDS = [(name, command) for group in PROGRAMS.values() for name, command in sorted(group.commands.items())]
OPTIONS = [
    pytest.param(command, option, id=f"{name} {option.opts[-1]}")
    for name, command in COMMANDS
    for option in command.params
    if isinstance(option, click.Option)
]


def said(command: click.Command, *arguments: str) -> str:
    """The error of a command line that is refused before anything is done."""
    with pytest.raises(click.UsageError) as error:
        CliRunner().invoke(command, arguments, standalone_mode=False, catch_exceptions=False)
    return error.value.format_message()


def values(option: click.Option) -> Iterator[str]:
    """Two different ones, as far as the option has two."""
    choices = option.type.choices if isinstance(option.type, click.Choice) else ("a", "b")
    return iter((str(choices[0]), str(choices[-1])))


# ---- help ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    [
        pytest.param(option, id=f"{program} {name} {option.opts[-1]}")
        for program, group in PROGRAMS.items()
        for name, command in sorted(group.commands.items())
        for option in command.params
        if isinstance(option, click.Option)
    ],
)
def test_every_option_has_a_help_text(option: click.Option) -> None:
    """Whole sentences; a computed default is told behind them, and no other default is typed there by hand."""
    text, bracket, default = str(option.help or "").partition(" [default: ")
    sentences = text.partition("  [")[0].rstrip()  # bounds, as Click itself appends them
    assert sentences[:1].isupper() and sentences.endswith(".")
    assert "  " not in sentences and not re.search(r"[a-z][.,][A-Z`]", sentences)
    assert bool(bracket) == default.endswith("]") and not (bracket and option.show_default)


def test_every_line_is_told() -> None:
    """Commands print by `tell` alone, which lets no name end a line or colour the terminal."""
    homes = [Path(package.__file__).parent for package in (segdata.cli, segmodels.cli)]
    files = [file for home in homes for file in home.glob("*.py") if file.name not in {"output.py", "progress.py"}]
    assert len(files) > 15
    assert not [file.name for file in files if re.search(r"\b(click\.s?echo|print)\(", file.read_text())]


# ---- once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_an_option_is_given_once(command: click.Command, option: click.Option) -> None:
    """Every option of every command: a second value is refused with both, one that may be repeated repeats none."""
    assert isinstance(command, Command)
    name, (first, second) = option.opts[-1], values(option)
    if option.is_flag and option.secondary_opts:
        found = said(command, name, option.secondary_opts[0])
        assert found == f"{name} and {option.secondary_opts[0]} say two things. Give one of them."
    elif option.multiple:
        assert said(command, name, first, name, first) == f"{name} {first} is given twice. Give it once."
    elif not option.is_flag:
        assert (
            said(command, name, first, name, second) == f"{name} is given twice: {first}, then {second}. Give it once."
        )
        assert "is given twice" in said(command, name, first, f"{name}={first}")


def test_switches_of_one_choice() -> None:
    """--pad and --crop of `prepare` are one choice."""
    assert "--pad and --crop say two things" in said(PROGRAMS["segdata"].commands["prepare"], "--pad", "--crop")


def test_what_may_be_repeated() -> None:
    """Other values of an option that takes several, and a switch that says the same again; what is missing is told."""
    prepare, train = PROGRAMS["segdata"].commands["prepare"], PROGRAMS["segmodels"].commands["train"]
    assert "Missing" in said(prepare, "--scale", "1", "--scale", "8", "--split", "train", "--split", "val")
    assert "Missing" in said(train, "--flip", "--flip", "--option", "a=1", "--option", "b=1")


def test_one_name_of_an_option_of_the_network() -> None:
    """--option width=1 --option width=2 is one option twice."""
    train = PROGRAMS["segmodels"].commands["train"]
    where = ("dilated_unet", "--shards", "a", "--out", "b")
    assert "width is given twice: 1, then 2" in said(train, *where, "--option", "width=1", "--option", "width=2")


def test_the_environment_is_no_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option overrides its variable, as everywhere."""
    monkeypatch.setenv("SEGDATA_WORKERS", "3")
    assert "Missing" in said(PROGRAMS["segdata"].commands["prepare"], "--workers", "2")


def test_no_password_in_the_message() -> None:
    """A URL that is given twice is shown without its credentials."""
    url = "https://user:secret@host/set"
    found = said(PROGRAMS["segmodels"].commands["train"], "--shards", url, "--shards", "b")
    assert "https://host/set, then b" in found
    assert "secret" not in found


def test_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of pipelines and benchmarks are as strict, with commands of their own as well."""
    parser = Parser()
    parser.add_argument("--seed", type=int)
    command = parser.add_subparsers().add_parser("run")
    command.add_argument("--out", default=[], action="append")
    command.add_argument("--steps", type=int)
    assert vars(parser.parse_args(["--seed", "1", "run", "--out", "a", "--out", "b"])) == {
        "seed": 1, "out": ["a", "b"], "steps": None,
    }  # fmt: skip
    command.add_argument("--shares", type=float, nargs="+")
    command.add_argument("--corners", type=int, nargs=2)
    assert parser.parse_args(["run", "--corners", "2", "2", "--shares", "1", "2"]).corners == [2, 2]
    for line, said in {
        "--seed 1 --seed 2": "--seed is given twice: 1, then 2. Give it once",
        "run --steps 1 --steps=2": "--steps is given twice: 1, then 2. Give it once",
        "run --out a --out b --out a": "--out a is given twice. Give it once",
        "run --shares 0.5 1 0.50": "--shares 0.5 is given twice. Give it once",
        "run --steps 1_0": "invalid int value: '1_0'",
        "run --shares 1_0": "invalid float value: '1_0'",
    }.items():
        with pytest.raises(SystemExit):
            parser.parse_args(line.split())
        assert said in capsys.readouterr().err


# ---- numbers -------------------------------------------------------------------------------------------------

NUMBERS = (click.types.IntParamType, click.types.FloatParamType)
LISTS = {"HxW", "HxW,…", "S,S,…", "V,V,…", "N", "X", "LOW,HIGH", "R,G,B", "DEGREES,…", "SHARE:FACTOR,…"}  # read by ours
NUMERIC = [each for each in OPTIONS if isinstance(each.values[1].type, NUMBERS) or each.values[1].metavar in LISTS]


@pytest.mark.parametrize(("command", "option"), NUMERIC)
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "²", "", "0_1", "٣"])
def test_no_number_is_not_finite(command: click.Command, option: click.Option, text: str) -> None:
    """Of every option that takes one number or several, alone or in a list or pair: refused, naming the option.

    So is what Python alone takes for a number.
    """
    name = option.opts[-1]
    samples = {"LOW,HIGH": "1,{}", "R,G,B": "0,0,{}", "HxW": "{}x64", "HxW,…": "{}x64", "SHARE:FACTOR,…": "0.5:{}"}
    if (empty := not text) and option.metavar in {"LOW,HIGH", "DEGREES,…", "SHARE:FACTOR,…", "HxW,…"}:
        return  # an empty list
    found = said(command, name, "" if empty else samples.get(str(option.metavar), "{}").format(text))
    assert name in found


@pytest.mark.parametrize(("command", "option"), NUMERIC)
def test_every_number_has_bounds(command: click.Command, option: click.Option) -> None:
    """Both are finite, and what lies beyond is refused; those of `train` are TrainConfig's (`test_config.py`)."""
    if isinstance(option.type, NUMBERS):
        assert isinstance(option.type, Whole | Number)
        for beyond in (option.type.min - 1, option.type.max + 1):  # type: ignore[operator]
            assert option.opts[-1] in said(command, option.opts[-1], str(beyond))
    elif "HxW" in str(option.metavar):
        for side in (0, -1, 32769, 10**30):
            assert option.opts[-1] in said(command, option.opts[-1], f"64x{side}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("calibrate a --budget 1.5", "1.5, expected a share from above 0 to 1."),
        ("calibrate a --budget 0", "0, expected a share from above 0 to 1."),
        ("calibrate a --latency -1", "-1, expected milliseconds from above 0"),
        ("bench a --seconds nan", "nan, expected seconds from 0 to 86400."),
        ("bench a --precision fp32,fp32", "'fp32,fp32' holds fp32 twice. Give it once."),
        ("bench a --precision=", "nothing, expected a value, or several by commas."),
        ("bench a --size 32x64,032x064", "'32x64,032x064' holds 32x64 twice, as 032x064 too. Give it once."),
        ("sweep a --values 0.5,0.50", "'0.5,0.50' holds 0.5 twice, as 0.50 too. Give it once."),
        ("bench pspnet pspnet", "'pspnet pspnet' holds pspnet twice. Give it once."),
        ("bench run ./run", "'run ./run' holds run twice, as ./run too. Give it once."),
        ("sweep run ./run --knob q", "'run ./run' holds run twice, as ./run too. Give it once."),
        ("evaluate a --scales 1,0.5,1", "'1,0.5,1' holds 1 twice. Give it once."),
        ("evaluate a --scales 1,0.5,0.50", "'1,0.5,0.50' holds 0.5 twice, as 0.50 too. Give it once."),
        ("train a --rotations 15,15.0", "'15,15.0' holds 15 twice, as 15.0 too. Give it once"),
        ("train a --mean 0.4,,0.5,0.6", "'0.4,,0.5,0.6' has nothing beside a comma"),
        ("train a --scale 0.5,,2", "'0.5,,2' has nothing beside a comma"),
        ("train a --milestones 0.5:0.1,", "'0.5:0.1,' has nothing beside a comma"),
        ("evaluate a --scales 1,x", "'1,x' is no number, as 0.5. Expected a list of numbers, as 0.75,1,1.25"),
        ("train a --milestones 0.5", "'0.5' is no list of share:factor, as in 0.5:0.1,0.75:0.01"),
        ("train a --mean 0.5,0.5", "'0.5,0.5' is 2 numbers, expected 3, as in 0.485,0.456,0.406"),
    ],
)
def test_messages(line: str, message: str) -> None:
    """What was found, what was expected, in which unit."""
    name, *arguments = line.split()
    assert message in said(PROGRAMS["segmodels"].commands[name], *arguments)


def test_options_of_networks_have_bounds() -> None:
    """Every number that a network takes by --option has finite bounds."""
    for network in segmodels.names():
        for name, option in segmodels.spec(network).options.items():
            if not option.choices and not isinstance(option.default, bool | str):
                assert isfinite(option.low) and isfinite(option.high), (network, name)
