"""`hf:segformer` or `hf:FOLDER`: the networks for semantic segmentation of Hugging Face's transformers.

A folder holds what `save_pretrained` wrote: `config.json`, and perhaps `model.safetensors`, with which a training then
starts, and `preprocessor_config.json`. A run notes the configuration itself, so that it is used without the folder. A
name of a hub is refused. Logits are resized to the image, as the library's own loss does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from segdata.base.canonical import canonical_json
from segdata.base.files import parsing, read_file
from segmodels.adapters.fitted import fitted
from segmodels.adapters.library import Library, asking
from segmodels.compute.deterministic import resize
from segmodels.errors import SegmodelsError
from segmodels.prediction import Prediction
from segmodels.spec import Colours, ModelSpec, Option, Size, nearest

LIBRARY = Library("hf", ("transformers",))
CONFIG, WEIGHTS, IMAGES = "config.json", "model.safetensors", "preprocessor_config.json"
LARGEST = 1 << 24  # bytes of a file of JSON
TYPE = re.compile(r"[a-z0-9_-]+")
IMAGENET = Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
AS_THEY_ARE = Colours((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
# Of a configuration: where it came from, names of classes, and what would load or run something else. Not the network.
LEFT_OUT = {
    *("_name_or_path", "architectures", "auto_map", "transformers_version", "dtype", "torch_dtype", "use_cache"),
    *("id2label", "label2id", "num_labels", "_num_labels", "backbone", "use_pretrained_backbone", "use_timm_backbone"),
    *("backbone_kwargs", "_attn_implementation", "attn_implementation", "_commit_hash", "torchscript", "model_type"),
}


class Images(NamedTuple):
    """How the library prepares images for a network: in 0 … 1, less the mean, by the std, in this order of channels."""

    colours: Colours
    channels: str = "rgb"


# As the image processors of the library have it; they themselves need torchvision.
IMAGES_OF = {
    "beit": Images(HALF),
    "data2vec-vision": Images(HALF),
    "dpt": Images(HALF),
    "mobilenet_v2": Images(HALF),
    "mobilevit": Images(AS_THEY_ARE, "bgr"),
    "mobilevitv2": Images(AS_THEY_ARE, "bgr"),
    "tipsv2_dpt": Images(AS_THEY_ARE),
}


@dataclass(frozen=True)
class Settings(Option):
    """Values of a configuration as JSON, kept as canonical text."""

    def check(self, value: object) -> str:
        try:
            document = json.loads(value) if isinstance(value, str) else value
            if not isinstance(document, dict):
                raise ValueError
            return canonical_json(document).decode()
        except (ValueError, TypeError, RecursionError):
            raise ValueError(self.expected) from None

    @property
    def expected(self) -> str:
        return 'values of the configuration as JSON, such as {"depths":[1,1,1,1]}'


def declare(rest: str) -> ModelSpec:
    """The network of a folder, or of a type of models with the library's own values. Raises SegmodelsError."""
    if not rest or not (Path(rest).is_dir() or TYPE.fullmatch(rest)):
        raise SegmodelsError(
            f"hf:{rest}: there is no folder {rest!r}, and nothing is loaded from the internet. Expected hf:FOLDER with "
            f"the {CONFIG} of a network, or hf:TYPE, such as hf:segformer"
        )
    library = LIBRARY.load(f"hf:{rest}")
    types = library.models.auto.modeling_auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES
    if rest in types:
        return _declare(rest, "{}", IMAGES_OF.get(rest, Images(IMAGENET)), None)
    if not Path(rest).is_dir():
        raise SegmodelsError(
            f"hf has no type of networks {rest!r}{nearest(rest, types)}, and there is no such folder. Its networks for "
            f"semantic segmentation are {', '.join(types)}"
        )
    return _of_folder(library, Path(rest), types)


def _of_folder(library: Any, folder: Path, types: Mapping[str, str]) -> ModelSpec:
    if not (folder / CONFIG).is_file():
        raise SegmodelsError(f"hf:{folder}: the folder has no {CONFIG}, which save_pretrained writes")
    document = _read(folder / CONFIG)
    kind = str(document.get("model_type"))
    if kind not in types:
        raise SegmodelsError(
            f"{folder / CONFIG}: model_type is {kind!r}, expected one for semantic segmentation: {', '.join(types)}"
        )
    with asking(f"hf:{folder}"):
        config = library.CONFIG_MAPPING[kind].from_dict(_kept(document))
        stated = canonical_json(_kept(json.loads(json.dumps(config.to_diff_dict())))).decode()
    images = IMAGES_OF.get(kind, Images(IMAGENET))
    if (folder / IMAGES).is_file():
        images = _images(_read(folder / IMAGES), folder / IMAGES, images)
    weights = folder / WEIGHTS
    return _declare(kind, stated, images, weights if weights.is_file() else None)


def _read(path: Path) -> dict[str, Any]:
    """A file of JSON. Raises SegmodelsError."""
    with parsing(f"{path} is no configuration of a network", SegmodelsError, "Name the folder that has it."):
        document = json.loads(read_file(path, LARGEST, SegmodelsError))
        if not isinstance(document, dict):
            raise ValueError("it holds no values by name")
    return document


def _kept(document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration, and of those inside it, makes the network."""
    inner = {
        name: _kept(value) | _type(value) if isinstance(value, dict) else value for name, value in document.items()
    }
    return {name: value for name, value in inner.items() if name not in LEFT_OUT}


def _type(document: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration inside another is known by its type."""
    return {"model_type": document["model_type"]} if "model_type" in document else {}


def _images(document: Mapping[str, Any], path: Path, usual: Images) -> Images:
    """As `preprocessor_config.json` has it. Raises SegmodelsError where images are prepared in another way."""
    if not document.get("do_rescale", True) or abs(document.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        raise SegmodelsError(
            f"{path}: do_rescale is {document.get('do_rescale', True)} and rescale_factor "
            f"{document.get('rescale_factor', 1 / 255)}, expected images from 0 to 1, which is true and 1/255"
        )
    flips = document.get("do_flip_channel_order", usual.channels == "bgr")
    colours = usual.colours
    if document.get("do_normalize") is False:
        colours = AS_THEY_ARE
    elif "image_mean" in document and "image_std" in document:
        with parsing(f"{path}: image_mean or image_std", SegmodelsError, "Expected three numbers each."):
            mean, std = (tuple(map(float, document[name])) for name in ("image_mean", "image_std"))
            if len(mean) != 3 or len(std) != 3:
                raise ValueError(f"{len(mean)} and {len(std)} numbers")
            colours = Colours(mean, std)
    return Images(colours, "bgr" if flips else "rgb")


@lru_cache(maxsize=64)
def _declare(kind: str, config: str, images: Images, weights: Path | None) -> ModelSpec:
    name = f"hf:{kind}"
    library = LIBRARY.load(name)
    trunk = getattr(library, library.models.auto.modeling_auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES[kind])
    return fitted(
        name,
        LIBRARY,
        partial(_build, library, kind),
        fixed_size=None,
        source="https://github.com/huggingface/transformers",
        citation=f"transformers, {trunk.__name__}",
        options={
            "config": Settings(config, f"values of the configuration of {kind} that are not the library's"),
            "channels": Option(images.channels, "order in which the network sees them", choices=("rgb", "bgr")),
        },
        step_weights=_weights,
        trunk=trunk.base_model_prefix or "backbone",
        colours=images.colours,
        renamed=_renamed,
        pretrained=weights,
    )


def _build(library: Any, kind: str, classes: int, size: Size | None, *, config: str, channels: str) -> nn.Module:
    values = _kept(json.loads(config)) | {"num_labels": classes}
    made = library.CONFIG_MAPPING[kind].from_dict(values)
    if size and hasattr(made, "image_size"):
        made.image_size = size[0] if size[0] == size[1] else size
    # The fused attentions have no deterministic backward pass on CUDA.
    network: nn.Module = library.AutoModelForSemanticSegmentation.from_config(made, attn_implementation="eager")
    network.float()
    if channels == "bgr":
        network.register_forward_pre_hook(_flipped)
    _Answer(network)
    return network


def _renamed(network: Any, contents: Any, classes: int | None) -> Any:
    """Tensors under the names that the library gives them in memory: in files many have those of its older versions.

    `classes` of the file's classifier. What the library does not know stays as it is.
    """
    if not isinstance(contents, dict) or not all(isinstance(each, Tensor) for each in contents.values()):
        return contents
    kind = network.config.model_type
    library, known = LIBRARY.load(f"hf:{kind}"), {"num_labels": classes or network.config.num_labels}
    config = type(network.config).from_dict(_kept(network.config.to_dict()) | known)
    with asking(f"hf:{kind}"), _quietly(library), torch.random.fork_rng(devices=[]):
        read, told = type(network).from_pretrained(
            *(None,), config=config, state_dict=dict(contents), output_loading_info=True, ignore_mismatched_sizes=True
        )
    drawn = {*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])}
    return {name: each for name, each in read.state_dict().items() if name not in drawn} or contents


@contextmanager
def _quietly(library: Any) -> Iterator[None]:
    """What the library says about weights that do not fit is said by `pretrained`, and its bar shows nothing."""
    told, level, bar = library.logging, library.logging.get_verbosity(), library.logging.is_progress_bar_enabled()
    told.set_verbosity_error()
    told.disable_progress_bar()
    try:
        yield
    finally:
        told.set_verbosity(level)
        if bar:
            told.enable_progress_bar()


def _flipped(network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (inputs[0].flip(1), *inputs[1:])


class _Answer:
    """Makes a Prediction of what the library returns, and of its auxiliary head, which it keeps to itself."""

    def __init__(self, network: nn.Module) -> None:
        self.auxiliary: list[Tensor] = []
        network.register_forward_hook(self.answer)
        head = getattr(network, "auxiliary_head", None)
        if head is not None:
            head.register_forward_hook(self.keep)

    def keep(self, head: nn.Module, inputs: Any, logits: Tensor) -> None:
        self.auxiliary = [logits] if head.training else []

    def answer(self, network: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> Prediction:
        size = inputs[0].shape[-2], inputs[0].shape[-1]
        *auxiliary, logits = (
            each if each.shape[-2:] == size else resize(each, size, align_corners=False)
            for each in (*self.auxiliary, output.logits)
        )
        self.auxiliary = []
        return Prediction(logits, (*auxiliary, logits), {})


def _weights(outputs: int) -> tuple[float, ...]:
    return (0.4,) * (outputs - 1) + (1.0,)
