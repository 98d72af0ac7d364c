"""The acoustic stages of official models: semantic tokens and phones to sound in a voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import soxr
import torch
from torch import Tensor
from torch.nn import functional as F

from model import speaker
from model.official import OfficialModel
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

REFERENCE_RATE = 32_000
NOISE_SCALE = 0.5
"""How far the VITS versions wander from the likeliest sound."""


@dataclass(frozen=True)
class Windows:
    """How a version of the flow matching works through long speech.

    Of the prompt at most the last `prompt_frames` are kept; prompt and speech together are
    `window_frames` at a time.
    """

    mel: MelConfig
    prompt_frames: int
    window_frames: int


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
        self, codes: Tensor, phones: Tensor, voice: Any, sampling: Sampling, seed: int
    ) -> Tensor:
        """Codes (1, tokens > 0) and phones (P > 0) -> audio (samples,), by the seed's own noise."""


class VitsStage:
    """v1, v2, v2Pro and v2ProPlus: straight to a waveform at 32 kHz."""

    def __init__(self, model: OfficialModel) -> None:
        self._s2: Any = model.s2
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
        self, codes: Tensor, phones: Tensor, voice: Tensor, sampling: Sampling, seed: int
    ) -> Tensor:
        frames = frame_count(codes.shape[1], sampling.speed)
        noise = _noise(self._s2.config.inter_channels, frames, seed)
        audio, _ = self._s2.decode(
            codes,
            torch.tensor([codes.shape[1]]),
            phones[None],
            torch.tensor([len(phones)]),
            voice,
            noise,
            NOISE_SCALE,
            sampling.speed,
        )
        return audio[0, 0]


@dataclass(frozen=True)
class FlowVoice:
    """A voice of v3 and v4: its vector (1, gin, 1), and a prompt of normalised mel (1, bands,
    frames) with its conditioning (1, width, frames)."""

    vector: Tensor
    mel: Tensor
    fea: Tensor


class FlowStage:
    """v3 and v4: flow matching to a mel, window by window, and a vocoder."""

    def __init__(self, model: OfficialModel) -> None:
        self._s2: Any = model.s2
        if model.vocoder is None:
            raise ValueError(f"{model.version} without its vocoder")
        self._vocoder = model.vocoder
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
        self, codes: Tensor, phones: Tensor, voice: FlowVoice, sampling: Sampling, seed: int
    ) -> Tensor:
        fea = self._condition(codes, phones, voice.vector, sampling.speed)
        noise = _noise(self._windows.mel.bands, fea.shape[2], seed)
        length = voice.mel.shape[2]
        room = self._windows.window_frames - length
        prompt, prompt_fea = voice.mel, voice.fea
        pieces = []
        for start in range(0, fea.shape[2], room):
            part = fea[..., start : start + room]
            mel = self._s2.cfm.inference(
                torch.cat([prompt_fea, part], 2),
                None,
                prompt,
                sampling.steps,
                F.pad(noise[..., start : start + room], (prompt.shape[2], 0)),
                sampling.guidance,
            )[..., prompt.shape[2] :]
            pieces.append(mel)
            # The window after it continues what was made here.
            prompt, prompt_fea = mel[..., -length:], part[..., -length:]
        return self._vocoder(denormalise_mel(torch.cat(pieces, 2)))[0, 0]

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
