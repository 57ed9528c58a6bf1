"""Training samples through webdataset, for shards that are best read from their first byte to their last.

Their order is webdataset's: shards shuffled, then samples among the BUFFER that were read last. It is a function of
(seed, epoch), the shards and webdataset's version, and not the order that random access has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import islice
from types import ModuleType
from typing import Any

from segdata import ShardSet
from segdata.requirements import need
from segmodels.config.config import TrainConfig
from segmodels.data.batches import Stored
from segmodels.data.images import in_order
from segmodels.errors import SegmodelsError

BUFFER = 256  # samples in memory, as they are stored, that are shuffled


class Stream:
    """The batches of a split in webdataset's order, by one process. Raises SegmodelsError where it is not installed.

    The loader's state is the step alone: what an epoch read before `start` is read again and left out.
    """

    def __init__(self, shards: ShardSet, seed: int, batch_size: int) -> None:
        self.shards, self.seed, self.batch_size = shards, seed, batch_size
        self._webdataset = _import_webdataset()
        self._numbers = {row.name: number for number, row in enumerate(shards.manifest.shards(shards.split))}
        self._positions = {key: i for i, key in enumerate(shards.keys)}

    @property
    def order(self) -> str:
        """Whose order it is, for people."""
        return (
            f"--reader stream: the order is that of webdataset {self._webdataset.__version__} (shards shuffled, then "
            f"samples among {BUFFER}), not that of --reader shards"
        )

    def between(self, start: int, stop: int) -> Iterator[list[Stored]]:
        """The samples of steps start … stop - 1, counted over all epochs, of which each drops what is left over."""
        steps = len(self.shards) // self.batch_size
        while start < stop:
            epoch, place = divmod(start, steps)
            samples = islice(self._epoch(epoch), place * self.batch_size, None)
            for _ in range(min(stop - start, steps - place)):
                yield list(islice(samples, self.batch_size))
                start += 1

    def _epoch(self, epoch: int) -> Iterator[Stored]:
        """All samples once."""
        wds, count = self._webdataset, len(self._numbers)
        pipeline = wds.DataPipeline(
            wds.SimpleShardList(list(self._numbers)),
            wds.detshuffle(count, count, self.seed, epoch - 1),  # it adds one
            self._opened,
            wds.tariterators.tar_file_expander,
            wds.tariterators.group_by_keys,
            wds.detshuffle(BUFFER, BUFFER, self.seed, epoch - 1),
        )
        for found in pipeline:
            yield Stored(self._positions[found["__key__"]], found.__getitem__)

    def _opened(self, sources: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Every shard whole and checked, as a file; the next one is on its way meanwhile."""

        def fetch(source: dict[str, Any]) -> dict[str, Any]:
            return source | {"stream": BytesIO(self.shards.shard(self._numbers[source["url"]]))}

        return in_order(fetch, sources, workers=1, ahead=1)


def open_stream(config: TrainConfig, shards: ShardSet, processes: int, show: Callable[[str], None]) -> Stream | None:
    """What `--reader stream` reads through, having said whose order that is; None for any other reader."""
    if config.reader != "stream":
        return None
    if processes > 1:
        raise SegmodelsError(f"--reader stream is for one process, found {processes}. Use --reader shards")
    stream = Stream(shards, config.seed, config.batch_size)
    show(stream.order)
    return stream


def _import_webdataset() -> ModuleType:
    need("--reader stream", "remote", ["webdataset"], error=SegmodelsError)
    import webdataset
    import webdataset.tariterators

    return webdataset  # type: ignore[no-any-return]
