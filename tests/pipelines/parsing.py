"""Command lines read by the real commands."""

from __future__ import annotations

import shlex

import segdata.cli
import segmodels.cli

PROGRAMS = {"segdata": segdata.cli.cli, "segmodels": segmodels.cli.cli}


def parse(command: str) -> None:
    """Let the real command read its line; `train` also makes its configuration, and the network its options."""
    program, name, *arguments = shlex.split(command)
    real = PROGRAMS[program].commands[name]
    context = real.make_context(name, arguments)
    if name == "train":
        real.invoke(context)
