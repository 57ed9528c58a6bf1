"""How much memory there is, and how much a network takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MEMORY = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")  # of this process: a container has a limit of its own


def available() -> int | None:
    """Bytes that new work on the CPU may take; None where the system does not tell."""
    free = [field(MEMORY, "MemAvailable") or None, _left_in_group()]
    return min((each for each in free if each is not None), default=None)


def field(path: Path, name: str) -> int:
    """Bytes in a line such as `VmRSS:   2148 kB`; 0 where there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(found[0]) if found else 0


def _left_in_group() -> int | None:
    """Below the limit of a container; pages of files that it could give up count as free."""
    try:
        limit, used = ((GROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        statistics = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
        return None if limit == "max" else max(0, int(limit) - int(used) + int(statistics["inactive_file"]))
    except (OSError, ValueError, KeyError):  # no such limits here
        return None


def peak_of(work: Callable[[], object]) -> int:
    """Bytes of tensors that `work` makes and holds at the same time, at most."""
    held = _Held()
    with held:
        work()
    return held.peak


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Looks at every operation of torch for tensors that are new."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: dict[StorageWeakRef, int] = {}
        self.peak: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.sizes = {each: size for each, size in self.sizes.items() if not each.expired()}  # type: ignore[no-untyped-call]
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.sizes[StorageWeakRef(storage)] = storage.nbytes()  # type: ignore[no-untyped-call]
        self.peak = max(self.peak, sum(self.sizes.values()))
        return result
