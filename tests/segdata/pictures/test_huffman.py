"""Huffman codes against brute force, a heap, and the example of RFC 1951."""

import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdata.pictures.huffman import BITS_AT, COUNT_AT, LIMIT, SYMBOLS, code_lengths, codes_of, fill_table, is_complete

COUNTS = st.lists(st.integers(1, 10**6), min_size=2, max_size=SYMBOLS)


def bits(counts: list[int], lengths: np.ndarray) -> int:
    return int((np.array(counts) * lengths).sum())


def kraft(lengths: np.ndarray) -> float:
    return sum(2.0**-length for length in lengths.tolist() if length)


@given(st.lists(st.integers(1, 60), min_size=2, max_size=5), st.integers(3, 4))
@settings(deadline=None, max_examples=60)
def test_no_lengths_below_the_limit_are_shorter(counts: list[int], limit: int) -> None:
    """Few symbols: every choice of lengths that decodes is tried."""
    lengths = code_lengths(np.array(counts), limit)
    choices = (np.array(each) for each in itertools.product(range(1, limit + 1), repeat=len(counts)))
    assert lengths.max() <= limit
    assert kraft(lengths) == 1
    assert bits(counts, lengths) == min(bits(counts, each) for each in choices if kraft(each) <= 1)


@given(COUNTS)
@settings(deadline=None)
def test_as_short_as_without_a_limit(counts: list[int]) -> None:
    """Where 40 bits are allowed: the bits of Huffman's own construction, two lightest first."""
    heap, total = list(counts), 0
    heapq.heapify(heap)
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        heapq.heappush(heap, both)
        total += both
    assert bits(counts, code_lengths(np.array(counts), 40)) == total


def test_the_limit_holds() -> None:
    """Fibonacci's numbers would have lengths up to 29; symbols that do not occur have no code."""
    counts = np.zeros(SYMBOLS, np.int64)
    counts[10:40] = [round(1.618034**k) for k in range(30)]
    lengths = code_lengths(counts, LIMIT)
    assert lengths.max() == LIMIT
    assert is_complete(lengths)
    assert ((lengths > 0) == (counts > 0)).all()


def test_codes_of_the_rfc() -> None:
    """Section 3.2.2: A to H of lengths 3 3 3 3 3 2 4 4; written from their first bit on."""
    lengths = np.array([3, 3, 3, 3, 3, 2, 4, 4], np.uint8)
    expected = ["010", "011", "100", "101", "110", "00", "1110", "1111"]
    codes = codes_of(lengths).tolist()
    assert [f"{code:0{length}b}"[::-1] for code, length in zip(codes, lengths.tolist(), strict=True)] == expected


@pytest.mark.parametrize("lengths", [[1, 2], [1, 1, 1], [1], [0, 0], [1, 2, 13, 13], [255, 1, 1]])
def test_lengths_that_are_no_code(lengths: list[int]) -> None:
    """Bits without a meaning, or with two, or codes that are too long."""
    assert not is_complete(np.array(lengths, np.uint8))


@given(COUNTS)
@settings(deadline=None, max_examples=30)
def test_the_table_reads_up_to_three(counts: list[int]) -> None:
    """Every entry holds what its bits mean, code after code, as many as are whole, three at most."""
    lengths = code_lengths(np.array(counts), LIMIT)
    symbol_of = {
        f"{code:0{length}b}"[::-1]: symbol
        for symbol, (code, length) in enumerate(zip(codes_of(lengths).tolist(), lengths.tolist(), strict=True))
    }
    table = np.empty(1 << LIMIT, np.uint32)
    fill_table(codes_of(lengths), lengths, table)
    for index in range(0, 1 << LIMIT, 7):
        text, found, code, used = f"{index:0{LIMIT}b}"[::-1], [], "", 0
        for at, bit in enumerate(text):
            code += bit
            if code in symbol_of and len(found) < 3:
                found.append(symbol_of[code] & 255)
                code, used = "", at + 1
        found += [0] * (3 - (count := len(found)))
        entry = found[0] | found[1] << 8 | found[2] << 16 | count << COUNT_AT | used << BITS_AT
        assert table[index] == entry
