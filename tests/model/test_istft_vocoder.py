"""The vocoder's pulse train, pitch and filters, and that its synthesis undoes its analysis."""

import math

import pytest
import torch
from torch.nn import functional as F

from model.istft_vocoder import (
    CLASSES_PER_OCTAVE,
    LOWEST_PITCH,
    PITCH_CLASSES,
    IstftVocoder,
    IstftVocoderConfig,
    bridge,
    minimum_phase,
    pitch_of,
    pulse_train,
)
from model.spectral import magnitudes

TINY = IstftVocoderConfig(width=16, hidden=24, blocks=2, pitch_width=8)


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


def test_its_own_analysis_is_undone_too() -> None:
    audio = torch.randn(2, 256 * 20, generator=torch.Generator().manual_seed(0))
    model = IstftVocoder(TINY)
    made = model._inverse(model._forward(audio))
    assert torch.allclose(made, audio, atol=1e-4)


def test_gradient_reaches_all_weights() -> None:
    model = IstftVocoder(TINY)
    mel, pitch = torch.randn(1, 100, 8), torch.full((1, 8), 120.0)
    (model(mel, pitch).square().mean() + model.pitch(mel).square().mean()).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_loud_predictions_are_bounded() -> None:
    model = IstftVocoder(TINY)
    with torch.no_grad():
        model.harmonic.bias.fill_(100.0)
        model.noise.bias.fill_(100.0)
        assert torch.isfinite(model(torch.randn(1, 100, 8))).all()


def test_the_same_mel_is_the_same_audio() -> None:
    model = IstftVocoder(TINY)
    mel = torch.randn(1, 100, 30)
    assert torch.equal(model(mel), model(mel))


@pytest.mark.parametrize("hertz", [60.0, 123.4, 400.0])
def test_pulse_train_is_the_sum_of_its_harmonics(hertz: float) -> None:
    pitch = torch.full((1, 20), hertz)
    made = pulse_train(pitch, 256, 24_000, torch.zeros(1, 1, dtype=torch.float64))[0].double()
    count = math.floor(12_000 / hertz)
    turns = torch.arange(1, 20 * 256 + 1, dtype=torch.float64) * hertz / 24_000
    every = torch.arange(1, count + 1, dtype=torch.float64)
    wanted = (2 * math.pi * turns[None] * every[:, None]).cos().sum(0) * math.sqrt(2 / count)
    assert torch.allclose(made, wanted, atol=0.02 * wanted.abs().max().item())
    assert made.square().mean().item() == pytest.approx(1.0, rel=0.1)


def test_pulse_train_follows_the_pitch() -> None:
    pitch = torch.linspace(100, 200, 94)[None]
    made = pulse_train(pitch, 256, 24_000, torch.zeros(1, 1, dtype=torch.float64))[0]
    pulses = (made[1:-1] > made[:-2]) & (made[1:-1] > made[2:]) & (made[1:-1] > 0.4 * made.max())
    assert int(pulses.sum()) == pytest.approx(150, abs=2)


def test_pitch_is_the_mean_of_the_classes_around_the_likeliest() -> None:
    logits = torch.full((1, PITCH_CLASSES + 1, 3), -20.0)
    logits[0, 48, :] = 5.0  # an octave above the lowest
    logits[0, 96, :] = 5.0 - 1e-3  # two octaves: less likely, and not mixed in
    logits[0, 49, 1] = 5.0 - 1e-4
    assert CLASSES_PER_OCTAVE == 48
    found = pitch_of(logits)[0]
    assert found[0].item() == pytest.approx(2 * LOWEST_PITCH, rel=1e-4)
    assert found[1].item() == pytest.approx(2 * LOWEST_PITCH * 2 ** (0.5 / 48), rel=1e-4)


def test_frames_without_pitch_are_bridged() -> None:
    pitch = torch.tensor([[9.0, 100.0, 9.0, 9.0, 130.0, 9.0], [9.0] * 6])
    voiced = torch.tensor([[False, True, False, False, True, False], [False] * 6])
    assert torch.allclose(
        bridge(pitch, voiced),
        torch.tensor([[100.0, 100.0, 110.0, 120.0, 130.0, 130.0], [150.0] * 6]),
    )


def test_minimum_phase_of_a_known_filter() -> None:
    # 1 - 0.5 / z has its zero inside the unit circle: it is the minimum-phase filter itself
    response = torch.fft.rfft(F.pad(torch.tensor([1.0, -0.5]), (0, 1022)))
    found = minimum_phase(response.abs().log()[None, :, None])[0, :, 0]
    assert torch.allclose(found, response.angle(), atol=1e-4)


def test_mels_together_sound_as_alone() -> None:
    """To the last sample; in the second batch one row is idle, and one mel has no pitch."""
    torch.manual_seed(0)
    model = IstftVocoder(IstftVocoderConfig(width=16, hidden=24, blocks=2, pitch_width=8)).eval()
    model.phase.weight.data.normal_(std=0.3)
    mels = [torch.randn(1, 100, frames) for frames in (40, 7, 23)]
    mels.append(torch.full((1, 100, 12), -11.5))
    with torch.inference_mode():
        together = model.together(mels, 3)
        for mel, made in zip(mels, together, strict=True):
            alone = model(mel)[0]
            assert made.shape == alone.shape
            for part in (slice(None), slice(-4800, None), slice(-300, None)):
                error = (made - alone)[part].norm() / alone[part].norm()
                assert error < 2e-3, f"{mel.shape[2]} frames: {error:.1e}"
