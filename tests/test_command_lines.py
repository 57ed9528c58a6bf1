"""What the command lines of both programs have in common: an option is given once."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

import segdata.cli
import segmodels.cli
from segdata.cli.command import Command
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
    for line in ("--seed 1 --seed 2", "run --steps 1 --steps=2"):
        with pytest.raises(SystemExit):
            parser.parse_args(line.split())
        assert "is given twice: 1, then 2. Give it once" in capsys.readouterr().err
