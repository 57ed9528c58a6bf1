"""The processes of one training (`torchrun`): each computes its part of every batch, all take the same step.

Gradients are summed by hand, as one vector in the order of the parameters: `DistributedDataParallel` cuts
them into buckets, sizes these anew after the first step, and with them the order of its sums, so that a
resumed run would round differently. Alone (one process), every function here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from segmodels.errors import SegmodelsError
from segmodels.runs.checkpoint import random_state, restore_random_state
from segmodels.scoring.metrics import ConfusionMatrix


@contextmanager
def _connected() -> Iterator[None]:
    """Raise SegmodelsError where another process is gone; the backend's own error tells of sockets."""
    try:
        yield
    except RuntimeError as error:
        raise SegmodelsError(
            f"rank {dist.get_rank()} of {dist.get_world_size()} lost the others ({str(error).splitlines()[0]}). One of "
            "them failed, was killed, or its machine is gone. The same command goes on from the last checkpoint"
        ) from error


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is. Rank 0 writes the run folder and speaks."""

    rank: int = 0
    count: int = 1

    @_connected()
    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            dist.barrier()

    @_connected()
    def highest(self, here: int, device: torch.device) -> int:
        """The highest of what the ranks say."""
        if self.count == 1:
            return here
        said = torch.tensor(here, device=device)
        dist.all_reduce(said, dist.ReduceOp.MAX)
        return int(said)

    @_connected()
    def sum_gradients(self, network: nn.Module) -> None:
        """Every parameter's gradient summed over the ranks."""
        if self.count > 1:
            _in_one(dist.all_reduce, [p.grad for p in network.parameters() if p.grad is not None])

    @_connected()
    def share_buffers(self, network: nn.Module) -> None:
        """Running statistics become the mean over the ranks; counters and assignments are rank 0's."""
        if self.count > 1:
            statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
            _in_one(dist.all_reduce, statistics)
            for buffer in statistics:
                buffer.div_(self.count)
            for buffer in network.buffers():
                if not buffer.is_floating_point():
                    dist.broadcast(buffer, 0)

    @_connected()
    def gather(self, values: Tensor) -> Tensor:
        """The vectors of all ranks, one behind the other: the order of the whole batch."""
        if self.count == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.count)]
        dist.all_gather(parts, values)
        return torch.cat(parts)

    @_connected()
    def interleave(self, matrices: ConfusionMatrix) -> ConfusionMatrix:
        """One split's matrices from all ranks, of which rank r has each R-th."""
        if self.count == 1:
            return matrices
        parts: list[ConfusionMatrix | None] = [None] * self.count
        dist.all_gather_object(parts, matrices)
        given = [part for part in parts if part is not None]
        shape = next(
            (part.shape[1:] for part in given if len(part)), matrices.shape[1:]
        )  # one without images knows none
        together = np.empty((sum(map(len, given)), *shape), np.int64)
        for rank, part in enumerate(given):
            if len(part):
                together[rank :: self.count] = part
        return together

    @_connected()
    def random_states(self, device: torch.device) -> dict[str, Tensor]:
        """The generators' states of all ranks: `cpu` and `cuda` are rank 0's, `cpu.1` is rank 1's."""
        own = random_state(device)
        states = [own]
        if self.count > 1:
            gathered: list[dict[str, Tensor] | None] = [None] * self.count
            dist.all_gather_object(gathered, own)
            states = [state for state in gathered if state is not None]
        return {_named(kind, rank): each for rank, state in enumerate(states) for kind, each in state.items()}

    def restore_random_states(self, states: dict[str, Tensor], device: torch.device) -> None:
        """This rank's generators as they were; a rank that was not there then keeps its own."""
        own = {kind: states[_named(kind, self.rank)] for kind in ("cpu", "cuda") if _named(kind, self.rank) in states}
        if own:
            restore_random_state(own, device)


@contextmanager
def join_ranks(device: torch.device) -> Iterator[Ranks]:
    """The ranks that `torchrun` started, over gloo on the CPU and NCCL on CUDA; one where it did not."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()


def _in_one(collective: Callable[[Tensor], object], tensors: Sequence[Tensor]) -> None:
    """Apply the collective to all tensors as one vector: one message, one order of summing."""
    if not tensors:
        return
    vector = torch.cat([tensor.reshape(-1) for tensor in tensors])
    collective(vector)
    parts = torch.split(vector, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


def _named(kind: str, rank: int) -> str:
    return f"{kind}.{rank}" if rank else kind
