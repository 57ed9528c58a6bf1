"""Lists of frames of a prepared split: what `segmodels evaluate --frames` takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from segdata.errors import SourceError
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.reading.listed import listed
from segdata.reading.shardset import ShardSet

OWN = """
name: drives
labels: camvid
image: "{split}/{name}.png"
annotation: "{split}annot/{name}.png"
splits: [train, val]
"""
BY_LISTS = """
name: drives
labels: camvid
image: "train/{name}.png"
annotation: "trainannot/{name}.png"
splits: {train: {list: train.txt}, val: {list: val.txt}}
"""


@pytest.mark.parametrize("own", ["", OWN, BY_LISTS], ids=["ships", "own", "by lists"])
def test_a_line_is_a_key_or_a_file_name(
    own: str, draw: Callable[[str], Path], make_job: Callable[..., Job], tmp_path: Path
) -> None:
    """By the rules of the set's source, which a set of one's own dataset holds; the order of lines does not count."""
    (tmp_path / "drives.yaml").write_text(own)
    root = draw("camvid")
    for split in ("train", "val"):  # lists beside the source file, which no set holds
        (tmp_path / f"{split}.txt").write_text("\n".join(path.stem for path in root.glob(f"{split}/*.png")))
    for path in [*root.glob("val/*"), *root.glob("valannot/*")] if own == BY_LISTS else []:
        path.rename(root / path.parent.name.replace("val", "train") / path.name)
    source = str(tmp_path / "drives.yaml") if own else "camvid"
    prepare(make_job(source, root, tmp_path / "set", scales=(1,)))
    shards = ShardSet(tmp_path / "set", "val")
    found = []
    for lines in (["/data/val/val_0002.png", "val_0000"], ["val_0000.PNG # first", "val_0002"]):
        (tmp_path / "frames.txt").write_text("\n".join(lines))
        found.append(listed(shards, str(tmp_path / "frames.txt")))
    assert found[0] == found[1] and {shards.key(i) for i in found[0].places} == {"val_0000", "val_0002"}
    assert list(found[0].places) == sorted(found[0].places)
    (tmp_path / "frames.txt").write_text("val_0000\ntrain_0000\n")
    with pytest.raises(
        SourceError, match=r"line 2: there is no frame 'train_0000' in the split val of .* such as val_00"
    ):
        listed(shards, str(tmp_path / "frames.txt"))
