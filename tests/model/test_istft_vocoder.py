"""The vocoder's shape, and that its synthesis undoes the analysis it is trained with."""

import pytest
import torch
from torch.nn import functional as F

from model.istft_vocoder import IstftVocoder, IstftVocoderConfig
from model.spectral import magnitudes

TINY = IstftVocoderConfig(width=16, hidden=24, blocks=2)


@pytest.mark.parametrize("frames", [1, 3, 40])
def test_audio_is_frames_times_hop(frames: int) -> None:
    torch.manual_seed(0)
    audio = IstftVocoder(TINY)(torch.randn(2, 100, frames))
    assert audio.shape == (2, frames * 256)
    assert torch.isfinite(audio).all()


def test_synthesis_undoes_analysis() -> None:
    audio = torch.randn(2, 256 * 20, generator=torch.Generator().manual_seed(0))
    padded = F.pad(audio[:, None], (384, 384), mode="reflect")[:, 0]
    spectrum = torch.stft(
        padded, 1024, 256, window=torch.hann_window(1024), center=False, return_complex=True
    )
    assert torch.allclose(spectrum.abs(), magnitudes(audio, 1024, 256, 1024), atol=1e-3)
    made = IstftVocoder(TINY)._inverse(spectrum)
    assert torch.allclose(made, audio, atol=1e-4)


def test_gradient_reaches_all_weights() -> None:
    model = IstftVocoder(TINY)
    model(torch.randn(1, 100, 8)).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_loud_predictions_are_bounded() -> None:
    model = IstftVocoder(TINY)
    with torch.no_grad():
        model.head.bias.fill_(100.0)
        assert torch.isfinite(model(torch.randn(1, 100, 8))).all()
