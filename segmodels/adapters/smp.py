"""`smp:Unet/resnet18`: a decoder and an encoder of segmentation_models_pytorch, with random weights.

The options of a network are the parameters of the decoder's class, under the names and with the defaults that they have
there. Encoders are the library's own, and any model of timm as `tu-NAME`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal, get_args, get_origin

from torch import nn

from segmodels.adapters.fitted import fitted
from segmodels.adapters.library import Library
from segmodels.errors import SegmodelsError
from segmodels.spec import Colours, ModelSpec, Option, Size, nearest

LIBRARY = Library("smp", ("segmentation-models-pytorch", "timm", "torchvision"))
TIMM = "tu-"  # before the name of a model of timm
HALF, IMAGENET = (0.5, 0.5, 0.5), Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# What the weights of encoders expect that are not used to ImageNet's mean and std, by how their names begin: as
# get_preprocessing_params tells it, which asks the internet. All expect RGB from 0 to 1.
COLOURS = {
    "inception": Colours(HALF, HALF),
    "xception": Colours(HALF, HALF),
    "timm-tf_efficientnet_lite": Colours(HALF, HALF),
    "dpn": Colours((124 / 255, 117 / 255, 104 / 255), (1 / 4.2585,) * 3),
}
OURS = ("encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params", "upsampling")


@dataclass(frozen=True)
class Numbers(Option):
    """Whole numbers with commas between them, kept as text."""

    def check(self, value: object) -> str:
        parts = str(value).split(",")
        if not all(part.isascii() and part.isdigit() and 0 < int(part) < 1 << 16 for part in parts):
            raise ValueError(self.expected)
        return ",".join(str(int(part)) for part in parts)

    @property
    def expected(self) -> str:
        return f"whole numbers, as in {self.default}"


def declare(rest: str) -> ModelSpec:
    """The network of that decoder and encoder. Raises SegmodelsError, saying which there are."""
    decoder, _, encoder = rest.partition("/")
    if not decoder or not encoder:
        raise SegmodelsError(f"smp:{rest} names no network: expected smp:DECODER/ENCODER, such as smp:Unet/resnet18")
    return _declare(decoder, encoder)


@lru_cache(maxsize=64)
def _declare(decoder: str, encoder: str) -> ModelSpec:
    name = f"smp:{decoder}/{encoder}"
    library = LIBRARY.load(name)
    decoders = {each.__name__: each for each in library.MODEL_ARCHITECTURES_MAPPING.values()}
    if decoder not in decoders:
        there = ", ".join(decoders)
        raise SegmodelsError(f"smp has no decoder {decoder!r}{nearest(decoder, decoders)}. It has {there}")
    fixed_size = _check_encoder(library, encoder)
    return fitted(
        name,
        LIBRARY,
        partial(_build, decoders[decoder], encoder),
        fixed_size=fixed_size,
        source="https://github.com/qubvel-org/segmentation_models.pytorch",
        citation="Iakubovskii, Segmentation Models Pytorch (2019)",
        options=dict(_options(decoders[decoder])),
        trunk="encoder",
        colours=_colours(library, encoder),
    )


def _check_encoder(library: Any, encoder: str) -> bool:
    """Whether it is built for one size of images. Raises SegmodelsError where there is none of that name."""
    timm, model = library.encoders.timm, encoder.removeprefix(TIMM)
    if encoder.startswith(TIMM) and timm.is_model(model):
        return bool(timm.get_pretrained_cfg(model).fixed_input_size)
    known = library.encoders.get_encoder_names()
    if encoder not in known:
        others = [*known, *(f"{TIMM}{each}" for each in timm.list_models())]
        raise SegmodelsError(
            f"smp has no encoder {encoder!r}{nearest(encoder, others)}. It has {', '.join(known[:6])} and others, and "
            f"every model of timm as {TIMM}NAME"
        )
    return False


def _colours(library: Any, encoder: str) -> Colours:
    if encoder.startswith(TIMM):
        known = library.encoders.timm.get_pretrained_cfg(encoder.removeprefix(TIMM))
        return Colours(tuple(known.mean), tuple(known.std))
    return next((each for start, each in COLOURS.items() if encoder.startswith(start)), IMAGENET)


def _options(decoder: Any) -> Iterator[tuple[str, Option]]:
    """The parameters of its class that are a number, a text, a switch, or several whole numbers."""
    for name, each in inspect.signature(decoder.__init__).parameters.items():
        told = f"as smp.{decoder.__name__} takes it"
        if name in OURS or each.default is inspect.Parameter.empty:
            continue
        if isinstance(each.default, tuple | list):
            yield name, Numbers(",".join(map(str, each.default)), told)
        elif isinstance(each.default, bool | int | float | str):
            choices = get_args(each.annotation) if get_origin(each.annotation) is Literal else ()
            yield name, Option(each.default, told, choices=choices)


def _build(decoder: Any, encoder: str, classes: int, size: Size | None, **options: Any) -> nn.Module:
    given = {
        name: tuple(map(int, value.split(","))) if isinstance(_default(decoder, name), tuple | list) else value
        for name, value in options.items()
    }
    if size:
        given["img_size"] = size
    network: nn.Module = decoder(encoder, encoder_weights=None, classes=classes, **given)
    return network


def _default(decoder: Any, name: str) -> Any:
    return inspect.signature(decoder.__init__).parameters[name].default
