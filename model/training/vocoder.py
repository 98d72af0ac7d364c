"""Trains the built-in voice's vocoder: spectral losses first, slim discriminators after.

While it learns, the pulse train follows the pitch that Praat finds in the recording, so that the
harmonics lie where the real ones lie; the pitch head learns to hear the same pitch from the mel,
with noise in it, as S2's mels are not clean.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from configs.errors import UserError
from configs.training import VocoderStage
from model.istft_vocoder import (
    CLASSES_PER_OCTAVE,
    LOWEST_PITCH,
    PITCH_CLASSES,
    IstftVocoder,
    IstftVocoderConfig,
    bridge,
)
from model.spectral import MelConfig, log_mel, magnitudes
from model.training import corpus as corpora
from model.training.corpus import Clip, Corpus, OnDone
from model.training.data import Data, Mixture
from model.training.loop import Compute, Run, Stream, step_seed
from model.training.tokens import find_model

MEL = MelConfig()
RESOLUTIONS = ((256, 64), (512, 128), (1024, 256), (2048, 512))
POOL = 16
"""Batches that are drawn at once."""
MEL_NOISE = 0.4
"""The most noise in the mels that the pitch head learns from, a deviation of natural logarithms."""
JUDGED = 16
"""Held-out segments that are judged."""


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
    """L1 of log magnitudes, and a little of magnitudes relative to the real ones, averaged.

    Not the usual spectral convergence (R. Yamamoto et al., 2020): where both sounds are noise, two
    draws of it never agree, and squares would teach the vocoder to make less of it.
    """
    total = made.new_zeros(())
    for fft_samples, hop_samples in RESOLUTIONS:
        a = magnitudes(made, fft_samples, hop_samples, fft_samples)
        b = magnitudes(real, fft_samples, hop_samples, fft_samples)
        total = total + F.l1_loss(torch.log(a + 1e-3), torch.log(b + 1e-3))
        total = total + 0.3 * (a - b).abs().sum() / b.sum().clamp(min=1e-3)
    return total / len(RESOLUTIONS)


def pitch_loss(logits: Tensor, pitch: Tensor) -> Tensor:
    """Cross entropy of the pitch head's classes, smoothed over a quarter semitone to either side.

    logits (B, classes + 1, frames); pitch (B, frames) in Hz, 0 where there is none.
    """
    voiced = (pitch > 0)[:, None]
    place = torch.log2(pitch.clamp(min=LOWEST_PITCH) / LOWEST_PITCH) * CLASSES_PER_OCTAVE
    classes = torch.arange(PITCH_CLASSES, device=pitch.device)[None, :, None]
    near = torch.exp(-0.5 * (classes - place[:, None]).square())
    near = near / near.sum(1, keepdim=True).clamp(min=1e-6)
    target = torch.cat([near * voiced, (~voiced).float()], 1)
    return -(target * logits.float().log_softmax(1)).sum(1).mean()


def discriminators() -> nn.ModuleList:
    return nn.ModuleList(SpectrumDiscriminator(f, h) for f, h in RESOLUTIONS)


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
    """Segments of speech: audio (batch, samples), its pitch in Hz (batch, frames), 0 for none."""

    audio: Tensor
    pitch: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(self.audio.to(device), self.pitch.to(device))


@dataclass(frozen=True)
class Segment:
    """Audio (samples,) of a random stretch of a clip, and its pitch (frames,)."""

    audio: np.ndarray
    pitch: np.ndarray


@dataclass(frozen=True)
class Voiced:
    """A clip with the pitch of all its frames, in Hz, 0 where there is none."""

    corpus: Corpus
    clip: Clip
    pitch: np.ndarray


def praat_pitch(audio: np.ndarray) -> np.ndarray:
    """Pitch (frames,) float32 in Hz of audio (samples,), at the middle of every mel frame.

    Praat's autocorrelation method (P. Boersma, 1993), 60 to 600 Hz; 0 where there is no pitch.
    """
    import parselmouth

    step = MEL.hop_samples / MEL.sample_rate
    frames = len(audio) // MEL.hop_samples
    # Praat needs three periods of the lowest pitch.
    if len(audio) < 0.06 * MEL.sample_rate:
        return np.zeros(frames, np.float32)
    sound = parselmouth.Sound(audio.astype(float), MEL.sample_rate)
    found = sound.to_pitch_ac(time_step=step, pitch_floor=60, pitch_ceiling=600)
    heard, times = found.selected_array["frequency"], found.xs()
    wanted = (np.arange(frames) + 0.5) * step
    after = np.searchsorted(times, wanted).clip(1, max(1, len(times) - 1))
    if len(times) < 2:
        return np.zeros(frames, np.float32)
    share = ((wanted - times[after - 1]) / (times[after] - times[after - 1])).clip(0, 1)
    a, b = heard[after - 1], heard[after]
    pitch = np.where((a > 0) & (b > 0), a * (1 - share) + b * share, np.where(share < 0.5, a, b))
    pitch[(wanted < times[0] - step) | (wanted > times[-1] + step)] = 0.0
    return pitch.astype(np.float32)


def stored_pitch(corpus: Corpus, on_done: OnDone) -> list[Voiced]:
    """The clips of a corpus with their pitch; made once."""
    check_praat()
    count = len(corpus.clips)
    with corpora.locked(corpus.folder):
        arrays = corpora.stored_arrays(
            corpus.folder / "pitch.f32",
            np.float32,
            1,
            count,
            lambda i: praat_pitch(corpus.audio(corpus.clips[i])),
            lambda done: on_done("pitch", done, count),
        )
    return [Voiced(corpus, clip, arrays[i]) for i, clip in enumerate(corpus.clips)]


def check_praat() -> None:
    """Raises UserError where praat-parselmouth, of the extra `train`, is missing."""
    if find_spec("parselmouth") is None:
        raise UserError(
            "training the vocoder needs the optional package praat-parselmouth: install it with: "
            "pip install -c constraints.txt -e '.[train]' in Voxloom's folder"
        )


def segment(voiced: Voiced, frames: int, draw: np.random.Generator) -> Segment | None:
    """So many mel frames of a clip, up to 9 dB quieter; None where it is silent there."""
    start = int(draw.integers(len(voiced.pitch) - frames + 1))
    samples = slice(start * MEL.hop_samples, (start + frames) * MEL.hop_samples)
    piece = voiced.corpus.audio(voiced.clip)[samples]
    if np.abs(piece).max() <= 0.01:
        return None
    quieter = (piece * 10 ** (-draw.uniform(0, 9) / 20)).astype(np.float32)
    return Segment(quieter, voiced.pitch[start : start + frames])


def collate(segments: list[Segment]) -> Batch:
    return Batch(
        torch.from_numpy(np.stack([one.audio for one in segments])),
        torch.from_numpy(np.stack([one.pitch for one in segments])),
    )


@dataclass(frozen=True)
class Losses:
    """Between made and real audio: of log-mels (L1), and `spectral_loss`; and `pitch_loss`."""

    mel: Tensor
    stft: Tensor
    pitch: Tensor

    def total(self) -> Tensor:
        return 5 * self.mel + 10 * self.stft + self.pitch

    def log(self) -> dict[str, float]:
        return {"mel": self.mel.item(), "stft": self.stft.item(), "pitch": self.pitch.item()}


def losses(
    vocoder: IstftVocoder, batch: Batch, compute: Compute, draw: torch.Generator
) -> tuple[Tensor, Losses]:
    """The audio (batch, samples) that is made of the real one's mel, and how good it is."""
    mel = log_mel(batch.audio, MEL)
    noise = torch.randn(mel.shape, generator=draw) * torch.rand((len(mel), 1, 1), generator=draw)
    with compute.autocast():
        made = vocoder(mel, bridge(batch.pitch, batch.pitch > 0), draw)
        logits = vocoder.pitch(mel + MEL_NOISE * noise.to(mel.device))
    return made, Losses(
        mel=F.l1_loss(log_mel(made, MEL), mel),
        stft=spectral_loss(made, batch.audio),
        pitch=pitch_loss(logits, batch.pitch),
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
            segment(self.held_out[i % len(self.held_out)], config.frames, draw)
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
        draw = torch.Generator().manual_seed(step_seed(self.config.seed, run.step))
        made, found = losses(self.vocoder, batch, self.compute, draw)
        loss, log = found.total(), found.log()
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
        draw = torch.Generator().manual_seed(0)
        return losses(self.vocoder, batch, self.compute, draw)[1].log()

    def sample(self, folder: Path) -> None:
        """Copy synthesis: WAVs of held-out clips through their mels, beside the clips."""
        folder.mkdir(parents=True, exist_ok=True)
        step = max(1, len(self.held_out) // max(1, self.config.samples))
        for number, one in enumerate(self.held_out[::step][: self.config.samples]):
            audio = one.corpus.audio(one.clip)[: 20 * corpora.SAMPLE_RATE]
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
            one = segment(self.training(draw), self.config.frames, draw)
            segments += [one] if one is not None else []
            if len(segments) == self.config.batch:
                batches.append(collate(segments))
                segments = []
            if len(batches) == POOL:
                return batches
        raise UserError("Nearly all of the data is silence: give recordings of speech.")

    def _clips(self, data: Data) -> tuple[Mixture[Voiced], list[Voiced]]:
        training: list[list[Voiced]] = []
        held_out: list[Voiced] = []
        for corpus in data.corpora:
            voiced = stored_pitch(corpus, data.on_done)
            long = [one for one in voiced if len(one.pitch) >= self.config.frames]
            training.append([one for one in long if one.clip.name not in data.held_out])
            held_out += [
                one for one in long if one.clip.name in data.held_out and one.clip.rate == 1.0
            ]
        if not held_out or not any(training):
            raise UserError(
                f"Too few clips have {self.config.frames} frames: the stage vocoder needs some to "
                "train on and some held out; frames may be fewer."
            )
        return Mixture(training, data.shares), held_out
