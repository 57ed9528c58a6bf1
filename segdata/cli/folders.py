"""`segdata verify`, `stats`, `show`, `diff` and `unpack`: shard folders looked at, here or by URL, and unpacked."""

from pathlib import Path

import click

from segdata.base.files import is_stream, unlink
from segdata.base.ownership import PICTURE, check_file, json_kind
from segdata.cli.command import Command
from segdata.cli.output import SARIF, ProgressBar, report_findings, sarif_option, say, tell, write_json
from segdata.cli.parameters import ANY_PATH, COUNT, WORKERS, folder_path, shard_set
from segdata.errors import SegdataError
from segdata.stores.url import Place

VERDICT = json_kind("a verdict of `verify`", "fingerprint", "pixels", "samples", "set")
STATS = json_kind("numbers of `stats`", "digest", "set", "splits")


@click.command(cls=Command)
@click.argument("folder", type=shard_set)
@click.option(
    "--pixels", is_flag=True, help="Decode every picture and compare its pixels too, not only the bytes of the files."
)
@sarif_option
@click.option(
    "--json",
    "json_path",
    type=ANY_PATH,
    help="Write the result to this file if nothing is wrong. Otherwise the file of an earlier run is removed.",
)
@click.option(
    "--workers",
    type=WORKERS,
    envvar="SEGDATA_WORKERS",
    help="How many shards are checked at the same time. [default: the number of processors]",
)
def verify(folder: Place, pixels: bool, sarif: Path | None, json_path: Path | None, workers: int | None) -> None:
    """Check a shard folder against its digests; exit status 1 when something is wrong."""
    from segdata.checking.verify import verify as check
    from segdata.engines import default_workers
    from segdata.format.manifest import read_manifest

    if sarif and sarif == json_path:
        raise click.UsageError("--json and --sarif are two files: give each its own name.")
    check_file("--sarif", sarif, SARIF)
    check_file("--json", json_path, VERDICT)
    if json_path and not is_stream(json_path):
        unlink(json_path)  # that of an earlier time says nothing of now
    with ProgressBar("samples" if pixels else "files") as progress:
        findings = check(folder, pixels, progress, workers or default_workers(), say)
    report_findings(findings, sarif)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        remedy = "Run prepare again to make the set anew."
        if all(finding.code == "extra-file" for finding in errors):
            remedy = "Move these files out of the folder; the set is whole."
        elif all(finding.code == "unreadable" for finding in errors):
            remedy = "What cannot be read is not checked: make it readable, then run verify again."
        raise SegdataError(f"{folder}: {len(errors)} findings. {remedy}")
    manifest = read_manifest(folder)
    samples = {split: manifest.samples(split) for split in manifest.splits}
    if json_path:
        checked = {"set": manifest.name, "fingerprint": manifest.fingerprint, "samples": samples, "pixels": pixels}
        write_json(json_path, VERDICT, checked)
    what = "bytes and pixels" if pixels else "bytes"
    tell(f"{folder}: {what} of {sum(samples.values())} samples as written, {manifest.fingerprint[:12]}")


@click.command(cls=Command)
@click.argument("folder", type=shard_set)
@click.option("--json", "json_path", type=ANY_PATH, help="Write the numbers also to this file, as JSON.")
def stats(folder: Place, json_path: Path | None) -> None:
    """Classes, image mean and deviation, class weights of a shard folder."""
    from segdata.looking.stats import stats as count
    from segdata.looking.stats import table

    check_file("--json", json_path, STATS)
    with ProgressBar("samples") as progress:
        document = count(folder, progress)
    tell(*table(document).splitlines())
    if json_path:
        write_json(json_path, STATS, document)
    splits = ", ".join(f"{split} {entry['samples']}" for split, entry in document["splits"].items())
    tell(f"{folder}: {splits}" + (f"; numbers in {json_path}" if json_path else ""))


@click.command(cls=Command)
@click.argument("folder", type=shard_set)
@click.option("--out", required=True, type=ANY_PATH, help="The PNG file to write.")
@click.option("--split", help="The split whose samples are shown. [default: the first split of the set]")
@click.option("--count", type=COUNT, default=4, show_default=True, help="How many samples are shown.")
def show(folder: Place, out: Path, split: str | None, count: int) -> None:
    """A contact sheet: images, their targets at every scale, the legend."""
    from segdata.format.manifest import read_manifest
    from segdata.looking.show import show as draw
    from segdata.reading.shardset import ShardSet

    if out.suffix.lower() not in {"", ".png"}:
        raise click.UsageError(f"--out {out}: a PNG file is written, so name it {out.with_suffix('.png')}.")
    check_file("--out", out, PICTURE)
    chosen = split or read_manifest(folder).splits[0]
    shown = draw(ShardSet(folder, chosen), out, count)
    tell(f"{out}: {shown} samples of {chosen}")


@click.command(cls=Command)
@click.argument("a", type=shard_set)
@click.argument("b", type=shard_set)
def diff(a: Place, b: Place) -> None:
    """What differs between two shard folders, by content; exit status 1 when something does."""
    from segdata.looking.diff import diff as compare

    lines = compare(a, b)
    tell(*lines)
    if lines:
        raise SegdataError(f"{a} and {b}: {len(lines)} differences.")
    tell(f"{a} and {b}: the same content")


@click.command(cls=Command)
@click.argument("folder", type=shard_set)
@click.option(
    "--out",
    required=True,
    type=folder_path,
    metavar="PATH",
    help="The folder for the images and labels. It must be new or empty. If it holds the result of the same command, "
    "its files are compared with the set.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    help="A split to unpack. This option may be repeated. [default: all splits of the set]",
)
@click.option(
    "--ids",
    type=click.Choice(["target", "export"]),
    default="target",
    show_default=True,
    help="The values of the label files. target: the ids that the networks learn, 255 is ignored. export: the original "
    "ids of the dataset, which its official tools read.",
)
@click.option("--colors", is_flag=True, help="Write the labels also as colour pictures, for people.")
def unpack(folder: Place, out: Path, splits: tuple[str, ...], ids: str, colors: bool) -> None:
    """Write a set as plain folders of images and label ids, with a source file that prepares them again.

    The images have the stored bytes. If the command is stopped, the same command goes on where it was.
    """
    from segdata.unpacking.unpack import unpack as write

    with ProgressBar("samples") as progress:
        found = write(folder, out, ids, splits, colors, progress, say)
    counts = ", ".join(
        f"{split} {count}" + " (images alone)" * (split in found.unlabelled) for split, count in found.samples.items()
    )
    tell(f"{out}: {counts} samples with {ids} ids" + ", unchanged" * (not found.changed))
