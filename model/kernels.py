"""Loops for the CPU that PyTorch has no operator for, compiled by Numba when they are first used.

Each row is computed alone and in a fixed order, so that its bits do not depend on its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numba.extending import overload

intrinsic: Any = extending.intrinsic  # for type checkers, what it decorates is called otherwise

LANES = 16
"""float32 in a vector of AVX-512; the compiler makes several of one where there are fewer."""
EIGHT, ONE = (0,) * 8, (0,)
AHEAD = 1024
"""Bytes of keys that are fetched before they are needed; 2 and 4 KB are no better."""
FUSED = ("contract",)
# Sums may be taken in vector lanes; infinities and NaN stay what they are.
_FAST = {"contract", "reassoc", "nsz", "arcp", "afn"}
# Products are added in the order in which they are written.
_IN_ORDER = {"contract"}
_ZERO = np.float32(0)


def _compiled(fastmath: set[str]) -> Callable[[Any], Any]:
    """Compiles a function; keeps it on disk, beside this file or in the user's cache, if it can."""

    def decorate(function: Any) -> Any:
        options: dict[str, Any] = {"fastmath": fastmath, "nogil": True, "error_model": "numpy"}
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # Numba found no folder that it may write into
            return njit(**options)(function)

    return decorate


@intrinsic
def _as_float(_: Any, bits: Any) -> Any:
    """The float32 that has these bits."""
    return types.float32(types.uint32), lambda context, builder, signature, args: builder.bitcast(
        args[0], ir.FloatType()
    )


@intrinsic
def _as_bits(_: Any, value: Any) -> Any:
    """The bits of a float32."""
    return types.uint32(types.float32), lambda context, builder, signature, args: builder.bitcast(
        args[0], ir.IntType(32)
    )


@njit(fastmath=_FAST, inline="always")
def _exp(x):  # type: ignore[no-untyped-def]
    """e to the power of x, at most 0, to 2 units in the last place (the Cephes library's
    polynomial); without a call, so that it is vectorised."""
    x = max(x, np.float32(-87.0))
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - n * np.float32(0.693359375)
    r = r + n * np.float32(2.12194440e-4)
    y = np.float32(1.9875691500e-4)
    y = y * r + np.float32(1.3981999507e-3)
    y = y * r + np.float32(8.3334519073e-3)
    y = y * r + np.float32(4.1665795894e-2)
    y = y * r + np.float32(1.6666665459e-1)
    y = y * r + np.float32(5.0000001201e-1)
    y = y * r * r + r + np.float32(1)
    return y * _as_float(np.uint32((np.int32(n) + np.int32(127)) << np.int32(23)))


def _vectors(builder: Any, address: Any, stored: Any, count: int) -> list[Any]:
    """Code that loads so many numbers, float32 or the bits of bf16, as vectors of at most
    `LANES` float32."""
    lanes = math.gcd(count, LANES)
    narrow = stored == types.uint16
    element = ir.IntType(16) if narrow else ir.FloatType()
    pointer = builder.inttoptr(address, ir.VectorType(element, lanes).as_pointer())
    loaded = []
    for place in range(count // lanes):
        at = builder.gep(pointer, [ir.Constant(ir.IntType(64), place)])
        vector = builder.load(at, align=element.width // 8 if narrow else 4)
        if narrow:  # bf16 is the upper half of float32
            whole = ir.VectorType(ir.IntType(32), lanes)
            shift = ir.Constant(whole, [16] * lanes)
            bits = builder.shl(builder.zext(vector, whole), shift)
            vector = builder.bitcast(bits, ir.VectorType(ir.FloatType(), lanes))
        loaded.append(vector)
    return loaded


@intrinsic
def _prefetch(_: Any, address: Any) -> Any:
    """Has a line of memory fetched that is needed soon."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        fetch = builder.module.declare_intrinsic(
            "llvm.prefetch", (pointer,), ir.FunctionType(ir.VoidType(), [pointer, *[number] * 3])
        )
        to_read, near, data = (ir.Constant(number, value) for value in (0, 3, 1))
        builder.call(fetch, [builder.inttoptr(args[0], pointer), to_read, near, data])
        return context.get_dummy_value()

    return types.void(types.uintp), code


@intrinsic
def _dot(_: Any, left: Any, right: Any, stored: Any, depth: Any) -> Any:
    """Sum of the products of float32 at the address `left` and numbers of `stored`'s type at
    `right`, as many as the tuple `depth` is long."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = zip(
            _vectors(builder, args[0], types.float32, len(depth)),
            _vectors(builder, args[1], stored, len(depth)),
            strict=True,
        )
        total: Any = None
        for one, other in pairs:
            product = builder.fmul(one, other, flags=FUSED)
            total = product if total is None else builder.fadd(product, total, flags=FUSED)
        while total.type.count > 1:  # the upper half to the lower one
            half = total.type.count // 2
            nothing = ir.Constant(total.type, ir.Undefined)
            parts = []
            for first in (0, half):
                lanes = ir.Constant(
                    ir.VectorType(ir.IntType(32), half), list(range(first, first + half))
                )
                parts.append(builder.shuffle_vector(total, nothing, lanes))
            total = builder.fadd(*parts)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(types.uintp, types.uintp, stored, depth), code


@intrinsic
def _add(_: Any, sums: Any, shares: Any, stored: Any, right: Any, rows: Any, depth: Any) -> Any:
    """Adds to the float32 at the address `sums` the rows of numbers of `stored`'s type that stand
    at `right` one behind the other, each times its float32 at `shares`; there are as many rows and
    numbers in each as the tuples are long."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, factors, _, source, _, _ = args
        made = _vectors(builder, target, types.float32, len(depth))
        lanes = made[0].type.count
        size = 2 if stored == types.uint16 else 4
        for row in range(len(rows)):
            at = builder.add(factors, ir.Constant(factors.type, 4 * row))
            factor = builder.load(builder.inttoptr(at, ir.FloatType().as_pointer()), align=4)
            spread = ir.Constant(ir.VectorType(ir.FloatType(), lanes), ir.Undefined)
            for lane in range(lanes):
                place = ir.Constant(ir.IntType(32), lane)
                spread = builder.insert_element(spread, factor, place)
            here = builder.add(source, ir.Constant(source.type, size * row * len(depth)))
            vectors = _vectors(builder, here, stored, len(depth))
            made = [
                builder.fadd(builder.fmul(vector, spread, flags=FUSED), total, flags=FUSED)
                for vector, total in zip(vectors, made, strict=True)
            ]
        pointer = builder.inttoptr(target, made[0].type.as_pointer())
        for place, vector in enumerate(made):
            at = builder.gep(pointer, [ir.Constant(ir.IntType(64), place)])
            builder.store(vector, at, align=4)
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp, stored, types.uintp, rows, depth), code


def _rounded(value: Any, stored: Any) -> Any:
    """A float32 as the type of `stored`, a number of the cache."""
    raise NotImplementedError


@overload(_rounded, inline="always")
def _rounded_compiled(value, stored):  # type: ignore[no-untyped-def]
    if stored != types.uint16:
        return lambda value, stored: value

    def nearest(value, stored):  # type: ignore[no-untyped-def]
        bits = _as_bits(value)
        odd = (bits >> np.uint32(16)) & np.uint32(1)
        return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))

    return nearest


@_compiled(_FAST)
def attend(  # type: ignore[no-untyped-def]
    qkv, slots, lengths, keys, values, first, past, weights, out, lanes
):
    """A decoding step's attention: one query a row over what stands in the row's slot.

    qkv (rows, 3, heads, depth) float32, slots (rows) the row's slots, lengths (slots) how many
    places of a slot are filled, keys and values (slots, heads, capacity, depth) float32 or the bits
    of bf16; all contiguous. The new keys and values are put into place `lengths`, and seen. -> out
    (rows, heads, depth). The first heads, as many as `weights` (rows, guided, capacity) has, see
    only the places from `first` (rows) up to `past` (rows), at least one, and note there how much
    of each. `lanes` is a tuple as long as the depth: code is compiled for its length.
    """
    rows, _, heads, depth = qkv.shape
    capacity, guided = keys.shape[2], weights.shape[1]
    scores = np.empty(capacity, np.float32)
    query = np.empty(depth, np.float32)
    at_query, at_scores = query.ctypes.data, scores.ctypes.data
    one = keys[0, 0, 0, 0]
    size = keys.itemsize * depth
    scale = np.float32(1 / np.sqrt(np.float32(depth)))
    for row in range(rows):
        slot = slots[row]
        new = lengths[slot]
        for head in range(heads):
            K, V, found = keys[slot, head], values[slot, head], out[row, head]
            for d in range(depth):
                K[new, d] = _rounded(qkv[row, 1, head, d], one)
                V[new, d] = _rounded(qkv[row, 2, head, d], one)
                query[d] = qkv[row, 0, head, d] * scale
                found[d] = _ZERO
            start, stop = (first[row], past[row]) if head < guided else (0, new + 1)
            count = stop - start
            offset = size * ((slot * heads + head) * capacity + start)
            at_key, at_value = keys.ctypes.data + offset, values.ctypes.data + offset
            for t in range(count):
                for line in range(0, size, 64):
                    # The next keys, and the values, which come after them.
                    _prefetch(at_value + size * t + line)
                    _prefetch(at_key + AHEAD + size * t + line)
                scores[t] = _dot(at_query, at_key + size * t, one, lanes)
            top = scores[0]
            for t in range(count):
                top = max(top, scores[t])
            total = _ZERO
            for t in range(count):
                share = _exp(scores[t] - top)
                scores[t] = share
                total += share
            at_found = found.ctypes.data
            eights = count // 8 * 8
            for t in range(0, eights, 8):
                _add(at_found, at_scores + 4 * t, one, at_value + size * t, EIGHT, lanes)
            for t in range(eights, count):
                _add(at_found, at_scores + 4 * t, one, at_value + size * t, ONE, lanes)
            for d in range(depth):
                found[d] /= total
            if head < guided:
                for t in range(count):
                    weights[row, head, start + t] = scores[t] / total


@_compiled(_IN_ORDER)
def multiply_row(x, weights, bias, span, relu, out, lanes):  # type: ignore[no-untyped-def]
    """x (inputs) times weights (stretches, inputs, outputs of each), and the bias, and nothing
    below 0 if `relu` -> out (stretches, outputs of each); inputs are added up in their order, those
    of each `span`, a multiple of 8, apart. All float32 and contiguous; `lanes` is a tuple as long
    as a stretch has outputs: code is compiled for its length."""
    stretches, inputs, outputs = weights.shape
    total, part = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    at_part, at_x, at_weights = part.ctypes.data, x.ctypes.data, weights.ctypes.data
    one, row = weights[0, 0, 0], weights.itemsize * outputs
    for stretch in range(stretches):
        here = at_weights + row * inputs * stretch
        for n in range(outputs):
            total[n] = _ZERO
        for start in range(0, inputs, span):
            for n in range(outputs):
                part[n] = _ZERO
            for k in range(start, start + span, 8):
                _add(at_part, at_x + 4 * k, one, here + row * k, EIGHT, lanes)
            for n in range(outputs):
                total[n] += part[n]
        for n in range(outputs):
            y = total[n] + bias[stretch, n]
            out[stretch, n] = max(y, _ZERO) if relu else y


@_compiled(_FAST)
def quantise(x, values, scales):  # type: ignore[no-untyped-def]
    """x (rows, width) float32 -> values int8 and scales (rows), whose product is x, rounded."""
    rows, width = x.shape
    for row in range(rows):
        top = np.float32(1e-12)
        for i in range(width):
            top = max(top, abs(x[row, i]))
        scales[row] = top / np.float32(127)
        inverse = np.float32(127) / top
        for i in range(width):
            values[row, i] = np.int8(np.rint(x[row, i] * inverse))


@_compiled(_FAST)
def dequantise(products, by_row, by_output, bias, relu, out):  # type: ignore[no-untyped-def]
    """products (rows, width) int32 times by_row (rows) and by_output (width), and the bias (width),
    and nothing below 0 if `relu` -> out (rows, width) float32."""
    rows, width = products.shape
    least = _ZERO if relu else np.float32(-np.inf)
    for row in range(rows):
        for i in range(width):
            y = np.float32(products[row, i]) * (by_row[row] * by_output[i]) + bias[i]
            out[row, i] = max(y, least)
