"""How an option of `segmodels train` is declared: once, as a field of TrainConfig.

The option of the command line, the check of its values and its part in a run's identity follow from the field. Needs
nothing but Python, so that `--help` is instant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, get_args

from segdata.base.numbers import distinct, number, numbers, parts, size, whole
from segdata.stores.url import Place, place
from segmodels.spec import Size

Colour = tuple[float, float, float]  # red, green, blue in 0 … 1
Read = Callable[[str], object]  # raises ValueError


class Bound(NamedTuple):
    """From `low` to `high`, both finite; `what` tells the unit where another one is the likely mistake."""

    low: float
    high: float
    what: str = ""
    to: bool = True  # `high` is allowed
    above: bool = False  # `low` is not

    def holds(self, value: float) -> bool:
        low = value > self.low if self.above else value >= self.low
        return low and (value <= self.high if self.to else value < self.high)

    def __str__(self) -> str:
        low, high = "above " * self.above + f"{self.low}", "below " * (not self.to) + f"{self.high}"
        return f"{low} to {high}" + f": {self.what}" * bool(self.what)

    @property
    def range(self) -> str:
        """As Click writes it: `0<=x<1`."""
        return f"{as_typed(self.low)}<{'' if self.above else '='}x<{'=' if self.to else ''}{as_typed(self.high)}"


# ---- how a text is read -------------------------------------------------------------------------------------


def pair(text: str) -> tuple[float, ...]:
    """`0.5,2`."""
    return _so_many(2, text, "0.5,2")


def colour(text: str) -> tuple[float, ...]:
    """`0.485,0.456,0.406`."""
    return _so_many(3, text, "0.485,0.456,0.406")


def factors(text: str) -> tuple[tuple[float, float], ...]:
    """`0.5:0.1,0.75:0.01`."""
    found = [part.split(":") for part in parts(text)]
    if not all(len(part) == 2 for part in found):
        raise ValueError("is no list of share:factor, as in 0.5:0.1,0.75:0.01")
    return tuple((number(share), number(factor)) for share, factor in found)


def angles(text: str) -> tuple[float, ...]:
    """`15,30`; nothing for none. One that stands there twice would be drawn twice as often."""
    return distinct(parts(text), number)


def _so_many(count: int, text: str, example: str) -> tuple[float, ...]:
    found = numbers(text)
    if len(found) != count:
        raise ValueError(f"is {len(found)} numbers, expected {count}, as in {example}")
    return found


KINDS: dict[Any, tuple[str, Read | None]] = {  # type of a field: how --help writes a value, how its text is read
    bool: ("", None),  # a switch: --flip / --no-flip
    int: ("N", whole),
    float: ("X", number),
    str: ("NAME", str),
    Path: ("PATH", Path),
    Place: ("FOLDER|URL", place),
    Size: ("HxW", size),
    Colour: ("R,G,B", colour),
}


# ---- what is declared ---------------------------------------------------------------------------------------


def option(default: Any, says: str, bound: Bound | None = None, **declared: Any) -> Any:
    """A field of TrainConfig with that default, which is an option of `segmodels train`; see `describe`."""
    return field(default=default, metadata=describe(says, bound, **declared))


def describe(
    says: str,
    bound: Bound | None = None,
    *,
    choices: tuple[str, ...] = (),
    metavar: str = "",
    read: Read | None = None,
    needs: tuple[str, str] | None = None,
    digested: bool = True,
    added: bool = False,
) -> Mapping[str, Any]:
    """What a field declares about itself: what `--help` says in whole sentences, and what its values may be.

    `bound` holds for every number in a value. `metavar` and `read` are those of its type (`KINDS`), unless given.
    `needs` names another field and the value it must have for this one to be read. `digested` is False where the
    result of a training does not depend on it at all: it is then no part of a run's identity. `added` is True for a
    field that runs of before do not have: with its default it stands in no document, so that their ids and the bytes
    of their weights stay.
    """
    return {
        "help": says,
        "bound": bound,
        "choices": choices,
        "metavar": metavar,
        "read": read,
        "needs": needs,
        "digested": digested,
        "added": added,
    }


@dataclass(frozen=True)
class TrainOption:
    """One option of `segmodels train`, as its field declares it; without `read` a switch."""

    field: str  # of TrainConfig
    default: Any  # MISSING where it has to be given
    help: str
    bound: Bound | None
    choices: tuple[str, ...]
    metavar: str
    read: Read | None
    needs: tuple[str, str] | None
    digested: bool
    added: bool

    @property
    def flag(self) -> str:
        """As it is typed."""
        return "--" + self.field.replace("_", "-")

    @property
    def off(self) -> str:
        """A switch's other side."""
        return "--no-" + self.field.replace("_", "-")

    @property
    def required(self) -> bool:
        return self.default is MISSING

    def wanted(self, value: Any) -> str:
        """What was expected instead of `value`; nothing where it is right."""
        if self.choices and value not in self.choices:
            return "one of " + ", ".join(self.choices)
        each = value if isinstance(value, tuple) else () if value is None else (value,)
        return "" if self.bound is None or all(map(self.bound.holds, each)) else str(self.bound)

    @property
    def text(self) -> str:
        """What `--help` says of it: its help, its default as it is typed, its bounds."""
        if isinstance(self.default, bool):
            default = (self.flag if self.default else self.off).removeprefix("--")
        else:
            default = "" if self.required or self.default is None else as_typed(self.default)
        facts = [f"default: {default}" if default else "", self.bound.range if self.bound else ""]
        told = "; ".join(filter(None, facts))
        return f"{self.help}  [{told}]" if told else self.help


def options_of(config: type[Any]) -> tuple[TrainOption, ...]:
    """The options of TrainConfig, in the order of its fields."""
    return tuple(_declared(each) for each in fields(config) if "help" in each.metadata)


def _declared(each: Field[Any]) -> TrainOption:
    inside = [kind for kind in get_args(each.type) if kind is not type(None)]
    optional = type(None) in get_args(each.type)
    metavar, read = KINDS.get(inside[0] if optional and len(inside) == 1 else each.type, ("", None))
    declared = dict(each.metadata)
    choices = f"[{'|'.join(declared['choices'])}]" if declared["choices"] else ""
    declared["metavar"] = declared["metavar"] or choices or metavar
    declared["read"] = declared["read"] or read
    return TrainOption(each.name, each.default, **declared)


def as_typed(value: Any) -> str:
    """A value as somebody types it: `0.5,2`, `0.001`, `cosine`."""
    if isinstance(value, tuple):
        return ",".join(map(as_typed, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
