"""The bits of `bands.py`: a band of filtered rows to a deflate block, and a window of it back. RFC 1951, section 3.2.

Deflate writes from the lowest bit of each byte on. A band's block begins with HEAD, the same in every one: not the
last block; dynamic codes; 257 lengths of symbols and 2 of distances follow, each as a number of 4 bits (as such
the code of their lengths is declared), highest bit first. No distance occurs, but decoders of old want two.
"""

import numpy as np
from numpy.typing import NDArray

from segdata.base.kernels import kernel
from segdata.pictures.filters import SUB, UP
from segdata.pictures.huffman import (
    BITS_AT,
    COUNT_AT,
    END,
    LIMIT,
    SYMBOLS,
    Lengths,
    Table,
    code_lengths,
    codes_of,
    fill_table,
    is_complete,
)

BAND, SEGMENT = 32, 512  # rows; pixels
STEP = 3  # bytes of a pixel
STREAMS = 4  # rows that are read at once

ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
HEAD = 0b100 | 0 << 3 | 1 << 8 | 15 << 13 | sum((4 if each < 16 else 0) << 17 + 3 * i for i, each in enumerate(ORDER))
HEAD_LOW, HEAD_HIGH = np.uint64(HEAD & (1 << 64) - 1), np.uint64(HEAD >> 64)
HEAD_BITS = 17 + 3 * len(ORDER)
DATA_AT = HEAD_BITS + 4 * (SYMBOLS + 2)  # bits of a block before its first symbol
REVERSED = np.array([int(f"{i:04b}"[::-1], 2) for i in range(16)], np.uint8)
TAIL = b"\0\0\xff\xff"  # of the empty stored block: no bytes, and the complement of that number

LOOKS = 57 // LIMIT  # that many codes are whole in the bits that one load is sure to give
AHEAD = 3 * LOOKS  # bytes that these can mean
SLACK = AHEAD + 4  # bytes that may be written behind a row
LOADED, CHECKSUM = 8, 4  # bytes

WORD, LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN = (np.uint64(i) for i in range(8))
BYTE = np.uint64(8)  # bits
LOOK = np.uint64((1 << LIMIT) - 1)

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint32]
Whole = int | np.int64  # numba makes no difference
Segments = NDArray[np.uint16]  # (rows, segments of a row): bits


# ---- writing -------------------------------------------------------------------------------------------------


@kernel("int64(uint8[:, ::1], uint32[::1], uint16[:, ::1])")
def write_band(filtered: Bytes, words: Words, segments: Segments) -> Whole:
    """Write `filtered` (rows, 1 + N) into `words`, and how many bits the segments of each row took.

    Returns how many bytes are written, all but TAIL. There must be words for DATA_AT and LIMIT bits a byte.
    """
    counts = np.zeros(SYMBOLS, np.int64)
    for y in range(filtered.shape[0]):
        for x in range(filtered.shape[1]):
            counts[filtered[y, x]] += 1
    counts[END] = 1
    lengths = code_lengths(counts, LIMIT)
    codes, entries = codes_of(lengths), np.zeros(SYMBOLS, np.int64)
    for symbol in range(SYMBOLS):
        entries[symbol] = np.int64(codes[symbol]) | np.int64(lengths[symbol]) << 32  # the code, above it its length
    words[0], words[1] = HEAD_LOW & LOW, HEAD_LOW >> WORD
    at: Whole = np.int64(2)
    waiting, bits = HEAD_HIGH, np.uint64(HEAD_BITS - 64)
    for symbol in range(SYMBOLS + 2):
        length = np.int64(lengths[symbol]) if symbol < SYMBOLS else 1
        at, waiting, bits = _put(words, at, waiting, bits, np.uint64(REVERSED[length]) | np.uint64(4) << WORD)
    for y in range(filtered.shape[0]):
        at, waiting, bits = _put(words, at, waiting, bits, np.uint64(entries[filtered[y, 0]]))
        for segment in range(segments.shape[1]):
            before = 32 * at + np.int64(bits)
            first = 1 + STEP * SEGMENT * segment
            for x in range(first, min(first + STEP * SEGMENT, filtered.shape[1])):
                at, waiting, bits = _put(words, at, waiting, bits, np.uint64(entries[filtered[y, np.uint64(x)]]))
            segments[y, segment] = 32 * at + np.int64(bits) - before
    at, waiting, bits = _put(words, at, waiting, bits, np.uint64(entries[END]))
    words[at], words[at + 1] = waiting, 0
    return (32 * at + np.int64(bits) + 3 + 7) // 8  # 3 zeros begin the stored block


@kernel("Tuple((int64, uint64, uint64))(uint32[::1], int64, uint64, uint64, uint64)")
def _put(
    words: Words, at: Whole, waiting: np.uint64, bits: np.uint64, entry: np.uint64
) -> tuple[Whole, np.uint64, np.uint64]:
    """Append a code to the `bits` (below 32) that wait for word `at`; write the word, and go on if it is full."""
    waiting |= (entry & LOW) << bits
    bits += entry >> WORD
    words[at] = waiting & LOW
    full = bits >> FIVE  # 0 or 1, without a branch
    return at + np.int64(full), waiting >> (full << FIVE), bits & np.uint64(31)


# ---- reading -------------------------------------------------------------------------------------------------


@kernel("boolean(Array(uint8, 1, 'C', True), Array(uint16, 2, 'C', True), int64, int64, int64, uint8[:, ::1])")
def read_band(  # noqa: PLR0912  calls would be compiled one by one
    block: Bytes, segments: Segments, columns: int, first: int, left: int, rows: Bytes
) -> bool:
    """Read rows `first` and following of a band into `rows` (n, N), each from pixel `left` on.

    `block`: the band's block, TAIL, and the four bytes of the chunk's checksum. `segments`: those of the band's rows,
    of `columns` pixels. False where these are not of each other. Whatever they hold, nothing outside is touched.
    """
    lengths = np.zeros(SYMBOLS, np.uint8)
    if not _read_head(block, lengths):
        return False
    codes, starts = codes_of(lengths), _row_starts(segments, lengths)
    if (starts[-1] + lengths[END] + 3 + 7) // 8 + len(TAIL) + CHECKSUM != block.size:
        return False  # behind this line every place in `starts` can be loaded
    if not _is_there(block, starts[-1], codes[END], lengths[END]):
        return False
    table = np.zeros(1 << LIMIT, np.uint32)
    fill_table(codes, lengths, table)
    first_segment, stop_segment = left // SEGMENT, (left + rows.shape[1] // STEP - 1) // SEGMENT + 1
    row_bytes, stop = rows.shape[1], first + rows.shape[0]
    pixels = np.zeros((STREAMS, STEP * columns + SLACK), np.uint8)
    places, ends = np.zeros(STREAMS, np.int64), np.zeros(STREAMS, np.int64)
    above = np.zeros(row_bytes, np.uint8)
    for y in range(0, stop, STREAMS):
        begin = first_segment if y else 0  # filter Sub goes along all of the first row
        count = STEP * (min(stop_segment * SEGMENT, columns) - begin * SEGMENT)
        for k in range(STREAMS):
            this = min(y + k, stop - 1)  # where there are fewer rows, the last one is read again
            code = UP if this else SUB
            if not _is_there(block, starts[this] - lengths[code], codes[code], lengths[code]):
                return False
            places[k] = starts[this]
            for segment in range(begin):
                places[k] += segments[this, segment]
            ends[k] = places[k]
            for segment in range(begin, stop_segment):
                ends[k] += segments[this, segment]
        _read_rows(block, places, table, lengths, pixels, count)
        for k in range(STREAMS):
            if places[k] != ends[k]:
                return False
        if y == 0:
            for x in range(STEP, count):
                pixels[0, np.uint64(x)] += pixels[0, np.uint64(x - STEP)]
        at = STEP * (left - begin * SEGMENT)
        for k in range(min(STREAMS, stop - y)):
            for x in range(row_bytes):
                above[x] += pixels[k, np.uint64(at + x)]  # not negative: else numba would look at each
            if y + k >= first:
                for x in range(row_bytes):
                    rows[np.uint64(y + k - first), x] = above[x]
    return True


@kernel("boolean(Array(uint8, 1, 'C', True), uint8[::1])")
def _read_head(block: Bytes, lengths: Lengths) -> bool:
    """Read the length of every symbol's code; False where there is no HEAD, or no code has such lengths."""
    if block.size < DATA_AT // 8 + LOADED or _bits(block, np.uint64(0)) != HEAD_LOW:
        return False
    if _bits(block, np.uint64(64)) & np.uint64((1 << HEAD_BITS - 64) - 1) != HEAD_HIGH:
        return False
    for symbol in range(SYMBOLS):
        lengths[symbol] = REVERSED[_bits(block, np.uint64(HEAD_BITS + 4 * symbol)) & np.uint64(15)]
    return bool(is_complete(lengths) and lengths[END] > 0)


@kernel("boolean(Array(uint8, 1, 'C', True), int64, int64, int64)")
def _is_there(block: Bytes, place: int, code: int, length: int) -> bool:
    """Whether a symbol of this code, of `length` bits, stands at bit `place`; not if there is none of it."""
    return length > 0 and _bits(block, np.uint64(place)) & np.uint64((1 << length) - 1) == np.uint64(code)


@kernel("int64[::1](Array(uint16, 2, 'C', True), uint8[::1])")
def _row_starts(segments: Segments, lengths: Lengths) -> NDArray[np.int64]:
    """(rows + 1,): at which bit of the block the first pixel of every row is; at last where the rows end."""
    starts = np.zeros(segments.shape[0] + 1, np.int64)
    at = np.int64(DATA_AT)
    for y in range(segments.shape[0]):
        at += lengths[UP if y else SUB]
        starts[y] = at
        for segment in range(segments.shape[1]):
            at += segments[y, segment]
    starts[-1] = at
    return starts


@kernel("void(Array(uint8, 1, 'C', True), int64[::1], uint32[::1], uint8[::1], uint8[:, ::1], int64)")
def _read_rows(
    block: Bytes, places: NDArray[np.int64], table: Table, lengths: Lengths, pixels: Bytes, count: int
) -> None:
    """Read `count` bytes from each of four places (bits) into a row of `pixels`; moves the places behind them.

    A look into the table waits for the one before, so four rows take turns: three times as fast as one after the other.
    """
    last = np.uint64(8 * (block.size - LOADED))
    p0, p1, p2, p3 = np.uint64(places[0]), np.uint64(places[1]), np.uint64(places[2]), np.uint64(places[3])
    x0 = x1 = x2 = x3 = np.uint64(0)
    stop = np.uint64(max(0, count - AHEAD + 1))
    while max(max(x0, x1), max(x2, x3)) < stop and max(max(p0, p1), max(p2, p3)) <= last:  # noqa: PLW3301
        w0, w1, w2, w3 = _bits(block, p0), _bits(block, p1), _bits(block, p2), _bits(block, p3)
        for _ in range(LOOKS):
            p0, x0, w0 = _look(table, pixels, ZERO, p0, x0, w0)
            p1, x1, w1 = _look(table, pixels, ONE, p1, x1, w1)
            p2, x2, w2 = _look(table, pixels, TWO, p2, x2, w2)
            p3, x3, w3 = _look(table, pixels, THREE, p3, x3, w3)
    places[0] = _read_rest(block, last, p0, table, lengths, pixels, ZERO, x0, count)
    places[1] = _read_rest(block, last, p1, table, lengths, pixels, ONE, x1, count)
    places[2] = _read_rest(block, last, p2, table, lengths, pixels, TWO, x2, count)
    places[3] = _read_rest(block, last, p3, table, lengths, pixels, THREE, x3, count)


@kernel("Tuple((uint64, uint64, uint64))(uint32[::1], uint8[:, ::1], uint64, uint64, uint64, uint64)")
def _look(
    table: Table, pixels: Bytes, k: np.uint64, place: np.uint64, x: np.uint64, waiting: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Write the up to three bytes that the next bits mean at `x`; what is too much is overwritten.

    Four are written, for the compiler makes one instruction of that.
    """
    entry = table[waiting & LOOK]
    pixels[k, x] = entry
    pixels[k, x + ONE] = entry >> np.uint32(8)
    pixels[k, x + TWO] = entry >> np.uint32(16)
    pixels[k, x + THREE] = entry >> np.uint32(24)
    used = np.uint64(entry >> np.uint32(BITS_AT))
    return place + used, x + np.uint64(entry >> np.uint32(COUNT_AT) & np.uint32(3)), waiting >> used


@kernel(
    "int64(Array(uint8, 1, 'C', True), uint64, uint64, uint32[::1], uint8[::1], uint8[:, ::1], uint64, uint64, int64)"
)
def _read_rest(
    block: Bytes,
    last: np.uint64,
    place: np.uint64,
    table: Table,
    lengths: Lengths,
    pixels: Bytes,
    k: np.uint64,
    x: np.uint64,
    count: int,
) -> Whole:
    """Read one row on, up to `count` bytes: the place behind them."""
    stop = np.uint64(max(0, count - AHEAD + 1))
    while x < stop and place <= last:
        waiting = _bits(block, place)
        for _ in range(LOOKS):
            place, x, waiting = _look(table, pixels, k, place, x, waiting)
    for rest in range(np.int64(x), count):  # the last ones byte by byte, so as to stop there
        if place > last:
            break
        pixels[k, rest] = table[_bits(block, place) & LOOK] & np.uint32(255)
        place += np.uint64(lengths[pixels[k, rest]])
    return np.int64(place)


@kernel("uint64(Array(uint8, 1, 'C', True), uint64)")
def _bits(block: Bytes, place: np.uint64) -> np.uint64:
    """The next 57 bits or more from bit `place` on: of eight bytes, which the compiler loads by one instruction."""
    at = place >> THREE
    word = np.uint64(block[at])
    word |= np.uint64(block[at + ONE]) << BYTE
    word |= np.uint64(block[at + TWO]) << TWO * BYTE
    word |= np.uint64(block[at + THREE]) << THREE * BYTE
    word |= np.uint64(block[at + FOUR]) << FOUR * BYTE
    word |= np.uint64(block[at + FIVE]) << FIVE * BYTE
    word |= np.uint64(block[at + SIX]) << SIX * BYTE
    word |= np.uint64(block[at + SEVEN]) << SEVEN * BYTE
    return word >> (place & SEVEN)
