"""HiFi-GAN generator (arXiv 2010.05646): frames -> waveform.

By itself the vocoder of GPT-SoVITS v4; with a voice, the decoder within S2 of v1 to v2ProPlus.
Its view is bounded: `generate` has it work through windows of one shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d


@dataclass(frozen=True)
class GeneratorConfig:
    """Dimensions; the defaults are the official v4 vocoder's (480 samples a frame, 48 kHz)."""

    mels: int = 100
    width: int = 512
    rates: tuple[int, ...] = (10, 6, 2, 2, 2)
    rate_kernels: tuple[int, ...] = (20, 12, 4, 4, 4)
    block_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)

    @property
    def hop_samples(self) -> int:
        """Samples a frame."""
        return prod(self.rates)

    @property
    def reach(self) -> int:
        """Frames on either side of a frame that its samples depend on, at most."""
        rate = 1
        frames = 3.0  # the first convolution's
        for step, kernel in zip(self.rates, self.rate_kernels, strict=True):
            frames += kernel / step / rate
            rate *= step
            widest = max(self.block_kernels) // 2
            frames += sum(widest * (dilation + 1) for dilation in self.dilations) / rate
        return ceil(frames + 3 / rate)


def cut(x: Tensor, ends: list[int] | None) -> Tensor:
    """Zeroes, in place, what stands behind each item's end in (B, C, T); None leaves all.

    What a convolution sees behind an item is then the same in a batch as at the end of a tensor.
    """
    for item, end in enumerate(ends or ()):
        x[item, :, end:] = 0
    return x


class ResBlock(nn.Module):
    """Residual pairs of convolutions, the first of each pair dilated."""

    def __init__(
        self,
        channels: int,
        kernel: int,
        dilations: tuple[int, ...],
        conv: type[nn.Conv1d] = nn.Conv1d,
    ) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            conv(channels, channels, kernel, dilation=d, padding=(kernel - 1) * d // 2)
            for d in dilations
        )
        self.convs2 = nn.ModuleList(
            conv(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations
        )

    def forward(self, x: Tensor, ends: list[int] | None = None) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        for first, second in zip(self.convs1, self.convs2, strict=True):
            y = first(cut(F.leaky_relu(x, 0.1), ends))
            x = x + second(cut(F.leaky_relu(y, 0.1), ends))
        return x


class Generator(nn.Module):
    """Transposed convolutions up to the sample rate, each followed by residual blocks.

    Without a voice it has plain weights, since v4's checkpoint is stored with its weight norm
    removed. With `voice_channels` it is the official decoder within S2: weight-normed, the voice
    added to its first convolution, no bias in the last.
    """

    def __init__(
        self, config: GeneratorConfig = GeneratorConfig(), voice_channels: int | None = None
    ) -> None:
        super().__init__()
        c = self.config = config
        plain = voice_channels is None
        conv = nn.Conv1d if plain else WeightNormConv1d
        transposed = nn.ConvTranspose1d if plain else WeightNormConvTranspose1d
        self.conv_pre = nn.Conv1d(c.mels, c.width, 7, padding=3)
        self.cond = None if voice_channels is None else nn.Conv1d(voice_channels, c.width, 1)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        channels = c.width
        for rate, kernel in zip(c.rates, c.rate_kernels, strict=True):
            self.ups.append(
                transposed(channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2)
            )
            channels //= 2
            self.resblocks.extend(ResBlock(channels, k, c.dilations, conv) for k in c.block_kernels)
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3, bias=plain)

    def forward(
        self, mel: Tensor, voice: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """mel (B, mels, T), voice (B or 1, voice_channels, 1) -> waveform in [-1, 1].

        The waveform is (B, 1, T * prod(rates)). With `lengths` (B,) of right-padded mels, an item's
        part of it is what the item alone would give, and silence follows; otherwise an item's
        padding is heard in its last frames.
        """
        ends = None if lengths is None else lengths.tolist()
        x = self.conv_pre(mel if ends is None else cut(mel.clone(), ends))
        if self.cond is not None:
            x = x + self.cond(voice)
        kernels = len(self.config.block_kernels)
        for i, (up, rate) in enumerate(zip(self.ups, self.config.rates, strict=True)):
            x = up(cut(F.leaky_relu(x, 0.1), ends))
            ends = ends and [end * rate for end in ends]
            blocks = self.resblocks[i * kernels : (i + 1) * kernels]
            x = sum(block(x, ends) for block in blocks) / kernels
        # The last slope is 0.01, unlike all others.
        x = self.conv_post(cut(F.leaky_relu(x, 0.01), ends))
        return cut(x, ends).to(mel.dtype).tanh()


@dataclass(frozen=True)
class Window:
    """Frames `start` to `stop` of an item, of whose sound that of `first` to `last` is kept."""

    item: int
    start: int
    stop: int
    first: int
    last: int


def windows(lengths: Sequence[int], frames: int, reach: int) -> list[Window]:
    """Cuts items of so many frames into windows of `frames`, or the item's length if it is shorter.

    Each keeps what is `reach` away from a cut, so that all of an item is kept once; the last window
    ends where its item does. `frames` is more than two reaches.
    """
    found: list[Window] = []
    for item, length in enumerate(lengths):
        first = 0
        while first < length:
            start = max(0, min(first - reach, length - frames))
            stop = min(start + frames, length)
            last = stop if stop == length else stop - reach
            found.append(Window(item, start, stop, first, last))
            first = last
    return found


def generate(
    generator: Generator,
    mels: Sequence[Tensor],
    voice: Tensor | None = None,
    frames: int = 512,
    rows: int = 1,
    recorded: Callable[[Tensor], Tensor] | None = None,
) -> list[Tensor]:
    """Mels (1, mels, T) of sentences -> the waveform of each (samples,), as if made at once.

    Windows of `frames` bound the memory: 512 frames of v2 are 10 s. With `rows` > 1 so many windows
    of all sentences go together, short ones padded, in passes of the very same shape; on a CPU one
    window fills a core. `recorded(mel)` stands in for the generator with its voice where `rows`
    windows are full, as all are but those of sentences that are shorter than a window.
    """
    hop = generator.config.hop_samples
    audio = [mel.new_zeros(mel.shape[2] * hop) for mel in mels]
    cuts = windows([mel.shape[2] for mel in mels], frames, generator.config.reach)
    full = [one for one in cuts if one.stop - one.start == frames]
    short = [one for one in cuts if one.stop - one.start < frames]
    for some in (full, short):
        for begin in range(0, len(some), rows):
            group = some[begin : begin + rows]
            parts = [mels[one.item][..., one.start : one.stop] for one in group]
            lengths = None
            if rows > 1:
                if some is short:
                    sizes = [part.shape[2] for part in parts] + [0] * (rows - len(parts))
                    lengths = torch.tensor(sizes)
                parts = [F.pad(part, (0, frames - part.shape[2])) for part in parts]
                parts += [torch.zeros_like(parts[0])] * (rows - len(parts))
            if some is full and recorded and rows > 1:
                made = recorded(torch.cat(parts))
            else:
                made = generator(torch.cat(parts), voice, lengths)
            for sound, one in zip(made, group, strict=False):
                kept = slice((one.first - one.start) * hop, (one.last - one.start) * hop)
                audio[one.item][one.first * hop : one.last * hop] = sound[0, kept]
    return audio
