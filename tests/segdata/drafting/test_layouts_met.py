"""Folders that nobody planned for: a draft matches exactly the pairs that were planted, and `prepare` takes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from segdata.drafting.draft import draft_source
from tests.support.planting import MET, surveyed


@pytest.mark.parametrize("name", MET)
def test_a_draft_matches_the_planted_pairs(name: str, tmp_path: Path) -> None:
    """Exactly these, by the templates themselves and by the source file that prepare reads."""
    planted = MET[name]()
    root = planted.write(tmp_path / "raw")
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    draft = draft_source(root)
    matched = {role: set[str]() for role in ("image", "annotation")}
    for split in draft.layout.splits:
        for role, paths in matched.items():
            if role == "image" or split not in draft.layout.bare:
                paths.update(draft.layout.matched(role, split, planted.files))
    bare = {path for paths in draft.layout.bare.values() for path in paths}
    assert matched["image"] - bare == {image for image, _ in planted.pairs.values()}
    assert matched["annotation"] == {label for _, label in planted.pairs.values()}
    (tmp_path / "home").mkdir()
    found = surveyed(draft, root, tmp_path / "home")
    assert found == planted.pairs
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before
