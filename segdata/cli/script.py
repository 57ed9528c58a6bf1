"""Options of the scripts beside both programs (pipelines, benchmarks): an option is given once there as well."""

import argparse
from collections.abc import Sequence
from typing import Any


class Parser(argparse.ArgumentParser):
    """argparse, which takes the last of several values and says nothing, but for that."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.given: dict[str, object] = {}
        self.register("action", None, _Once)

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
        setattr(namespace, self.dest, values)
