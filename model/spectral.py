"""Spectrograms: the magnitudes and log-mels of S2, the vocoders and the reference encoder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torchaudio
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class MelConfig:
    """Sizes in samples; the defaults are v3's (24 kHz, 100 bands, 93.75 frames per second)."""

    sample_rate: int = 24_000
    fft_samples: int = 1024
    hop_samples: int = 256
    window_samples: int = 1024
    bands: int = 100


MEL_FLOOR, MEL_CEILING = -12.0, 2.0


@lru_cache(maxsize=32)
def _window(samples: int, device: torch.device) -> Tensor:
    # First made to speak, it must still serve training: no inference tensor.
    with torch.inference_mode(False):
        return torch.hann_window(samples, device=device)


@lru_cache(maxsize=16)
def _filterbank(config: MelConfig, device: torch.device) -> Tensor:
    """(bands, bins) Slaney-normalised triangular filters, as librosa builds them."""
    with torch.inference_mode(False):
        bank = torchaudio.functional.melscale_fbanks(
            config.fft_samples // 2 + 1,
            0.0,
            config.sample_rate / 2,
            config.bands,
            config.sample_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        return bank.T.contiguous().to(device)


def magnitudes(audio: Tensor, fft_samples: int, hop_samples: int, window_samples: int) -> Tensor:
    """Magnitudes (batch, fft/2 + 1, frames) of audio (batch, samples); frames = samples // hop.

    The signal is reflected by (fft - hop) / 2 on either side, so that frame k is centred on hop k's
    middle.
    """
    side = (fft_samples - hop_samples) // 2
    padded = F.pad(audio.unsqueeze(1), (side, side), mode="reflect").squeeze(1)
    spectrum = torch.stft(
        padded,
        fft_samples,
        hop_samples,
        window_samples,
        _window(window_samples, audio.device),
        center=False,
        return_complex=True,
    )
    return torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-8)


def limit_peak(audio: Tensor) -> Tensor:
    """Reference audio (batch, samples) as the official models hear it: where it exceeds full scale,
    it is divided by its peak, but by 2 at most."""
    return audio / audio.abs().amax(1, keepdim=True).clamp(1.0, 2.0)


def reference_spectrogram(audio: Tensor) -> Tensor:
    """What the official S2 hears of a voice: magnitudes (batch, 1025, samples // 640) of 32 kHz
    audio (batch, samples) that has been through `limit_peak`."""
    return magnitudes(audio, 2048, 640, 2048)


def log_mel(audio: Tensor, config: MelConfig = MelConfig()) -> Tensor:
    """Natural-log mels (batch, bands, frames), floored at ln 1e-5."""
    linear = magnitudes(audio, config.fft_samples, config.hop_samples, config.window_samples)
    return torch.log(torch.clamp(_filterbank(config, audio.device) @ linear, min=1e-5))


def normalise_mel(mel: Tensor) -> Tensor:
    """Maps log-mels from [-12, 2] to [-1, 1], the range in which the flow matching works."""
    return (mel - MEL_FLOOR) / (MEL_CEILING - MEL_FLOOR) * 2.0 - 1.0


def denormalise_mel(mel: Tensor) -> Tensor:
    """The inverse of `normalise_mel`."""
    return (mel + 1.0) / 2.0 * (MEL_CEILING - MEL_FLOOR) + MEL_FLOOR
