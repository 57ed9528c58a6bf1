"""Nothing is written over that was not shown to be ours: every command that writes, and what may stand at its place."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from segdata.cli import cli as segdata
from segdata.errors import SegdataError
from segdata.format.manifest import read_manifest
from segdata.making import assemble as publication
from segdata.output.workfolder import claim
from segdata.stores.cache import Cache
from segmodels.cli import cli as segmodels

OLD = Path(__file__).parent / "old" / "0.1.0"
MINE = b"three years of work\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a set, a trained run, an image, and painted data of two datasets."""
    monkeypatch.chdir(tmp_path)
    for name in ("shards", "run"):
        shutil.copytree(OLD / name, tmp_path / name)
    Image.fromarray(np.full((48, 96, 3), 90, np.uint8)).save(tmp_path / "street.png")
    return tmp_path


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The painted data behind the set."""
    root = tmp_path_factory.mktemp("painted") / "raw"
    call(f"synth cityscapes --out {root} --size 48x96 --train 3 --val 2 --test 0 --workers 1")
    return root


@pytest.fixture
def raw(here: Path, painted: Path) -> Path:
    """A copy of it in the working folder."""
    return Path(shutil.copytree(painted, here / "raw"))


def call(line: str, program: str = "segdata") -> str:
    """What the command prints. Raises what it raises."""
    group = {"segdata": segdata, "segmodels": segmodels}[program]
    done = CliRunner().invoke(group, line.split(), catch_exceptions=False, standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.output


def refused(line: str, says: str, program: str = "segdata") -> None:
    with pytest.raises(SegdataError, match=says) as stopped:
        call(line, program)
    assert "\n" not in str(stopped.value)


def content(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# ---- single files -------------------------------------------------------------------------------------------

RESULTS = {  # command: the file at whose place somebody else's stands
    "segdata verify shards --json found": "found",
    "segdata verify shards --sarif found": "found",
    "segdata stats shards --json found": "found",
    "segdata show shards --out found": "found",
    "segmodels evaluate run --shards shards --out scores --workers 0 --device cpu": "scores/metrics.json",
    "segmodels evaluate run --shards shards --workers 0 --out scores --device cpu": "scores/confusion.npy",
    "segmodels predict run street.png --out pictures --device cpu": "pictures/street_overlay.png",
    "segmodels bench run --device cpu --seconds 0 --largest-batch 1 --json found": "found",
    "segmodels bench run --device cpu --seconds 0 --largest-batch 1 --csv found": "found",
    "segmodels export run --out found.pt2": "found.pt2",
}
SLOW = ("bench", "export")


@pytest.mark.parametrize("line", RESULTS)
def test_a_file_of_somebody_else_stays(line: str, here: Path) -> None:
    """It is named in one line, before any work is done; and so is a folder of that name."""
    program, _, rest = line.partition(" ")
    place = here / RESULTS[line]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(MINE)
    before = content(here)
    refused(rest, "name another file, or remove it", program)
    assert content(here) == before
    place.unlink()
    place.mkdir()
    refused(rest, "is a folder", program)


@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=pytest.mark.slow if line.split()[1] in SLOW else ()) for line in RESULTS]
)
def test_an_earlier_result_is_replaced(line: str, here: Path) -> None:
    """The same command again, also through a link, which stays one; an empty file is nobody's."""
    program, _, rest = line.partition(" ")
    place = here / RESULTS[line]
    place.parent.mkdir(exist_ok=True)
    (here / "disk").mkdir()
    target = here / "disk" / place.name
    target.touch()
    place.symlink_to(target)
    call(rest, program)
    first = target.read_bytes()
    assert first and place.is_symlink()
    call(rest, program)
    assert target.read_bytes() and place.is_symlink()


IN_A_SET = (
    "segdata stats shards --json shards/stats.json",
    "segdata show shards --out shards/sheet.png",
    "segdata verify shards --json shards/checked.json",
    "segmodels evaluate run --shards shards --out shards/scores --device cpu",
    "segmodels predict run street.png --out shards --device cpu",
    "segmodels export run --out shards/x.pt2",
    "segmodels train dilated_unet --shards shards --out shards/run --steps 1 --batch-size 2 --crop 32x32 --device cpu",
)


@pytest.mark.parametrize("line", IN_A_SET)
def test_results_go_into_no_set(line: str, here: Path) -> None:
    """Only `prepare` writes in a shard set: with other files in it, it could not be replaced."""
    before = content(here)
    program, _, rest = line.partition(" ")
    refused(rest, "in which only `prepare` writes", program)
    assert content(here) == before


def test_results_go_into_no_run(here: Path) -> None:
    """Only `train` writes in a run's folder."""
    before = content(here)
    for rest in ("export run --out run/x.pt2", "predict run street.png --out run", "bench run --json run/x.json"):
        refused(rest, "in which only `train` writes", "segmodels")
    assert content(here) == before


def test_a_report_in_a_folder_with_a_page(here: Path) -> None:
    """A page that is no report stays."""
    pytest.importorskip("altair")
    for folder in ("runs", "scores", "stats", "sets", "site"):
        (here / folder).mkdir()
    shutil.move(here / "run", here / "runs/run")
    shutil.move(here / "shards", here / "sets/shards")
    call("stats sets/shards --json stats/shards.json")
    call("evaluate runs/run --shards sets/shards --out scores/run --workers 0 --device cpu", "segmodels")
    (here / "site/index.html").write_bytes(b"<title>my home page</title>")
    line = "report --runs runs --scores scores --stats stats --shards sets --out site"
    refused(line, "index.html: there is a file of this name, not a report that this command wrote", "segmodels")
    (here / "site/index.html").unlink()
    for _ in range(2):
        call(line, "segmodels")


def test_training_in_a_folder_with_other_things(here: Path) -> None:
    """It is left as it is, also with --replace."""
    (here / "thesis").mkdir()
    (here / "thesis/metrics.json").write_bytes(MINE)
    before = content(here)
    line = "train dilated_unet --shards shards --out thesis --steps 1 --batch-size 2 --crop 32x32 --device cpu"
    for option in ("", " --replace"):
        refused(line + option, r"thesis holds metrics\.json, and no run\.json", "segmodels")
    assert content(here) == before


# ---- shard folders ------------------------------------------------------------------------------------------

PREPARE = "prepare cityscapes --root raw --scale 1 --scale 4 --samples-per-shard 2 --engine serial"


def folder(here: Path) -> None:
    (here / "place").mkdir()
    (here / "place/thesis.tex").write_bytes(MINE)


def file(here: Path) -> None:
    (here / "place").write_bytes(MINE)


def set_with_notes(here: Path) -> None:
    shutil.copytree(here / "shards", here / "place")
    (here / "place/notes.txt").write_bytes(MINE)
    (here / "place/.segdata/mine").write_bytes(MINE)
    (here / "place/.DS_Store").write_bytes(b"what a Mac adds")


def set_with_an_edited_card(here: Path) -> None:
    shutil.copytree(here / "shards", here / "place")
    with (here / "place/README.md").open("a") as card:
        card.write("my note")


def set_with_a_link(here: Path) -> None:
    shutil.copytree(here / "shards", here / "place")
    (here / "place/README.md").unlink()
    (here / "place/README.md").symlink_to(here / "street.png")


def foreign_manifest(here: Path) -> None:
    folder(here)
    (here / "place/dataset.json").write_bytes(b"{}")


@pytest.mark.parametrize(
    ("stand", "says"),
    [
        (folder, r"holds thesis\.tex, and no dataset\.json of a set that segdata wrote"),
        (file, "place is a file"),
        (set_with_notes, r"not its set's: \.segdata/mine, notes\.txt\. They would be lost"),
        (set_with_a_link, r"not its set's: README\.md"),
        (set_with_an_edited_card, r"not its set's: README\.md \(edited\)"),
        (foreign_manifest, "no dataset.json of a set that segdata wrote"),
    ],
)
def test_what_is_no_set_stays(stand: Callable[[Path], None], says: str, here: Path, raw: Path) -> None:
    """With --replace, too, which is about sets."""
    stand(here)
    before = content(here)
    for option in ("", " --replace"):
        refused(f"{PREPARE} --out place{option}", says)
    assert content(here) == before


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--out raw", "overlap"),
        ("--out raw/set", "overlap"),
        ("--out .", "is the folder you are in"),
        ("--out ..", "holds the folder you are in"),
        ("--out loop", "a link that leads in a circle"),
        ("--out set --work-dir raw", "overlap"),
        ("--out set --work-dir set", "overlap"),
        ("--out way/to/raw", "overlap"),
        ("--out set --work-dir .set.work", "what prepare itself makes beside --out"),
        ("--out /proc", "file system of its own"),
    ],
)
def test_places_that_meet(line: str, says: str, here: Path, raw: Path) -> None:
    """Links are followed first; nothing is touched."""
    (here / "way").mkdir()
    (here / "way/to").symlink_to(here)
    (here / "loop").symlink_to("loop")
    before = content(here)
    refused(f"{PREPARE} {line}", says)
    assert content(here) == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--taxonomy cityscapes-19", "taxonomy cityscapes-20 to cityscapes-19"),
        ("--split val", "without split train"),
        ("--rule stride", "rule majority to stride"),
        ("--scale 8", "scales 1, 4 to 1, 4, 8"),
        ("--image-codec jpeg --jpeg-quality 90", "codec keep to jpeg, jpeg quality none to 90"),
        ("--name other", "name cityscapes-20 to other"),
        ("--seed 1", "seed 0 to 1"),
    ],
)
def test_another_set_is_replaced_on_request(options: str, says: str, here: Path, raw: Path) -> None:
    """Else it is named, with what differs; and then the last line says the same."""
    before = content(here / "shards")
    there = says.partition(", jpeg")[0].replace("without split train", "split train is there, not here")
    there = re.sub(r"^(\w+) (.*) to (.*)$", r"\1 is \2 there, \3 here", there)
    refused(f"{PREPARE} {options} --out shards", f"holds another set: .*{there}.*--replace")
    assert content(here / "shards") == before
    said = call(f"{PREPARE} {options} --out shards --replace")
    assert re.search(rf"; changed: \+\d -\d shards, .*{says}", said)


def test_another_dataset_is_replaced_on_request(here: Path) -> None:
    """Another source; and other frames of the same source, of which not one was in the set."""
    call("synth tas500 --out raw --size 64x128 --train 2 --val 1 --test 0 --workers 1")
    refused(
        "prepare tas500 --root raw --out shards", "source is painted cityscapes there, painted tas500 here.*--replace"
    )
    shutil.rmtree(here / "raw")
    call("synth cityscapes --out raw --size 48x96 --train 4 --val 3 --test 0 --workers 1")
    for path in [*(here / "raw").rglob("*_000019_*"), *(here / "raw").rglob("*_000294_*")]:
        path.rename(path.with_name(path.name.replace("_000019_", "_000020_").replace("_000294_", "_000295_")))
    refused(f"{PREPARE} --out shards", "only 0 of its 5 samples are in the new set.*--replace")
    shutil.rmtree(here / "raw")
    call("synth cityscapes --out raw --size 48x96 --train 3 --val 2 --test 0 --seed 1 --workers 1")
    refused(f"{PREPARE} --out shards", "not one of 3 images that were compared is as it was.*--replace")
    assert content(here / "shards") == content(OLD / "shards")


def test_the_next_version_needs_no_request(here: Path, raw: Path) -> None:
    """A frame more, and a split more, are the same set; the last line says how many shards came and went."""
    call("synth cityscapes --out more --size 48x96 --train 4 --val 2 --test 0 --workers 1")
    said = call(f"{PREPARE.replace('raw', 'more')} --out shards")
    assert said.endswith("changed: +1 -1 shards\n")
    assert read_manifest(here / "shards").samples("train") == 4


def test_a_damaged_set_is_replaced_on_request(here: Path, raw: Path) -> None:
    """Nothing says which set it was."""
    (here / "shards/dataset.json").write_bytes(b"{")
    refused(f"{PREPARE} --out shards", "damaged or another version's.*--replace")
    assert "; changed" not in call(f"{PREPARE} --out shards --replace")
    made = content(here / "shards")
    (here / "shards/dataset.json").unlink()
    refused(f"{PREPARE} --out shards", "--replace")
    call(f"{PREPARE} --out shards --replace")
    for lost in (".segdata/train.keys.npy", "SHA256SUMS"):
        (here / "shards" / lost).unlink()
    assert call(f"{PREPARE} --out shards").endswith("; changed: repaired\n")
    assert content(here / "shards") == made


def test_an_older_versions_set_is_brought_up_to_date(here: Path, raw: Path) -> None:
    """Not a byte of its shards is another, and the last line says so; then it is today's, and stays."""
    said = call(f"{PREPARE} --out shards")
    assert said.endswith("3 shards (3 stood already); changed: only files beside the shards\n")
    shards = {name: data for name, data in content(OLD / "shards").items() if name.endswith(".tar")}
    assert {name: data for name, data in content(here / "shards").items() if name.endswith(".tar")} == shards
    assert call(f"{PREPARE} --out shards").endswith("unchanged\n")


def test_a_shard_of_somebody_else_stays(here: Path, raw: Path) -> None:
    """Where SHA256SUMS is lost, dataset.json still says which shards are the set's: a name like theirs does not."""
    (here / "shards/SHA256SUMS").unlink()
    (here / "shards/holiday-000001.tar").write_bytes(MINE)
    refused(f"{PREPARE} --out shards", r"not its set's: holiday-000001\.tar")
    assert (here / "shards/holiday-000001.tar").read_bytes() == MINE


def test_what_comes_while_a_set_is_replaced(here: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody puts into the old version at the last moment is in the new one."""
    sync = publication.sync_tree

    def busy(made: Path) -> None:
        sync(made)
        (here / "shards/notes.txt").write_bytes(MINE)
        (here / "shards/mine").mkdir()
        (here / "shards/mine/notes.txt").write_bytes(MINE)

    monkeypatch.setattr(publication, "sync_tree", busy)
    call(f"{PREPARE} --scale 8 --out shards --replace")
    assert (here / "shards/notes.txt").read_bytes() == (here / "shards/mine/notes.txt").read_bytes() == MINE
    assert read_manifest(here / "shards").parts("val")[-1] == "target8.png"


def test_a_version_that_was_set_aside_is_no_leftover(here: Path, raw: Path) -> None:
    """On a file system without exchange, a kill in between; then somebody makes the folder: it comes back first."""
    claim(here / ".place.work", "a test")
    shutil.move(here / "shards", here / ".place.work/old")
    (here / "place").mkdir()
    refused(f"{PREPARE} --name other --out place", "holds another set")
    assert content(here / "place") == content(OLD / "shards")


def test_a_set_whose_files_are_links(here: Path, raw: Path) -> None:
    """As DVC links its cache in: the links go, what they lead to stays."""
    call(f"{PREPARE} --out shards")
    before = content(here / "shards")
    shutil.move(here / "shards", here / "cache")
    for path in [path for path in (here / "cache").rglob("*") if path.is_file()]:
        link = here / "shards" / path.relative_to(here / "cache")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    assert "unchanged" in call(f"{PREPARE} --out shards")
    call(f"{PREPARE} --scale 8 --out shards --replace")
    assert content(here / "cache") == before


def test_a_link_stays_one(here: Path, raw: Path) -> None:
    """The set is written, and replaced, where the link leads, on that disk; its folder keeps the rights it had."""
    (here / "disk").mkdir()
    shutil.move(here / "shards", here / "disk/set")
    (here / "disk/set").chmod(0o2775)
    (here / "shards").symlink_to("disk/set")
    call(f"{PREPARE} --scale 8 --out shards --replace")
    assert (here / "shards").is_symlink() and read_manifest(here / "disk/set").parts("val")[-1] == "target8.png"
    assert (here / "disk/set").stat().st_mode & 0o7777 == 0o2775


def test_a_work_folder_is_left_as_it_was(here: Path, raw: Path) -> None:
    """Unfinished work has a folder of its own name and mark there, also after an error."""
    mine = ("run-2026/log", "set/x", "old/y", "shards/z", "lock")
    for name in mine:
        path = here / "scratch" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(MINE)
    before = content(here / "scratch")
    call(f"{PREPARE} --out set --work-dir scratch")
    assert content(here / "scratch") == before
    label = next((here / "raw").rglob("*labelIds.png"))
    label.write_bytes(b"")
    with pytest.raises(SegdataError):
        call(f"{PREPARE} --out set --work-dir scratch")
    assert before.items() <= content(here / "scratch").items()
    (own,) = {path.name for path in (here / "scratch").iterdir()} - {name.partition("/")[0] for name in mine}
    assert own.startswith("segdata-set-") and (here / "scratch" / own / "segdata-work.json").is_file()


def test_a_folder_with_the_name_of_unfinished_work(here: Path, raw: Path) -> None:
    """Without the mark it is somebody else's."""
    (here / ".place.work").mkdir()
    (here / ".place.work/mine").write_bytes(MINE)
    refused(f"{PREPARE} --out place", r"holds other things and no segdata-work\.json")
    assert content(here / ".place.work") == {"mine": MINE}


def test_a_result_that_comes_meanwhile(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that appears while the work is done stays as well."""
    monkeypatch.setattr("segdata.looking.stats.stats", lambda *_: (here / "found").write_bytes(MINE) and {"splits": {}})
    refused("stats shards --json found", "name another file, or remove it")
    assert (here / "found").read_bytes() == MINE


def test_a_pipe_with_the_name_of_an_unfinished_file(here: Path) -> None:
    """It is neither waited for nor written to."""
    os.mkfifo(here / ".found.segdata-tmp")
    refused("stats shards --json found", "cannot write .*found: No such device")


def test_a_folder_called_fd(here: Path) -> None:
    """Only /dev/fd holds what is open already."""
    (here / "fd").mkdir()
    (here / "fd/found").write_bytes(MINE)
    refused("stats shards --json fd/found", "name another file, or remove it")


# ---- painted data, stores -----------------------------------------------------------------------------------


def test_painted_data_with_other_things_stays(here: Path, raw: Path) -> None:
    """A user's file among the frames is named; so is a painting with other options, which --replace paints over."""
    line = "synth cityscapes --out raw --size 48x96 --val 2 --test 0 --workers 1"
    refused(f"{line} --train 2", "painted with other options: train is 3 there, 2 here.*--replace")
    notes = raw / "leftImg8bit/train/notes.txt"
    notes.write_bytes(MINE)
    before = content(raw)
    for option in ("--train 3", "--train 2 --replace"):
        refused(f"{line} {option}", r"leftImg8bit/train/notes\.txt among its painted files")
    assert content(raw) == before
    notes.unlink()
    for name in ("gtFine_trainvaltest.zip", "leftImg8bit/train/farbstadt/farbstadt_000000_000019_notes.md"):
        (raw / name).write_bytes(MINE)
    refused(f"{line} --train 3 --zip --replace", "among its painted files")
    (raw / "gtFine_trainvaltest.zip").rename(raw / "gtFine_trainvaltest.zip.bak")
    refused(f"{line} --train 3", r"farbstadt_000000_000019_notes\.md among its painted files")
    (raw / "leftImg8bit/train/farbstadt/farbstadt_000000_000019_notes.md").unlink()
    call(f"{line} --train 2 --replace")
    call(f"{line} --train 2")
    assert (raw / "gtFine_trainvaltest.zip.bak").read_bytes() == MINE


def test_only_revisions_are_removed(here: Path) -> None:
    """What else lies below `revisions/` is neither listed nor removed."""
    import fsspec

    url, store = f"memory://{here.name}/place", fsspec.filesystem("memory")
    call(f"publish shards {url}")
    store.pipe_file(f"/{here.name}/place/revisions/notes/mine.txt", MINE)
    store.pipe_file(f"/{here.name}/place/revisions/{'0f' * 16}/mine.txt", MINE)
    assert call(f"revisions {url} --remove unfinished --remove older").endswith("1 revisions, 0 removed\n")
    for each in ("notes", "0f" * 16):
        assert store.cat_file(f"/{here.name}/place/revisions/{each}/mine.txt") == MINE


def test_a_cache_in_a_folder_with_other_things(here: Path) -> None:
    """It keeps nothing there, for it removes what was read longest ago."""
    (here / "pieces").mkdir()
    (here / "pieces/puzzle").write_bytes(MINE)
    with pytest.raises(SegdataError, match=r"a folder with other things.*SEGDATA_CACHE"):
        Cache(here / "pieces", 8192).put(f"{'0f' * 16}/0", bytes(5000))
    assert content(here / "pieces") == {"puzzle": MINE}
    cache = Cache(here / "cache", 40960)
    cache.put(f"{'0f' * 16}/0", bytes(5000))
    (here / "cache/thesis").mkdir()
    (here / "cache/thesis/1.tex").write_bytes(MINE)
    for i in range(30):
        cache.put(f"{'0f' * 16}/{i}", bytes(5000))
    assert (here / "cache/thesis/1.tex").read_bytes() == MINE


def test_a_published_set_is_replaced_on_request(here: Path, raw: Path) -> None:
    """Neither another set nor another dataset.json goes without being asked for."""
    import fsspec

    url = f"memory://{here.name}/place"
    call(f"publish shards {url}")
    call(f"{PREPARE} --taxonomy cityscapes-19 --out other")
    refused(f"publish other {url}", "taxonomy is cityscapes-20 there, cityscapes-19 here.*--replace")
    refused(
        f"{PREPARE} --taxonomy cityscapes-19 --out {url}",
        "taxonomy is cityscapes-20 there, cityscapes-19 here.*--replace",
    )
    assert "taxonomy cityscapes-20 to cityscapes-19" in call(f"publish other {url} --replace")
    call("synth cityscapes --out few --size 48x96 --train 1 --val 1 --test 0 --workers 1")
    call(f"{PREPARE.replace('raw', 'few')} --out some")
    call(f"publish shards {url} --replace")
    refused(f"publish some {url}", "only 2 of its 5 samples are in the new set")
    store = fsspec.filesystem("memory")
    store.pipe_file(f"{url.removeprefix('memory:/')}/dataset.json", MINE)
    refused(f"publish shards {url}", "no manifest of ours")
    assert store.cat_file(f"{url.removeprefix('memory:/')}/dataset.json") == MINE
