"""BigVGAN v2 (arXiv 2206.04658), NVIDIA's vocoder, as GPT-SoVITS v3 uses it: mel -> waveform.

The generator of `bigvgan_v2_24khz_100band_256x` with its official names, weight norm folded.
Upsampling makes residual blocks of convolutions and periodic activations (snake); each activation
runs at twice the rate between two low-pass filters, so that what it adds does not alias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FILTER_TAPS = 12


@dataclass(frozen=True)
class BigVGANConfig:
    """Dimensions; the defaults are the official 24 kHz, 100 band, 256 x model's."""

    mels: int = 100
    width: int = 1536
    rates: tuple[int, ...] = (4, 4, 2, 2, 2, 2)
    rate_kernels: tuple[int, ...] = (8, 8, 4, 4, 4, 4)
    block_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)


def kaiser_lowpass(cutoff: float, half_width: float, taps: int) -> Tensor:
    """A windowed-sinc low-pass filter (taps,) that sums to 1.

    `cutoff` and `half_width` (of the transition band) in cycles a sample; the Kaiser window's beta
    follows from the attenuation that so many taps allow (Kaiser's own formulas; Oppenheim and
    Schafer, Discrete-Time Signal Processing, 7.5).
    """
    half = taps // 2
    attenuation = 2.285 * (half - 1) * math.pi * 4 * half_width + 7.95
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation >= 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    else:
        beta = 0.0
    window = torch.kaiser_window(taps, periodic=False, beta=beta)
    time = torch.arange(taps) - (taps - 1) / 2
    lowpass = window * torch.sinc(2 * cutoff * time)
    return lowpass / lowpass.sum()


class SnakeBeta(nn.Module):
    """x + sin(alpha x)^2 / beta with a logarithmic alpha and beta for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        alpha, beta = self.alpha.exp()[:, None], self.beta.exp()[:, None]
        return x + (x * alpha).sin().square() / (beta + 1e-9)


class Filtered(nn.Module):
    """Holds the low-pass filter (1, 1, taps) that halving and doubling the rate share."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        lowpass = kaiser_lowpass(0.25, 0.3, FILTER_TAPS)
        self.register_buffer("filter", lowpass[None, None])


class Upsample(Filtered):
    """Twice the rate, through the low-pass filter."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, 2 T)."""
        channels = x.shape[1]
        padding = FILTER_TAPS // 2 - 1
        x = F.pad(x, (padding, padding), mode="replicate")
        weight = self.filter.expand(channels, -1, -1)
        x = 2 * F.conv_transpose1d(x, weight, stride=2, groups=channels)
        beyond = 2 * padding + (FILTER_TAPS - 2) // 2
        return x[..., beyond:-beyond]


class LowPass(Filtered):
    """The filter, keeping every second sample."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 2 T) -> (B, C, T)."""
        channels = x.shape[1]
        x = F.pad(x, (FILTER_TAPS // 2 - 1, FILTER_TAPS // 2), mode="replicate")
        return F.conv1d(x, self.filter.expand(channels, -1, -1), stride=2, groups=channels)


class Downsample(nn.Module):
    """The low-pass filter one level down, as the official state dict names it."""

    def __init__(self) -> None:
        super().__init__()
        self.lowpass = LowPass()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 2 T) -> (B, C, T)."""
        return self.lowpass(x)


class Activation(nn.Module):
    """The periodic activation at twice the rate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = SnakeBeta(channels)
        self.upsample = Upsample()
        self.downsample = Downsample()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        return self.downsample(self.act(self.upsample(x)))


class Block(nn.Module):
    """Residual pairs of convolutions, the first of each pair dilated, activations before each."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=(kernel - 1) * d // 2)
            for d in dilations
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations
        )
        self.activations = nn.ModuleList(Activation(channels) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        for i, (first, second) in enumerate(zip(self.convs1, self.convs2, strict=True)):
            inner = first(self.activations[2 * i](x))
            x = x + second(self.activations[2 * i + 1](inner))
        return x


class BigVGAN(nn.Module):
    """The generator; plain weights, see `folded`: it only speaks here."""

    def __init__(self, config: BigVGANConfig = BigVGANConfig()) -> None:
        super().__init__()
        c = self.config = config
        self.conv_pre = nn.Conv1d(c.mels, c.width, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        channels = c.width
        for rate, kernel in zip(c.rates, c.rate_kernels, strict=True):
            up = nn.ConvTranspose1d(
                channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2
            )
            self.ups.append(nn.ModuleList([up]))  # the official names have a level here
            channels //= 2
            self.resblocks.extend(Block(channels, k, c.dilations) for k in c.block_kernels)
        self.activation_post = Activation(channels)
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3, bias=False)

    def forward(self, mel: Tensor) -> Tensor:
        """Log mel (B, mels, T) -> waveform (B, 1, T * prod(rates)) in [-1, 1]."""
        x = self.conv_pre(mel)
        kernels = len(self.config.block_kernels)
        for i, up in enumerate(self.ups):
            x = cast("nn.ModuleList", up)[0](x)
            blocks = self.resblocks[i * kernels : (i + 1) * kernels]
            x = sum(block(x) for block in blocks) / kernels
        # Official: the v2 models clamp; only the first generation ends in a tanh.
        return self.conv_post(self.activation_post(x)).clamp(-1.0, 1.0)


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with each `weight_g`, `weight_v` pair as the one `weight` that they mean.

    weight = g v / |v|, the norm over all but the first dimension, computed in f32 and returned in
    the pair's own precision.
    """
    folded: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.endswith(".weight_g"):
            direction = state[key.removesuffix("g") + "v"].float()
            norm = direction.flatten(1).norm(dim=1).view(-1, *[1] * (direction.ndim - 1))
            folded[key.removesuffix("_g")] = (value.float() * direction / norm).to(value.dtype)
        elif not key.endswith(".weight_v"):
            folded[key] = value
    return folded
