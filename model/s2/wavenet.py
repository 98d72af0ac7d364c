"""WaveNet-style gated convolutions conditioned on the voice (VITS, arXiv 2106.06103)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.s2.masks import length_mask


class WeightNormConv(nn.Module):
    """ "Same" 1-d convolution with weight = g * v / |v|, stored as `weight_g` and `weight_v`.

    torch's own parametrisation names the two differently from official checkpoints.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__()
        plain = nn.Conv1d(inputs, outputs, kernel)
        assert plain.bias is not None
        self.padding = (kernel - 1) // 2 * dilation
        self.dilation = dilation
        self.bias = nn.Parameter(plain.bias.detach().clone())
        self.weight_g = nn.Parameter(plain.weight.detach().norm(dim=(1, 2), keepdim=True))
        self.weight_v = nn.Parameter(plain.weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T) -> (B, outputs, T)."""
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(1, 2), keepdim=True))
        return F.conv1d(x, weight, self.bias, padding=self.padding, dilation=self.dilation)


class WN(nn.Module):
    """Stack of gated convolutions; each layer adds its part of the voice before the gate."""

    def __init__(
        self, hidden: int, kernel: int, layers: int, voice_channels: int, dilation_rate: int = 1
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.cond_layer = WeightNormConv(voice_channels, 2 * hidden * layers)
        self.in_layers = nn.ModuleList(
            WeightNormConv(hidden, 2 * hidden, kernel, dilation_rate**i) for i in range(layers)
        )
        # Half of a layer's output goes on to the next, half to the sum; the last has no next.
        self.res_skip_layers = nn.ModuleList(
            WeightNormConv(hidden, 2 * hidden if i < layers - 1 else hidden) for i in range(layers)
        )

    def forward(self, x: Tensor, mask: Tensor, voice: Tensor) -> Tensor:
        """x (B, hidden, T), mask (B, 1, T), voice (B, voice_channels, 1) -> (B, hidden, T)."""
        output = torch.zeros_like(x)
        offsets = self.cond_layer(voice).split(2 * self.hidden, dim=1)
        last = len(self.in_layers) - 1
        for i, (gate, offset) in enumerate(zip(self.in_layers, offsets, strict=True)):
            tanh, sigmoid = (gate(x) + offset).chunk(2, dim=1)
            y = self.res_skip_layers[i](tanh.tanh() * sigmoid.sigmoid())
            if i < last:
                onward, y = y.chunk(2, dim=1)
                x = (x + onward) * mask
            output = output + y
        return output * mask


class WaveNetEncoder(nn.Module):
    """`wns1`: projection in, WN, projection out."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int,
        kernel: int,
        layers: int,
        voice_channels: int,
    ) -> None:
        super().__init__()
        self.pre = nn.Conv1d(inputs, hidden, 1)
        self.enc = WN(hidden, kernel, layers, voice_channels)
        self.proj = nn.Conv1d(hidden, outputs, 1)

    def forward(self, x: Tensor, lengths: Tensor, voice: Tensor) -> Tensor:
        """x (B, inputs, T), lengths (B,), voice (B, voice_channels, 1) -> (B, outputs, T)."""
        mask = length_mask(lengths, x.shape[2])[:, None].to(x.dtype)
        return self.proj(self.enc(self.pre(x) * mask, mask, voice)) * mask
