"""Options of the scripts beside both programs (pipelines, benchmarks): an option is given once there as well."""

import argparse
from collections.abc import Sequence
from typing import Any

from segdata.base.numbers import number, whole


class Parser(argparse.ArgumentParser):
    """argparse, which takes the last of several values and says nothing, but for that."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.given: dict[str, object] = {}
        self.register("action", None, _Once)
        self.register("action", "append", _Each)
        self.register("type", int, whole)
        self.register("type", float, number)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.given.clear()
        return super().parse_known_args(args, namespace)


class _Once(argparse.Action):
    """Store a value, which there is one of."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if option_string and isinstance(parser, Parser):
            if self.dest in parser.given:
                parser.error(f"{option_string} is given twice: {parser.given[self.dest]}, then {values}. Give it once")
            parser.given[self.dest] = values
        if self.nargs in {"*", "+"}:  # of a fixed number each has a meaning of its own
            _check_distinct(parser, option_string or self.dest, values)
        setattr(namespace, self.dest, values)


class _Each(argparse.Action):
    """Add a value to those that were given before, which are others."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        given = getattr(namespace, self.dest) or []
        _check_distinct(parser, option_string or self.dest, [*given, values])
        setattr(namespace, self.dest, [*given, values])


def _check_distinct(parser: argparse.ArgumentParser, name: str, values: Any) -> None:
    """End with an error where one of several values stands there twice."""
    again = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if again is not None:
        parser.error(f"{name} {again} is given twice. Give it once")
