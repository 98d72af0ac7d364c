"""Discriminators that S2 of v1 to v2ProPlus learns against (HiFi-GAN, arXiv 2010.05646).

One hears the waveform as it is, the others hear it folded into columns of a prime period. Names are
the official checkpoints' (`s2D*.pth`).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from model.weight_norm import WeightNormConv1d, WeightNormConv2d

PERIODS = (2, 3, 5, 7, 11)
PERIODS_PRO = (*PERIODS, 17, 23)

Verdict = tuple[Tensor, list[Tensor]]
"""Scores (B, n) and the layers' feature maps, the scores' own the last."""


def _judge(x: Tensor, convs: nn.ModuleList, last: nn.Module) -> Verdict:
    maps = []
    for conv in convs:
        x = F.leaky_relu(conv(x), 0.1)
        maps.append(x)
    x = last(x)
    return x.flatten(1), [*maps, x]


class DiscriminatorS(nn.Module):
    """Hears the waveform as it is, in ever wider strides."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 16, 64, 256, 1024, 1024, 1024)
        kernels = (15, 41, 41, 41, 41, 5)
        strides = (1, 4, 4, 4, 4, 1)
        groups = (1, 4, 16, 64, 256, 1)
        self.convs = nn.ModuleList(
            WeightNormConv1d(inputs, outputs, kernel, stride, kernel // 2, groups=group)
            for inputs, outputs, kernel, stride, group in zip(
                widths, widths[1:], kernels, strides, groups, strict=False
            )
        )
        self.conv_post = WeightNormConv1d(1024, 1, 3, padding=1)

    def forward(self, audio: Tensor) -> Verdict:
        """(B, 1, samples) -> scores and feature maps."""
        return _judge(audio, self.convs, self.conv_post)


class DiscriminatorP(nn.Module):
    """Hears every `period`th sample; the waveform is reflected up to a whole row."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, 32, 128, 512, 1024, 1024)
        strides = (3, 3, 3, 3, 1)
        self.convs = nn.ModuleList(
            WeightNormConv2d(inputs, outputs, (5, 1), (stride, 1), (2, 0))
            for inputs, outputs, stride in zip(widths, widths[1:], strides, strict=False)
        )
        self.conv_post = WeightNormConv2d(1024, 1, (3, 1), padding=(1, 0))

    def forward(self, audio: Tensor) -> Verdict:
        """(B, 1, samples) -> scores and feature maps."""
        audio = F.pad(audio, (0, -audio.shape[2] % self.period), mode="reflect")
        return _judge(audio.unflatten(2, (-1, self.period)), self.convs, self.conv_post)


class MultiPeriodDiscriminator(nn.Module):
    """All of them; the Pro versions have two periods more."""

    def __init__(self, periods: tuple[int, ...] = PERIODS) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            [DiscriminatorS(), *(DiscriminatorP(period) for period in periods)]
        )

    def forward(self, audio: Tensor) -> list[Verdict]:
        """(B, 1, samples) -> one verdict a discriminator."""
        return [discriminator(audio) for discriminator in self.discriminators]
