"""A network in use: from pixels to logits to the integers that every score is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from segdata import Record, ShardSet
from segdata.canonical import canonical_json
from segdata.scene import U8
from segdata.taxonomy import Taxonomy, read_taxonomy
from segmodels.checkpoint import load_weights
from segmodels.data import normalise, samples
from segmodels.device import autocast
from segmodels.errors import SegmodelsError
from segmodels.metrics import ConfusionMatrix, confusion
from segmodels.networks import spec
from segmodels.spec import Geometry, Size
from segmodels.views import at_full_size, look


@dataclass(frozen=True)
class Segmenter:
    """A network, and what must be known to use it on images."""

    network: nn.Module
    name: str
    geometry: Geometry
    size: Size  # that it was built for: the window of a fixed-size network
    taxonomy: Taxonomy
    mean: Sequence[float]
    std: Sequence[float]
    device: torch.device
    precision: str = "fp32"
    run: str = ""  # id of the run that its weights come from
    q: tuple[float, ...] | None = None  # of a percentile network, where another one was set than it was trained with

    @property
    def window(self) -> Size | None:
        """What is slid over an image, None where the network takes images of any size."""
        return self.size if self.geometry.fixed_size else None

    def input(self, image: U8) -> Tensor:
        """An image (H, W, 3) as the network takes it: (1, 3, H, W) on its device."""
        return normalise(torch.from_numpy(image)[None].to(self.device), self.mean, self.std)


def load_segmenter(path: Path, device: torch.device, precision: str = "fp32") -> Segmenter:
    """The network of a run folder or of a weights file, in evaluation mode.

    Raises SegmodelsError where the file is damaged, or does not hold what it says.
    """
    path = path / "model.safetensors" if path.is_dir() else path
    weights, about = load_weights(path)
    try:
        declared, size, options = spec(about["network"]), (about["size"][0], about["size"][1]), about["options"]
        taxonomy = read_taxonomy(canonical_json(about["taxonomy"]), str(path))
        network = declared.build(len(taxonomy.classes), size, options)
        network.load_state_dict(weights)
        colours = about["mean"], about["std"]
        geometry, run = declared.geometry(options), about["run"]
    except (KeyError, TypeError, IndexError) as error:
        raise SegmodelsError(f"{path} does not say all about its network ({error}): train again") from None
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise SegmodelsError(f"{path} does not hold the weights of {about['network']}: {first}") from None
    network.to(device).eval()
    return Segmenter(network, declared.name, geometry, size, taxonomy, *colours, device, precision, run)


@torch.inference_mode()
def logits_at_full_size(segmenter: Segmenter, image: U8) -> Tensor:
    """The answer for an image (H, W, 3) of any size: logits (1, K, H, W), float32.

    Padded to what the network takes and cropped back, or seen through windows, then interpolated.
    """
    with autocast(segmenter.device, segmenter.precision):
        found = look(segmenter.network, segmenter.input(image), segmenter.geometry, segmenter.window)
    return at_full_size(found[-1].float(), segmenter.geometry.stride, (image.shape[0], image.shape[1]))


def count_confusions(
    segmenter: Segmenter, shards: ShardSet, *, workers: int = 0, rank: int = 0, ranks: int = 1
) -> ConfusionMatrix:
    """One confusion matrix an image of the split, at full label resolution: (N, K, K), of rank r each R-th.

    Raises SegmodelsError where the split has no images or no labels at x1.
    """
    classes = len(segmenter.taxonomy.classes)
    records = samples(shards, (1,), workers=workers, rank=rank, ranks=ranks)
    matrices = [_count(segmenter, record, classes) for record in records]
    return np.stack(matrices) if matrices else np.zeros((0, classes, classes), np.int64)


def _count(segmenter: Segmenter, record: Record, classes: int) -> ConfusionMatrix:
    labels = logits_at_full_size(segmenter, record.image).argmax(dim=1)[0]  # (H, W)
    return confusion(record.targets[1], labels.to(torch.uint8).cpu().numpy(), classes)
