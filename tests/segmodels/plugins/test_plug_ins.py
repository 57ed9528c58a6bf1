"""Networks whose code is none of segmodels' own: how they are found, what they are known by, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import segmodels
from segdata.requirements import registered
from segmodels import SegmodelsError
from segmodels.config.config import TrainConfig
from segmodels.contract.check import check
from segmodels.errors import CodeError
from segmodels.plugins import plug
from segmodels.plugins.code import origin_of_file, origin_of_module
from segmodels.runs.run import Run
from segmodels.spec import Geometry, Origin
from segmodels.training.train import train
from segmodels.training.verify import verify
from tests.segmodels.commands import refused, run

Lesson = Callable[..., TrainConfig]

BESIDE = (
    "from torch import nn\n\n\ndef down(a, b):\n    return nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b))\n"
)
CODE = dedent(
    '''
    import torch
    import torch.nn.functional as F
    from torch import nn

    import segmodels
    from layers import down


    class Plain(nn.Module):
        """Stride 4: what a convolution gives."""

        def __init__(self, num_classes, width=4):
            super().__init__()
            self.layers = nn.Sequential(down(3, width), down(width, width), nn.Conv2d(width, num_classes, 1))

        def forward(self, x):
            return self.layers(x)


    class UNet(nn.Module):
        """Full size, and only of multiples of 4, as its skip shows."""

        def __init__(self, n_channels, n_classes, deep: bool = True):
            super().__init__()
            self.a, self.b = down(n_channels, 4), down(4, 4)
            self.up, self.out = nn.ConvTranspose2d(4, 4, 2, 2), nn.Conv2d(8, n_classes, 1)

        def forward(self, x):
            a = self.a(x)
            return F.interpolate(self.out(torch.cat([a, self.up(self.b(a))], 1)), scale_factor=2)


    class Sized(nn.Module):
        def __init__(self, classes, size):
            super().__init__()
            self.place, self.out = nn.Parameter(torch.zeros(1, 3, *size)), nn.Conv2d(3, classes, 1)

        def forward(self, x):
            return self.out(x + self.place)


    class Pair(nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.out = nn.Conv2d(3, classes, 1)

        def forward(self, x):
            return self.out(x), self.out(x)


    class Wrong(Pair):
        def forward(self, x):
            return self.out(x)[:, :, ::2]


    class Coarse(Pair):
        def forward(self, x):
            return segmodels.Prediction(self.out(x), (self.out(x)[:, :, ::2, ::2], self.out(x)), {})


    class Looks(Pair):
        def forward(self, x):
            return self.out(x) if x.sum() > 0 else self.out(-x)


    class Needs(nn.Module):
        def __init__(self, classes, encoder):
            super().__init__()


    def built(classes, width=4):
        return Plain(classes, width)


    FIXED = segmodels.declare(Sized, stride=1, fixed_size=True, family="sized")
    LIE = segmodels.declare(Plain, stride=2)
    LARGE = segmodels.declare(Plain, min_size=64)
    NUMBER = 7
    '''
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside of the packages, with a file of networks and one that it imports; the current folder."""
    place = tmp_path / "home"
    place.mkdir()
    (place / "my.py").write_text(CODE)
    (place / "layers.py").write_text(BESIDE)
    monkeypatch.chdir(place)
    monkeypatch.delenv(plug.PLACES, raising=False)
    return place


# ---- what they are --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "geometry"),
    [
        ("Plain", Geometry(4, 4)),
        ("UNet", Geometry(1, 4)),
        ("built", Geometry(4, 4)),
        ("FIXED", Geometry(1, 1, fixed_size=True)),
        ("LIE", Geometry(2, 2)),
        ("LARGE", Geometry(4, 4, min_size=64)),
    ],
)
def test_stride_and_sizes(home: Path, name: str, geometry: Geometry) -> None:
    """As measured on images without memory, or as declared; no random number is drawn for it."""
    before = torch.get_rng_state()
    assert segmodels.spec(f"my.py:{name}").geometry({}) == geometry
    assert torch.equal(torch.get_rng_state(), before)


def test_the_names_of_tensors_stay_its_own(home: Path) -> None:
    """Weights load into the class itself, without segmodels; options are the parameters that have defaults."""
    declared = segmodels.spec("my.py:Plain")
    assert {name: option.default for name, option in declared.options.items()} == {"width": 4}
    network = declared.build(5, (32, 64), {"width": 8})
    assert [*network.state_dict()][:1] == ["layers.0.0.weight"]
    assert network(torch.zeros(2, 3, 32, 64)).logits.shape == (2, 5, 8, 16)
    assert segmodels.spec("my.py:UNet").build(5, (32, 64), {})(torch.zeros(1, 3, 32, 64)).logits.shape == (1, 5, 32, 64)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("my.py:Plan", r"my\.py has no network 'Plan' \(did you mean Plain\?\): it has Plain, UNet, Sized"),
        ("my.py:NUMBER", "NUMBER is int, expected a class of networks"),
        ("my.py:torch", "torch is module, expected a class of networks"),
        ("my.py:down", "down is function, expected a class of networks"),  # of another file
        ("my.py:", "names no network: expected FILE.py:NAME"),
        ("no.py:Net", "no file no.py"),
        (
            "my.py:Pair",
            "the network returns tuple, expected a tensor of logits, or .* segmodels.Prediction",
        ),
        ("my.py:Wrong", "logits of 128x256 for an image of 256x256"),
        ("my.py:Looks", "the stride of Looks cannot be measured: .* Declare it: NET = segmodels.declare"),
        (
            "my.py:Sized",
            "declare its sizes, as segmodels.declare.Sized, stride=1, .* or fixed_size=True",
        ),
        ("my.py:Needs", r"Needs\(\) needs encoder, which nobody gives"),
        ("broken.py:Net", r"broken.py, line 2 is no Python"),
        ("ends.py:Net", r"ends.py cannot be imported: ZeroDivisionError: .*ends.py, line 1"),
        ("leaves.py:Net", "leaves.py cannot be imported: SystemExit: 3"),
        ("os:system", "os is of Python itself"),
        ("nowhere.at.all:Net", "no module nowhere.at.all: install its package here"),
        ("segmodels.plugins.declare:declare", "declare is function, expected a class of networks"),
        ("deeplab", r"no network 'deeplab'.* One of your own is FILE\.py:NAME"),
    ],
)
def test_what_is_none_is_refused(home: Path, reference: str, said: str) -> None:
    """In one line that says what was found and what was expected."""
    (home / "broken.py").write_text("import torch\nclass Net(:\n")
    (home / "ends.py").write_text("1 / 0\n")
    (home / "leaves.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(SegmodelsError, match=said) as error:
        segmodels.spec(reference).geometry({})
    assert "\n" not in str(error.value)


def test_a_declared_stride_is_held(home: Path) -> None:
    """Where the logits lie elsewhere, or an auxiliary output does, the first forward says so."""
    network = segmodels.spec("my.py:LIE").build(5, (32, 64), {})
    with pytest.raises(SegmodelsError, match=r"Plain: logits of shape \(1, 5, 8, 16\) .*expected \(1, 5, 16, 32\)"):
        network(torch.zeros(1, 3, 32, 64))
    network = segmodels.spec("my.py:Coarse").build(5, (32, 64), {})
    with pytest.raises(
        SegmodelsError, match=r"Coarse: steps\[0\] of shape \(1, 5, 16, 32\) .*\. All outputs .* resize"
    ):
        network(torch.zeros(1, 3, 32, 64))


def test_a_segnet_is_deterministic(home: Path) -> None:
    """Unpooling, which torch refuses under deterministic algorithms on every device, has the values of torch's own."""
    (home / "segnet.py").write_text(
        dedent(
            """
            from torch import nn

            class SegNet(nn.Module):
                def __init__(self, classes):
                    super().__init__()
                    self.enter, self.out = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, classes, 1)
                    self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)

                def forward(self, x):
                    maps, places = self.pool(self.enter(x))
                    return self.out(self.unpool(maps, places))
            """
        )
    )
    declared = segmodels.spec("segnet.py:SegNet")
    assert declared.geometry({}) == Geometry(1, 2)
    network = declared.build(3, (32, 64), {}).eval()
    maps, places = network.pool(network.enter(torch.rand(2, 3, 32, 64)))
    assert torch.equal(network.unpool(maps, places), F.max_unpool2d(maps, places, 2))
    report = check(declared, only=("gradients", "batch", "cpu", "cuda", "pt2"))
    assert not report.wrong, report.lines


# ---- what its code is ------------------------------------------------------------------------------------------


def test_the_digest_is_of_all_that_the_file_imports_beside_it(home: Path) -> None:
    """And of nothing else there; where it lies does not count."""
    parts = origin_of_file(home / "my.py").parts
    (home / "other.py").write_text("pass\n")
    assert origin_of_file(home / "my.py").parts == parts
    moved = home / "deep" / "er"
    moved.mkdir(parents=True)
    for name in ("my.py", "layers.py"):
        (moved / name).write_bytes((home / name).read_bytes())
    assert origin_of_file(moved / "my.py") == Origin(parts, moved / "my.py")
    (home / "layers.py").write_text(BESIDE + "\n")
    assert origin_of_file(home / "my.py").parts != parts


def test_two_files_have_each_their_own_neighbours(home: Path) -> None:
    """A module of the same name beside another file, or in the process already, is another module."""
    sys.modules["layers"] = other = type(sys)("layers")
    try:
        assert segmodels.spec("my.py:Plain").build(3, (32, 32), {})
        assert sys.modules["layers"] is other
    finally:
        del sys.modules["layers"]
    (home / "b").mkdir()
    (home / "b" / "my.py").write_text(CODE)
    (home / "b" / "layers.py").write_text(BESIDE.replace("nn.BatchNorm2d(b)", "nn.Identity()"))
    one, two = (segmodels.spec(name).build(3, (32, 32), {}).state_dict() for name in ("my.py:Plain", "b/my.py:Plain"))
    assert len(one) > len(two)


@pytest.fixture
def acme(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package `acme` 1.2 that registers a network and a source."""
    site = home.parent / "site"
    for name, text in {
        "acme/__init__.py": "",
        "acme/layers.py": BESIDE,
        "acme/nets.py": CODE.replace("from layers", "from acme.layers"),
        "acme/data.py": "from pathlib import Path\n\nSOURCE = Path(__file__).with_name('acme.yaml')\n",
        "acme_nets-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme-nets\nVersion: 1.2\n",
        "acme_nets-1.2.dist-info/top_level.txt": "acme\n",
        "acme_nets-1.2.dist-info/entry_points.txt": "[segmodels.networks]\nacme_net = acme.nets:Plain\n"
        "acme_half = acme.nets\nacme_inner = acme.nets:Plain.forward\n"
        "[segdata.sources]\nacme_set = acme.data:SOURCE\n",
    }.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    from segdata.sources.file import shipped

    text = shipped("camvid").read_text().replace("name: camvid", "name: acme_set", 1)
    (site / "acme" / "acme.yaml").write_text(text)
    monkeypatch.syspath_prepend(site)
    registered.cache_clear()
    yield site
    registered.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        del sys.modules[name]


def test_a_package_registers_what_it_brings(acme: Path) -> None:
    """Under a name of its own, known by the version of the package and the digest of its files."""
    from segdata.sources import source

    declared = segmodels.spec("acme_net")
    assert declared.name == "acme_net"
    assert declared.origin.parts[0] == ("acme-nets", "1.2")
    assert [name for name, _ in declared.origin.parts] == ["acme-nets", "acme.nets"]
    assert segmodels.spec("acme.nets:Plain").name == "acme.nets:Plain"
    assert "acme_net: of an installed package, acme.nets:Plain" in run("list")
    assert source("acme_set").name == "acme_set"
    for name, value in (("acme_half", "acme.nets"), ("acme_inner", "acme.nets:Plain.forward")):
        with pytest.raises(SegmodelsError, match=f"registers '{name}' as '{value}', expected package.module:NAME"):
            segmodels.spec(name)
    recorded = declared.origin
    (acme / "acme" / "layers.py").write_text(BESIDE + "\n# other\n")
    with pytest.raises(CodeError, match=r"acme.nets is [0-9a-f]{12}… there, [0-9a-f]{12}… here"):
        segmodels.spec("acme_net", recorded)
    with pytest.raises(CodeError, match=r"the code of gone\.nets:Plain is missing: no module gone\.nets"):
        segmodels.spec("gone.nets:Plain", recorded)


def test_no_package_runs_before_its_digest_is_compared(acme: Path) -> None:
    """A run that names another version of a package is refused before anything of it is imported."""
    (acme / "acme" / "__init__.py").write_text("raise RuntimeError('it ran')\n")
    with pytest.raises(CodeError, match="is not what the run was trained with"):
        segmodels.spec("acme.nets:Plain", Origin((("acme.nets", "0" * 64),)))
    with pytest.raises(SegmodelsError, match=r"acme\.nets cannot be imported: RuntimeError: it ran"):
        segmodels.spec("acme.nets:Plain")
    assert origin_of_module("acme.nets").parts


# ---- its runs --------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(home: Path, lesson: Lesson) -> TrainConfig:
    """Trained as a user does it, from the file in the current folder."""
    config = lesson(network="my.py:Plain", options={"width": 4})
    train(config)
    return config


def test_a_run_of_a_plug_in(trained: TrainConfig, home: Path, lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed and continued it has the same bytes; scored, verified and refused by the digest of its code alone."""
    whole = Run(trained.out)
    half = lesson("half", network="my.py:Plain", options={"width": 4})
    train(half, until=3)
    train(half)
    assert Run(half.out).weights.read_bytes() == whole.weights.read_bytes()
    document = json.loads(whole.about.read_text())
    assert document["config"]["plugin"] == [["my.py", origin_of_file(home / "my.py").parts[0][1]]]
    scores = trained.out.parent / "scores"
    run("evaluate", trained.out, "--shards", trained.shards, "--out", scores)
    assert not verify(trained.out).wrong

    assert f"segmodels train my.py:Plain --init {trained.out}" in run("weights", trained.out)
    with monkeypatch.context() as patch:
        patch.chdir(home.parent)  # from there, the name of the file alone is none
        assert f"segmodels train {home.name}/my.py:Plain --init" in run("weights", trained.out)

    (home / "my.py").rename(home / "kept.py")
    missing = rf"the code of my\.py:Plain is missing: {home}/my\.py is not there\. Put the file back"
    for command in (("evaluate", "--shards", trained.shards, "--out", scores), ("export", "--out", home / "net.pt2")):
        with pytest.raises(CodeError, match=missing):
            run(command[0], trained.out, *command[1:])
    (home / "my.py").write_text(CODE + "\n")
    another = (
        r"my\.py is another one \(my\.py \(or a file that it imports\) is [0-9a-f]{12}… there, [0-9a-f]{12}… here\)"
    )
    with pytest.raises(CodeError, match=another):
        segmodels.spec("my.py:Plain", trained_origin(document))
    said = refused("train", "my.py:Plain", "--shards", trained.shards, "--out", trained.out, *typed(trained))
    assert "holds another run: plugin.my.py (or a file that it imports) is " in said

    (home / "code").mkdir()
    (home / "kept.py").rename(home / "code" / "my.py")
    (home / "code" / "layers.py").write_text(BESIDE)
    monkeypatch.setenv(plug.PLACES, str(home / "code"))
    run("evaluate", trained.out, "--shards", trained.shards, "--out", scores)
    assert not verify(trained.out).wrong


def trained_origin(document: dict[str, Any]) -> Origin:
    return Origin(tuple((name, digest) for name, digest in document["config"]["plugin"]))


def typed(config: TrainConfig) -> list[str]:
    height, width = config.crop or (0, 0)
    given = {"--steps": config.steps, "--batch-size": config.batch_size, "--crop": f"{height}x{width}"}
    return [str(each) for pair in given.items() for each in pair] + ["--device", "cpu", "--option", "width=4"]


def test_the_report_says_what_it_leaves_out(trained: TrainConfig, home: Path, lesson: Lesson) -> None:
    """A run whose code is missing has no row, and a line that says why; the others are there."""
    from segmodels.report.read.collect import Folders, collect

    runs, scores, stats = (trained.out.parent / name for name in ("runs", "scores", "stats"))
    stats.mkdir()
    run_segdata("stats", trained.shards, "--json", stats / f"{Path(str(trained.shards)).name}.json")
    for name, network in (("theirs", "my.py:Plain"), ("ours", "dilated_unet")):
        config = lesson(f"runs/{name}", network=network)
        train(config)
        run("evaluate", config.out, "--shards", config.shards, "--out", scores / name)
    folders = Folders(runs, scores, stats, Path(str(trained.shards)))
    assert [each.network for board in collect(folders).boards for each in board.results].count("my.py:Plain") == 1
    (home / "my.py").unlink()
    found = collect(folders)
    assert [each.network for board in found.boards for each in board.results] == ["dilated_unet"]
    assert [note for note in found.notes if "left out. the code of my.py:Plain is missing" in note]


def run_segdata(*arguments: object) -> None:
    from click.testing import CliRunner

    from segdata.cli import cli

    result = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_weights_from_elsewhere_name_no_code_to_run(home: Path, trained: TrainConfig) -> None:
    """A weights file is data: a function that it names is not called, whatever its digest."""
    from segmodels.inference.segmenter import load_segmenter
    from segmodels.runs.checkpoint import load_weights, save_weights

    weights, about = load_weights(Run(trained.out).weights)
    place = home / "forged.safetensors"
    forged = about | {"network": "shutil:rmtree", "options": {"ignore_errors": True}}
    save_weights(place, weights, forged)
    with pytest.raises(SegmodelsError, match="shutil is of Python itself"):
        load_segmenter(place, torch.device("cpu"))
    digest = origin_of_module("segmodels.plugins.declare").parts
    forged = about | {
        "network": "segmodels.plugins.declare:declare",
        "training": {"plugin": [list(each) for each in digest]},
    }
    save_weights(place, weights, forged)
    with pytest.raises(SegmodelsError, match="declare is function, expected a class of networks"):
        load_segmenter(place, torch.device("cpu"))
