"""What a spec accepts and refuses: options, sizes, names."""

from __future__ import annotations

from typing import Any

import pytest

import segmodels
from segmodels import SegmodelsError
from segmodels.spec import Geometry, Option, nearest


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        (Option(0.5, "", many=True), "0.25", 0.25),
        (Option(0.5, "", many=True), "0.25,1", (0.25, 1.0)),
        (Option(2.0, ""), "3", 3.0),
        (Option(4, ""), "3", 3),
        (Option(True, ""), "false", False),
        (Option("x8", "", choices=("x1", "x8")), "x1", "x1"),
        (Option(50, "", choices=(18, 50)), "18", 18),
    ],
)
def test_an_option_parses_text_into_its_type(option: Option, text: str, value: object) -> None:
    """Text becomes a value of the default's type."""
    parsed = option.check(option.parse(text))
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (Option(0.5, "", low=0, high=1), 1.5),
        (Option(0.5, "", low=0, high=1), float("nan")),
        (Option(0.5, ""), (0.5, 0.5)),
        (Option(0.5, "", low=0, high=1, many=True), (0.5, 2)),
        (Option(4, ""), 3.5),
        (Option(4, ""), float("inf")),
        (Option(4, ""), True),
        (Option(4, ""), "four"),
        (Option(True, ""), "yes"),
        (Option(True, ""), 1),
        (Option("x8", "", choices=("x1", "x8")), "x3"),
        (Option(50, "", choices=(18, 50)), 19),
    ],
)
def test_an_option_refuses_what_it_is_not(option: Option, value: object) -> None:
    """A ValueError says what was expected."""
    with pytest.raises(ValueError, match=r"number|true or false|one of"):
        option.check(value)


@pytest.mark.parametrize(("option", "text"), [(Option(4, ""), "1_0"), (Option(0.5, "", many=True), "0.5,0_1")])
def test_an_option_reads_no_number_that_python_alone_does(option: Option, text: str) -> None:
    """Underscores are slips of the finger."""
    with pytest.raises(ValueError, match="number"):
        option.check(option.parse(text))


def test_fitting_sides() -> None:
    """The next sides below and above, from the smallest that fits; any side where the network resizes."""
    multiple = Geometry(size_multiple=16, min_size=24)
    assert [side for side in range(70) if multiple.fits(side)] == [32, 48, 64]
    assert multiple.neighbours(40) == (32, 48)
    assert multiple.neighbours(3) == (32, 32)
    assert multiple.neighbours(48) == (48, 48)
    resizing = Geometry(size_multiple=8, resizes=True)
    assert resizing.fits(713)
    assert not resizing.fits(0)


CALLS: list[tuple[str, int, tuple[int, int], dict[str, Any], str]] = [
    ("pspnett", 3, (64, 64), {}, r"no network 'pspnett' \(did you mean pspnet.*segmodels list"),
    ("pspnet", 1, (64, 64), {}, "pspnet: 1 classes, expected at least 2"),
    ("pspnet", 3, (64, 64), {"auxx": True}, r"no option 'auxx' \(did you mean aux.*backbone_depth"),
    ("pspnet", 3, (64, 64), {"aux": "yes"}, "option aux is 'yes', expected true or false"),
    ("pspnet", 3, (64, 64), {"backbone_depth": 20}, "expected one of 18, 34, 50, 101"),
    ("pspnet", 3, (0, 64), {}, "0x64 does not fit"),
    ("dilated_unet", 3, (500, 512), {}, "500x512.*multiples of 16.*496x512 and 512x512"),
    ("fcn_resnet_v2", 3, (4, 64), {}, "at least 8.*8x64"),
    ("hourglass", 3, (384, 700), {"prenet": "x2"}, "multiples of 32.*384x672 and 384x704"),
]


@pytest.mark.parametrize(("name", "classes", "size", "options", "message"), CALLS)
def test_build_refuses(name: str, classes: int, size: tuple[int, int], options: dict[str, Any], message: str) -> None:
    """What was found, what was expected, what fits."""
    with pytest.raises(SegmodelsError, match=message):
        segmodels.build(name, classes, size, **options)


def test_nothing_near_means_no_suggestion() -> None:
    """A hint only where there is one."""
    assert nearest("zzz", ["percentile"]) == ""
    assert nearest("percentil", ["percentile"]) == " (did you mean percentile?)"
