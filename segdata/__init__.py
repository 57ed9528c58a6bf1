"""segdata: street-scene datasets to sharded webdatasets, and the reader of these shards.

`prepare(make_job("cityscapes", root=…, out=…))` makes a shard folder, as the command `segdata prepare` does; `ShardSet`
reads one.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from segdata.errors import SegdataError
from segdata.version import __version__

if TYPE_CHECKING:
    from segdata.making.job import Job, make_job
    from segdata.making.prepare import prepare
    from segdata.reading.shardset import Record, ShardSet

__all__ = ["Job", "Record", "SegdataError", "ShardSet", "__version__", "make_job", "prepare"]

_HOMES = {
    "Job": "segdata.making.job",
    "Record": "segdata.reading.shardset",
    "ShardSet": "segdata.reading.shardset",
    "make_job": "segdata.making.job",
    "prepare": "segdata.making.prepare",
}


def __getattr__(name: str) -> object:
    """All of these on first use: `import segdata` and `segdata --help` stay instant."""
    if name in _HOMES:
        from segdata.requirements import check_system

        check_system()
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'segdata' has no attribute {name!r}")
