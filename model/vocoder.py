"""HiFi-GAN generator (arXiv 2010.05646) as the vocoder of GPT-SoVITS v4: mel -> waveform."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class GeneratorConfig:
    """Dimensions; the defaults are the official v4 vocoder's (480 samples a frame, 48 kHz)."""

    mels: int = 100
    width: int = 512
    rates: tuple[int, ...] = (10, 6, 2, 2, 2)
    rate_kernels: tuple[int, ...] = (20, 12, 4, 4, 4)
    block_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)


class ResBlock(nn.Module):
    """Residual pairs of convolutions, the first of each pair dilated."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=(kernel - 1) * d // 2)
            for d in dilations
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, 0.1)), 0.1))
        return x


class Generator(nn.Module):
    """Transposed convolutions up to the sample rate, each followed by residual blocks.

    Plain weights: the official checkpoint is stored with its weight norm removed.
    """

    def __init__(self, config: GeneratorConfig = GeneratorConfig()) -> None:
        super().__init__()
        c = self.config = config
        self.conv_pre = nn.Conv1d(c.mels, c.width, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        channels = c.width
        for rate, kernel in zip(c.rates, c.rate_kernels, strict=True):
            self.ups.append(
                nn.ConvTranspose1d(
                    channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2
                )
            )
            channels //= 2
            self.resblocks.extend(ResBlock(channels, k, c.dilations) for k in c.block_kernels)
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        """mel (B, mels, T) -> waveform (B, 1, T * prod(rates)) in [-1, 1]."""
        x = self.conv_pre(mel)
        kernels = len(self.config.block_kernels)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, 0.1))
            blocks = self.resblocks[i * kernels : (i + 1) * kernels]
            x = sum(block(x) for block in blocks) / kernels
        # The last slope is 0.01, unlike all others.
        return self.conv_post(F.leaky_relu(x, 0.01)).tanh()
