"""The acoustic stages of official models: semantic tokens and phones to sound in a voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

import soxr
import torch
from torch import Tensor
from torch.nn import functional as F

from model import speaker
from model.graphs import Recorded
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
from model.windows import (
    Flow,
    Line,
    Together,
    Window,
    WindowedFlow,
    conditions,
    noise_of,
    side_by_side,
)

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
    """v1, v2, v2Pro and v2ProPlus: straight to a waveform at 32 kHz. Lowers the model in place;
    `graphs`: the work on many windows is recorded (model/graphs.py)."""

    def __init__(
        self, model: OfficialModel, precision: Precision = "f32", graphs: bool = False
    ) -> None:
        self._s2: Any = model.s2
        if precision == "bf16":
            lower_generator(cast("Generator", self._s2.dec))
        self._packed = Recorded(lambda _, mel, vector: self._s2.dec(mel, vector), graphs)
        self._speaker = model.speaker
        self._device: torch.device = self._s2.ssl_proj.weight.device

    def listen(self, samples: Sequence[Sample], codes: Tensor, phones: Tensor) -> Tensor:
        """The mean of the samples' voice vectors (1, gin, 1)."""
        return torch.stack([self._vector(sample) for sample in samples]).mean(0)

    def _vector(self, sample: Sample) -> Tensor:
        spectrogram = _spectrogram(sample).to(self._device)
        vector = None
        if self._speaker is not None:
            vector = self._speaker.embed(_resampled(sample, speaker.SAMPLE_RATE))
        lengths = torch.tensor([spectrogram.shape[2]], device=self._device)
        return self._s2.reference_embedding(spectrogram, lengths, vector)

    def speak(
        self, lines: Sequence[Line], voice: Tensor, sampling: Sampling, rows: int = 1
    ) -> list[Tensor]:
        latents: dict[int, Tensor] = {}
        for some in side_by_side(lines, rows, self._device):
            latents |= self._latents(lines, some, voice, sampling.speed)
        frames = PACKED_FRAMES if rows > 1 else LONGEST_FRAMES
        ordered = [latents[number] for number in range(len(lines))]
        return generate(
            self._s2.dec, ordered, voice, frames, rows, lambda mel: self._packed(None, mel, voice)
        )

    def _latents(
        self, lines: Sequence[Line], some: Together, voice: Tensor, speed: float
    ) -> dict[int, Tensor]:
        """The decoder's latent (1, channels, frames) of some of the lines, by their numbers."""
        channels = self._s2.config.inter_channels
        chosen = [lines[number] for number in some.numbers]
        sizes = [frame_count(line.codes.shape[1], speed) for line in chosen]
        noise = [
            F.pad(noise_of(channels, size, line.seed, self._device), (0, max(sizes) - size))
            for line, size in zip(chosen, sizes, strict=True)
        ]
        latents, _ = self._s2.sample(
            some.codes,
            some.code_lengths,
            some.phones,
            some.phone_lengths,
            voice,
            torch.cat(noise),
            NOISE_SCALE,
            speed,
        )
        made = zip(some.numbers, latents, sizes, strict=True)
        return {number: latent[None, :, :size] for number, latent, size in made}


@dataclass(frozen=True)
class FlowVoice:
    """A voice of v3 and v4: its vector (1, gin, 1), and a prompt of normalised mel (1, bands,
    frames) with its conditioning (1, width, frames)."""

    vector: Tensor
    mel: Tensor
    fea: Tensor


class FlowStage:
    """v3 and v4: flow matching to a mel, window by window, and a vocoder. Lowers the model in
    place; `graphs`: the work on many windows is recorded (model/graphs.py)."""

    def __init__(
        self, model: OfficialModel, precision: Precision = "f32", graphs: bool = False
    ) -> None:
        self._s2: Any = model.s2
        if model.vocoder is None:
            raise ValueError(f"{model.version} without its vocoder")
        self._vocoder = model.vocoder
        cfm = cast("CFM", self._s2.cfm)
        if precision == "bf16":
            lower_transformer(cfm.estimator)
            if isinstance(self._vocoder, Generator):
                lower_generator(self._vocoder)
        self._packed = Recorded(lambda _, mel: self._vocoder(mel), graphs)
        self._windows = WINDOWS[model.version]
        self._flow = WindowedFlow(cfm, self._windows.window_frames, graphs=graphs)
        self._device: torch.device = self._s2.ssl_proj.weight.device

    def listen(self, samples: Sequence[Sample], codes: Tensor, phones: Tensor) -> FlowVoice:
        """The voice of the first sample; the end of it is the prompt."""
        spectrogram = _spectrogram(samples[0]).to(self._device)
        lengths = torch.tensor([spectrogram.shape[2]], device=self._device)
        vector = self._s2.reference_embedding(spectrogram, lengths)
        audio = _resampled(samples[0], self._windows.mel.sample_rate)
        mel = normalise_mel(log_mel(audio, self._windows.mel)).to(self._device)
        (fea,) = conditions(self._s2, [Line(codes, phones, 0)], vector, 1.0)
        frames = min(mel.shape[2], fea.shape[2])
        start = max(0, frames - self._windows.prompt_frames)
        return FlowVoice(vector, mel[..., start:frames].clone(), fea[..., start:frames].clone())

    def speak(
        self, lines: Sequence[Line], voice: FlowVoice, sampling: Sampling, rows: int = 1
    ) -> list[Tensor]:
        feas = conditions(self._s2, lines, voice.vector, sampling.speed, rows)
        bands = self._windows.mel.bands
        room = self._windows.window_frames - voice.mel.shape[2]
        flows = []
        for line, fea in zip(lines, feas, strict=True):
            frames = fea.shape[2]
            noise = noise_of(bands, frames, line.seed, self._device)
            flows.append(Flow(fea, noise, [*range(0, frames, room), frames]))
        window = partial(self._window, voice)
        made = self._flow.finish(flows, window, sampling, rows)
        mels = [denormalise_mel(mel) for mel in made]
        if isinstance(self._vocoder, Generator):
            frames = PACKED_FRAMES if rows > 1 else LONGEST_FRAMES
            recorded = partial(self._packed, None)
            return generate(self._vocoder, mels, None, frames, rows, recorded)
        return [self._vocoder(mel)[0, 0] for mel in mels]

    def _window(self, voice: FlowVoice, one: Flow, number: int) -> Window:
        """A line's window of that number."""
        start, stop = one.bounds[number : number + 2]
        prompt, prompt_fea = voice.mel, voice.fea
        if one.pieces:
            length = prompt.shape[2]
            prompt = one.pieces[-1][..., -length:]
            prompt_fea = one.fea[..., start - prompt.shape[2] : start]
        fea = torch.cat([prompt_fea, one.fea[..., start:stop]], 2)
        return Window(prompt, fea, one.noise[..., start:stop])


def _spectrogram(sample: Sample) -> Tensor:
    return reference_spectrogram(limit_peak(_resampled(sample, REFERENCE_RATE)))


def _resampled(sample: Sample, rate: int) -> Tensor:
    """(1, samples) at a rate."""
    return torch.from_numpy(soxr.resample(sample.audio, sample.sample_rate, rate))[None]
