"""WaveNet-style gated convolutions conditioned on the voice (VITS, arXiv 2106.06103)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.s2.masks import length_mask
from model.weight_norm import WeightNormConv1d


class WN(nn.Module):
    """Stack of gated convolutions; each layer adds its part of the voice before the gate."""

    def __init__(self, hidden: int, kernel: int, layers: int, voice_channels: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.cond_layer = WeightNormConv1d(voice_channels, 2 * hidden * layers, 1)
        self.in_layers = nn.ModuleList(
            WeightNormConv1d(hidden, 2 * hidden, kernel, padding=kernel // 2) for _ in range(layers)
        )
        # Half of a layer's output goes on to the next, half to the sum; the last has no next.
        self.res_skip_layers = nn.ModuleList(
            WeightNormConv1d(hidden, 2 * hidden if i < layers - 1 else hidden, 1)
            for i in range(layers)
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
    """`wns1` and `enc_q`: projection in, WN, projection out."""

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
