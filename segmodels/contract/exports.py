"""A network as one file, .pt2 or .onnx, that computes what it computes: `segmodels export` on random weights."""

from __future__ import annotations

from importlib.util import find_spec

from segdata.requirements import EXTRAS
from segmodels.contract.case import Case
from segmodels.contract.result import BrokenError, Found, NotAskedError
from segmodels.errors import SegmodelsError
from segmodels.inference.export import Exported, describe, written

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def exported_pt2(case: Case) -> Found:
    """torch.export gives the same logits for other images, or the spec says why it cannot, and it cannot."""
    if why := case.declared.not_exportable:
        try:
            _written(case, ".pt2")
        except SegmodelsError:
            raise NotAskedError(f"its declaration says: {why}") from None
        raise BrokenError(f"it can be exported, but its declaration says that it cannot: {why}")
    return _written(case, ".pt2")


def exported_onnx(case: Case) -> Found:
    """So does onnxruntime, or the spec says why there can be no .onnx file."""
    if why := case.declared.not_exportable or case.declared.not_in_onnx(case.build()):
        raise NotAskedError(f"its declaration says: {why}")
    if missing := [name for name in EXTRAS["onnx"] if find_spec(name) is None]:
        raise NotAskedError(f"the extra `onnx` is not installed: {', '.join(missing)}")
    return _written(case, ".onnx")


def _written(case: Case, suffix: str) -> Found:
    network = Exported(case.settled(), MEAN, STD).eval()
    _, parity = written(network, case.declared.name, suffix, case.size, "{}")
    if not parity.close:
        raise BrokenError(f"the {suffix} file computes something else: {describe(parity)}")
    return Found(describe(parity), parity.difference / parity.scale)
