"""Whether a training step on CUDA gives the same bits twice: measured there, or read from the operations here."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segmodels.compute.replaced import Replaced
from segmodels.contract.case import Case
from segmodels.contract.operations import Where, offenders
from segmodels.contract.promises import few, same
from segmodels.contract.result import BrokenError, Found
from segmodels.spec import OURS


def deterministic_on_cuda(case: Case) -> Found:
    """Where CUDA is, two backward passes give the same bits; elsewhere no operation is one that CUDA refuses.

    A network that is none of segmodels' own is trained with the replacements of `compute.replaced`, and asked so.
    """
    replacing = Replaced() if case.declared.origin != OURS else None
    return _measured(case, replacing) if torch.cuda.is_available() else _listed(case, replacing)


def _measured(case: Case, replacing: Replaced | None) -> Found:
    first, second = (case.gradients("cuda", replacing) for _ in range(2))
    if differ := [path for path, each in first.items() if not same(each, second[path])]:
        raise BrokenError(f"two backward passes differ in {few(differ)}")
    return Found(f"the same gradients twice, to the bit, on {torch.cuda.get_device_name()}{_told(replacing)}")


def _listed(case: Case, replacing: Replaced | None) -> Found:
    network = case.build()

    def loss_of(network: nn.Module) -> Tensor:
        return case.loss(case.answer(network, replacing=replacing))

    if found := offenders(network, loss_of):
        raise BrokenError(f"CUDA has no deterministic {_words(found)}; train it with --fast, or on the CPU")
    return Found(f"no operation is one that CUDA refuses (not measured){_told(replacing)}")


def _words(found: Where) -> str:
    return "; ".join(
        f"{name} (in {few([each or 'the network itself' for each in modules] or ['the backward pass'])})"
        for name, modules in sorted(found.items())
    )


def _told(replacing: Replaced | None) -> str:
    return f"; replaced in training: {', '.join(sorted(replacing.names))}" if replacing and replacing.names else ""
