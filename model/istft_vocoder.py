"""The built-in voice's vocoder: ConvNeXt blocks at frame rate, then an inverse Fourier transform.

After H. Siuzdak, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders"
(2023): everything up to the last step runs at 94 frames per second, which is what makes it cheap on
a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class IstftVocoderConfig:
    bands: int = 100
    width: int = 320
    hidden: int = 960
    blocks: int = 7
    fft_samples: int = 1024
    hop_samples: int = 256


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a perceptron over channels, added to the input."""

    def __init__(self, width: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.gamma = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, frames) -> the same."""
        y = self.norm(self.depthwise(x).transpose(1, 2))
        y = self.contract(nn.functional.gelu(self.expand(y)))
        return x + (self.gamma * y).transpose(1, 2)


class IstftVocoder(nn.Module):
    """Log-mel (batch, bands, frames) -> audio (batch, frames * hop)."""

    window: Tensor

    def __init__(self, config: IstftVocoderConfig = IstftVocoderConfig()) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Conv1d(config.bands, config.width, 7, padding=3)
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.width, config.hidden, 1 / config.blocks)
            for _ in range(config.blocks)
        )
        self.last_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.head = nn.Linear(config.width, config.fft_samples + 2)
        self.register_buffer("window", torch.hann_window(config.fft_samples), persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        """(batch, bands, frames) natural-log mel -> (batch, frames * hop) in about [-1, 1]."""
        x = self.norm(self.embed(mel).transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        spectrum = self.head(self.last_norm(x.transpose(1, 2))).transpose(1, 2).float()
        log_magnitude, phase = spectrum.chunk(2, dim=1)
        magnitude = torch.exp(log_magnitude.clamp(max=6.0))
        return self._inverse(torch.polar(magnitude, phase))

    def _inverse(self, spectrum: Tensor) -> Tensor:
        """Overlap-add of (batch, bins, frames); frame k is centred on hop k's middle."""
        fft, hop = self.config.fft_samples, self.config.hop_samples
        frames = spectrum.shape[-1]
        pieces = torch.fft.irfft(spectrum, fft, dim=1) * self.window[None, :, None]
        length = (frames - 1) * hop + fft
        audio = nn.functional.fold(pieces, (1, length), (1, fft), stride=(1, hop))[:, 0, 0]
        weight = self.window.square().expand(1, frames, -1).transpose(1, 2)
        envelope = nn.functional.fold(weight, (1, length), (1, fft), stride=(1, hop))[0, 0, 0]
        side = (fft - hop) // 2
        return (audio / envelope.clamp(min=1e-8))[:, side : length - side]
