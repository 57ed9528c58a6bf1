"""Huffman codes as deflate has them (RFC 1951, section 3.2): the best lengths, the codes, and a table to read by.

Symbols 0 to 255 are the bytes, 256 is the end of a block. No code is longer than LIMIT bits, of the 15 that deflate
allows: that costs a quarter of a percent, and every symbol is read by one look into a table of the first cache.
"""

import numpy as np
from numpy.typing import NDArray

from segdata.base.kernels import kernel

SYMBOLS, END = 257, 256
LIMIT = 12

# An entry of the table: up to three bytes, the first lowest; how many; and how many bits they take.
COUNT_AT, BITS_AT = 26, 28

Counts = NDArray[np.int64]
Lengths = NDArray[np.uint8]  # of each symbol's code in bits, 0 if it has none
Codes = NDArray[np.uint32]  # first bit lowest, as they are written
Table = NDArray[np.uint32]


@kernel("uint8[::1](int64[::1], int64)")
def code_lengths(counts: Counts, limit: int) -> Lengths:
    """The lengths, none above `limit`, that make these counts of symbols shortest; at least two must be present.

    Package-merge (Larmore and Hirschberg, 1990): level by level, the symbols and the pairs of the level before are
    sorted by weight; of the last level the first 2 n - 2 are taken, with the pairs in them all they were made of.
    A symbol's length is how often it was taken. Ties go to the symbol, among symbols to the lower: one answer.
    """
    keys = np.zeros(len(counts), np.int64)  # weight and symbol in one number: what is sorted
    n = 0
    for symbol in range(len(counts)):
        if counts[symbol]:
            keys[n] = counts[symbol] * SYMBOLS + symbol
            n += 1
    _sort(keys, n)
    is_symbol = np.zeros(limit * 2 * n, np.uint8)  # of each level, which places are symbols'
    before, level = np.zeros(2 * n, np.int64), np.zeros(2 * n, np.int64)
    size = 0
    for depth in range(limit):
        pairs, symbol, pair = size // 2, 0, 0
        size = n + pairs
        for place in range(size):
            weight = before[2 * pair] + before[2 * pair + 1] if pair < pairs else np.int64(0)
            if pair == pairs or (symbol < n and keys[symbol] // SYMBOLS <= weight):
                is_symbol[depth * 2 * n + place] = 1
                level[place] = keys[symbol] // SYMBOLS
                symbol += 1
            else:
                level[place] = weight
                pair += 1
        before, level = level, before
    lengths = np.zeros(len(counts), np.uint8)
    taken = 2 * n - 2
    for depth in range(limit - 1, -1, -1):
        chosen = 0
        for place in range(taken):
            chosen += is_symbol[depth * 2 * n + place]
        for i in range(chosen):
            lengths[keys[i] % SYMBOLS] += 1
        taken = 2 * (taken - chosen)
    return lengths


@kernel("void(int64[::1], int64)")
def _sort(keys: Counts, n: int) -> None:
    """Shell's way: the first `n` numbers upwards. There are 257 at most, and np.sort takes a second to compile."""
    gap = n // 2
    while gap:
        for i in range(gap, n):
            key, at = keys[i], i
            while at >= gap and keys[at - gap] > key:
                keys[at] = keys[at - gap]
                at -= gap
            keys[at] = key
        gap //= 2


@kernel("uint32[::1](Array(uint8, 1, 'C', True))")
def codes_of(lengths: Lengths) -> Codes:
    """Deflate's codes of these lengths: counted upwards, the shorter first, then the lower symbol."""
    counts, following = np.zeros(LIMIT + 2, np.int64), np.zeros(LIMIT + 2, np.int64)
    for symbol in range(len(lengths)):
        counts[lengths[symbol]] += 1
    for length in range(1, LIMIT + 1):
        following[length + 1] = (following[length] + counts[length]) << 1
    codes = np.zeros(len(lengths), np.uint32)
    for symbol in range(len(lengths)):
        code = following[lengths[symbol]]
        following[lengths[symbol]] += 1
        for _ in range(lengths[symbol]):
            codes[symbol] = codes[symbol] << 1 | code & 1
            code >>= 1
    return codes


@kernel("boolean(Array(uint8, 1, 'C', True))")
def is_complete(lengths: Lengths) -> bool:
    """Whether every sequence of bits means something, and nothing two things: then a table can be filled."""
    room = 1 << LIMIT
    for symbol in range(len(lengths)):
        length = np.int64(lengths[symbol])
        if length > LIMIT:
            return False
        if length:
            room -= 1 << (LIMIT - int(length))
    return room == 0


@kernel("void(Array(uint32, 1, 'C', True), Array(uint8, 1, 'C', True), uint32[::1])")
def fill_table(codes: Codes, lengths: Lengths, table: Table) -> None:
    """Fill `table` (2^LIMIT,) of complete codes: entry `bits & (2^LIMIT - 1)` is what the next bits mean.

    The end of a block stands as a zero byte: whoever knows how many bytes to read never comes to it.
    """
    one = np.zeros(len(table), np.uint32)
    for symbol in range(len(lengths)):
        length = np.int64(lengths[symbol])
        if length:
            entry = np.uint32(symbol & 255) | np.uint32(length) << np.uint32(BITS_AT)
            for bits in range(np.int64(codes[symbol]), len(table), 1 << length):
                one[bits] = entry
    for bits in range(len(table)):
        entry = one[bits]
        used = np.int64(entry >> np.uint32(BITS_AT))
        data = np.int64(entry & np.uint32(255))
        count = 1
        while count < 3:
            entry = one[bits >> used]
            following = np.int64(entry >> np.uint32(BITS_AT))
            if used + following > LIMIT:
                break
            data |= np.int64(entry & np.uint32(255)) << (8 * count)
            used += following
            count += 1
        table[bits] = data | count << COUNT_AT | used << BITS_AT
