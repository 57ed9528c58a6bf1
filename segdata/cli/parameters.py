"""What commands take: sizes, folders, URLs."""

from pathlib import Path

import click

from segdata.url import Place, Url, place

ANY_PATH = click.Path(path_type=Path)


def parse_size(value: str) -> tuple[int, int]:
    """HEIGHTxWIDTH in pixels."""
    height, _, width = value.partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise click.BadParameter(f"{value!r} is not HEIGHTxWIDTH, such as 512x1024")
    return int(height), int(width)


def shard_set(text: str) -> Place:
    """A shard folder, which must be there, or a URL."""
    found = place(text)
    if isinstance(found, Path) and not found.is_dir():
        raise click.BadParameter(f"folder {text!r} does not exist")
    return found


def parse_url(text: str) -> Url:
    """s3://bucket/set and the like."""
    found = place(text)
    if not isinstance(found, Url):
        raise click.BadParameter(f"{text!r} is no URL, such as s3://bucket/set")
    return found
