"""Numbers as people type them: each is finite, and has bounds."""

from collections.abc import Callable, Sequence
from math import inf, isfinite
from typing import TypeVar

T = TypeVar("T")

LARGEST_SIDE = 1 << 15  # of an image that anything is resized to or built for: beyond are mistakes
MOST_WORKERS = 1 << 12  # threads or processes
MOST = 10**9  # of what is counted: steps, frames, seconds
LARGEST_SEED = 2**63 - 1


def number(text: str) -> float:
    """A finite number. Raises ValueError, as the others here, with words that go behind the text."""
    try:
        found = float(text if is_plain(text) else "")
    except ValueError:
        raise ValueError("is no number, as 0.5") from None
    if not isfinite(found):
        raise ValueError("is no finite number")
    return found


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text if is_plain(text) else "")
    except ValueError:
        raise ValueError("is no whole number, as 8") from None


def numbers(text: str) -> tuple[float, ...]:
    """`15,30`; nothing for none."""
    return tuple(map(number, parts(text)))


def parts(text: str) -> list[str]:
    """What stands between commas, which is never nothing; no parts for no text."""
    found = text.split(",") if text else []
    if not all(part.strip() for part in found):
        raise ValueError("has nothing beside a comma")
    return found


def distinct(given: Sequence[str], read: Callable[[str], T]) -> tuple[T, ...]:
    """The values of several texts, of which no two mean the same, as 0.5 and 0.50 do."""
    spelt: dict[T, str] = {}
    for text in given:
        if (value := read(text)) in spelt:
            other = f", as {text} too" * (text != spelt[value])
            raise ValueError(f"holds {spelt[value]} twice{other}. Give it once")
        spelt[value] = text
    return tuple(spelt)


def is_plain(text: str) -> bool:
    """Whether it lacks what Python alone takes in a number: underscores, and digits of other scripts."""
    return text.isascii() and "_" not in text


def size(text: str) -> tuple[int, int]:
    """`256x512`: height, then width, in pixels."""
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdecimal() for side in sides):
        raise ValueError("is not HxW, as in 256x512")
    height, width = (int(side) if len(side) < 10 else inf for side in sides)
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
        raise ValueError(f"is not HxW in pixels, each from 1 to {LARGEST_SIDE}")
    return int(height), int(width)


def turned(size: tuple[int, int], image: tuple[int, int]) -> bool:
    """Whether one is upright and the other lies: as a rule, somebody gave the width first."""
    return (size[0] - size[1]) * (image[0] - image[1]) < 0
