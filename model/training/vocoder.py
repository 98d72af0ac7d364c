"""Trains the built-in voice's vocoder: spectral losses first, slim discriminators after."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from configs.errors import UserError
from configs.training import VocoderStage
from model.istft_vocoder import IstftVocoder, IstftVocoderConfig
from model.spectral import MelConfig, log_mel, magnitudes
from model.training import corpus as corpora
from model.training.corpus import Clip, Corpus
from model.training.data import Data, Mixture
from model.training.loop import Compute, Run, Stream
from model.training.tokens import find_model

MEL = MelConfig()
RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
POOL = 16
"""Batches that are drawn at once."""
JUDGED = 16
"""Held-out segments that are judged."""


class PeriodDiscriminator(nn.Module):
    """Looks at every `period`-th sample side by side (J. Kong et al., HiFi-GAN, 2020), slim."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, 16, 32, 64, 96)
        self.layers = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0)))
            for a, b in pairwise(widths)
        )
        self.last = nn.utils.parametrizations.weight_norm(nn.Conv2d(96, 1, (3, 1), 1, (1, 0)))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(batch, samples) -> scores and the features of each layer."""
        spare = -audio.shape[1] % self.period
        x = F.pad(audio, (0, spare)).view(audio.shape[0], 1, -1, self.period)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.last(x), features


class SpectrumDiscriminator(nn.Module):
    """Looks at log magnitudes of one resolution, bins as channels: costs next to nothing."""

    def __init__(self, fft_samples: int, hop_samples: int) -> None:
        super().__init__()
        self.fft_samples, self.hop_samples = fft_samples, hop_samples
        widths = (fft_samples // 2 + 1, 128, 128, 128)
        self.layers = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(nn.Conv1d(a, b, 5, padding=2))
            for a, b in pairwise(widths)
        )
        self.last = nn.utils.parametrizations.weight_norm(nn.Conv1d(128, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(batch, samples) -> scores and the features of each layer."""
        x = torch.log(magnitudes(audio, self.fft_samples, self.hop_samples, self.fft_samples))
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.last(x), features


def spectral_loss(made: Tensor, real: Tensor) -> Tensor:
    """L1 of log magnitudes plus spectral convergence (R. Yamamoto et al., 2020), averaged."""
    total = made.new_zeros(())
    for fft_samples, hop_samples in RESOLUTIONS:
        a = magnitudes(made, fft_samples, hop_samples, fft_samples)
        b = magnitudes(real, fft_samples, hop_samples, fft_samples)
        total = total + F.l1_loss(torch.log(a + 1e-3), torch.log(b + 1e-3))
        total = total + (a - b).norm() / b.norm().clamp(min=1e-3)
    return total / len(RESOLUTIONS)


def discriminators() -> nn.ModuleList:
    return nn.ModuleList(
        [PeriodDiscriminator(p) for p in (2, 3, 5, 7, 11)]
        + [SpectrumDiscriminator(f, h) for f, h in RESOLUTIONS]
    )


def judging_loss(judges: nn.ModuleList, real: Tensor, made: Tensor) -> Tensor:
    """Of the discriminators: hinge loss of real and made audio (batch, samples), averaged."""
    loss = made.new_zeros(())
    for judge in judges:
        yes, _ = judge(real)
        no, _ = judge(made.detach())
        loss = loss + F.relu(1 - yes.float()).mean() + F.relu(1 + no.float()).mean()
    return loss / len(judges)


def judged_loss(judges: nn.ModuleList, real: Tensor, made: Tensor) -> Tensor:
    """Of the vocoder: what the discriminators say of made audio, and how far their features of it
    are from those of real audio (J. Kong et al., 2020), relative to these, averaged."""
    loss = made.new_zeros(())
    for judge in judges:
        with torch.no_grad():
            _, wanted = judge(real)
        score, got = judge(made)
        loss = loss - score.float().mean()
        for a, b in zip(got, wanted, strict=True):
            scale = b.float().abs().mean().clamp(min=1e-3)
            loss = loss + 2 * (a.float() - b.float()).abs().mean() / scale / len(got)
    return loss / len(judges)


@dataclass(frozen=True)
class Batch:
    """Segments of speech: audio (batch, samples)."""

    audio: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(self.audio.to(device))


@dataclass(frozen=True)
class Segment:
    """Audio (samples,) of a random stretch of a clip."""

    audio: np.ndarray


def segment(corpus: Corpus, clip: Clip, frames: int, draw: np.random.Generator) -> Segment | None:
    """So many mel frames of a clip, up to 9 dB quieter; None where it is silent there."""
    audio = corpus.audio(clip)
    samples = frames * MEL.hop_samples
    start = int(draw.integers(len(audio) - samples + 1))
    piece = audio[start : start + samples]
    if np.abs(piece).max() <= 0.01:
        return None
    return Segment((piece * 10 ** (-draw.uniform(0, 9) / 20)).astype(np.float32))


def collate(segments: list[Segment]) -> Batch:
    return Batch(torch.from_numpy(np.stack([one.audio for one in segments])))


@dataclass(frozen=True)
class Losses:
    """Between made and real audio: of log-mels (L1), and `spectral_loss`."""

    mel: Tensor
    stft: Tensor

    def total(self) -> Tensor:
        return 15 * self.mel + 5 * self.stft


def losses(vocoder: IstftVocoder, batch: Batch, compute: Compute) -> tuple[Tensor, Losses]:
    """The audio (batch, samples) that is made of the real one's mel, and how good it is."""
    mel = log_mel(batch.audio, MEL)
    with compute.autocast():
        made = vocoder(mel)
    return made, Losses(
        mel=F.l1_loss(log_mel(made, MEL), mel), stft=spectral_loss(made, batch.audio)
    )


class VocoderTrainer:
    """The vocoder and its discriminators; see `Trainer`."""

    def __init__(self, config: VocoderStage, data: Data, compute: Compute, out: Path) -> None:
        self.config, self.compute = config, compute
        if config.start:
            started = find_model(config.start).vocoder
            self.vocoder = IstftVocoder(started.config)
            self.vocoder.load_state_dict(started.state_dict())
        else:
            self.vocoder = IstftVocoder(IstftVocoderConfig(**config.sizes.model_dump()))
        self.judges = discriminators()
        self.modules: dict[str, nn.Module] = {
            "vocoder": self.vocoder.to(compute.device),
            "judges": self.judges.to(compute.device),
        }
        self.training, self.held_out = self._clips(data)
        draw = np.random.default_rng(0)
        tries = [
            segment(*self.held_out[i % len(self.held_out)], config.frames, draw)
            for i in range(4 * JUDGED)
        ]
        heard = [one for one in tries if one is not None]
        if not heard:
            raise UserError("The held-out clips are silent: give other data, or change held_out.")
        self.judged = collate(heard[:JUDGED])
        self.tokens, self.sizes = "", asdict(self.vocoder.config)
        self.stream = Stream(self._pool, config.seed)

    def step(self, run: Run) -> dict[str, float]:
        batch = next(self.stream).to(self.compute.device)
        made, found = losses(self.vocoder, batch, self.compute)
        loss, log = found.total(), {"mel": found.mel.item(), "stft": found.stft.item()}
        if run.progress >= self.config.adversarial_from < 1:
            with self.compute.autocast():
                judging = judging_loss(self.judges, batch.audio, made)
            run.update("judges", judging)
            self.judges.requires_grad_(False)
            with self.compute.autocast():
                judged = judged_loss(self.judges, batch.audio, made)
            self.judges.requires_grad_(True)
            loss = loss + judged
            log |= {"judges": judging.item(), "judged": judged.item()}
        run.update("vocoder", loss)
        return log

    def validate(self) -> dict[str, float]:
        """The spectral losses on the same held-out segments every time."""
        batch = self.judged.to(self.compute.device)
        _, found = losses(self.vocoder, batch, self.compute)
        return {"mel": found.mel.item(), "stft": found.stft.item()}

    def sample(self, folder: Path) -> None:
        """Copy synthesis: WAVs of held-out clips through their mels, beside the clips."""
        folder.mkdir(parents=True, exist_ok=True)
        step = max(1, len(self.held_out) // max(1, self.config.samples))
        for number, (corpus, clip) in enumerate(self.held_out[::step][: self.config.samples]):
            audio = corpus.audio(clip)[: 20 * corpora.SAMPLE_RATE]
            mel = log_mel(torch.from_numpy(audio)[None], MEL).to(self.compute.device)
            made = self.vocoder(mel)[0].float().cpu().clamp(-1, 1).numpy()
            soundfile.write(folder / f"{number}-made.wav", made, corpora.SAMPLE_RATE)
            soundfile.write(folder / f"{number}-true.wav", audio, corpora.SAMPLE_RATE)

    def finish(self, run: Run) -> None:
        """The checkpoint is all there is."""

    def _pool(self, draw: np.random.Generator) -> list[Batch]:
        batches: list[Batch] = []
        segments: list[Segment] = []
        # silent stretches are drawn again, but not for ever
        for _ in range(100 * POOL * self.config.batch):
            one = segment(*self.training(draw), self.config.frames, draw)
            segments += [one] if one is not None else []
            if len(segments) == self.config.batch:
                batches.append(collate(segments))
                segments = []
            if len(batches) == POOL:
                return batches
        raise UserError("Nearly all of the data is silence: give recordings of speech.")

    def _clips(self, data: Data) -> tuple[Mixture[tuple[Corpus, Clip]], list[tuple[Corpus, Clip]]]:
        needed = self.config.frames * MEL.hop_samples
        training: list[list[tuple[Corpus, Clip]]] = []
        held_out: list[tuple[Corpus, Clip]] = []
        for corpus in data.corpora:
            long = [clip for clip in corpus.clips if corpus.samples(clip) >= needed]
            training.append([(corpus, c) for c in long if c.name not in data.held_out])
            held_out += [(corpus, c) for c in long if c.name in data.held_out and c.rate == 1.0]
        if not held_out or not any(training):
            raise UserError(
                f"Too few clips have {self.config.frames} frames: the stage vocoder needs some to "
                "train on and some held out; frames may be fewer."
            )
        return Mixture(training, data.shares), held_out
