"""PNG's filters undone in eight rows at once: vector instructions across rows, since along a row there are none.

A pixel needs its left neighbour undone, so a row by itself is a chain of single steps. But a row may follow one
pixel behind the row above it. Eight rows, each a pixel behind, take a step together: a wavefront.

    row 0   . . . . . . . 0
    row 1   . . . . . . 0
    row 2   . . . . . 0           0: the pixels of one step; what is left of them is done

A step is written with LLVM's vectors, which the compiler maps to the instructions of whichever processor this is:
32 bytes, 4 a row (at 3 bytes a pixel the fourth is computed, stored, and overwritten by the next step).
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from segdata.base.kernels import Intrinsic

ROWS, LANE = 8, 4  # rows at once, bytes of each

WORD, PLACE = ir.IntType(32), ir.IntType(64)
BYTES, PIXELS = ir.VectorType(ir.IntType(8), ROWS * LANE), ir.VectorType(WORD, ROWS)
ONES, ANY = ir.Constant(BYTES, [1] * ROWS * LANE), ir.Constant(PIXELS, ir.Undefined)
# every row's lane moves to the row below; on top comes the first lane of the second operand
DOWN = ir.Constant(ir.VectorType(WORD, ROWS * LANE), [*range(32, 36), *range(28)])

Value = Any  # llvmlite's are not annotated


@Intrinsic
def advance(
    context: Any, filtered: Any, rows: Any, masks: Any, filtered_pitch: Any, pitch: Any, step: Any, count: Any
) -> tuple[Any, Callable[..., Value]]:
    """Take `count` steps: `advance(filtered, rows, masks, filtered_pitch, pitch, step, count)`.

    `filtered`, `rows`: addresses of the pixel of row 0 at the first step, in filtered and in undone bytes; the rows
    are `filtered_pitch` and `pitch` bytes apart, the pixels `step` (3 or 4). Row k begins k pixels further left; what
    is left of there is undone already, and so is the row above row 0. `masks`: address of 4 x 32 bytes, 255 in the
    lanes of the rows that have filter Sub, Up, Average, Paeth. One byte behind every pixel must be there to be read
    and written.
    """
    from numba import types

    signature = types.void(types.uintp, types.uintp, types.uintp, types.intp, types.intp, types.intp, types.intp)
    return signature, _advance


def _advance(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[Value]) -> Value:
    from numba.core import cgutils

    filtered, rows, masks, filtered_pitch, pitch, step, count = arguments
    place = builder.add
    sources = [place(filtered, _times(builder, builder.sub(filtered_pitch, step), k)) for k in range(ROWS)]
    targets = [place(rows, _times(builder, builder.sub(pitch, step), k)) for k in range(ROWS)]
    above_first = builder.sub(rows, pitch)
    chosen = [_load(builder, place(masks, ir.Constant(PLACE, 32 * k)), BYTES) for k in range(4)]

    back = builder.neg(step)
    left = cgutils.alloca_once_value(builder, _gather(builder, [place(t, back) for t in targets]))  # type: ignore[no-untyped-call]
    corner_places = [place(builder.sub(t, pitch), back) for t in targets]
    corner = cgutils.alloca_once_value(builder, _gather(builder, corner_places))  # type: ignore[no-untyped-call]
    with cgutils.for_range(builder, count) as loop:
        along = builder.mul(loop.index, step)
        a, c = builder.load(left), builder.load(corner)
        b = _moved_down(builder, a, _load(builder, place(above_first, along), WORD))
        predictions = (a, b, _average(builder, a, b), _paeth(builder, a, b, c))
        undone = _gather(builder, [place(s, along) for s in sources])
        for prediction, mask in zip(predictions, chosen, strict=True):  # one of the masks at most is set
            undone = builder.add(undone, builder.and_(prediction, mask))
        _scatter(builder, undone, [place(t, along) for t in targets])
        builder.store(undone, left)
        builder.store(b, corner)
    return context.get_dummy_value()


# ---- the arithmetic, on 32 bytes at once ---------------------------------------------------------------------


def _average(builder: ir.IRBuilder, a: Value, b: Value) -> Value:
    """(a + b) >> 1 without the ninth bit."""
    return builder.add(builder.and_(a, b), builder.lshr(builder.xor(a, b), ONES))


def _paeth(builder: ir.IRBuilder, a: Value, b: Value, c: Value) -> Value:
    """Of `a`, `b`, `c` the nearest to a + b - c, ties in this order.

    As in `pngfilter.paeth`: the higher of `a` and `b` where 3 c - a - b reaches down to the lower, the lower where
    it reaches up to the higher, else `c`. With the distances h = higher - c and l = c - lower, not below 0, these
    are 2 l <= h and 2 h <= l; and as l <= h - l, with a difference not below 0, no byte overflows.
    """
    lower = builder.select(builder.icmp_unsigned("<", a, b), a, b)
    higher = builder.select(builder.icmp_unsigned("<", a, b), b, a)
    h, l = _excess(builder, higher, c), _excess(builder, c, lower)  # noqa: E741
    is_higher = builder.icmp_unsigned("<=", l, _excess(builder, h, l))
    is_lower = builder.icmp_unsigned("<=", h, _excess(builder, l, h))
    return builder.select(is_higher, higher, builder.select(is_lower, lower, c))


def _excess(builder: ir.IRBuilder, x: Value, y: Value) -> Value:
    """x - y, or 0 where y is larger."""
    return builder.sub(builder.select(builder.icmp_unsigned(">", x, y), x, y), y)


def _moved_down(builder: ir.IRBuilder, pixels: Value, top: Value) -> Value:
    on_top = builder.insert_element(ANY, top, ir.Constant(WORD, 0))
    return builder.shuffle_vector(pixels, builder.bitcast(on_top, BYTES), DOWN)


# ---- memory --------------------------------------------------------------------------------------------------


def _times(builder: ir.IRBuilder, distance: Value, k: int) -> Value:
    return builder.mul(distance, ir.Constant(PLACE, k))


def _load(builder: ir.IRBuilder, address: Value, kind: ir.Type) -> Value:
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = 1
    return value


def _gather(builder: ir.IRBuilder, addresses: Sequence[Value]) -> Value:
    pixels = ANY
    for k, address in enumerate(addresses):
        pixels = builder.insert_element(pixels, _load(builder, address, WORD), ir.Constant(WORD, k))
    return builder.bitcast(pixels, BYTES)


def _scatter(builder: ir.IRBuilder, undone: Value, addresses: Sequence[Value]) -> None:
    pixels = builder.bitcast(undone, PIXELS)
    for k, address in enumerate(addresses):
        pointer = builder.inttoptr(address, WORD.as_pointer())
        builder.store(builder.extract_element(pixels, ir.Constant(WORD, k)), pointer).align = 1
