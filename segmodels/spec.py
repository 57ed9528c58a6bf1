"""ModelSpec: what a network file declares about itself, and the checks that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import inf, isfinite
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from segdata.base.numbers import LARGEST_SIDE, number
from segmodels.errors import SegmodelsError

if TYPE_CHECKING:
    from torch import nn

    from segmodels.prediction import Prediction

CITYSCAPES = (19, (512, 1024))  # classes, and half the sides of its frames

MOST_CLASSES = 1 << 12  # that a network is built for: beyond are mistakes, and no shapes

SCALES = (0.05, 20.0)  # an image is resized by: beyond, it is a few pixels or does not fit into memory

Size = tuple[int, int]  # (H, W)
Value = bool | int | float | str | tuple[float, ...]
Options = Mapping[str, Any]  # each value as its Option says: checked once, by `ModelSpec.resolve`


@dataclass(frozen=True)
class Option:
    """One option of a network; the default's type is the option's type."""

    default: bool | int | float | str
    help: str
    choices: tuple[int | str, ...] = ()
    low: float = -inf
    high: float = inf
    many: bool = False  # one number, or several: "0.5" or "0.5,0.9,0.3"
    added: bool = False  # runs of before do not have it: with its default, no run notes it, so that their ids stay

    def check(self, value: object) -> Value:
        """`value` in the option's type. Raises ValueError that says what was expected."""
        if self.many and isinstance(value, list | tuple):
            return tuple(self._number(each) for each in value)
        if not isinstance(self.default, bool | str):
            value = self._number(value)
        if type(value) is not type(self.default) or (self.choices and value not in self.choices):
            raise ValueError(self.expected)
        return value

    def parse(self, text: str) -> object:
        """`text` of the command line as the Python value it stands for; `check` refuses what is none."""
        if isinstance(self.default, bool):
            return {"true": True, "false": False}.get(text, text)
        if isinstance(self.default, str):
            return text
        try:
            numbers = [number(part) for part in text.split(",")]
        except ValueError:
            return text
        return numbers[0] if len(numbers) == 1 else numbers

    @property
    def expected(self) -> str:
        """What `check` accepts, in words."""
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        if isinstance(self.default, bool | str):
            return "true or false" if isinstance(self.default, bool) else "a text"
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        low = "" if self.low == -inf else f" from {self.low:g}"
        high = "" if self.high == inf else f" up to {self.high:g}"
        return kind + low + high + (", or a list of them" if self.many else "")

    def _number(self, value: object) -> int | float:
        kind = int if isinstance(self.default, int) else float
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise ValueError(self.expected)
        if kind(value) != value or not self.low <= value <= self.high:
            raise ValueError(self.expected)
        return kind(value)


class Geometry(NamedTuple):
    """What a network asks of its input's size, and where its logits are."""

    stride: int = 1  # logits are (H/stride, W/stride)
    size_multiple: int = 1  # H and W are multiples of it
    fixed_size: bool = False  # built for one size and no other
    resizes: bool = False  # any remainder of size_multiple is resized away inside the network
    min_size: int = 1

    def fits(self, side: int) -> bool:
        return side >= self.min_size and (self.resizes or side % self.size_multiple == 0)

    def neighbours(self, side: int) -> tuple[int, int]:
        """The next sides that fit, below (or else the smallest) and above; `side` twice where it fits itself."""
        step = 1 if self.resizes else self.size_multiple
        smallest = -(-self.min_size // step) * step
        return max(side // step * step, smallest), max(-(-side // step) * step, smallest)

    @property
    def constraint(self) -> str:
        """The rule in words, empty where every size fits."""
        rules = []
        if self.size_multiple > 1 and not self.resizes:
            rules.append(f"H and W must be multiples of {self.size_multiple}")
        if self.min_size > max(1, self.size_multiple):
            rules.append(f"H and W must be at least {self.min_size}")
        return " and ".join(rules)


class Colours(NamedTuple):
    """What is subtracted from red, green and blue in 0 … 1, and what they are then divided by."""

    mean: Sequence[float]
    std: Sequence[float]

    def __str__(self) -> str:
        return " ".join(f"--{name} {','.join(map(str, each))}" for name, each in self._asdict().items())


class Origin(NamedTuple):
    """Where the code of a network comes from that is none of segmodels' own; empty for those."""

    parts: tuple[tuple[str, str], ...] = ()  # (package, version), (file or module, SHA-256): they make another run
    path: Path | None = None  # where the file of a plug-in lies; it may move

    @property
    def named(self) -> dict[str, str]:
        """`parts` as messages name them: the digest of a file is also that of its imports."""
        return {name + " (or a file that it imports)" * name.endswith(".py"): value for name, value in self.parts}


OURS = Origin()


class Published(NamedTuple):
    """One published setting: the parameter count of the source, dead parameters included.

    `dead` of them never receive a gradient; ours leave them out, so ours has `parameters - dead`.
    """

    classes: int
    size: Size
    parameters: int
    dead: int = 0
    options: Options = MappingProxyType({})


Position = float | tuple[float, ...]  # of a knob: a number, or one a class


@dataclass(frozen=True)
class Knob:
    """What can be turned on a trained network, whose weights stay: its answer takes less work, and may be worse."""

    name: str  # as `segmodels sweep --knob` has it
    positions: Callable[[Any], tuple[Position, ...]]  # worth a look on this network, rising; the last computes all
    turn: Callable[[Any, Any], None]  # (network, position); SegmodelsError says which positions there are
    now: Callable[[Any], Position]  # where the network stands
    executed: Callable[[Any, Prediction], int] | None = None  # multiply-accumulates; None: no image changes them


class Stages(NamedTuple):
    """Which extras say what a staged network's stages did; both are (B, S, H, W).

    A stage answers for the pixels that reached it; the others keep the answer of the stage before.
    """

    reached: str  # bool: the pixels that came to each stage
    confidences: str  # the winning probability at each stage


def no_reason(network: Any) -> str:
    """Nothing stands in the way."""
    return ""


def equal_weights(outputs: int) -> tuple[float, ...]:
    """The mean over the supervised outputs."""
    return (1.0 / outputs,) * outputs


def as_named(network: Any, contents: Any, classes: int | None) -> Any:
    """The tensors of a file, under the names that they have there."""
    return contents


def any_size(options: Options) -> Geometry:
    """Logits for every pixel, of images of any size."""
    return Geometry()


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A network's declaration."""

    name: str = ""  # of a plug-in: the reference by which it is typed
    family: str = ""  # of a plug-in: its name, unless it says another
    factory: Callable[..., nn.Module]  # factory(classes, size, **options), every option given
    source: str = ""  # where the original is
    citation: str = ""  # the paper behind it
    rule: Callable[[Options], Geometry] = any_size  # of the complete options
    published: tuple[Published, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    origin: Origin = OURS
    trunk: str = "trunk"  # dotted name of the part that others train beforehand, where the network has one
    colours: Colours | None = None  # that its weights expect; None: ImageNet's, as TrainConfig has them
    renamed: Callable[[Any, Any, int | None], Any] = as_named  # (network, a file's tensors, its classes): as named here
    pretrained: Path | None = None  # weights beside its declaration: what --init is where nobody says otherwise
    recipe: Mapping[str, Any] = field(default_factory=dict)  # of a plug-in; ours stand in config/recipes.py
    step_weights: Callable[[int], tuple[float, ...]] = equal_weights  # of the number of supervised outputs
    not_exportable: str = ""  # why torch.export fails; empty: it works
    not_in_onnx: Callable[[Any], str] = no_reason  # (network): why an .onnx file of it cannot be; empty: it can
    unpublished: tuple[int, Size] | None = None  # the source's setting, where it gives no count
    knobs: tuple[Knob, ...] = ()
    stages: Stages | None = None  # None: every output answers for all pixels

    @property
    def example(self) -> tuple[int, Size]:
        """Classes and size of the source's own setting, at the default options; of one that has none, Cityscapes'."""
        if self.published and not self.unpublished:
            return self.published[0].classes, self.published[0].size
        return self.unpublished or CITYSCAPES

    def resolve(self, given: Mapping[str, object]) -> dict[str, Value]:
        """The complete options, defaults filled in. Raises SegmodelsError on an unknown or wrong one."""
        resolved: dict[str, Value] = {name: option.default for name, option in self.options.items()}
        for name, value in given.items():
            try:
                resolved[name] = self._option(name).check(value)
            except ValueError as error:
                raise SegmodelsError(f"{self.name}: option {name} is {value!r}, expected {error}") from None
        return resolved

    def parse(self, texts: Mapping[str, str]) -> dict[str, Value]:
        """`resolve` for options as the command line gives them."""
        return self.resolve({name: self._option(name).parse(text) for name, text in texts.items()})

    @property
    def added(self) -> dict[str, Value]:
        """The options that runs of before do not have, by their defaults."""
        return {name: option.default for name, option in self.options.items() if option.added}

    def noted(self, options: Options) -> tuple[tuple[str, Value], ...]:
        """Complete options as a run notes them, sorted by name. What is left out, `resolve` fills in."""
        added = self.added.items()
        return tuple(pair for pair in sorted(options.items()) if pair not in added)

    def geometry(self, options: Mapping[str, object]) -> Geometry:
        """Stride and size constraints under these options."""
        return self.rule(self.resolve(options))

    def knob(self, name: str, wanted_by: str) -> Knob:
        """One of `knobs`. Raises SegmodelsError that begins with what it is wanted by, such as an option."""
        for knob in self.knobs:
            if knob.name == name:
                return knob
        others = f"its knob is {', '.join(each.name for each in self.knobs)}" if self.knobs else "it has no knob"
        raise SegmodelsError(f"{wanted_by}: {self.name} has no {name}, {others}")

    def build(self, classes: int, size: Size, options: Mapping[str, object]) -> nn.Module:
        """The network with fresh weights from torch's global generator. Raises SegmodelsError."""
        resolved = self.resolve(options)
        if not 2 <= classes <= MOST_CLASSES:
            wanted = "at least 2" if classes < 2 else f"at most {MOST_CLASSES}"
            raise SegmodelsError(f"{self.name}: {classes} classes, expected {wanted}")
        self._check_size(size, self.rule(resolved))
        return self.factory(classes, size, **resolved)

    def _option(self, name: str) -> Option:
        if name not in self.options:
            known = f"It takes {', '.join(self.options)}." if self.options else "It takes none."
            raise SegmodelsError(f"{self.name} has no option {name!r}{nearest(name, self.options)}. {known}")
        return self.options[name]

    def _check_size(self, size: Size, geometry: Geometry) -> None:
        if max(size) > LARGEST_SIDE:
            raise SegmodelsError(f"{self.name}: size {size[0]}x{size[1]}, expected at most {LARGEST_SIDE} a side.")
        if all(geometry.fits(side) for side in size):
            return
        below, above = zip(*(geometry.neighbours(side) for side in size), strict=True)
        fitting = " and ".join("x".join(map(str, each)) for each in dict.fromkeys((below, above)))
        raise SegmodelsError(
            f"{self.name}: size {size[0]}x{size[1]} does not fit: "
            f"{geometry.constraint or 'H and W must be positive'}. The next that fit: {fitting}."
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean x or y?)`, or nothing where no known name is near."""
    near = get_close_matches(name, list(known))
    return f" (did you mean {' or '.join(near)}?)" if near else ""
