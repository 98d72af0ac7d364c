"""The built-in voice's vocoder: a harmonic source and noise, filtered in the Fourier domain.

The source-filter model of speech as a network: ConvNeXt blocks at frame rate (as in H. Siuzdak,
"Vocos", 2023) say how loud and at which phase every frequency of a pulse train and of white noise
is to be (as in Z. Liu, K. Chen and K. Yu, "Neural homomorphic vocoder", 2020); an inverse Fourier
transform does the rest. Harmonics are exact from the start, since they come from the pulse train
and not from the network, which is why a few thousand steps on two CPU cores are enough; and
everything but the last step runs at 94 frames per second, which makes it cheap to run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.s2.masks import length_mask


@dataclass(frozen=True)
class IstftVocoderConfig:
    bands: int = 100
    width: int = 320
    hidden: int = 960
    blocks: int = 7
    fft_samples: int = 1024
    hop_samples: int = 256
    sample_rate: int = 24_000
    pitch_width: int = 128


LOWEST_PITCH = 55.0
"""Centre of the first pitch class, in Hz."""
PITCH_CLASSES = 176
CLASSES_PER_OCTAVE = 48


def within(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zeroes what belongs to no item, so that a convolution sees there what it sees at the end of a
    tensor; None: all of it belongs to one."""
    return x if mask is None else x * mask


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a perceptron over channels, added to the input."""

    def __init__(self, width: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.gamma = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, width, frames) -> the same; where an item is padded, the mask (batch, 1, frames)
        says what belongs to it."""
        y = self.norm(self.depthwise(within(x, mask)).transpose(1, 2))
        y = self.contract(nn.functional.gelu(self.expand(y)))
        return x + (self.gamma * y).transpose(1, 2)


class PitchHead(nn.Module):
    """Log-mel (batch, bands, frames) -> logits (batch, classes, frames): quarter semitones from
    55 Hz on, and one more class for frames without pitch (the last)."""

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(bands, width, 3, padding=1),
            nn.GELU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(width, PITCH_CLASSES + 1, 1),
        )

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        # the floor of silence is far from speech: bring the range near to one
        x = mel / 4 + 1
        if mask is None:
            return self.layers(x)
        for layer in self.layers:
            x = layer(x * mask)
        return x


def pitch_of(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Pitch classes (batch, classes + 1, frames) -> Hz (batch, frames), without gaps.

    The mean of the classes around the likeliest, by their weight; through frames without pitch a
    line from the last to the next, and 150 Hz where there is none at all. Frames outside the mask
    (batch, 1, frames) have none.
    """
    voiced = logits[:, :-1].logsumexp(1) > logits[:, -1]
    if mask is not None:
        voiced &= mask[:, 0]
    best = logits[:, :-1].argmax(1, keepdim=True)
    near = best + torch.arange(-4, 5, device=logits.device)[None, :, None]
    inside = (near >= 0) & (near < PITCH_CLASSES)
    weights = logits.gather(1, near.clamp(0, PITCH_CLASSES - 1)).masked_fill(~inside, -1e4)
    place = (weights.softmax(1) * near).sum(1)
    pitch = LOWEST_PITCH * torch.exp2(place / CLASSES_PER_OCTAVE)
    return bridge(pitch, voiced)


def bridge(pitch: Tensor, voiced: Tensor) -> Tensor:
    """Pitch (batch, frames) where `voiced`, elsewhere a line between its neighbours."""
    frames = torch.arange(pitch.shape[1], device=pitch.device).expand_as(pitch)
    before = torch.where(voiced, frames, -1).cummax(1).values
    after = torch.where(voiced, frames, pitch.shape[1]).flip(1).cummin(1).values.flip(1)
    none = (before < 0) & (after >= pitch.shape[1])
    first, last = before < 0, after >= pitch.shape[1]
    before = torch.where(first, after, before).clamp(0, pitch.shape[1] - 1)
    after = torch.where(last, before, after).clamp(0, pitch.shape[1] - 1)
    share = (frames - before) / (after - before).clamp(min=1)
    share = share.clamp(0, 1)
    line = pitch.gather(1, before) * (1 - share) + pitch.gather(1, after) * share
    return torch.where(none, torch.full_like(pitch, 150.0), line)


def pulse_train(pitch: Tensor, hop_samples: int, sample_rate: int, start: Tensor) -> Tensor:
    """Pitch in Hz (batch, frames) -> a band-limited pulse train (batch, frames * hop) of power 1.

    All harmonics below half the sample rate in cosine phase, by the closed form of their sum (the
    Dirichlet kernel). `start` (batch, 1) is the phase at the beginning in turns.
    """
    frames = pitch.shape[1]
    smooth = F.interpolate(
        pitch[:, None], size=frames * hop_samples, mode="linear", align_corners=False
    )[:, 0]
    turns = (smooth.double() / sample_rate).cumsum(1) + start
    half = (math.pi * (turns - turns.floor())).float()
    count = (0.5 * sample_rate / smooth).floor()
    low = half.sin()
    # at the pulse itself both sines vanish: the sum is the number of harmonics
    close = low.abs() < 1e-4
    total = torch.where(
        close, count, 0.5 * ((2 * count + 1) * half).sin() / low.masked_fill(close, 1.0) - 0.5
    )
    return total * (2 / count).sqrt()


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
        bins = config.fft_samples // 2 + 1
        self.harmonic = nn.Linear(config.width, bins)
        self.phase = nn.Linear(config.width, bins)
        self.noise = nn.Linear(config.width, bins)
        nn.init.zeros_(self.phase.weight)
        nn.init.zeros_(self.phase.bias)
        self.pitch = PitchHead(config.bands, config.pitch_width)
        self.register_buffer("window", torch.hann_window(config.fft_samples), persistent=False)

    def forward(
        self, mel: Tensor, pitch: Tensor | None = None, draw: torch.Generator | None = None
    ) -> Tensor:
        """(batch, bands, frames) natural-log mel -> (batch, frames * hop) in about [-1, 1].

        The pitch (batch, frames) in Hz is heard from the mel where it is not given. `draw` is where
        the noise comes from; by default a generator of its own, so that the same mel is the same
        audio.
        """
        if draw is None:
            draw = torch.Generator().manual_seed(0)
        if pitch is None:
            pitch = pitch_of(self.pitch(mel).float())
        start, noise = self._drawn(len(mel), mel.shape[2], draw)
        return self._filtered(mel, pitch, start.to(mel.device), noise.to(mel.device), None)

    def together(self, mels: Sequence[Tensor], rows: int) -> list[Tensor]:
        """Mels (1, bands, frames) -> the audio (samples,) of each as if it were alone; at most
        `rows` go through the network together, those of like lengths."""
        order = sorted(range(len(mels)), key=lambda number: mels[number].shape[2])
        audio: dict[int, Tensor] = {}
        for begin in range(0, len(order), rows):
            numbers = order[begin : begin + rows]
            sizes = [mels[number].shape[2] for number in numbers]
            sizes += sizes[:1] * (rows - len(numbers))  # always as many rows
            places = [*numbers, *numbers[:1] * (rows - len(numbers))]
            longest = max(sizes)
            mel = torch.cat([F.pad(mels[n], (0, longest - mels[n].shape[2])) for n in places])
            # Each with a generator of its own, as alone.
            drawn = [self._drawn(1, size, torch.Generator().manual_seed(0)) for size in sizes]
            start = torch.cat([one for one, _ in drawn]).to(mel.device)
            hop = self.config.hop_samples
            noise = torch.cat([F.pad(x, (0, longest * hop - x.shape[1])) for _, x in drawn])
            mask = length_mask(torch.tensor(sizes, device=mel.device), longest)[:, None]
            pitch = pitch_of(self.pitch(mel, mask).float(), mask)
            made = self._filtered(mel, pitch, start, noise.to(mel.device), mask)
            for number, one, size in zip(numbers, made, sizes, strict=False):
                audio[number] = one[: size * hop]
        return [audio[number] for number in range(len(mels))]

    def _drawn(self, batch: int, frames: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Where the pulses begin (batch, 1), in turns, and noise (batch, frames * hop)."""
        start = torch.rand((batch, 1), generator=draw, dtype=torch.float64)
        return start, torch.randn((batch, frames * self.config.hop_samples), generator=draw)

    def _filtered(
        self, mel: Tensor, pitch: Tensor, start: Tensor, noise: Tensor, mask: Tensor | None
    ) -> Tensor:
        """Pulses and noise as the mel wants them; of padded items, the mask (batch, 1, frames)
        says what belongs to them, and their mel and noise are zero behind it."""
        hop = self.config.hop_samples
        pulses = pulse_train(pitch, hop, self.config.sample_rate, start)
        if mask is not None:
            pulses = pulses * mask[:, 0].repeat_interleave(hop, 1)
        x = self.norm(self.embed(mel).transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x, mask)
        x = self.last_norm(x.transpose(1, 2))
        loud, phase, hiss = (
            head(x).transpose(1, 2).float() for head in (self.harmonic, self.phase, self.noise)
        )
        loud, hiss = loud.clamp(-14.0, 3.0), hiss.clamp(-14.0, 3.0)
        voiced = torch.polar(loud.exp(), minimum_phase(loud) + phase) * self._forward(pulses)
        return self._inverse(voiced + hiss.exp() * self._forward(noise), mask)

    def _forward(self, audio: Tensor) -> Tensor:
        """(batch, frames * hop) -> spectrum (batch, bins, frames); frame k is centred on hop k's
        middle."""
        side = (self.config.fft_samples - self.config.hop_samples) // 2
        return torch.stft(
            F.pad(audio, (side, side)),
            self.config.fft_samples,
            self.config.hop_samples,
            window=self.window,
            center=False,
            return_complex=True,
        )

    def _inverse(self, spectrum: Tensor, mask: Tensor | None = None) -> Tensor:
        """Overlap-add of (batch, bins, frames), the inverse of `_forward`."""
        fft, hop = self.config.fft_samples, self.config.hop_samples
        frames = spectrum.shape[-1]
        pieces = torch.fft.irfft(spectrum, fft, dim=1) * self.window[None, :, None]
        length = (frames - 1) * hop + fft
        pieces = within(pieces, mask)
        audio = nn.functional.fold(pieces, (1, length), (1, fft), stride=(1, hop))[:, 0, 0]
        weight = within(self.window.square().expand(1, frames, -1).transpose(1, 2), mask)
        envelope = nn.functional.fold(weight, (1, length), (1, fft), stride=(1, hop))[:, 0, 0]
        side = (fft - hop) // 2
        return (audio / envelope.clamp(min=1e-8))[:, side : length - side]


def minimum_phase(log_magnitude: Tensor) -> Tensor:
    """The phase (batch, bins, frames) of the minimum-phase filter with these log magnitudes.

    By the real cepstrum, folded onto its causal half (A. Oppenheim and R. Schafer, Discrete-Time
    Signal Processing).
    """
    size = 2 * (log_magnitude.shape[1] - 1)
    cepstrum = torch.fft.irfft(log_magnitude, size, dim=1)
    fold = torch.zeros(size, device=log_magnitude.device)
    fold[1 : size // 2] = 2.0
    fold[0] = fold[size // 2] = 1.0
    return torch.fft.rfft(cepstrum * fold[None, :, None], dim=1).imag
