"""Speaker verification: 16 kHz speech -> the vector that v2Pro and v2ProPlus hear beside the voice.

ERes2NetV2 (arXiv 2406.02167) in the size of 3D-Speaker's `eres2netv2w24s4ep4`, with its official
names. Of its two outputs the synthesizer takes the inner one, the last feature map's mean over
time; the embedding layer after it (`seg_1`) only travels with the checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchaudio.compliance.kaldi
from torch import Tensor, nn

SAMPLE_RATE = 16_000
WINDOW_SAMPLES = 400
CEILING = 20.0


@dataclass(frozen=True)
class SpeakerConfig:
    """Dimensions; the defaults are the official network's."""

    bins: int = 80
    channels: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    base_width: int = 24
    scale: int = 4
    expansion: int = 4
    embedding: int = 192

    @property
    def outputs(self) -> int:
        """Width of the vector: channels times the bins that three halvings leave."""
        return self.channels * 2 ** (len(self.blocks) - 1) * self.expansion * (self.bins // 8)


def filterbank(audio: Tensor, bins: int = 80) -> Tensor:
    """Kaldi's log-mel energies (B, frames, bins), 100 frames a second, of (B, samples) at 16 kHz.

    Samples are in [-1, 1] and, unlike elsewhere with Kaldi, not scaled to 16 bits; no mean is
    subtracted. Raises ValueError for less than a window (25 ms).
    """
    if audio.shape[1] < WINDOW_SAMPLES:
        raise ValueError(f"speech of {audio.shape[1]} samples is shorter than a window")
    return torch.stack(
        [
            torchaudio.compliance.kaldi.fbank(
                row[None], num_mel_bins=bins, sample_frequency=SAMPLE_RATE, dither=0.0
            )
            for row in audio
        ]
    )


class AttentionalFusion(nn.Module):
    """Two maps weighed against each other at every point: weights of x and y sum to 2."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        inner = channels // reduction
        self.local_att = nn.Sequential(
            nn.Conv2d(2 * channels, inner, 1),
            nn.BatchNorm2d(inner),
            nn.SiLU(),
            nn.Conv2d(inner, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Twice (B, C, H, W) -> the same."""
        lean = self.local_att(torch.cat((x, y), dim=1)).tanh()
        return x * (1 + lean) + y * (1 - lean)


class Block(nn.Module):
    """Res2Net block: groups of channels convolved in turn, each with the result before it.

    That result is added, or with `fused` joined by attention.
    """

    def __init__(
        self, inputs: int, planes: int, stride: int, config: SpeakerConfig, fused: bool
    ) -> None:
        super().__init__()
        self.width = planes * config.base_width // 64
        inner, outputs = self.width * config.scale, planes * config.expansion
        self.conv1 = nn.Conv2d(inputs, inner, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.convs = nn.ModuleList(
            nn.Conv2d(self.width, self.width, 3, padding=1, bias=False) for _ in range(config.scale)
        )
        self.bns = nn.ModuleList(nn.BatchNorm2d(self.width) for _ in range(config.scale))
        self.fuse_models = nn.ModuleList(
            AttentionalFusion(self.width) for _ in range(config.scale - 1 if fused else 0)
        )
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, planes * expansion, H / stride, W / stride)."""
        groups = self.bn1(self.conv1(x)).clamp(0, CEILING).split(self.width, dim=1)
        done: list[Tensor] = []
        for i, (group, conv, norm) in enumerate(zip(groups, self.convs, self.bns, strict=True)):
            if done:
                before = done[-1]
                group = (
                    self.fuse_models[i - 1](before, group) if self.fuse_models else before + group
                )
            done.append(norm(conv(group)).clamp(0, CEILING))
        y = self.bn3(self.conv3(torch.cat(done, dim=1)))
        return (y + self.shortcut(x)).clamp(0, CEILING)


class ERes2NetV2(nn.Module):
    """The network, with the official names of its parts."""

    def __init__(self, config: SpeakerConfig = SpeakerConfig()) -> None:
        super().__init__()
        c = self.config = config
        self.conv1 = nn.Conv2d(1, c.channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c.channels)
        stages = []
        inputs = c.channels
        for number, count in enumerate(c.blocks):
            planes = c.channels * 2**number
            blocks = []
            for i in range(count):
                stride = 2 if number and i == 0 else 1
                blocks.append(Block(inputs, planes, stride, c, fused=number >= 2))
                inputs = planes * c.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.layer3_ds = nn.Conv2d(inputs // 2, inputs, 3, stride=2, padding=1, bias=False)
        self.fuse34 = AttentionalFusion(inputs)
        self.seg_1 = nn.Linear(2 * c.outputs, c.embedding)

    def forward(self, features: Tensor) -> Tensor:
        """Log-mel energies (B, frames, bins) -> vectors (B, outputs)."""
        x = F.relu(self.bn1(self.conv1(features.transpose(1, 2)[:, None])))
        third = self.layer3(self.layer2(self.layer1(x)))
        x = self.fuse34(self.layer4(third), self.layer3_ds(third))
        return x.flatten(1, 2).mean(2)

    def embed(self, audio: Tensor) -> Tensor:
        """Speech (B, samples) at 16 kHz in [-1, 1] -> vectors (B, outputs), 20480 officially."""
        features = filterbank(audio.float(), self.config.bins)
        return self(features.to(self.conv1.weight))
