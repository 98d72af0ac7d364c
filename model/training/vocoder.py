"""Trains the built-in voice's vocoder: spectral losses first, slim adversaries after.

    python -m model.training.vocoder --data PREPARED... --out DIR --minutes 60 [--threads 1]

Until `--adversarial-from` of the time has passed, no adversary looks.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.istft_vocoder import IstftVocoder
from model.spectral import MelConfig, log_mel, magnitudes
from model.training.corpus import Corpus
from model.training.loop import Run

MEL = MelConfig()
RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))


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


def batches(corpora: list[Corpus], batch: int, frames: int, seed: int) -> Iterator[Tensor]:
    """Endless random segments (batch, frames * hop), float32, up to 9 dB quieter."""
    draw = np.random.default_rng(seed)
    samples = frames * MEL.hop_samples
    weights = np.array([sum(c.samples for c in corpus.clips) for corpus in corpora], float)
    while True:
        rows: list[np.ndarray] = []
        while len(rows) < batch:
            corpus = corpora[draw.choice(len(corpora), p=weights / weights.sum())]
            index = int(draw.integers(len(corpus)))
            audio = corpus.audio(index)
            if len(audio) < samples:
                continue
            start = int(draw.integers(len(audio) - samples + 1))
            piece = audio[start : start + samples]
            if np.abs(piece).max() > 0.01:
                rows.append(piece * 10 ** (-draw.uniform(0, 9) / 20))
        yield torch.from_numpy(np.stack(rows).astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--adversarial-from", type=float, default=0.4, help="share of the time")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    corpora = [Corpus(folder) for folder in options.data]
    vocoder = IstftVocoder()
    judges = nn.ModuleList(
        [PeriodDiscriminator(p) for p in (2, 3, 5, 7, 11)]
        + [SpectrumDiscriminator(f, h) for f, h in RESOLUTIONS]
    )
    run = Run(options.out, {"vocoder": vocoder, "judges": judges}, options.minutes, options.rate)
    source = batches(corpora, options.batch, options.frames, seed=run.step)
    for _ in run.steps():
        real = next(source)
        mel = log_mel(real, MEL)
        with torch.autocast("cpu", torch.bfloat16):
            made = vocoder(mel)
        adversarial = run.progress > options.adversarial_from
        record = {}
        if adversarial:
            with torch.autocast("cpu", torch.bfloat16):
                loss = made.new_zeros(())
                for judge in judges:
                    yes, _ = judge(real)
                    no, _ = judge(made.detach())
                    loss = loss + F.relu(1 - yes.float()).mean() + F.relu(1 + no.float()).mean()
            run.update("judges", loss / len(judges))
            record["judges"] = loss.item() / len(judges)
        mel_loss = F.l1_loss(log_mel(made, MEL), mel)
        stft_loss = spectral_loss(made, real)
        loss = 15 * mel_loss + 5 * stft_loss
        if adversarial:
            for judge in judges:
                judge.requires_grad_(False)
                with torch.autocast("cpu", torch.bfloat16):
                    with torch.no_grad():
                        _, wanted = judge(real)
                    score, got = judge(made)
                loss = loss - score.float().mean() / len(judges)
                for a, b in zip(got, wanted, strict=True):
                    match = (a.float() - b.float()).abs().mean() / b.float().abs().mean().clamp(
                        min=1e-3
                    )
                    loss = loss + 2 * match / len(judges) / len(got)
                judge.requires_grad_(True)
        run.update("vocoder", loss)
        run.log(mel=mel_loss.item(), stft=stft_loss.item(), **record)


if __name__ == "__main__":
    main()
