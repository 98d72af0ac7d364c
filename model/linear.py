"""Linear layers for inference, their weights packed once for the machine.

On a CPU, f32 and bf16 go to oneDNN with weights in its own layout, which PyTorch's compiler uses,
too; int8 is exact in whole numbers, with a scale for each row of the input and each output. A row
comes to the same bits however many rows stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.kernels import dequantise, multiply_row, quantise

Precision = Literal["f32", "bf16", "int8"]
Linear = Callable[[Tensor], Tensor]
"""(rows, inputs) float -> (rows, outputs) float32 or bf16."""

FEWEST_ROWS = 4
"""Fewer are filled up: matrix libraries have kernels of their own for 1 to 3 rows, which add in
another order."""


OUTPUTS = 32
"""Of one stretch of weights that a single row is multiplied with."""
WHOLE_ROWS = 512
"""Rows of int8 at a time: what is between the whole numbers and the floats stays in the cache."""


def packed(
    weight: Tensor,
    bias: Tensor | None,
    precision: Precision,
    relu: bool = False,
    single: bool = False,
) -> Linear:
    """A linear layer, with a ReLU behind it if asked for, of weight (outputs, inputs).

    bf16 comes out as bf16, the others as float32. `single`: single rows are common, for which a CPU
    may hold f32 weights in another layout as well. Raises ValueError for int8 on another device
    than a CPU.
    """
    weight = weight.detach()
    bias = None if bias is None else bias.detach()
    if precision == "int8":
        if weight.device.type != "cpu":
            raise ValueError("int8 is for CPUs")
        return _int8(weight, bias, relu)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    weight = weight.to(dtype)
    bias = None if bias is None else bias.to(dtype)
    product = _onednn(weight, bias, relu) or _plain(weight, bias, relu)

    for_one = _single(weight, bias, relu, product) if single and precision == "f32" else None

    def linear(x: Tensor) -> Tensor:
        rows, x = len(x), x.to(dtype)
        if rows == 1 and for_one is not None:
            return for_one(x)
        if rows < FEWEST_ROWS:
            x = F.pad(x, (0, 0, 0, FEWEST_ROWS - rows))
        return product(x)[:rows]

    return linear


def _single(weight: Tensor, bias: Tensor | None, relu: bool, product: Linear) -> Linear | None:
    """What multiplies a single row faster than `product` and to the same bits, if anything does.

    `product` adds up in the order of the inputs, on some machines those of each half or quarter
    apart; which, is found by trying.
    """
    outputs, inputs = weight.shape
    if weight.device.type != "cpu" or outputs % OUTPUTS or inputs % 32:
        return None
    stretches = weight.view(-1, OUTPUTS, inputs).transpose(1, 2)
    blocked = np.empty(stretches.shape, np.float32)  # NumPy's memory has large pages
    blocked[:] = stretches.numpy()
    added = (torch.zeros(outputs) if bias is None else bias).view(-1, OUTPUTS).numpy()

    def by_kernel(x: Tensor, span: int) -> Tensor:
        y = torch.empty(1, outputs)
        out = y.numpy().reshape(-1, OUTPUTS)
        multiply_row(x.numpy()[0], blocked, added, span, relu, out, (0,) * OUTPUTS)
        return y

    draw = torch.Generator().manual_seed(0)
    trial = torch.randn(FEWEST_ROWS, inputs, generator=draw)
    expected = product(trial)
    for span in (inputs, inputs // 2, inputs // 4):
        if torch.equal(torch.cat([by_kernel(x[None], span) for x in trial]), expected):
            return lambda x: by_kernel(x.contiguous(), span)
    return None


def _onednn(weight: Tensor, bias: Tensor | None, relu: bool) -> Linear | None:
    """By PyTorch's private operators; None where there are none for this."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    try:
        reorder = torch.ops.mkldnn._reorder_linear_weight
        linear_pointwise = torch.ops.mkldnn._linear_pointwise
        layout = reorder(weight)
        after = "relu" if relu else "none"
        linear_pointwise(
            weight.new_zeros(FEWEST_ROWS, weight.shape[1]), layout, bias, after, [], ""
        )
    except (AttributeError, RuntimeError):
        # Another version of PyTorch, or a processor that lacks the data type.
        return None
    return lambda x: linear_pointwise(x, layout, bias, after, [], "")


def _plain(weight: Tensor, bias: Tensor | None, relu: bool) -> Linear:
    def linear(x: Tensor) -> Tensor:
        y = F.linear(x, weight, bias)
        return F.relu_(y) if relu else y

    return linear


def _int8(weight: Tensor, bias: Tensor | None, relu: bool) -> Linear:
    scales = weight.abs().amax(1).clamp_min(1e-12) / 127
    whole = (weight / scales[:, None]).round().to(torch.int8).T
    outputs, inputs = weight.shape
    added = torch.zeros(outputs) if bias is None else bias.float()
    by_output, shift = scales.float().numpy(), added.numpy()

    def linear(x: Tensor) -> Tensor:
        y = torch.empty(len(x), outputs)
        values, by_row = torch.empty(WHOLE_ROWS, inputs, dtype=torch.int8), torch.empty(WHOLE_ROWS)
        for part, out in zip(x.split(WHOLE_ROWS), y.split(WHOLE_ROWS), strict=True):
            some = values[: len(part)]
            quantise(part.contiguous().numpy(), some.numpy(), by_row.numpy())
            products = torch._int_mm(some, whole)
            dequantise(products.numpy(), by_row.numpy(), by_output, shift, relu, out.numpy())
        return y

    return linear
