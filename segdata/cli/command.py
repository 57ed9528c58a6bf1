"""How both programs' command lines are read: an option is given once, and never silently overwritten."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from click.core import Parameter

from segdata.base.refusal import OF_DISKS, placed
from segdata.stores.url import Url, place


class Command(click.Command):
    """A command that refuses an option given twice: of two values Click itself takes the last, and says nothing.

    An option that may be repeated is refused where it repeats a value. A switch may say the same twice, for nothing is
    lost then. Variables of the environment are no second time.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            self._check_once(ctx, args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """With the place of its results in an error of the system that names none, as when a disk is full; and where it
        fails, the folders that it made for results and that stayed empty are removed."""
        paths = [value for value in ctx.params.values() if isinstance(value, Path)]
        with _empty_removed(paths), placed(ctx.params.get("out") or "", only=OF_DISKS):
            return super().invoke(ctx)

    def _check_once(self, ctx: click.Context, args: Sequence[str]) -> None:
        """Raise UsageError for the first option that is given twice."""
        parser = self.make_parser(ctx)
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for option in options:
            option.add_to_parser(_EveryValue(parser), ctx)  # type: ignore[arg-type]  # in the place of what stood there
        given = parser.parse_args(list(args))[0]
        for option in options:
            values = [] if option.count else given.get(str(option.name), [])
            if wrong := _contradiction(values) if option.is_flag else _twice(option, values):
                raise click.UsageError(wrong, ctx)


class Group(click.Group):
    """Of such commands."""

    command_class = Command


class _EveryValue:
    """A parser to which options are added so that it keeps all their values, and of a switch how it was spelt."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def add_option(
        self,
        obj: Parameter,
        opts: Sequence[str],
        dest: str | None,
        action: str | None = None,
        nargs: int = 1,
        const: object = None,
    ) -> None:
        if action in {"store_const", "append_const"}:
            action, const = "append_const", max(opts, key=len)
        elif action != "count":
            action = "append"
        self._parser.add_option(obj, opts, dest, action, nargs, const)


@contextmanager
def _empty_removed(paths: Sequence[Path]) -> Iterator[None]:
    """After an error, of the folders that were made on the way to one of the paths or below it, the empty ones go."""
    made = [folder for path in paths for folder in (path, *path.parents) if not os.path.lexists(folder)]
    try:
        yield
    except BaseException:
        for folder in made:
            for home, _, _ in os.walk(folder, topdown=False):
                with suppress(OSError):  # it is not empty
                    Path(home).rmdir()
        raise


def _contradiction(spelt: Sequence[str]) -> str:
    first, *others = dict.fromkeys(spelt) or [""]
    return f"{first} and {others[0]} say two things. Give one of them." if others else ""


def _twice(option: click.Option, values: Sequence[object]) -> str:
    name = max(option.opts, key=len)
    if not option.multiple:
        given = ", then ".join(map(_shown, values))
        return f"{name} is given {_times(len(values))}: {given}. Give it once." if len(values) > 1 else ""
    again = next((value for i, value in enumerate(values) if value in values[:i]), None)
    return f"{name} {again} is given {_times(values.count(again))}. Give it once." if again is not None else ""


def _shown(value: object) -> str:
    """A value as it was typed, a URL without its password."""
    found = place(str(value))
    return str(found) if isinstance(found, Url) else str(value)


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count} times"
