"""Code of others as it comes: what it may do without harm, and the one line where it may not."""

from __future__ import annotations

import importlib.util
import marshal
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import segmodels
from segmodels import SegmodelsError
from segmodels.cli import main
from segmodels.config.config import TrainConfig
from segmodels.errors import CodeError
from segmodels.plugins import plug
from segmodels.plugins.code import origin_of_file
from segmodels.spec import Origin
from segmodels.training.train import train

NET = """
import torch
from torch import nn
import segmodels

class Net(nn.Module):
    def __init__(self, classes, width=4):
        super().__init__()
        {made}
        self.out = nn.Conv2d(3, classes, 1)

    def forward(self, x):
        y = self.out(x)
        return {answer}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, and torch's settings as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(plug.PLACES, raising=False)
    yield tmp_path
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


def asked(text: str) -> torch.nn.Module:
    Path("my.py").write_text(text)
    return segmodels.build("my.py:Net", 3, (32, 64)).train()


@pytest.mark.parametrize(
    ("made", "answer", "said"),
    [
        ("raise RuntimeError('no\\nway')", "y", r"Net\(\) cannot be built: RuntimeError: no way \(.*my.py, line 9\)"),
        ("raise SystemExit(3)", "y", r"Net\(\) cannot be built: SystemExit: 3"),
        ("self.lazy = nn.LazyConv2d(3, 1)", "y", "lazy.weight has no shape before the first image"),
        ("type(self).get_extra_state = lambda self: {}", "y", "holds _extra_state, which is no tensor"),
        ("type(self).parameters = lambda self: iter(())", "y", "no parameters: there is nothing to train"),
        ("pass", "y.detach() if self.training else y", "no gradient in training"),
        ("pass", "segmodels.Prediction(y, (), {})", "steps a tuple of nothing; expected a tensor, and one tensor or"),
        ("pass", "segmodels.Prediction(y, 'ab', {})", "steps str; expected a tensor"),
        ("pass", "segmodels.Prediction(y, (y,), {'a': 3})", "extras is a dict of int, expected tensors by their names"),
        ("pass", "y + 1j", "its logits are torch.complex64, expected numbers such as torch.float32"),
    ],
)
def test_what_a_network_does_wrong(folder: Path, made: str, answer: str, said: str) -> None:
    with pytest.raises(SegmodelsError, match=said):
        asked(NET.format(made=made, answer=answer))(torch.zeros(1, 3, 32, 64))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stride": 0}, "stride is 0, expected a whole number from 1"),
        ({"stride": "2"}, "stride is '2', expected a whole number from 1"),
        ({"size_multiple": -4}, "size_multiple is -4, expected"),
        ({"citations": "a"}, r"declare has no 'citations' \(did you mean citation\?\). It takes "),
    ],
)
def test_what_is_declared_wrong(given: dict[str, object], said: str) -> None:
    def net(classes: int) -> torch.nn.Module:
        return torch.nn.Conv2d(3, classes, 1)

    with pytest.raises(SegmodelsError, match=said):
        segmodels.declare(net, **given)  # type: ignore[arg-type]


def test_a_parameter_may_be_called_as_ours_are(folder: Path) -> None:
    text = NET.format(made="self.n = classes", answer="y").replace("classes, width=4", "num_classes, classes=7")
    assert asked(text.replace("(3, classes", "(3, num_classes")).n == 7


def test_its_settings_of_torch_are_undone(folder: Path) -> None:
    """A run notes its threads, and trains in float32, whatever a file sets for itself."""
    before = torch.get_num_threads()
    sets = f"torch.set_num_threads({before + 1}); torch.use_deterministic_algorithms(True)"
    own = "torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False)\n"
    network = asked(NET.format(made=sets, answer="y") + own)
    assert not torch.are_deterministic_algorithms_enabled()
    assert (torch.get_default_dtype(), torch.get_num_threads()) == (torch.float32, before)
    assert network(torch.zeros(1, 3, 32, 64)).logits.requires_grad


@pytest.mark.parametrize("how", ["from near import WIDTH", "WIDTH = __import__('near').WIDTH"])
def test_it_imports_its_neighbours_later_too(folder: Path, how: str) -> None:
    """From inside a function, each file its own; and that neighbour is of the digest."""
    networks = []
    for name, width in (("a", 4), ("b", 8)):
        place = folder / name
        place.mkdir()
        (place / "near.py").write_text(f"WIDTH = {width}\n")
        (place / "my.py").write_text(NET.format(made="pass", answer="(later(), y)[1]") + f"def later():\n    {how}\n")
        first = origin_of_file(place / "my.py")
        networks.append(segmodels.build(f"{place / 'my.py'}:Net", 3, (32, 64)))
        (place / "near.py").write_text(f"WIDTH = {width + 1}\n")
        assert origin_of_file(place / "my.py").parts != first.parts
    for network in networks:
        network(torch.zeros(1, 3, 32, 64))


def test_only_text_runs_whose_digest_is_taken(folder: Path) -> None:
    """A compiled leftover is of another text, or of another hand; a library beside it is nobody's."""
    (folder / "near.py").write_text("WIDTH = 4\n")
    for name in ("near.py", "my.py"):
        text = (
            "import near\n" + NET.format(made="self.w = near.WIDTH", answer="y") if name == "my.py" else "WIDTH = 4\n"
        )
        (folder / name).write_text(text)
        about = (folder / name).stat()
        stale = Path(importlib.util.cache_from_source(str(folder / name)))
        stale.parent.mkdir(exist_ok=True)
        head = int(about.st_mtime).to_bytes(4, "little") + about.st_size.to_bytes(4, "little")
        code = marshal.dumps(compile("raise SystemError('ran')", name, "exec"))
        stale.write_bytes(importlib.util.MAGIC_NUMBER + bytes(4) + head + code)
    (folder / "near.abi3.so").write_bytes(b"")
    assert segmodels.build("my.py:Net", 3, (32, 64)).w == 4


def test_no_run_brings_its_code(folder: Path) -> None:
    """Paths that whoever packs a run with a file can write, and the folder of a run as the current folder."""
    (folder / "my.py").write_text(NET.format(made="pass", answer="y"))
    parts = origin_of_file(folder / "my.py").parts
    assert plug.plug_in("my.py:Net", Origin(parts)).name == "my.py:Net"
    (folder / "run.json").write_text("{}")
    for path in (None, Path("my.py"), Path("/proc/self/cwd/my.py"), folder / ".." / folder.name / "my.py"):
        with pytest.raises(CodeError, match="name the folder that has it: SEGMODELS_PLUGINS=FOLDER"):
            plug.plug_in("my.py:Net", Origin(parts, path))
    os.environ[plug.PLACES] = "."
    try:
        assert plug.plug_in("my.py:Net", Origin(parts)).name == "my.py:Net"
    finally:
        del os.environ[plug.PLACES]


def test_an_error_inside_its_forward_pass_is_one_line(
    folder: Path,
    lesson: Callable[..., TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of the command; who calls from Python gets the error itself."""
    (folder / "my.py").write_text(NET.format(made="pass", answer="y if x.is_meta else y @ x"))
    config = lesson("odd", network="my.py:Net")
    with pytest.raises(RuntimeError, match="size"):
        train(config)
    arguments = [
        "train",
        "my.py:Net",
        "--shards",
        config.shards,
        "--out",
        "again",
        "--batch-size",
        2,
        "--device",
        "cpu",
    ]
    monkeypatch.setattr("sys.argv", ["segmodels", *map(str, arguments), "--steps", "1", "--crop", "64x128"])
    with pytest.raises(SystemExit, match="1"):
        main()
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("segmodels: the network's own code ends with RuntimeError")
    assert "my.py, line 14)" in said
