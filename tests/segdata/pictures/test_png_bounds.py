"""No byte outside the buffers is read or written, whatever the PNG says: indices checked, and guarded pages.

Both in an interpreter of their own: the first compiles the kernels anew with numba's checks, the second might die.
"""

import os
import subprocess
import sys
from pathlib import Path

CHECKED = """
import zlib
import numpy as np
from segdata.pictures import bands as pngseek, bits as pngbits
from segdata.errors import CodecError
from segdata.pictures.huffman import END, SYMBOLS, codes_of
from segdata.pictures.chunks import open_png

rng = np.random.default_rng(0)


def damaged(data, count):
    broken = bytearray(data)
    for _ in range(count):
        broken[33 + rng.integers(len(data) - 33)] ^= rng.integers(1, 256)
    return broken


def lying(data):
    "Other numbers in the chunk of places, some in pairs whose sum stays."
    broken = bytearray(data)
    numbers = np.frombuffer(broken, ">u2", int.from_bytes(data[33:37]) // 2, 41)
    for _ in range(rng.integers(1, 5)):
        change, one, other = rng.choice([1, 8, 4096, 65535, 30000]), *rng.integers(2, len(numbers), 2)
        numbers[one] = (int(numbers[one]) + change) % 65536
        if rng.integers(2):
            numbers[other] = (int(numbers[other]) - change) % 65536
    return broken


def mended(data):
    "With every CRC-32 right, as far as there are whole chunks."
    data, at = bytearray(data), 8
    while (body := at + 8 + int.from_bytes(data[at : at + 4])) + 4 <= len(data) and at + 12 <= len(data):
        data[body : body + 4] = zlib.crc32(data[at + 4 : body]).to_bytes(4)
        at = body + 4
    return bytes(data)


def made_up(size):
    "A block of four symbols whose head, size and end are right; numbers of bits that add up and mean nothing."
    lengths = np.zeros(SYMBOLS, np.uint8)
    lengths[[2, 1, 0, END]] = 1, 2, 3, 3  # filter Up is one bit, zero: nearly any place can be a row's
    bits = pngbits.HEAD
    for symbol in range(SYMBOLS):
        bits |= int(f"{lengths[symbol]:04b}"[::-1], 2) << pngbits.HEAD_BITS + 4 * symbol
    bits |= int(codes_of(lengths)[1]) << pngbits.DATA_AT
    room = 8 * (size - 8) - 3 - 3 - pngbits.DATA_AT - 2 - 31 * 1
    bits |= int(codes_of(lengths)[END]) << 8 * (size - 8) - 6
    for one in rng.integers(pngbits.DATA_AT + 8, 8 * (size - 8) - 8, rng.integers(20)):
        bits |= 1 << int(one)
    cuts = np.sort(rng.integers(0, room + 1, 95)) if rng.integers(2) else np.full(95, room)
    numbers = np.diff(cuts, prepend=0, append=room)
    return np.frombuffer(bits.to_bytes(size, "little"), np.uint8), numbers.astype(np.uint16).reshape(32, 3)


read = refused = 0
for width in (2, 513, 1100):
    height = int(rng.integers(33, 70))
    data = pngseek.encode(rng.geometric(0.3, (height, width, 3)).astype(np.uint8))
    files = [data] * 20 + [mended(damaged(data, n)) for n in (1, 2, 5, 50) for _ in range(20)]
    files += [mended(lying(data)) for _ in range(60)] + [mended(data[: rng.integers(70, len(data))]) for _ in range(30)]
    for file in files:
        top, left = int(rng.integers(height)), int(rng.integers(width))
        window = top, left, int(rng.integers(1, height - top + 1)), int(rng.integers(1, width - left + 1))
        try:
            pngseek.decode_window(memoryview(file), open_png(file)[0], window)
            read += 1
        except CodecError:
            refused += 1
whole = np.frombuffer(data, np.uint8)[data.index(b"IDAT", data.index(b"IDAT") + 4) + 4 :]
for size in range(200):
    pngbits.read_band(whole[:size], np.zeros((32, 3), np.uint16), 1100, 0, 0, np.empty((32, 3300), np.uint8))
for _ in range(300):
    block, numbers = made_up(int(rng.integers(180, 2000)))
    first, n, left = int(rng.integers(28)), int(rng.integers(1, 5)), int(rng.integers(1000))
    read += pngbits.read_band(block, numbers, 1100, first, left, np.empty((n, 300), np.uint8))
print(read, refused)
"""

GUARDED = """
import ctypes, mmap, sys
import numpy as np
from segdata.pictures.filters import unfilter

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)


def fenced(size, at_end):
    "An array that ends, or begins, where memory that cannot be touched begins, or ends."
    pages = -(-size // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for fence in (address, address + (pages + 1) * PAGE):
        assert libc.mprotect(ctypes.c_void_p(fence), PAGE, 0) == 0
    start = PAGE + (pages * PAGE - size if at_end else 0)
    return np.frombuffer(memory, np.uint8)[start : start + size]


rng = np.random.default_rng(0)
for step in (1, 2, 3, 4, 6, 8):
    for width in (1, 8, 23, 24, 25, 40, 333):
        for columns in {width, max(1, width - 1), max(1, width // 2)}:
            for at_end in (False, True):
                height = 25
                filtered = fenced(height * (1 + width * step), at_end).reshape(height, -1)
                filtered[:] = rng.integers(0, 256, filtered.shape)
                filtered[:, 0] = rng.integers(0, 5, height)
                rows = fenced(height * columns * step, at_end).reshape(height, -1)
                assert unfilter(filtered, rows, step) == -1
if len(sys.argv) > 1:
    fenced(10, True).base[-1]  # the fence holds: this one dies
"""


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_no_index_leaves_its_array(tmp_path: Path) -> None:
    """Damage, lies and other codes under right checksums, with every index checked: only CodecError is raised."""
    done = run(CHECKED, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    read, refused = map(int, done.stdout.split())
    assert read > 60  # not everything is refused at the door
    assert refused > 200


def test_no_byte_beside_the_rows_is_touched() -> None:
    """Filtered bytes and rows between pages that cannot be read or written: unfiltering lives."""
    done = run(GUARDED)
    assert done.returncode == 0, done.stderr[-2000:]
    assert run(GUARDED, "over").returncode < 0
