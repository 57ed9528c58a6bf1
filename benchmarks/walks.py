"""How far somebody goes who follows the code: python -m benchmarks.walks. A minute; nothing but this checkout.

A walk is what is called, in order, of both packages: no imports, and nothing that numba compiled, which Python does
not see. Two figures of it: how many files it enters, and how often it enters the one that it enters most (the files of
the called functions in order, where several in a row are one). A generator that goes on counts as called.

`prepare, whole command` is everything from the command to its last line, with three frames: its figures before the
files had rooms (2cf7039) were 46 files, one of them entered 42 times. Much of it looks at the set as a whole and is
done once, however many frames there are: options, survey, lock, folders, index, manifest. `prepare, one pair` is the
way of one image and its labels, on which everything else is stepped over: the functions that are open when the pair
is converted, the command first, and all that is called from there on until its bytes are in the tar: 22 files then, one
of them entered 13 times.
"""

import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import click

from segdata.cli import cli as segdata_program
from segdata.cli.script import Parser
from segdata.synth import paint
from segmodels.cli import cli as segmodels_program

HOME = Path(__file__).parents[1]
PACKAGES = tuple(f"{HOME / name}/" for name in ("segdata", "segmodels"))
SIZE = (64, 128)


class Step(NamedTuple):
    """A function of ours that is called (or ends, where `is_call` is false)."""

    is_call: bool
    file: str  # "segdata/making/convert.py"
    name: str  # "Converter.convert"


def followed(work: Callable[[], object]) -> list[Step]:
    """What is called in all threads, and ends, while the work is done."""
    steps: list[Step] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event in {"call", "return"} and code.co_filename.startswith(PACKAGES) and code.co_name != "<module>":
            steps.append(Step(event == "call", str(Path(code.co_filename).relative_to(HOME)), code.co_qualname))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return steps


def between(steps: Sequence[Step], first: str, last: str) -> list[Step]:
    """The functions that are open when `first` is called, then everything up to the next end of `last`.

    Whether the names begin with an underscore makes no difference.
    """
    begin = next(i for i, step in enumerate(steps) if step.is_call and step.name.removeprefix("_") == first)
    end = next(
        i for i, step in enumerate(steps[begin:], begin) if not step.is_call and step.name.removeprefix("_") == last
    )
    around: list[Step] = []
    for step in steps[:begin]:
        if step.is_call:
            around.append(step)
        elif around and around[-1][1:] == step[1:]:
            around.pop()
    return [*around, *steps[begin : end + 1]]


def entered(steps: Sequence[Step]) -> Counter[str]:
    """file -> how often the walk enters it."""
    files = [step.file for step in steps if step.is_call]
    return Counter(file for i, file in enumerate(files) if i == 0 or files[i - 1] != file)


def told(name: str, steps: Sequence[Step], *, is_long: bool) -> str:
    counts = entered(steps)
    functions = len({step for step in steps if step.is_call})
    (most, times), *_ = counts.most_common(1)
    lines = [f"{name}: {len(counts)} files, {functions} functions; {most} entered {times} times"]
    return "\n".join(lines + [f"  {count:4}  {file}" for file, count in counts.most_common() if is_long])


def command(group: click.Group, *arguments: object) -> Callable[[], object]:
    return lambda: group.main([str(each) for each in arguments], standalone_mode=False)


def main() -> None:
    parser = Parser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", action="store_true", help="every file of each walk, with how often it is entered")
    is_long = parser.parse_args().files
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, frames in (("three", 3), ("one", 1)):
            paint("cityscapes", folder / name, train=frames, val=1, test=0, size=SIZE)

        def preparing(name: str, *more: str) -> Callable[[], object]:
            where = ("--root", folder / name, "--out", folder / f"{name}-{len(list(folder.iterdir()))}")
            return command(segdata_program, "prepare", "cityscapes", *where, "--engine", "serial", *more)

        preparing("one", "--split", "train")()  # imports, and what is compiled
        whole = followed(preparing("three", "--split", "train"))
        one = followed(preparing("one", "--split", "train"))
        shards, run = folder / "shards", folder / "run"
        command(segdata_program, "prepare", "cityscapes", "--root", folder / "one", "--out", shards)()
        checked = followed(command(segdata_program, "verify", shards))
        step = followed(
            command(
                segmodels_program, "train", "dilated_unet", "--shards", shards, "--out", run, "--steps", 1,
                "--batch-size", 1, "--device", "cpu", "--workers", 1,
            )
        )  # fmt: skip
        print(told("prepare, whole command, three frames", whole, is_long=is_long))
        print(told("prepare, whole command, one frame", one, is_long=is_long))
        print(told("prepare, one pair", between(one, "Converter.convert", "ShardWriter.add"), is_long=is_long))
        print(told("train, one crop to its loss", between(step, "Batches._fill", "backward"), is_long=is_long))
        print(told("verify, whole command, two shards", checked, is_long=is_long))


if __name__ == "__main__":
    main()
