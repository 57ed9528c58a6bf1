"""What the README shows works, and its figures are those of the result files."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import segdata.cli
import segmodels.cli
from segdata.base.files import LIMIT
from segdata.stores import store as stores

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a new user types the commands of the README's `sh` blocks, one after the other."""
    folder = tmp_path_factory.mktemp("readme")
    for block in blocks("sh"):
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(["bash", "-euc", block], cwd=folder, check=True, env={**os.environ, "PATH": path})
    return folder


def blocks(language: str, file: str = "README.md") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / file).read_text(), re.DOTALL | re.MULTILINE)


def test_the_commands_work(folder: Path) -> None:
    """They leave verified shards, a contact sheet, a finished run, its scores and pictures behind."""
    assert (folder / "shards" / "dataset.json").is_file()
    assert (folder / "run" / "model.safetensors").is_file()
    assert (folder / "scores" / "metrics.json").is_file()
    assert len(list((folder / "pictures").iterdir())) >= 4
    assert (folder / "sheet.png").stat().st_size > 10_000


COMMENTS = [  # what the comments in the README's Python blocks say
    "record.image.shape == (64, 128, 3) and record.targets[8].shape == (8, 16)",
    "tuple(prediction.logits.shape) == (1, 20, 16, 32) and len(prediction.steps) == 3",
]


@pytest.mark.parametrize("number", range(len(COMMENTS)))
def test_the_python_works(number: int, folder: Path) -> None:
    """Each Python block runs, and what its comments say of shapes is true."""
    assert len(blocks("python")) == len(COMMENTS)
    code = f"{blocks('python')[number]}\nassert {COMMENTS[number]}"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)


def test_the_taxonomy_works(folder: Path, tmp_path: Path) -> None:
    """The README's YAML, as it is printed, is complete for the dataset that it names, and makes a set."""
    (tmp_path / "mine.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    for words in (
        ["taxonomy", "mine.yaml", "--source", "cityscapes"],
        ["prepare", "cityscapes", "--root", str(folder / "raw"), "--out", "set", "--taxonomy", "mine.yaml"],
    ):
        subprocess.run([sys.executable, "-m", "segdata", *words], cwd=tmp_path, check=True)
    made = (tmp_path / "set" / "taxonomy.yaml").read_text(encoding="utf-8")
    assert "sidewalk" in made and '"rest"' in made.split("sidewalk")[0]


WITH_TINY = """
import sys, segmodels.networks
segmodels.networks.__path__.append(sys.argv[1])
from segmodels.cli import cli
cli(sys.argv[2:])
"""


def test_the_network_in_contributing_works(folder: Path, tmp_path: Path) -> None:
    """As a file beside the others it is listed, trained on the README's shards and scored."""
    code, _ = blocks("python", "CONTRIBUTING.md")
    (tmp_path / "tiny.py").write_text(code)
    small = ["--steps", "2", "--batch-size", "2", "--crop", "64x128"]
    for words in (
        ["list"],
        ["train", "tiny", "--shards", str(folder / "shards"), "--out", "run", "--option", "width=4", *small],
        ["evaluate", "run", "--shards", str(folder / "shards"), "--out", "scores"],
    ):
        command = [sys.executable, "-c", WITH_TINY, str(tmp_path), *words]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        assert words != ["list"] or re.search(r"^tiny +tiny ", done.stdout, re.MULTILINE)
    assert json.loads((tmp_path / "scores" / "metrics.json").read_text())["network"] == "tiny"


WITH_FIELD = """
from dataclasses import replace
from pathlib import Path
from segmodels.config.config import NOT_DIGESTED, TrainConfig, config_from_document
from segmodels.config.recipes import make_config
from segmodels.errors import SegmodelsError
places = {"shards": Path("shards"), "out": Path("out")}
plain, made = (make_config("tiny", None, places | {"label_smoothing": value}) for value in (None, 0.25))
assert (plain.label_smoothing, made.label_smoothing) == (0.0, 0.25)
assert made.digest != plain.digest and config_from_document(made.document()) == made
assert replace(plain, shards=Path("elsewhere"), workers=5).digest == plain.digest
try:
    make_config("tiny", None, places | {"label_smoothing": 10.0})
except SegmodelsError as error:
    print(error)
"""


def test_the_option_in_contributing_works(tmp_path: Path) -> None:
    """One field in a copy of the package: typed, told by --help, checked, written to run.json, part of the identity."""
    _, field = blocks("python", "CONTRIBUTING.md")
    shutil.copytree(ROOT / "segmodels", tmp_path / "segmodels", ignore=shutil.ignore_patterns("__pycache__"))
    home = tmp_path / "segmodels/config/config.py"
    before, mark, after = home.read_text().partition("\n    # optimisation\n")
    home.write_text(before + field + mark + after)

    def said(*words: str) -> str:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        return " ".join(done.stdout.split())

    command = "import sys; from segmodels.cli import cli; cli(sys.argv[1:])"
    told = "--label-smoothing X Give this share of a label's weight to all classes alike. [default: 0; 0<=x<=1]"
    assert told in said("-c", command, "train", "--help")
    assert said("-c", WITH_FIELD) == "--label-smoothing is 10.0, expected 0 to 1: a share"


PAGES = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/*.md")))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the repository names one that is there."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or (ROOT / page.parent / target).exists(), target


def test_files_and_tests_that_are_named_exist() -> None:
    """What stands in the tables of promises is there: test files, and tests by their names."""
    for name in ("README.md", "CONTRIBUTING.md", "tests/README.md"):
        text = (ROOT / name).read_text()
        paths = re.findall(r"`(tests/[\w/.]+|(?:\w+/)?test_\w+\.py)`", text)
        assert paths or name == "README.md"
        for path in paths:
            assert (ROOT / path).exists() or (ROOT / "tests" / path).exists(), path
        written = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
        for test in re.findall(r"`(test_\w+)`", text):
            assert f"def {test}(" in written, test


def test_the_bounds_of_stores_are_those_of_the_code() -> None:
    """What docs/remote.md says of patience, tries and lengths."""
    text = " ".join((ROOT / "docs/remote.md").read_text().split())
    times = {2: "twice", 5: "five times"}
    assert f"is tried {times[stores.TRIES]}, with growing pauses" in text
    slow = f"{stores.LEAST >> 10} KiB in {stores.PATIENCE:g} seconds, is tried {times[stores.STALLS]}"
    assert f"not answered within {stores.PATIENCE:g} seconds, or whose bytes come more slowly than {slow}" in text
    assert f"{LIMIT >> 20} MiB for a page that lists a folder" in text


def test_figures_are_those_of_the_results() -> None:
    """`python -m benchmarks.pages` would change no page."""
    from benchmarks.pages.tables import PAGES, filled

    for page in PAGES:
        assert filled(page) == (ROOT / page).read_text(), page


def test_the_curves_are_those_of_the_results() -> None:
    """`python -m benchmarks.pages` would draw no picture anew."""
    pytest.importorskip("altair")
    from benchmarks.pages.curves import PICTURED, up_to_date

    assert all(map(up_to_date, PICTURED))


def test_a_table_holds_one_model_of_gpu() -> None:
    """CamVid's results of two GPUs stand in two tables under the GPUs' names, the CPU's before them without one."""
    from benchmarks.pages.scores import camvid
    from benchmarks.pages.tables import load

    here = load("cpu/camvid-*.json")
    row = here["cpu/camvid-dilated_unet.json"]
    gpus = {
        f"cuda/{name}/camvid-dilated_unet.json": row | {"environment": {"device": {"kind": "cuda", "name": name}}}
        for name in ("b", "a")
    }
    tables = [camvid(gpus | here), *(camvid({name: gpus[name]}) for name in sorted(gpus))]
    assert tables[1].startswith("**a**\n\n| network |")
    assert tables[0] == "\n".join([camvid(here), *tables[1:]])


# ---- options, paths ------------------------------------------------------------------------------------------

SETTINGS = ("pyproject.toml", "Makefile", "constraints.txt", ".ci/run")
OTHERS = {  # options of other programs: torchrun, jupyter
    "docs/scale.md": ["--nproc-per-node", "--master-port", "--no-python", "--node-rank", "--master-addr", "--nnodes"],
    "examples/README.md": ["--inplace"],
}
MADE_UP = {"segmodels/networks/tiny.py", "pipelines/networks/my.py"}  # the first by the recipe in CONTRIBUTING
WRITTEN = [page for page in ROOT.rglob("*.md") if not re.search(r"/(\.|build/|old/)", f"/{page.relative_to(ROOT)}")]


def options_of(*groups: click.Group) -> dict[str, set[str]]:
    """What each command of the programs takes: "segdata prepare" -> {"--root", …}."""
    return {
        f"{group.callback.__module__.partition('.')[0]} {name}": {
            word for option in command.params for word in (*option.opts, *option.secondary_opts, "--help")
        }
        for group in groups
        for name, command in group.commands.items()
    }


def wrong_words(text: str, page: Path = ROOT / "README.md", *, options: bool = True) -> list[str]:
    """Options that no command or script of ours has, of a command line those that its command lacks; paths that are
    not there."""
    commands = options_of(segdata.cli.cli, segmodels.cli.cli)
    scripts = [*ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("pipelines/*.py")]
    scripted = {word for each in scripts for word in re.findall(r'"(--[a-z][\w-]*)"', each.read_text())}
    known = scripted.union(*commands.values()) | set(OTHERS.get(str(page.relative_to(ROOT)), ()))
    wrong = [word for word in re.findall(r"(?<![\w-])--[a-z][\w-]*", text) if options and word not in known]
    for line in (
        re.findall(r"^ *((?:segdata|segmodels) .*)$", text.replace("\\\n", " "), re.MULTILINE) if options else []
    ):
        program, name, *words = line.partition("  #")[0].split("|")[0].split()
        if command := commands.get(f"{program} {name}"):
            wrong += [word for word in words if word.startswith("--") and word.partition("=")[0] not in command]
    homes = (ROOT, page.parent, ROOT / "tests")
    tops = "segdata|segmodels|tests|benchmarks|pipelines|docs|examples"
    paths = set(re.findall(rf"(?<![\w/.<>{{}}…$-])((?:{tops})/[\w./-]*\w)", text)) - MADE_UP
    return wrong + [path for path in sorted(paths) if not any((home / path).exists() for home in homes)]


@pytest.mark.parametrize("page", [*WRITTEN, *(ROOT / name for name in SETTINGS)], ids=lambda page: page.name)
def test_options_and_paths_on_pages(page: Path) -> None:
    """Every option that a page names is one of ours, every path is in the tree; the changelog tells of old ones."""
    if page.name != "CHANGELOG.md":
        assert wrong_words(page.read_text(), page, options=page.suffix == ".md") == []


def test_paths_in_help_texts() -> None:
    """As on pages."""
    for group in (segdata.cli.cli, segmodels.cli.cli):
        for command in group.commands.values():
            assert wrong_words(command.get_help(click.Context(command))) == []


def test_a_wrong_word_is_found() -> None:
    """An option that nobody has, one of another command, a file that is gone."""
    planted = "`--nowhere`, `tests/segdata/gone.py`\n\n    segdata verify shards --pixels --scale 8\n"
    assert wrong_words(planted) == ["--nowhere", "--scale", "tests/segdata/gone.py"]
