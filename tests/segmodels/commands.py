"""Commands run inside the test's own process."""

import pytest
from click.testing import CliRunner

from segmodels import SegmodelsError
from segmodels.cli import cli


def run(*arguments: object) -> str:
    """What a command that succeeds prints."""
    result = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    """The one line of the error that a command ends with."""
    with pytest.raises(SegmodelsError) as error:
        CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    assert "\n" not in str(error.value)
    return str(error.value)
