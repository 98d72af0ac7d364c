"""Weight-normed convolutions (arXiv 1602.07868): weight = g * v / |v|, a norm an output channel.

The two are stored as `weight_g` and `weight_v`, as in official checkpoints; torch's own
parametrisation names them differently. To speak, `fold_weight_norm` computes the weights once.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _split(conv: nn.Module) -> None:
    weight = conv.weight
    assert isinstance(weight, nn.Parameter)
    del conv.weight
    conv.weight_g = nn.Parameter(_norm(weight.detach()))
    conv.weight_v = nn.Parameter(weight.detach().clone())


def _norm(weight: Tensor) -> Tensor:
    """Over all dimensions but the first, which are the input channels of a transposed one."""
    dimensions = tuple(range(1, weight.dim()))
    return torch.linalg.vector_norm(weight, dim=dimensions, keepdim=True)


def _joined(conv: nn.Module) -> Tensor:
    if "weight" in conv._parameters:
        weight = conv.weight
        assert isinstance(weight, Tensor)
        return weight
    g, v = conv.weight_g, conv.weight_v
    assert isinstance(g, Tensor)
    assert isinstance(v, Tensor)
    return v * (g / _norm(v))


class WeightNormConv1d(nn.Conv1d):
    """`nn.Conv1d`, weight-normed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _split(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T) -> (B, outputs, T')."""
        return self._conv_forward(x, _joined(self), self.bias)


class WeightNormConv2d(nn.Conv2d):
    """`nn.Conv2d`, weight-normed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _split(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H', W')."""
        return self._conv_forward(x, _joined(self), self.bias)


class WeightNormConvTranspose1d(nn.ConvTranspose1d):
    """`nn.ConvTranspose1d`, weight-normed over each input channel as in official checkpoints."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _split(self)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, inputs, T) -> (B, outputs, T'); `output_size` is not supported."""
        assert output_size is None
        assert not isinstance(self.padding, str)
        return F.conv_transpose1d(x, _joined(self), self.bias, self.stride, self.padding)


WEIGHT_NORMED = (WeightNormConv1d, WeightNormConv2d, WeightNormConvTranspose1d)


def fold_weight_norm(module: nn.Module) -> None:
    """Turns every weight-normed convolution within `module` into a plain, frozen one, in place.

    The state dict then has `weight` in place of `weight_g` and `weight_v`.
    """
    for conv in module.modules():
        if isinstance(conv, WEIGHT_NORMED) and "weight_v" in conv._parameters:
            weight = _joined(conv).detach()
            del conv.weight_g, conv.weight_v
            conv.weight = nn.Parameter(weight, requires_grad=False)
