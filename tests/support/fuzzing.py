"""Damaged files in numbers: mutants of a good one, each read under a bound on memory and time."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator

MEMORY = 2 << 30  # bytes that reading a mutant may take beside what the process has
SECONDS = 20  # that it may take: none needs a tenth of one
INTERESTING = (0, 1, 2, 127, 128, 255)

Read = Callable[[bytes], object]


def mutants(good: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Copies with bits flipped, bytes set, numbers made huge, pieces cut, doubled, moved, or the end gone."""
    draw = random.Random(seed)
    for _ in range(count):
        data = bytearray(good)
        for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
            _mutate(data, draw)
        yield bytes(data)


def _mutate(data: bytearray, draw: random.Random) -> None:
    if not data:
        data += draw.randbytes(draw.randrange(1, 40))
        return
    at, many = draw.randrange(len(data)), draw.choice((1, 2, 4, 8, 32, 512))
    match draw.randrange(8):
        case 0:
            data[at] ^= 1 << draw.randrange(8)
        case 1:
            data[at] = draw.choice(INTERESTING)
        case 2:
            data[at : at + 4] = draw.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"9999"))
        case 3:
            del data[at:]
        case 4:
            del data[at : at + many]
        case 5:
            data[at:at] = data[at : at + many]
        case 6:
            data[at : at + many] = draw.randbytes(many)
        case _:
            other = draw.randrange(len(data))
            data[at : at + many] = data[other : other + many]


def survivors(good: bytes, read: Read, family: type[BaseException], count: int, seed: int = 0) -> list[str]:
    """What reading mutants raised besides `family`, or took too much of; empty when all is well.

    In a child process, so that neither its memory nor its end is the test's.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        code = 1
        try:
            _bound()
            with os.fdopen(writer, "w") as said:
                for number, data in enumerate(mutants(good, count, seed)):
                    if trouble := _try(data, read, family):
                        said.write(f"mutant {number} of seed {seed}: {trouble}\n")
                        said.flush()
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as said:
        lines = said.read().splitlines()
    _, status = os.waitpid(child, 0)
    return lines + [f"the reader ended with status {status}"] * bool(status)


def _bound() -> None:
    with open("/proc/self/statm") as statm:  # noqa: PTH123
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    signal.signal(signal.SIGALRM, _late)
    sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115


def _late(number: int, frame: object) -> None:
    raise TimeoutError(f"not done after {SECONDS} s")


def _try(data: bytes, read: Read, family: type[BaseException]) -> str:
    signal.alarm(SECONDS)
    try:
        read(data)
    except family as error:
        cause = error.__cause__
        return f"took more than {MEMORY} bytes" if isinstance(cause, MemoryError) else ""
    except BaseException as error:  # an Abort, an exit: whatever it is, it is not ours
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:120]} ({where.filename}:{where.lineno})"
    finally:
        signal.alarm(0)
    return ""
