"""A trained network as one file that runs without segmodels: torch.export or ONNX, checked against the original."""

from __future__ import annotations

import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from segdata.base.canonical import canonical_json
from segdata.base.files import replacing
from segdata.base.ownership import Kind, check_file
from segdata.base.refusal import refusal
from segdata.requirements import need
from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import Segmenter
from segmodels.runs.results import check_out
from segmodels.spec import Size

FORMATS = (".pt2", ".onnx")
OPSET = 18
TOLERANCE = 1e-3  # of the largest logit
AGREEMENT = 0.999  # share of the pixels with the same class: two near-equal logits may change places


ONNX_MARK = b"\x0a\x09segmodels\x12"  # of the entry in the file's metadata, as protobuf has it
Run = Callable[[Tensor], Tensor]


class Parity(NamedTuple):
    """How close the file is to the network."""

    difference: float  # largest, of any logit
    scale: float  # largest logit
    agreement: float  # share of pixels with the same class

    @property
    def close(self) -> bool:
        """Whether the file computes the same, but for rounding."""
        return self.difference <= TOLERANCE * self.scale and self.agreement >= AGREEMENT


class Exported(nn.Module):
    """What the file computes: an image (1, 3, H, W), RGB from 0 to 1, to logits (1, K, H/stride, W/stride)."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network((image - self.mean) / self.std).logits
        return logits


def export(segmenter: Segmenter, out: Path, size: Size | None = None) -> Parity:
    """Write `out`, a .pt2 (torch.export) or .onnx file, and compare what it computes with the network.

    It takes images of one size, that of training by default. `segmodels.json` in the .pt2 file, and the metadata
    entry `segmodels` of the .onnx file, name the classes. Raises SegmodelsError, leaving no file, where the network
    cannot be exported or the file computes something else.
    """
    if out.suffix not in FORMATS:
        raise SegmodelsError(f"--out is {out.name}, expected a name that ends in {' or '.join(FORMATS)}")
    if why := segmenter.declared.not_exportable:
        raise SegmodelsError(f"{segmenter.name} cannot be exported: {why}")
    if out.suffix == ".onnx" and (why := segmenter.declared.not_in_onnx(segmenter.network)):
        raise SegmodelsError(f"{segmenter.name} cannot be written as .onnx: {why}. Export a .pt2")
    size = size_of(segmenter, size)
    check_out(out.parent)
    check_file("--out", out, EXPORTED)
    network = Exported(segmenter.network, segmenter.mean, segmenter.std).eval().to(segmenter.device)
    data, parity = written(network, segmenter.name, out.suffix, size, canonical_json(_about(segmenter, size)).decode())
    if not parity.close:
        raise SegmodelsError(f"{out.name} was not written, as it computes something else: {describe(parity)}")
    check_file("--out", out, EXPORTED)  # once more: the work may have taken minutes
    with replacing(out) as target:
        target.write(data)
    return parity


def written(network: Exported, name: str, suffix: str, size: Size, about: str) -> tuple[bytes, Parity]:
    """The bytes of a file of FORMATS, which says `about` itself, and how close to the network is what they compute.

    Raises SegmodelsError where torch, or the format, cannot express the network of that name.
    """
    write = {".pt2": _write_pt2, ".onnx": _write_onnx}[suffix]
    device = network.mean.device
    try:
        data, run = write(network, torch.zeros(1, 3, *size, device=device), about)
    except SegmodelsError:
        raise
    except Exception as error:  # torch raises whatever came up while it traced or translated
        raise SegmodelsError(f"{name} cannot be written as {suffix}: {_root(error)}") from error
    return data, _compare(network, run, size, device)


def _is_exported(path: Path) -> bool:
    """Whether it bears what `export` writes into a file of its kind."""
    if path.suffix == ".pt2":
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/segmodels.json") for name in archive.namelist())
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return data.rfind(ONNX_MARK) >= 0


EXPORTED = Kind("an exported network", _is_exported)


def describe(parity: Parity) -> str:
    """Parity in words."""
    return (
        f"largest difference {parity.difference:.2e} of logits up to {parity.scale:.2e}, "
        f"the same class at {parity.agreement:.4%} of the pixels"
    )


def _write_pt2(network: nn.Module, example: Tensor, about: str) -> tuple[bytes, Run]:
    """In memory: on a full disk torch ends the process, as what it throws while it closes a file is caught nowhere."""
    file = BytesIO()
    torch.export.save(torch.export.export(network, (example,)), file, extra_files={"segmodels.json": about})
    return file.getvalue(), torch.export.load(file).module()  # what was written, not what was meant


def _write_onnx(network: nn.Module, example: Tensor, about: str) -> tuple[bytes, Run]:
    need("an .onnx file, unlike a .pt2,", "onnx", error=SegmodelsError)
    import onnx
    import onnxruntime

    # ONNX has no searchsorted: a key's place is the number of keys below it.
    with TemporaryDirectory(prefix="segmodels-") as scratch, _quietly():
        file = Path(scratch) / "network.onnx"
        program = torch.export.export(network, (example,))
        program = program.run_decompositions({torch.ops.aten.searchsorted.Tensor: _places})
        torch.onnx.export(
            *(program, (example,), file),
            input_names=["image"],
            output_names=["logits"],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        model = onnx.load(file)
    onnx.helper.set_model_props(model, {"segmodels": about})
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return data, lambda image: torch.from_numpy(session.run(None, {"image": image.cpu().numpy()})[0]).to(image.device)


def _places(keys: Tensor, values: Tensor, **options: object) -> Tensor:
    """`torch.searchsorted` from the left: keys (…, N) in order, values (…, M) -> (…, M)."""
    return (keys[..., None, :] < values[..., :, None]).sum(dim=-1)


@contextmanager
def _quietly() -> Iterator[None]:
    """What the exporter says about its own insides helps nobody: what it wrote is compared with the network."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@torch.inference_mode()
def _compare(network: nn.Module, run: Run, size: Size, device: torch.device) -> Parity:
    """On noise, on the same at half contrast, and on a gradient."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, *size, generator=generator)
    gradient = torch.linspace(0, 1, size[1]).expand(1, 3, *size)
    images = torch.cat([noise, 0.25 + noise / 2, gradient]).to(device)
    ours, theirs = (torch.cat([each(image[None]) for image in images]) for each in (network, run))
    same = ours.argmax(1) == theirs.argmax(1)
    return Parity(float((ours - theirs).abs().max()), float(ours.abs().max()), float(same.double().mean()))


def _root(error: BaseException) -> str:
    """What the chain of exceptions began with."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    if isinstance(error, OSError):
        return refusal(error, error.filename or gettempdir()).removesuffix(".")
    return (str(error) or type(error).__name__).splitlines()[0]


def size_of(segmenter: Segmenter, size: Size | None) -> Size:
    """The size to export for: without one, that which the network was built for. Raises SegmodelsError."""
    geometry, name = segmenter.geometry, segmenter.name
    size = size or segmenter.size
    if geometry.fixed_size and size != segmenter.size:
        raise SegmodelsError(f"--size: {name} was built for {segmenter.size[0]}x{segmenter.size[1]} alone")
    if not all(geometry.fits(side) for side in size):
        raise SegmodelsError(f"--size {size[0]}x{size[1]} does not fit {name}: {geometry.constraint}")
    return size


def _about(segmenter: Segmenter, size: Size) -> dict[str, Any]:
    return {
        "network": segmenter.name,
        "run": segmenter.run,
        "input": "image (1, 3, H, W) float32, RGB from 0 to 1",
        "output": "logits (1, K, H/stride, W/stride)",
        "size": size,
        "stride": segmenter.geometry.stride,
        "taxonomy": segmenter.taxonomy.document(),
    }
