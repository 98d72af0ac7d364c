"""Loops for the CPU that PyTorch has no operator for, compiled by Numba when they are first used.

Each row is computed alone and in a fixed order, so that its bits do not depend on its neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

# Sums may be taken in vector lanes; infinities and NaN stay what they are.
_FAST = {"contract", "reassoc", "nsz", "arcp", "afn"}
# Products are added in the order in which they are written.
_IN_ORDER = {"contract"}
_ZERO = np.float32(0)


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


def _load(stored: Any) -> Any:
    """A number of the cache as float32: bf16, which NumPy lacks, is the upper half of one."""
    raise NotImplementedError  # compiled code has the versions below


@overload(_load, inline="always")
def _load_compiled(stored):  # type: ignore[no-untyped-def]
    if stored == types.uint16:
        return lambda stored: _as_float(np.uint32(stored) << np.uint32(16))
    return lambda stored: stored


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


@njit(fastmath=_FAST, nogil=True, error_model="numpy", cache=True)
def attend(qkv, slots, lengths, keys, values, first, past, weights, out):  # type: ignore[no-untyped-def]
    """A decoding step's attention: one query a row over what stands in the row's slot.

    qkv (rows, 3, heads, depth) float32, slots (rows) the row's slots, lengths (slots) how many
    places of a slot are filled, keys and values (slots, heads, capacity, depth) float32 or the bits
    of bf16. The new keys and values are put into place `lengths`, and seen. -> out (rows, heads,
    depth). The first heads, as many as `weights` (rows, guided, capacity) has, see only the places
    from `first` (rows) up to `past` (rows), at least one, and note there how much of each.
    """
    rows, _, heads, depth = qkv.shape
    guided = weights.shape[1]
    scores = np.empty(keys.shape[2], np.float32)
    query = np.empty(depth, np.float32)
    found = np.empty(depth, np.float32)
    scale = np.float32(1 / np.sqrt(np.float32(depth)))
    for row in range(rows):
        slot = slots[row]
        new = lengths[slot]
        for head in range(heads):
            K, V = keys[slot, head], values[slot, head]
            for d in range(depth):
                K[new, d] = _rounded(qkv[row, 1, head, d], K[new, d])
                V[new, d] = _rounded(qkv[row, 2, head, d], V[new, d])
                query[d] = qkv[row, 0, head, d] * scale
                found[d] = _ZERO
            start, stop = (first[row], past[row]) if head < guided else (0, new + 1)
            for t in range(start, stop):
                score = _ZERO
                for d in range(depth):
                    score += query[d] * _load(K[t, d])
                scores[t] = score
            top = scores[start]
            for t in range(start, stop):
                top = max(top, scores[t])
            total = _ZERO
            for t in range(start, stop):
                share = _exp(scores[t] - top)
                scores[t] = share
                total += share
            fours = start + (stop - start) // 4 * 4
            for t in range(start, fours, 4):
                one, two, three, four = scores[t], scores[t + 1], scores[t + 2], scores[t + 3]
                for d in range(depth):
                    found[d] += (one * _load(V[t, d]) + two * _load(V[t + 1, d])) + (
                        three * _load(V[t + 2, d]) + four * _load(V[t + 3, d])
                    )
            for t in range(fours, stop):
                one = scores[t]
                for d in range(depth):
                    found[d] += one * _load(V[t, d])
            for d in range(depth):
                out[row, head, d] = found[d] / total
            if head < guided:
                for t in range(start, stop):
                    weights[row, head, t] = scores[t] / total


@njit(fastmath=_IN_ORDER, nogil=True, error_model="numpy", cache=True)
def multiply_row(x, weights, bias, span, relu, out):  # type: ignore[no-untyped-def]
    """x (inputs) times weights (stretches, inputs, outputs of each), and the bias, and nothing
    below 0 if `relu` -> out (stretches, outputs of each); inputs are added up in their order, those
    of each `span`, a multiple of 4, apart."""
    stretches, inputs, outputs = weights.shape
    total, part = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    for stretch in range(stretches):
        W = weights[stretch]
        for n in range(outputs):
            total[n] = _ZERO
        for start in range(0, inputs, span):
            for n in range(outputs):
                part[n] = _ZERO
            for k in range(start, start + span, 4):
                one, two, three, four = x[k], x[k + 1], x[k + 2], x[k + 3]
                for n in range(outputs):
                    y = part[n] + one * W[k, n]
                    y = y + two * W[k + 1, n]
                    y = y + three * W[k + 2, n]
                    part[n] = y + four * W[k + 3, n]
            for n in range(outputs):
                total[n] += part[n]
        for n in range(outputs):
            y = total[n] + bias[stretch, n]
            out[stretch, n] = max(y, _ZERO) if relu else y


@njit(fastmath=_FAST, nogil=True, error_model="numpy", cache=True)
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


@njit(fastmath=_FAST, nogil=True, error_model="numpy", cache=True)
def dequantise(products, by_row, by_output, bias, relu, out):  # type: ignore[no-untyped-def]
    """products (rows, width) int32 times by_row (rows) and by_output (width), and the bias (width),
    and nothing below 0 if `relu` -> out (rows, width) float32."""
    rows, width = products.shape
    least = _ZERO if relu else np.float32(-np.inf)
    for row in range(rows):
        for i in range(width):
            y = np.float32(products[row, i]) * (by_row[row] * by_output[i]) + bias[i]
            out[row, i] = max(y, least)
