"""Templates of paths: what they match, what fields they find, and what is none."""

from __future__ import annotations

import itertools
import re

import pytest

from segdata.raw.template import Naming, Template, glob

DIGITS = {"frame": r"\d+"}


@pytest.mark.parametrize(
    ("text", "folder", "path", "fields"),
    [
        ("images/{name}.jpg", "images", "a b.JPG", {"name": "a b"}),
        ("images/{name}.jpg", "images", "deep/a.jpg", None),  # a field is part of one name
        ("images/{name}.jpg", "images", "a.jpeg", None),
        ("{drive}/rgb/{frame}.{png,jpg}", "", "a_1/rgb/7.Png", {"drive": "a_1", "frame": "7"}),
        ("{drive}/rgb/{frame}.{png,jpg}", "", "a_1/rgb/x.png", None),  # by the field's own expression
        ("a/{name}{_l.png,.jpg}", "a", "x_l.PNG", {"name": "x"}),
        ("a/{name}{_l.png,.jpg}", "a", "x_L.png", None),
        ("{drive}/{drive}_{frame}.png", "", "a/a_7.png", {"drive": "a", "frame": "7"}),
        ("{drive}/{drive}_{frame}.png", "", "a/b_7.png", None),  # a field that stands twice is equal
        ("a/b/**/{name}_L.png", "a/b", "x/y/z_L.png", {"name": "z"}),
        ("a/b/**/{name}_L.png", "a/b", "z_l.png", None),  # only the suffix may be in capitals
        ("a/*/cam{,era}.{name}.png", "a", "any/camera.1.png", {"name": "1"}),
        ("a/+(1)/{name}.p[n]g", "a/+(1)", "1.p[n]g", {"name": "1"}),  # what is special elsewhere is not here
    ],
)
def test_what_a_template_matches(text: str, folder: str, path: str, fields: dict[str, str] | None) -> None:
    """Below the folders that hold no field; a file elsewhere, or with another name, is none."""
    found = Template.parse(text, DIGITS)
    assert (found.folder, found.match(path)) == (folder, fields)


def test_a_template_finds_what_it_was_filled_with() -> None:
    """Whatever the fields are: filled in, then matched, they come back."""
    template = Template.parse("in/{drive}/{camera}-{frame}.png", DIGITS)
    for drive, camera, frame in itertools.product(("a", "b-2", "c.d"), ("left", "x-y"), ("0", "00017")):
        assert template.match(f"{drive}/{camera}-{frame}.png") == {"drive": drive, "camera": camera, "frame": frame}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/a/{name}.png", "expected a path"),
        ("a/../{name}.png", "expected a path"),
        ("a\\{name}.png", "expected a path"),
        ("a/", "expected a path"),
        ("./{name}.png", "expected a path"),
        ("a//{name}.png", "expected a path"),
        ("", "expected a path"),
        ("a/{name.png", "a brace that has no partner"),
        ("a/{Name}.png", "{Name} is no field"),
        ("a/{}.png", "{} is no field"),
        ("a/{name}.{jpg, png}", "write {jpg,png}"),
    ],
)
def test_what_is_no_template(text: str, told: str) -> None:
    """One line that says why."""
    with pytest.raises(ValueError, match=re.escape(told)):
        Template.parse(text, {})


def test_names_made_of_fields() -> None:
    """Fields, quotients of numbers, and characters that no key may have."""
    assert Naming("{drive}/{frame//600}").of({"drive": "a", "frame": "01201"}) == "a/2"
    assert Naming("{frame//600}").of({"frame": "x"}) == "x"  # no number: as it is
    assert Naming("{name}", safe=True).of({"name": "IMG 1 (é).x"}) == "IMG-1-----x"
    assert Naming("{name}", safe=True).of({"name": "_a"}) == "x_a"  # a key begins with a letter or digit
    for text in ("plain", "{a}*", "{a//0}", "{A}", "{b}"):
        with pytest.raises(ValueError, match=r"expected text and fields|no field 'b' here; there are a"):
            Naming(text).check(["a"])


def test_globs_are_beginnings() -> None:
    """Choices, one of which may be empty, and `*`; a field is refused."""
    pattern = glob("gt/panoptic_{train,val}{,_ids}{/,.json}")
    assert all(pattern.match(path) for path in ("gt/panoptic_val.json", "gt/panoptic_train_ids/a.png"))
    assert not any(
        pattern.match(path) for path in ("gt/panoptic_test.json", "gt/panoptic_val_x/", "a/gt/panoptic_val/")
    )
    with pytest.raises(ValueError, match=r"a field \{name\}"):
        glob("{name}/")
