"""Spectrograms against librosa where it is installed, and against values known by hand."""

import numpy as np
import pytest
import torch

from model.spectral import (
    MEL_CEILING,
    MEL_FLOOR,
    MelConfig,
    denormalise_mel,
    limit_peak,
    log_mel,
    magnitudes,
    normalise_mel,
    reference_spectrogram,
)


def tone(hertz: float, samples: int = 24_000) -> torch.Tensor:
    return torch.sin(2 * torch.pi * hertz * torch.arange(samples) / 24_000)[None]


@pytest.mark.parametrize("samples", [24_000, 1024, 2 * 1024 + 255])
def test_frames_are_whole_hops(samples: int) -> None:
    assert magnitudes(tone(440, samples), 1024, 256, 1024).shape == (1, 513, samples // 256)
    assert log_mel(tone(440, samples)).shape == (1, 100, samples // 256)


def test_magnitude_of_a_tone() -> None:
    """A sine on a bin's centre, Hann window: half the window's sum there, a quarter beside it."""
    bins = magnitudes(tone(24_000 / 1024 * 40), 1024, 256, 1024)[0, :, 40]
    assert bins.argmax() == 40
    assert bins[40].item() == pytest.approx(256, rel=1e-4)
    assert bins[39].item() == pytest.approx(128, rel=1e-3)
    assert bins[60].item() < 0.01


def test_reference_of_a_second() -> None:
    assert reference_spectrogram(torch.rand(2, 32_000) - 0.5).shape == (2, 1025, 50)


def test_only_what_is_too_loud_is_limited() -> None:
    audio = torch.tensor([[0.5, -0.2], [0.3, -1.6], [5.0, 1.0]])
    expected = torch.tensor([[0.5, -0.2], [0.1875, -1.0], [2.5, 0.5]])
    assert torch.allclose(limit_peak(audio), expected)


def test_silence_is_the_floor() -> None:
    quiet = log_mel(torch.zeros(1, 4096))
    assert torch.allclose(quiet, torch.log(torch.tensor(1e-5)), atol=0.5)
    assert torch.isfinite(quiet).all()


@pytest.mark.slow  # librosa is slow to import
def test_mel_is_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    config = MelConfig()
    audio = np.random.default_rng(0).normal(size=24_000).astype(np.float32) * 0.1
    padded = np.pad(audio, 384, mode="reflect")
    spectrum = np.abs(librosa.stft(padded, n_fft=1024, hop_length=256, center=False))
    bank = librosa.filters.mel(sr=config.sample_rate, n_fft=1024, n_mels=100)
    expected = np.log(np.maximum(bank @ np.sqrt(spectrum**2 + 1e-8), 1e-5))
    assert np.allclose(log_mel(torch.from_numpy(audio)[None])[0].numpy(), expected, atol=1e-3)


def test_normalised_range_and_back() -> None:
    ends = torch.tensor([MEL_FLOOR, MEL_CEILING])
    assert normalise_mel(ends).tolist() == [-1.0, 1.0]
    mel = torch.linspace(MEL_FLOOR - 1, MEL_CEILING + 1, 50)
    assert torch.allclose(denormalise_mel(normalise_mel(mel)), mel, atol=1e-5)
