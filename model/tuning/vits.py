"""Losses of S2 of v1 to v2ProPlus: a variational autoencoder against discriminators (VITS,
arXiv 2106.06103), with the weights of GPT-SoVITS.

A recording's spectrogram is encoded (`enc_q`); the latent must sound like the recording when it is
decoded, and must be what tokens, phones and voice let expect, seen through the flow. The decoder is
heard in short segments only, as a second of waveform is dear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from model.s2.discriminators import Verdict
from model.s2.masks import length_mask
from model.s2.vits import SynthesizerTrn
from model.spectral import MelConfig, log_mel
from model.tuning.padding import pad

SEGMENT_FRAMES = 32
MEL_WEIGHT = 45.0
FEATURE_WEIGHT = 2.0
KL_WEIGHT = 1.0
SAMPLE_RATE = 32_000


@dataclass(frozen=True)
class VitsItem:
    """A clip: codes (tokens), phone ids (P), magnitudes (bins, frames) at 50 Hz and the audio
    (frames * hop) they are of; `reference` (bins, frames) is heard as the voice, beside the
    speaker-verification vector (speaker_dim) of v2Pro and v2ProPlus."""

    codes: Tensor
    text: Tensor
    spectrogram: Tensor
    audio: Tensor
    reference: Tensor
    speaker: Tensor | None = None


@dataclass(frozen=True)
class VitsDraw:
    """What chance decides: noise of the latent (inter_channels, frames), and the segment's start in
    frames."""

    noise: Tensor
    start: int


@dataclass(frozen=True)
class Made:
    """A batch as the model speaks it: segments of audio (B, 1, samples), the true ones beside
    them, and of each item the distance of posterior and prior (B,)."""

    audio: Tensor
    true: Tensor
    kl: Tensor


def frame_count(item: VitsItem) -> int:
    """Frames for which an item has both spectrogram and codes."""
    return min(item.spectrogram.shape[1], 2 * len(item.codes))


def draw_segment(frames: int, channels: int, draw: torch.Generator) -> VitsDraw:
    """Chance for an item; ValueError where it is shorter than a segment (0.64 s)."""
    if frames < SEGMENT_FRAMES:
        raise ValueError(f"a clip of {frames} frames is shorter than a segment")
    start = int(torch.randint(frames - SEGMENT_FRAMES + 1, (1,), generator=draw))
    return VitsDraw(torch.randn((channels, frames), generator=draw), start)


def kl_divergence(
    latent: Tensor, posterior_log: Tensor, mean: Tensor, prior_log: Tensor, mask: Tensor
) -> Tensor:
    """Of the posterior from the prior, at one sample of it: (B,), summed over channels, the mean
    over the frames in `mask` (B, 1, T).

    latent: the posterior's sample, seen through the flow; posterior_log, prior_log: logarithms of
    the deviations, mean: the prior's; all (B, C, T). The entropy of the posterior is taken as it
    is, the prior's logarithm at the sample (VITS, equation 3 and 4).
    """
    distance = (latent - mean).square() * torch.exp(-2 * prior_log) / 2
    kl = prior_log - posterior_log - 0.5 + distance
    return (kl * mask).sum((1, 2)) / mask.sum((1, 2))


def speak_segments(
    model: SynthesizerTrn, items: Sequence[VitsItem], draws: Sequence[VitsDraw]
) -> Made:
    """Runs a batch through posterior, flow and decoder; an item comes out the same in any batch.

    ValueError for a model without its posterior encoder.
    """
    device = model.dec.conv_pre.weight.device
    counts = [frame_count(item) for item in items]
    codes, code_lengths = pad(
        [item.codes[: (n + 1) // 2] for item, n in zip(items, counts, strict=True)], device
    )
    text, text_lengths = pad([item.text for item in items], device)
    reference, reference_lengths = pad([item.reference for item in items], device)
    speakers = [item.speaker for item in items if item.speaker is not None]
    vectors = torch.stack(speakers).to(device) if speakers else None
    voice = model.reference_embedding(reference, reference_lengths, vectors)
    mean, prior_log, _ = model.prior(codes, code_lengths, text, text_lengths, voice)
    spectrogram, lengths = pad(
        [item.spectrogram[:, :n] for item, n in zip(items, counts, strict=True)], device
    )
    frames = spectrogram.shape[2]
    mask = length_mask(lengths, frames)[:, None].to(spectrogram.dtype)
    noise, _ = pad([d.noise for d in draws], device)
    latent, posterior_log = model.posterior(spectrogram, lengths, voice, noise)
    seen = model.flow(latent, mask, voice)
    kl = kl_divergence(seen, posterior_log, mean[..., :frames], prior_log[..., :frames], mask)
    hop = model.dec.config.hop_samples
    slices = [latent[i, :, d.start : d.start + SEGMENT_FRAMES] for i, d in enumerate(draws)]
    true = [
        item.audio[d.start * hop : (d.start + SEGMENT_FRAMES) * hop]
        for item, d in zip(items, draws, strict=True)
    ]
    return Made(model.dec(torch.stack(slices), voice), torch.stack(true)[:, None].to(device), kl)


def mel_distance(made: Tensor, true: Tensor, hop_samples: int) -> Tensor:
    """Mean distance of log-mels (B,) of audio (B, 1, samples) at 32 kHz."""
    config = _mel(hop_samples)
    difference = log_mel(made[:, 0], config) - log_mel(true[:, 0], config)
    return difference.abs().mean((1, 2))


@lru_cache
def _mel(hop_samples: int) -> MelConfig:
    return MelConfig(SAMPLE_RATE, 2048, hop_samples, 2048, 128)


def discriminator_loss(true: Sequence[Verdict], made: Sequence[Verdict]) -> Tensor:
    """Least squares (arXiv 1611.04076): the true should score 1, the made 0; a sum over
    discriminators."""
    losses = [
        (1 - real).square().mean() + fake.square().mean()
        for (real, _), (fake, _) in zip(true, made, strict=True)
    ]
    return torch.stack(losses).sum()


def adversarial_loss(made: Sequence[Verdict]) -> Tensor:
    """What is made should score 1; a sum over discriminators."""
    return torch.stack([(1 - scores).square().mean() for scores, _ in made]).sum()


def feature_loss(true: Sequence[Verdict], made: Sequence[Verdict]) -> Tensor:
    """Mean distance of the discriminators' feature maps, summed over all of them."""
    losses = [
        F.l1_loss(fake, real.detach())
        for (_, reals), (_, fakes) in zip(true, made, strict=True)
        for real, fake in zip(reals, fakes, strict=True)
    ]
    return torch.stack(losses).sum()


def reconstruction_loss(made: Made, hop_samples: int) -> Tensor:
    """What does not depend on discriminators: mel and KL, with their weights."""
    mel = mel_distance(made.audio, made.true, hop_samples).mean()
    return MEL_WEIGHT * mel + KL_WEIGHT * made.kl.mean()


def generator_loss(
    made: Made, true: Sequence[Verdict], judged: Sequence[Verdict], hop_samples: int
) -> Tensor:
    """All that S2 learns by, given the verdicts on the true segments and on those it made.

    There is no commitment loss, as the quantizer is frozen.
    """
    adversarial = adversarial_loss(judged) + FEATURE_WEIGHT * feature_loss(true, judged)
    return reconstruction_loss(made, hop_samples) + adversarial
