"""What commands take: numbers, sizes, folders, URLs."""

from pathlib import Path
from typing import Any

import click

from segdata.base import numbers
from segdata.stores.url import Place, Url, place

ANY_PATH = click.Path(path_type=Path)


class Whole(click.IntRange):
    """A whole number, which always has both bounds."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__(low, high)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        _check_plain(self, value, param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A number, which always has both bounds; Click's own takes NaN, which is neither below nor above any."""

    def __init__(self, low: float, high: float, what: str, *, above: bool = False) -> None:
        super().__init__(low, high, min_open=above)
        self.low, self.high = low, high
        self.expected = f"{what} from {'above ' * above}{low:g} to {high:g}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        _check_plain(self, value, param, ctx)
        found = click.FLOAT.convert(value, param, ctx)
        if not self.low <= found <= self.high or (self.min_open and found == self.low):
            self.fail(f"{value}, expected {self.expected}.", param, ctx)
        return found


def _check_plain(kind: Whole | Number, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> None:
    if isinstance(value, str) and not numbers.is_plain(value):
        kind.fail(f"{value!r} is not a valid {kind.name}.", param, ctx)


COUNT, SEED, WORKERS = Whole(1, numbers.MOST), Whole(0, numbers.LARGEST_SEED), Whole(1, numbers.MOST_WORKERS)


def parse_size(value: str) -> tuple[int, int]:
    """HEIGHTxWIDTH in pixels."""
    try:
        return numbers.size(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} {error}") from None


def shard_set(text: str) -> Place:
    """A shard folder, which must be there, or a URL."""
    found = place(text)
    if isinstance(found, Path) and not found.is_dir():
        why = "is a file, expected a folder" if found.exists() else "does not exist, expected a shard folder"
        raise click.BadParameter(f"{text!r} {why}")
    return found


def parse_url(text: str) -> Url:
    """s3://bucket/set and the like."""
    found = place(text)
    if not isinstance(found, Url):
        raise click.BadParameter(f"{text!r} is no URL, such as s3://bucket/set")
    return found


def folder_path(text: str) -> Path:
    """A folder of this machine; a URL is none."""
    found = place(text)
    if isinstance(found, Url):
        raise click.BadParameter(f"{found} is a URL, expected a folder of this machine")
    return found
