"""Reference encoder: a spectrogram of the voice to imitate -> one voice vector.

The mel-style encoder of Meta-StyleSpeech (arXiv 2106.03153).
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from model.s2.masks import length_mask


class LinearNorm(nn.Module):
    """A linear layer one level down, as the official state dict names it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return self.fc(x)


class ConvNorm(nn.Module):
    """A "same" convolution one level down, as the official state dict names it."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T) -> (B, outputs, T)."""
        return self.conv(x)


class GatedConv(nn.Module):
    """Residual convolution with a gated linear unit."""

    def __init__(self, channels: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, 2 * channels, kernel)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        return x + self.dropout(F.glu(self.conv1(x), dim=1))


class SelfAttention(nn.Module):
    """Residual self-attention over (B, T, C), scaled by the model's width, not the head's."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1.0 / math.sqrt(channels)
        self.w_qs = nn.Linear(channels, channels)
        self.w_ks = nn.Linear(channels, channels)
        self.w_vs = nn.Linear(channels, channels)
        self.fc = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, C), mask (B, T) bool of the frames to attend to -> (B, T, C)."""
        query, key, value = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.w_qs, self.w_ks, self.w_vs)
        )
        found = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask[:, None, None],
            dropout_p=self.dropout.p if self.training else 0.0,
            scale=self.scale,
        )
        return x + self.dropout(self.fc(found.transpose(1, 2).flatten(2)))


class MelStyleEncoder(nn.Module):
    """`ref_enc`: spectrogram (B, bins, T) -> voice (B, outputs, 1), the mean over the frames."""

    def __init__(
        self,
        bins: int,
        outputs: int,
        hidden: int = 128,
        kernel: int = 5,
        heads: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.spectral = nn.Sequential(
            LinearNorm(bins, hidden),
            nn.Mish(),
            nn.Dropout(dropout),
            LinearNorm(hidden, hidden),
            nn.Mish(),
            nn.Dropout(dropout),
        )
        self.temporal = nn.Sequential(
            GatedConv(hidden, kernel, dropout), GatedConv(hidden, kernel, dropout)
        )
        self.slf_attn = SelfAttention(hidden, heads, dropout)
        self.fc = LinearNorm(hidden, outputs)

    def forward(self, spectrogram: Tensor, lengths: Tensor) -> Tensor:
        """spectrogram (B, bins, T), lengths (B,) -> (B, outputs, 1)."""
        mask = length_mask(lengths, spectrogram.shape[2])
        frames = mask[:, None].to(spectrogram.dtype)
        x = self.spectral(spectrogram.transpose(1, 2)).transpose(1, 2)
        for layer in self.temporal:
            x = layer(x * frames)
        x = self.slf_attn((x * frames).transpose(1, 2), mask)
        x = self.fc(x).transpose(1, 2) * frames
        return x.sum(2, keepdim=True) / lengths[:, None, None]
