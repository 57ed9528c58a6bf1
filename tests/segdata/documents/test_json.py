"""No key stands twice in a JSON file that is read: other programs may take the other of its two values."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from segdata.base.ownership import is_ours, json_kind
from segdata.checking.verify import verify
from segdata.cli import cli
from segdata.documents.json import DoubledKeyError, load_json
from segdata.errors import SegdataError
from segdata.format.manifest import FILE, SIDE, parse_manifest
from segdata.format.receipt import parse_receipt
from segdata.pictures.codecs import decode_meta
from segdata.reading.shardset import ShardSet

META = b'{"height": 16, "key": "a", "width": 24}'


def doubled(data: bytes) -> bytes:
    """A key of the outermost object once more, with the value that it has."""
    name, value = next((name, value) for name, value in load_json(data).items() if isinstance(value, int | str))
    return data.replace(b"{", f"{{{json.dumps(name)}: {json.dumps(value)}, ".encode(), 1)


def test_what_is_plain_is_read() -> None:
    """The same key in two objects is no second time; one in the same object is, at any depth and in any spelling."""
    assert load_json('{"a": {"a": [{"a": 1}, {"a": 2}]}}') == {"a": {"a": [{"a": 1}, {"a": 2}]}}
    for text in ('{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "a": {}}}]', '{"a": 1, "\\u0061": 2}'):
        with pytest.raises(DoubledKeyError, match="the key 'a' stands twice in one object"):
            load_json(text)


@pytest.mark.parametrize("name", ["manifest", "receipt", "metadata", "result"])
def test_each_reader_refuses_it(name: str, finished: Callable[..., Path], tmp_path: Path) -> None:
    """With the same value twice, so that nothing else is wrong."""
    folder = finished("camvid")
    receipt = min((folder / SIDE / "receipts").iterdir()).read_bytes()

    def result(data: bytes) -> object:
        (tmp_path / "result.json").write_bytes(data)
        return is_ours(tmp_path / "result.json", json_kind("a result", "key")) or None

    readers: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
        "manifest": (lambda data: parse_manifest(data, folder), (folder / FILE).read_bytes()),
        "receipt": (parse_receipt, receipt),
        "metadata": (decode_meta, META),
        "result": (result, META),
    }
    read, data = readers[name]
    assert read(data) is not None
    try:
        assert read(doubled(data)) is None
    except SegdataError as error:
        assert "stands twice" in str(error)


def test_a_set_with_a_doubled_key(shards: Callable[..., Path]) -> None:
    """`verify` finds it, though all digests hold, and no command opens the set."""
    folder = shards("camvid")
    path = folder / FILE
    path.write_bytes(doubled(path.read_bytes()))
    (finding,) = verify(folder)
    assert (finding.code, finding.where) == (
        "bad-manifest",
        FILE,
    ) and "the key 'fingerprint' stands twice" in finding.found
    with pytest.raises(SegdataError, match="the key 'fingerprint' stands twice"):
        ShardSet(folder, "train")
    result = CliRunner().invoke(cli, ["stats", str(folder)])
    assert isinstance(result.exception, SegdataError) and "stands twice" in str(result.exception)
