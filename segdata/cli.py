"""The `segdata` command: parses, calls one function, prints. Heavy imports wait until a command needs them."""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from segdata import __version__
from segdata.errors import SegdataError
from segdata.progress import Progress
from segdata.storecli import publish, revisions
from segdata.url import Place, Url, place

SPLIT_SIZES = {"train": 8, "val": 4, "test": 2}
LISTED = 20  # findings that are printed one by one
EXISTING = click.Path(exists=True, path_type=Path)
ANY_PATH = click.Path(path_type=Path)


def parse_size(value: str) -> tuple[int, int]:
    """HEIGHTxWIDTH in pixels."""
    height, _, width = value.partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise click.BadParameter(f"{value!r} is not HEIGHTxWIDTH, such as 512x1024")
    return int(height), int(width)


def shard_set(text: str) -> Place:
    """A shard folder, which must be there, or a URL."""
    found = place(text)
    if isinstance(found, Path) and not found.is_dir():
        raise click.BadParameter(f"folder {text!r} does not exist")
    return found


def main() -> NoReturn:
    """Entry point: an error of ours is one line on standard error and exit status 1."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = _fail("stopped. Run the same command again to go on.", 130)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SegdataError as error:
        code = _fail(str(error), 1)
    except OSError as error:
        code = _fail(f"{error.filename or 'the system'}: {error.strerror or error}.", 1)
    sys.exit(code or 0)


def _fail(message: str, code: int) -> int:
    click.echo(f"segdata: {message}", err=True)
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="segdata")
def cli() -> None:
    """Street-scene datasets to sharded webdatasets: same inputs, same bytes."""


@cli.command()
@click.argument("source")
@click.option("--root", required=True, type=place, help="The dataset as downloaded: a folder, its zips, or a URL.")
@click.option("--out", required=True, type=place, help="The shard folder, or s3://…; appears whole, or not at all.")
@click.option("--taxonomy", help="A name from `segdata list`, or a YAML file. [default: the source's]")
@click.option("--name", help="Name of the set, the first part of every shard's name. [default: the taxonomy's]")
@click.option("--split", "splits", multiple=True, help="May be repeated. [default: all that are labelled]")
@click.option("--scale", "scales", multiple=True, type=click.Choice(["1", "2", "4", "8"]), default=["1"])
@click.option("--rule", type=click.Choice(["majority", "stride", "coverage"]), default="majority", show_default=True)
@click.option("--size", type=parse_size, metavar="HxW", help="Resize images and labels.")
@click.option("--pad", "fit", flag_value="pad", help="Pad to a multiple of the largest scale (image 0, label 255).")
@click.option("--crop", "fit", flag_value="crop", help="Crop to a multiple of the largest scale (bottom, right).")
@click.option(
    "--image-codec",
    "codec",
    type=click.Choice(["keep", "png", "jpeg", "webp"]),
    help="`keep` passes the file's bytes through. [default: keep, png where the size changes]",
)
@click.option("--samples-per-shard", type=click.IntRange(1), default=64, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the permutation that fills the shards.")
@click.option("--coarse", is_flag=True, help="Cityscapes: gtCoarse with train_extra instead of gtFine.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    envvar="SEGDATA_WORKERS",
    help="Shards that are made at once. [default: all processors of the machine, or of the cluster]",
)
@click.option(
    "--engine",
    type=click.Choice(["serial", "local", "ray"]),
    envvar="SEGDATA_ENGINE",
    default="local",
    show_default=True,
    help="This process, processes of this machine, or a Ray cluster.",
)
@click.option(
    "--address", metavar="HOST:PORT", help="Of a Ray cluster that runs, or auto. [default: RAY_ADDRESS, else a new one]"
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    envvar="SEGDATA_TIMEOUT",
    help="What a shard may take before another worker gets it. [default: 30 for each of its samples]",
)
@click.option("--work-dir", type=ANY_PATH, help="Where unfinished work is kept. [default: beside --out]")
@click.option(
    "--for", "readers", multiple=True, type=click.Choice(["energon"]), help="Add the files that this loader insists on."
)
@click.option("--on-error", type=click.Choice(["fail", "quarantine"]), default="fail", show_default=True)
@click.option("--full-check", is_flag=True, help="Decode every image, even one that passes through.")
@click.option("--sarif", type=ANY_PATH, help="Write the findings to this file as SARIF 2.1.0 as well.")
def prepare(source: str, coarse: bool, sarif: Path | None, **options: Any) -> None:
    """Convert SOURCE (see `segdata list`) to a shard folder, here or in a store."""
    from segdata.findings import FindingsError
    from segdata.prepare import prepare as run

    out, keep = options["out"], bool(options["work_dir"])
    if isinstance(out, Url):
        from segdata.upload import prepare_to, stage

        home = stage(out, options["work_dir"])
        options |= {"out": home / "set", "work_dir": home / "work"}
    job = _job(f"{source}-coarse" if coarse else source, options)
    try:
        with Progress("samples") as progress, Progress("files") as sending:
            if isinstance(out, Url):
                result = prepare_to(out, job, progress, sending, keep=keep)[0]
            else:
                result = run(job, progress)
    except FindingsError as error:
        _report(error.findings, sarif)
        raise
    _report(result.findings, sarif)
    samples = ", ".join(f"{split} {count}" for split, count in result.samples.items())
    reused = f" ({result.reused} stood already)" if result.reused else ""
    state = "" if result.changed else ", unchanged"
    click.echo(f"{out}: {samples} samples in {result.shards} shards{reused}{state}")


def _job(name: str, options: dict[str, Any]) -> Any:
    from segdata.convert import Conversion
    from segdata.geometry import Geometry
    from segdata.prepare import Job
    from segdata.sources import source as find
    from segdata.taxonomy import load_taxonomy

    source = find(name)
    taxonomy = load_taxonomy(options["taxonomy"] or source.default_taxonomy)
    geometry = Geometry(options["size"], options["fit"] or "")
    changes = geometry != Geometry()
    if options["address"] and options["engine"] != "ray":
        raise click.UsageError(f"--address is for --engine ray, this is --engine {options['engine']}.")
    if options["codec"] == "keep" and options["size"]:
        raise click.UsageError("--image-codec keep passes bytes through; --size changes them. Choose png.")
    conversion = Conversion(
        source=source.name,
        labels=source.labels,
        palette_labels=source.palette_labels,
        taxonomy=taxonomy,
        scales=tuple(sorted({int(scale) for scale in options["scales"]})),
        rule=options["rule"],
        geometry=geometry,
        codec=options["codec"] or ("png" if changes else "keep"),
        full_check=options["full_check"],
    )
    return Job(
        source=source,
        root=options["root"],
        out=options["out"],
        conversion=conversion,
        name=options["name"] or taxonomy.name,
        splits=options["splits"],
        samples_per_shard=options["samples_per_shard"],
        seed=options["seed"],
        engine=options["engine"],
        workers=options["workers"],
        address=options["address"],
        timeout=options["timeout"],
        work_dir=options["work_dir"],
        quarantine=options["on_error"] == "quarantine",
        readers=options["readers"],
    )


@cli.command()
@click.argument("source", type=click.Choice(["cityscapes", "tas500"]))
@click.option("--out", required=True, type=ANY_PATH)
@click.option("--train", type=click.IntRange(0), default=SPLIT_SIZES["train"], show_default=True)
@click.option("--val", type=click.IntRange(0), default=SPLIT_SIZES["val"], show_default=True)
@click.option("--test", type=click.IntRange(0), default=SPLIT_SIZES["test"], show_default=True)
@click.option("--size", type=parse_size, metavar="HxW", help="[default: the real size, 1024x2048 or 620x2026]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--workers", type=click.IntRange(1), envvar="SEGDATA_WORKERS", help="[default: all processors]")
@click.option("--zip", "zips", is_flag=True, help="As the zips that people download.")
@click.option("--nested", is_flag=True, help="Cityscapes: with the extra *_trainvaltest/ level.")
@click.option("--coarse", is_flag=True, help="Cityscapes: gtCoarse and train_extra besides.")
def synth(source: str, **options: Any) -> None:
    """Paint a small dataset in SOURCE's exact layout, so that everything runs without licensed data."""
    from segdata.engines import default_workers
    from segdata.synth import paint

    options["workers"] = options["workers"] or default_workers()
    out = options.pop("out")
    with Progress("frames") as progress:
        summary = paint(source, out, progress=progress, **options)
    click.echo(f"{out}: {summary}")


@cli.command()
@click.argument("folder", type=shard_set)
@click.option("--pixels", is_flag=True, help="Decode everything and compare content, not only bytes.")
@click.option("--sarif", type=ANY_PATH, help="Write the findings to this file as SARIF 2.1.0 as well.")
@click.option("--json", "json_path", type=ANY_PATH, help="Write the result to this file as well.")
@click.option("--workers", type=click.IntRange(1), envvar="SEGDATA_WORKERS", help="[default: all processors]")
def verify(folder: Place, pixels: bool, sarif: Path | None, json_path: Path | None, workers: int | None) -> None:
    """Check a shard folder against its digests; exit status 1 when something is wrong."""
    from segdata.engines import default_workers
    from segdata.shardset import manifest_of
    from segdata.verify import verify as check

    with Progress("samples" if pixels else "files") as progress:
        findings = check(folder, pixels, progress, workers or default_workers())
    _report(findings, sarif)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise SegdataError(f"{folder}: {len(errors)} findings. Run prepare again to make the folder anew.")
    manifest = manifest_of(folder)
    samples = {split: manifest.samples(split) for split in manifest.splits}
    if json_path:
        checked = {"set": manifest.name, "fingerprint": manifest.fingerprint, "samples": samples, "pixels": pixels}
        _write(json_path, json.dumps(checked, sort_keys=True, indent=1) + "\n")
    what = "bytes and pixels" if pixels else "bytes"
    click.echo(f"{folder}: {what} of {sum(samples.values())} samples as written, {manifest.fingerprint[:12]}")


@cli.command()
@click.argument("folder", type=shard_set)
@click.option("--json", "json_path", type=ANY_PATH, help="Write the numbers to this file as well.")
def stats(folder: Place, json_path: Path | None) -> None:
    """Classes, image mean and deviation, class weights of a shard folder."""
    from segdata.stats import stats as count
    from segdata.stats import table

    with Progress("samples") as progress:
        document = count(folder, progress)
    click.echo(table(document))
    if json_path:
        _write(json_path, json.dumps(document, sort_keys=True, indent=1) + "\n")
    splits = ", ".join(f"{split} {entry['samples']}" for split, entry in document["splits"].items())
    click.echo(f"{folder}: {splits}" + (f"; numbers in {json_path}" if json_path else ""))


@cli.command()
@click.argument("folder", type=shard_set)
@click.option("--out", required=True, type=ANY_PATH, help="The PNG to write.")
@click.option("--split", help="[default: the first]")
@click.option("--count", type=click.IntRange(1), default=4, show_default=True)
def show(folder: Place, out: Path, split: str | None, count: int) -> None:
    """A contact sheet: images, their targets at every scale, the legend."""
    from segdata.shardset import ShardSet, manifest_of
    from segdata.show import show as draw

    chosen = split or manifest_of(folder).splits[0]
    shown = draw(ShardSet(folder, chosen), out, count)
    click.echo(f"{out}: {shown} samples of {chosen}")


@cli.command()
@click.argument("name")
@click.option("--source", help="Prove completeness for this source only.")
def taxonomy(name: str, source: str | None) -> None:
    """The classes of a taxonomy (a name or a YAML file), and whether every raw label has its place."""
    from segdata.errors import TaxonomyError
    from segdata.sources import SOURCES
    from segdata.sources import source as find
    from segdata.taxonomy import LabelMap, load_taxonomy

    found = load_taxonomy(name)
    click.echo(f"{found.name}: {found.description}")
    for i, row in enumerate(found.classes):
        score = "evaluated" if row.evaluated else "-"
        color = "{:3d} {:3d} {:3d}".format(*row.color)
        click.echo(f"{i:4d} {row.name:22}{color}  {row.category:14}{score:11}{row.export:4d} <- {', '.join(row.feeds)}")
    if found.ignore:
        click.echo(f" 255 (ignored){'':45}<- {', '.join(found.ignore)}")
    if source:
        LabelMap.between(find(source).labels, found)
        fits = [source]
    else:
        fits = []
        for candidate in SOURCES.values():
            try:
                LabelMap.between(candidate.labels, found)
                fits.append(candidate.name)
            except TaxonomyError:
                continue
    if not fits:
        raise SegdataError(f"{found.name} fits no source; --source NAME says what is missing.")
    click.echo(f"{found.name}: {len(found.classes)} classes, complete for {', '.join(fits)}; {found.digest[:12]}")


@cli.command("list")
def list_() -> None:
    """The sources and taxonomies that ship with segdata."""
    from segdata.sources import SOURCES
    from segdata.taxonomy import load_taxonomy, taxonomy_names

    for source in SOURCES.values():
        click.echo(f"source    {source.name:20}splits {', '.join(source.splits)}; taxonomy {source.default_taxonomy}")
    for name in taxonomy_names():
        click.echo(f"taxonomy  {name:20}{load_taxonomy(name).description}")
    click.echo(f"{len(SOURCES)} sources, {len(taxonomy_names())} taxonomies")


@cli.command()
@click.argument("a", type=shard_set)
@click.argument("b", type=shard_set)
def diff(a: Place, b: Place) -> None:
    """What differs between two shard folders, by content; exit status 1 when something does."""
    from segdata.diff import diff as compare

    lines = compare(a, b)
    for line in lines:
        click.echo(line)
    if lines:
        raise SegdataError(f"{a} and {b}: {len(lines)} differences.")
    click.echo(f"{a} and {b}: the same content")


cli.add_command(publish)
cli.add_command(revisions)


# ---- for all commands ---------------------------------------------------------------------------------------


def _report(findings: Any, sarif: Path | None) -> None:
    """Findings on standard error, the first ones in full; all of them in the SARIF file."""
    for finding in findings[:LISTED]:
        click.echo(str(finding), err=True)
    if len(findings) > LISTED:
        click.echo(f"… and {len(findings) - LISTED} more findings (--sarif FILE lists all)", err=True)
    if sarif:
        from segdata.sarif import sarif as render

        _write(sarif, render(findings, __version__).decode())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
