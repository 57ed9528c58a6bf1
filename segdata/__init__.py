"""segdata: street-scene datasets to sharded webdatasets, and the reader of these shards."""

from typing import TYPE_CHECKING

from segdata.errors import SegdataError
from segdata.version import __version__

if TYPE_CHECKING:
    from segdata.reading.shardset import Record, ShardSet

__all__ = ["Record", "SegdataError", "ShardSet", "__version__"]


def __getattr__(name: str) -> object:
    """ShardSet and Record on first use: `import segdata` and `segdata --help` stay instant."""
    if name in {"Record", "ShardSet"}:
        from segdata.reading import shardset

        return getattr(shardset, name)
    raise AttributeError(f"module 'segdata' has no attribute {name!r}")
