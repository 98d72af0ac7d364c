"""The acoustic stages of official models: semantic tokens and phones to sound in a voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import soxr
import torch
from torch import Tensor
from torch.nn import functional as F

from model import speaker
from model.official import OfficialModel
from model.precision import Precision, lower_generator, lower_transformer
from model.s2.flow_matching import CFM
from model.s2.vits import frame_count
from model.sampling import Sampling
from model.speaking import Sample
from model.spectral import (
    MelConfig,
    denormalise_mel,
    limit_peak,
    log_mel,
    normalise_mel,
    reference_spectrogram,
)
from model.vocoder import Generator, generate

REFERENCE_RATE = 32_000
NOISE_SCALE = 0.5
"""How far the VITS versions wander from the likeliest sound."""
LONGEST_FRAMES = 512
"""Of a vocoder's windows where they go one by one: 10 s of v2, 5 s of v4."""
PACKED_FRAMES = 88
"""Of its windows where many go together, about a quarter of them overlap."""


@dataclass(frozen=True)
class Windows:
    """How a version of the flow matching works through long speech.

    Of the prompt at most the last `prompt_frames` are kept; prompt and speech together are
    `window_frames` at a time.
    """

    mel: MelConfig
    prompt_frames: int
    window_frames: int


@dataclass(frozen=True)
class Line:
    """What is to be spoken: codes (1, tokens > 0), phones (P > 0), the seed of its own noise."""

    codes: Tensor
    phones: Tensor
    seed: int


WINDOWS = {
    "v3": Windows(MelConfig(24_000, 1024, 256, 1024, 100), 468, 934),
    "v4": Windows(MelConfig(32_000, 1280, 320, 1280, 100), 500, 1000),
}


class Stage(Protocol):
    """What turns tokens into sound."""

    def listen(self, samples: Sequence[Sample], codes: Tensor, phones: Tensor) -> Any:
        """A voice from samples, the first of which has the codes (1, tokens) and says the phones
        (P)."""

    def speak(
        self, lines: Sequence[Line], voice: Any, sampling: Sampling, rows: int = 1
    ) -> list[Tensor]:
        """The audio (samples,) of each line, which does not depend on the others.

        `rows` windows of all lines go through the networks together: one is best on a CPU, which
        a single window fills, many on a GPU. Audio of other `rows` differs by rounding.
        """


class VitsStage:
    """v1, v2, v2Pro and v2ProPlus: straight to a waveform at 32 kHz. Lowers the model in place."""

    def __init__(self, model: OfficialModel, precision: Precision = "f32") -> None:
        self._s2: Any = model.s2
        if precision == "bf16":
            lower_generator(cast("Generator", self._s2.dec))
        self._speaker = model.speaker

    def listen(self, samples: Sequence[Sample], codes: Tensor, phones: Tensor) -> Tensor:
        """The mean of the samples' voice vectors (1, gin, 1)."""
        return torch.stack([self._vector(sample) for sample in samples]).mean(0)

    def _vector(self, sample: Sample) -> Tensor:
        spectrogram = _spectrogram(sample)
        vector = None
        if self._speaker is not None:
            vector = self._speaker.embed(_resampled(sample, speaker.SAMPLE_RATE))
        lengths = torch.tensor([spectrogram.shape[2]])
        return self._s2.reference_embedding(spectrogram, lengths, vector)

    def speak(
        self, lines: Sequence[Line], voice: Tensor, sampling: Sampling, rows: int = 1
    ) -> list[Tensor]:
        # The encoder, a twentieth of the work, hears each line alone.
        latents = [self._latent(line, voice, sampling.speed) for line in lines]
        frames = PACKED_FRAMES if rows > 1 else LONGEST_FRAMES
        return generate(self._s2.dec, latents, voice, frames, rows)

    def _latent(self, line: Line, voice: Tensor, speed: float) -> Tensor:
        frames = frame_count(line.codes.shape[1], speed)
        latent, _ = self._s2.sample(
            line.codes,
            torch.tensor([line.codes.shape[1]]),
            line.phones[None],
            torch.tensor([len(line.phones)]),
            voice,
            _noise(self._s2.config.inter_channels, frames, line.seed),
            NOISE_SCALE,
            speed,
        )
        return latent


@dataclass(frozen=True)
class FlowVoice:
    """A voice of v3 and v4: its vector (1, gin, 1), and a prompt of normalised mel (1, bands,
    frames) with its conditioning (1, width, frames)."""

    vector: Tensor
    mel: Tensor
    fea: Tensor


@dataclass
class _Flow:
    """A line on its way: its conditioning (1, width, frames), and the mel made so far."""

    fea: Tensor
    seed: int
    pieces: list[Tensor] = field(default_factory=list)


class FlowStage:
    """v3 and v4: flow matching to a mel, window by window, and a vocoder. Lowers the model in
    place."""

    def __init__(self, model: OfficialModel, precision: Precision = "f32") -> None:
        self._s2: Any = model.s2
        if model.vocoder is None:
            raise ValueError(f"{model.version} without its vocoder")
        self._vocoder = model.vocoder
        if precision == "bf16":
            lower_transformer(cast("CFM", self._s2.cfm).estimator)
            if isinstance(self._vocoder, Generator):
                lower_generator(self._vocoder)
        self._windows = WINDOWS[model.version]

    def listen(self, samples: Sequence[Sample], codes: Tensor, phones: Tensor) -> FlowVoice:
        """The voice of the first sample; the end of it is the prompt."""
        spectrogram = _spectrogram(samples[0])
        vector = self._s2.reference_embedding(spectrogram, torch.tensor([spectrogram.shape[2]]))
        audio = _resampled(samples[0], self._windows.mel.sample_rate)
        mel = normalise_mel(log_mel(audio, self._windows.mel))
        fea = self._condition(codes, phones, vector, 1.0)
        frames = min(mel.shape[2], fea.shape[2])
        start = max(0, frames - self._windows.prompt_frames)
        return FlowVoice(vector, mel[..., start:frames].clone(), fea[..., start:frames].clone())

    def speak(
        self, lines: Sequence[Line], voice: FlowVoice, sampling: Sampling, rows: int = 1
    ) -> list[Tensor]:
        made = [
            _Flow(self._condition(line.codes, line.phones, voice.vector, sampling.speed), line.seed)
            for line in lines
        ]
        room = self._windows.window_frames - voice.mel.shape[2]
        longest = max(one.fea.shape[2] for one in made)
        # First the first window of all lines, then the second of those that have one, and so on,
        # since a window continues the one before.
        for start in range(0, longest, room):
            left = [one for one in made if one.fea.shape[2] > start]
            for begin in range(0, len(left), rows):
                self._windows_of(left[begin : begin + rows], start, room, voice, sampling, rows)
        mels = [denormalise_mel(torch.cat(one.pieces, 2)) for one in made]
        if isinstance(self._vocoder, Generator):
            frames = PACKED_FRAMES if rows > 1 else LONGEST_FRAMES
            return generate(self._vocoder, mels, None, frames, rows)
        return [self._vocoder(mel)[0, 0] for mel in mels]

    def _windows_of(
        self,
        group: Sequence[_Flow],
        start: int,
        room: int,
        voice: FlowVoice,
        sampling: Sampling,
        rows: int,
    ) -> None:
        """The windows of `room` frames from `start` on of at most `rows` lines, as one batch."""
        fea, noise, prompts, sizes = [], [], [], []
        for one in group:
            part = one.fea[..., start : start + room]
            size = part.shape[2]
            gap = room - size if rows > 1 else 0
            prompt, prompt_fea = voice.mel, voice.fea
            if start:
                length = prompt.shape[2]
                prompt = one.pieces[-1][..., -length:]
                prompt_fea = one.fea[..., start - prompt.shape[2] : start]
            fea.append(F.pad(torch.cat([prompt_fea, part], 2), (0, gap)))
            bands = _noise(self._windows.mel.bands, one.fea.shape[2], one.seed)
            bands = bands[..., start : start + room]
            noise.append(F.pad(bands, (prompt.shape[2], gap)))
            prompts.append(prompt)
            sizes.append(prompt.shape[2] + size)
        idle = rows - len(group)  # always as many rows, so that a row is computed in one way
        lengths = torch.tensor(sizes + sizes[:1] * idle) if rows > 1 else None
        made = self._s2.cfm.inference(
            torch.cat(fea + fea[:1] * idle),
            lengths,
            torch.cat(prompts + prompts[:1] * idle),
            sampling.steps,
            torch.cat(noise + noise[:1] * idle),
            sampling.guidance,
        )
        for one, mel, prompt, size in zip(group, made, prompts, sizes, strict=False):
            one.pieces.append(mel[None, :, prompt.shape[2] : size])

    def _condition(self, codes: Tensor, phones: Tensor, vector: Tensor, speed: float) -> Tensor:
        fea, _ = self._s2.condition(
            codes,
            torch.tensor([codes.shape[1]]),
            phones[None],
            torch.tensor([len(phones)]),
            vector,
            speed,
        )
        return fea


def _spectrogram(sample: Sample) -> Tensor:
    return reference_spectrogram(limit_peak(_resampled(sample, REFERENCE_RATE)))


def _resampled(sample: Sample, rate: int) -> Tensor:
    """(1, samples) at a rate."""
    return torch.from_numpy(soxr.resample(sample.audio, sample.sample_rate, rate))[None]


def _noise(channels: int, frames: int, seed: int) -> Tensor:
    """(1, channels, frames) from the normal distribution, the same for the same seed."""
    return torch.randn((1, channels, frames), generator=torch.Generator().manual_seed(seed))
