"""Lower precision: what of a network is computed in bf16, and on which machines that pays.

The matrix products and convolutions are; the sums between them, norms, integrations and Fourier
transforms stay in f32.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.s2.flow_matching import DiT
from model.vocoder import Generator
from model.weight_norm import WeightNormConvTranspose1d, fold_weight_norm

Precision = Literal["f32", "bf16"]


def fastest_precision(device: torch.device | None = None) -> Precision:
    """bf16 where the device, by default the CPU, multiplies it by itself, which takes half the time
    of f32 or less."""
    if device and device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f32"
    return "bf16" if torch.cpu.get_capabilities().get("avx512_bf16", False) else "f32"


def lower_transformer(dit: DiT) -> None:
    """Attention and feed-forward of the blocks in bf16, in place; `DiTBlock` casts to them."""
    for block in dit.transformer_blocks:
        block.attn.to(torch.bfloat16)
        block.ff.to(torch.bfloat16)


def lower_generator(generator: Generator) -> None:
    """All convolutions in bf16, in place, along channels that lie together."""
    fold_weight_norm(generator)
    for parent in list(generator.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.Conv1d, nn.ConvTranspose1d)):
                setattr(parent, name, ChannelsLast(child))


class ChannelsLast(nn.Module):
    """A 1-d convolution in bf16 as a 2-d one of height 1, whose channels lie together in memory.

    oneDNN has no good bf16 convolution for other layouts: with 16 channels, 11 taps and a dilation
    of 5 it takes 4 times as long there.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv1d | nn.ConvTranspose1d) -> None:
        super().__init__()
        assert not isinstance(conv.padding, str)
        self._transposed = isinstance(conv, (nn.ConvTranspose1d, WeightNormConvTranspose1d))
        self._stride, self._padding = (1, conv.stride[0]), (0, conv.padding[0])
        self._dilation = (1, conv.dilation[0])
        bias = conv.bias
        self.register_buffer("weight", _channels_last(conv.weight.detach().bfloat16()))
        self.register_buffer("bias", None if bias is None else bias.detach().bfloat16())

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T) -> (B, outputs, T') bf16."""
        x = _channels_last(x.bfloat16())
        if self._transposed:
            y = F.conv_transpose2d(x, self.weight, self.bias, self._stride, self._padding)
        else:
            y = F.conv2d(x, self.weight, self.bias, self._stride, self._padding, self._dilation)
        return y[:, :, 0]


def _channels_last(x: Tensor) -> Tensor:
    """(A, B, T) -> (A, B, 1, T); copied only where it does not lie so."""
    return x[:, :, None].contiguous(memory_format=torch.channels_last)
