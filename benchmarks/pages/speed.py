"""What docs/speed.md and docs/bench.md show of benchmarks/results/; `python -m benchmarks.pages` writes it there."""

from collections.abc import Callable
from typing import Any

from segmodels.scoring.intervals import OLDER, no_interval

WAYS = {
    "a": "a typical script (ShardWriter, Pillow, numpy majority)",
    "b": "a careful script (bytes copied, stride targets, Pillow)",
    "c": "**`segdata prepare`** (majority x1 to x8, all checks and digests)",
    "z": "`segdata prepare` from the zips",
    "d": "minimum of work: both files copied into a tar, with CRC-32 and SHA-256",
    "w": "the same number of bytes written, and nothing else",
}
READERS = {
    "segmodels": "**segmodels**, two threads",
    "segmodels in processes": "segmodels, two processes",
    "decoded whole": "segmodels, whole images decoded, then cropped",
    "webdataset + Pillow": "webdataset, Pillow",
    "PNG files + Pillow": "torch DataLoader, PNG files, Pillow",
    "litdata + Pillow": "litdata, Pillow",
}


def convert(result: dict[str, Any]) -> str:
    """Pairs per second, CPU time and memory of every way; then the ratios."""
    rows = [
        "| | pairs/s, 1 worker | pairs/s, 2 workers | CPU ms per pair | peak MB, 2 workers |",
        "|---|--:|--:|--:|--:|",
    ]
    for way, text in WAYS.items():
        one, two = (result["medians"][way + workers] for workers in "12")
        rows.append(
            f"| ({way}) {text} | {one['pairs_per_s']:.1f} | {two['pairs_per_s']:.1f} | {one['cpu_ms_per_pair']:.1f} "
            f"| {two['peak_mb']:.0f} |"
        )
    ratios = " · ".join(f"{_counted(name)}: {value}" for name, value in result["ratios"].items())
    return "\n".join([*rows, "", f"Medians of {result['rounds']} rounds. Ratios: {ratios}.", ""])


def _counted(ratio: str) -> str:
    """The name of a ratio, "… 2 worker(s)", in proper grammar."""
    return ratio.replace("1 worker(s)", "1 worker").replace("worker(s)", "workers")


def long_way(result: dict[str, Any]) -> str:
    """As many frames as Cityscapes' fine annotation has, once."""
    return (
        f"Converting {result['samples_written']} samples, as many as Cityscapes' fine annotation has, into"
        f" {result['shards']} shards took {result['wall_s']:.0f} s with two workers"
        f" ({result['pairs_per_s']:.0f} pairs/s) and at most {result['peak_mb']:.0f} MB.\n"
    )


def loader(result: dict[str, Any]) -> str:
    """Samples a second by reader and shards, as a multiple of the base too; then what the time of a crop goes to."""
    rates, times = result["samples_per_second"], result["times_base"]
    columns = ("keep", "png", "jpeg", "small")
    rows = ["| samples/s | `keep` | `png` | `jpeg` | `png`, stored at 512x1024 |", "|---|--:|--:|--:|--:|"]
    for reader, text in READERS.items():
        names = [f"{reader}: {column}" for column in columns]
        cells = [f"{rates[name]:.0f} ({times[name]:.1f}x)" if name in rates else "" for name in names]
        rows.append(f"| {text} | {' | '.join(cells)} |")
    floor = rates["raw pixels"], times["raw pixels"]
    rows += ["", f"Upper bound, raw pixels copied from mapped memory: {floor[0]:.0f} ({floor[1]:.1f}x)."]
    for codec, spent in result["cpu_ms_of_a_crop"].items():
        whole = spent["all"]
        steps = (f"{step} {each / whole:.0%}" for step, each in spent.items() if whole > each >= whole / 100)
        rows.append(f"A crop of `{codec}` takes {whole:.1f} ms of CPU time: {', '.join(steps)}.")
    checks = (f"{each:.1f} ms with `{codec}`" for codec, each in result["cpu_ms_of_checking_a_sample"].items())
    rows.append(f"When a process reads a sample for the first time, it also checks the digest: {', '.join(checks)}.")
    return "\n".join([*rows, ""])


def skipping(result: dict[str, Any]) -> str:
    """Time and work of the percentile network on tiles, as shares of dense; then `auto`, and gathering."""
    rows = [
        "| active pixels | time / dense | range over rounds | multiply-accumulates / all | needed / all |",
        "|--:|--:|--:|--:|--:|",
    ]
    for row in result["rows"]:
        spread = f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f}"
        work = f"{row['macs_on_tiles']:.2f} | {row['macs_needed']:.2f}"
        rows.append(f"| {row['active']:.0%} | {row['ratio']:.2f} | {spread} | {work} |")
    height, width = result["size"]
    ways = "; ".join(
        f"{way['convolution']}: tiles {way['tiles_ms'] / way['dense_ms']:.2f}, gathered"
        f" {way['gathered_ms'] / way['dense_ms']:.2f}"
        for way in result["ways_at_25_percent"]
    )
    rows += [
        "",
        f"{height}x{width}, {result['classes']} classes, batch 1, {result['precision']}, {result['rounds']} rounds,"
        f" {result['device']['threads']} threads; dense takes {result['dense_ms'] / 1000:.1f} s."
        f" With every pixel active, `auto` takes {result['auto_at_100_percent']:.2f} of the dense time."
        f" Single convolutions with 25 % active pixels, time / dense on tiles and on gathered pixels: {ways}.",
    ]
    return "\n".join([*rows, ""])


def training(result: dict[str, Any]) -> str:
    """Steps of every network: a row in float32, reproducible; then what fast and bfloat16 make of it."""
    kinds = {(row["network"], row["precision"], row["fast"]): row for row in result["rows"]}
    lines = [
        "| network | images/s | ms per step | waiting for data | peak MB | `--fast` | bfloat16 | both |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in dict.fromkeys(row["network"] for row in result["rows"]):
        base = kinds[name, "fp32", False]
        others = (kinds[name, *kind] for kind in (("fp32", True), ("bf16", False), ("bf16", True)))
        changed = " | ".join(f"{base['step_ms'] / other['step_ms']:.2f}x" for other in others)
        lines.append(
            f"| `{name}` | {base['images_per_second']:.1f} | {base['step_ms']:.0f} | {base['waiting_share']:.1%} "
            f"| {base['peak_memory_bytes'] / 1e6:.0f} | {changed} |"
        )
    height, width = result["crop"]
    device = result["device"]
    return "\n".join(
        [
            *lines,
            "",
            f"Crops of {height}x{width}, batches of {result['batch_size']}, {result['steps']} measured steps,"
            f" small networks; {device['name']}, {device.get('threads', 1)} threads.",
            "",
        ]
    )


def threads(result: dict[str, Any]) -> str:
    """A step of every network on one thread, and how many times as fast two are beside the same load."""
    one, *others = result["rows"][0]["step_ms"]
    lines = [
        f"| network | busy loops | {one} thread, ms per step | {' | '.join(others)} |",
        "|---|--:|--:|" + "--:|" * len(others),
    ]
    for row in result["rows"]:
        ms = row["step_ms"]
        cells = [_compared(ms[one], ms[other]) for other in others]
        shown = "stopped" if ms[one] is None else f"{ms[one]:.0f}"
        lines.append(f"| `{row['network']}` | {row['busy_loops']} | {shown} | {' | '.join(cells)} |")
    height, width = result["crop"]
    about = (
        f"Crops of {height}x{width}, batches of {result['batch_size']}, small networks; {result['device']['name']},"
        f" {result['processors']} processors. `stopped`: three steps took longer than {result['cap_s']:.0f} s."
        f" Processes of others took up to {max(row['others'] for row in result['rows']):.1f} of a processor meanwhile."
    )
    return "\n".join([*lines, "", about, ""])


def _compared(one: float | None, other: float | None) -> str:
    """How many times as fast the other is; its milliseconds where the one was stopped."""
    if other is None:
        return "stopped"
    return f"{other:.0f} ms" if one is None else f"{one / other:.2f}x"


def startup(results: dict[str, dict[str, Any]]) -> str:
    """Processor seconds of every command, before kernels were made to compile fast and late, and now."""
    before, now = results["cpu/startup-before.json"], results["cpu/startup.json"]
    lines = [
        "| command | before, empty cache | before | now, empty cache | now |",
        "|---|--:|--:|--:|--:|",
    ]
    for command in now["seconds"]:
        found = (result["seconds"].get(command, {}) for result in (before, now))
        kinds = [seconds.get(kind) for seconds in found for kind in ("cold", "warm")]
        cells = [f"{each['processor']:.1f}" if each else "" for each in kinds]
        lines.append(f"| `{command}` | {' | '.join(cells)} |")
    loads = " and ".join(f"{max(result['load']):.0f}" for result in (before, now))
    about = (
        f"Processor seconds of all processes of a command; {now['frames']} frames of {now['size']}, {now['steps']}"
        f" steps of training. The load of the machine, which has {now['processors']} processors, was up to {loads}"
        " meanwhile."
    )
    return "\n".join([*lines, "", about, ""])


def deeper(results: dict[str, dict[str, Any]]) -> str:
    """What was found on each set: the stages' scores, what they settle, and the sweep."""
    return "\n".join(_deeper(result) for result in results.values())


def _known(result: dict[str, Any]) -> str:
    """How far the change is known; why it has no interval, where an older version measured it."""
    if gain := result.get("last_less_first"):
        return f"95 % interval of the paired difference {gain['low']:+.3f} to {gain['high']:+.3f}"
    reason = result.get("interval_reason") or no_interval(range(result["images"])) or OLDER
    return f"no interval: {reason}"


def _deeper(result: dict[str, Any]) -> str:
    first, *_, last = stages = result["stages"]
    training, rows = result["training"], result["sweep"]
    width, listed = dict(training["options"])["width_factor"], ", ".join(f"{each:.3f}" for each in stages)
    best = max(rows, key=lambda row: (row["miou"], -row["macs"]))
    lines = [
        f"**{result['set']}**, {result['images']} images of {result['split']}, width {width:g},"
        f" {training['steps']} optimizer steps with batch size {training['batch_size']}. The mIoU after stages 1, 2"
        f" and 3 is {listed}. The change from the first to the last stage is {last - first:+.3f}"
        f" ({_known(result)}). In the sweep over q, on {result['swept_images']} images,"
        f" q = {best['value']:g} scores best.",
        "",
        "| q | pixels that reach stage 3 | work / all | ms | mIoU |",
        "|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        share, work = row["shares"][-1], row["macs"] / row["full_macs"]
        lines.append(f"| {row['value']:g} | {share:.1%} | {work:.2f} | {row['ms_median']:.0f} | {row['miou']:.3f} |")
    return "\n".join([*lines, ""])


SPEED: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "convert": ("cpu/convert.json", convert),
    "long": ("cpu/convert-long.json", long_way),
    "loader": ("cpu/loader.json", loader),
    "skipping": ("cpu/sparse.json", skipping),
    "training": ("cpu/train.json", training),
    "threads": ("cpu/threads.json", threads),
    "startup": ("cpu/startup*.json", startup),
}

FOUND: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {"deeper": ("cpu/deeper-*.json", deeper)}
