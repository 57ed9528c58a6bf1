"""Which frames count as one clip, by the keys of each source."""

from __future__ import annotations

from collections import Counter

import pytest

from segdata.sources import SOURCES, groups


@pytest.mark.parametrize(
    ("source", "clip", "apart"),
    [
        # a drive in blocks of 600 video frames; the official val is one clip
        ("camvid", ["Seq05VD_f00600", "Seq05VD_f01170"], ["Seq05VD_f01200", "0006R0_f00930", "0001TP_008550"]),
        ("camvid", ["0016E5_07959", "0016E5_08159"], ["0016E5_07620"]),
        ("cityscapes", ["frankfurt_000000_000294", "frankfurt_000000_000576"], ["frankfurt_000001_000538"]),
        ("cityscapes-coarse", ["aachen_000000_000019"], ["aachen_000001_000019", "bochum_000000_000019"]),
        ("tas500", ["1527245932460366848", "1527245939931266816"], ["1527246337974638592"]),
        # keys of another form, and sources that have no rule here: each frame by itself
        ("camvid", ["street"], ["avenue", "Seq05VD"]),
        ("cityscapes", ["pinselheim"], ["12"]),
        ("tas500", ["frame"], ["frame-2"]),
        ("my own", ["Seq05VD_f00600"], ["Seq05VD_f00630"]),
    ],
)
def test_neighbours_are_one_group(source: str, clip: list[str], apart: list[str]) -> None:
    """Frames of one clip have one group; each of the others has its own."""
    found = groups(source, [*clip, *apart])
    assert len(set(found[: len(clip)])) == 1 and len(set(found)) == 1 + len(apart)


def test_real_splits_have_enough_groups() -> None:
    """Val of Cityscapes and of TAS500: no clip outweighs the others, though frankfurt_000001 has 217 of 500 frames."""
    for source, least in (("cityscapes", 200), ("tas500", 35)):
        sizes = Counter(groups(source, sorted(SOURCES[source].official["val"].keys or ()))).values()
        assert sum(sizes) ** 2 / sum(size**2 for size in sizes) > least


def test_every_source_here_has_a_rule() -> None:
    """All of them are drives."""
    assert all(each.group_rule for each in SOURCES.values())
