"""The small door: a network's declaration made of its class, or of any function that builds it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

from segmodels.errors import SegmodelsError
from segmodels.spec import Geometry, ModelSpec, Option, Options, Size, nearest

if TYPE_CHECKING:
    from torch import nn

CLASSES = ("classes", "num_classes", "n_classes", "nclass", "num_class", "nb_classes", "n_class")
SIZE = ("size", "image_size", "img_size")
CHANNELS = ("in_channels", "n_channels", "in_chans", "channels_in", "in_ch", "input_channels", "num_channels")


def declare(
    factory: Callable[..., nn.Module],
    *,
    stride: int | None = None,
    size_multiple: int = 1,
    min_size: int = 1,
    fixed_size: bool = False,
    options: Mapping[str, Option] | None = None,
    **others: Any,
) -> ModelSpec:
    """A network of your own, so that `segmodels train my.py:NAME` takes it.

    `factory` is a class of networks or a function that builds one, for a number of classes: `factory(classes)`, or
    `factory(classes, size)` with the size (H, W) that it is built for. Its other parameters are options, which
    `--option NAME=VALUE` sets: they need a default that is a number, a text, True or False; `options` declares them in
    more detail. The network maps images (B, 3, H, W) to logits (B, classes, H/stride, W/stride), or to a Prediction.

    Without `stride`, the stride and the multiple that sizes have to be are measured. `size_multiple`: H and W have to
    be multiples of it; `min_size`: they are at least so large; `fixed_size`: it takes images of the size that it is
    built for, and no others. `others` are fields of ModelSpec, such as `family`, `citation`, `trunk` or `colours`.
    Raises SegmodelsError where the parameters do not fit.
    """
    for field, value in {"stride": stride, "size_multiple": size_multiple, "min_size": min_size}.items():
        if not (field == "stride" and value is None) and (type(value) is not int or value < 1):
            raise SegmodelsError(f"declare: {field} is {value!r}, expected a whole number from 1")
    known = {each.name for each in fields(ModelSpec)} - {"factory", "rule", "options", "origin"}
    for field in others.keys() - known:
        raise SegmodelsError(f"declare has no {field!r}{nearest(field, known)}. It takes {', '.join(sorted(known))}")
    call = _Call(factory, frozenset(options or ()))
    found = dict(options) if options is not None else call.options
    if stride is None:
        rule: Callable[[Options], Geometry] = partial(_measure, call, size_multiple, min_size, fixed_size)
    else:
        given = Geometry(stride, max(size_multiple, stride), fixed_size, min_size=min_size)
        rule = partial(_as_given, given)
    named: dict[str, Any] = {"name": call.name} | others
    return ModelSpec(factory=partial(_build, call, rule), rule=rule, options=found, **named)


def _as_given(geometry: Geometry, options: Options) -> Geometry:
    return geometry


def _measure(call: _Call, size_multiple: int, min_size: int, fixed_size: bool, options: Options) -> Geometry:
    from segmodels.plugins.measure import measured

    return measured(call, size_multiple, fixed_size, options)._replace(min_size=min_size)


def _build(call: _Call, rule: Callable[[Options], Geometry], classes: int, size: Size, /, **options: Any) -> nn.Module:
    from segmodels.plugins.wrap import wrapped

    return wrapped(call(classes, size, **options), rule(options), classes, size)


class _Call:
    """How a factory is called: which of its parameters are the classes and the size, and which are options."""

    def __init__(self, factory: Callable[..., Any], declared: frozenset[str]) -> None:
        self.factory = factory
        self.name = getattr(factory, "__name__", type(factory).__name__)
        plain = _parameters(factory, self.name)
        self.classes = next((each for each in plain if each.name in CLASSES), plain[0])
        self.size = next((each for each in plain if each.name in SIZE), None)
        self.channels = next((each for each in plain if each.name in CHANNELS), None)
        rest = [each for each in plain if each not in (self.classes, self.size, self.channels)]
        needed = [each.name for each in rest if each.name not in declared and each.default is each.empty]
        if needed:
            raise SegmodelsError(
                f"{self.name}() needs {', '.join(needed)}, which nobody gives: give a default, or write a function of "
                "the number of classes that builds it"
            )
        self.options = {
            each.name: Option(each.default, f"as {self.name}() takes it")
            for each in rest
            if isinstance(each.default, bool | int | float | str)
        }

    def __call__(self, classes: int, size: Size, /, **options: Any) -> nn.Module:
        from torch import nn

        from segmodels.plugins.run import running

        positional: list[Any] = []
        named = dict(options)
        for parameter, value in ((self.classes, classes), (self.size, size), (self.channels, 3)):
            if parameter is None:
                continue
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(value)
            else:
                named[parameter.name] = value
        with running(f"{self.name}() cannot be built"):
            network = self.factory(*positional, **named)
        if not isinstance(network, nn.Module):
            raise SegmodelsError(f"{self.name}() built {type(network).__name__}, expected a torch.nn.Module")
        return network


def _parameters(factory: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    """Those that can be given by name or place, at least one. Raises SegmodelsError."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        raise SegmodelsError(f"{name} is no class of networks and no function that builds one") from None
    plain = [each for each in parameters if each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}]
    if not plain:
        raise SegmodelsError(f"{name}() takes no parameters, expected one for the number of classes: {name}(classes)")
    return plain
