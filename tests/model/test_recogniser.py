"""The recogniser's shapes and its standardisation."""

import pytest
import torch
from torch import nn

from model.recogniser import PHONES, Recogniser, RecogniserConfig, whisper_mel
from model.text import SYMBOLS

TINY = RecogniserConfig(width=16, heads=2, layers=1, head_width=8, positions=60)


@pytest.fixture(scope="module")
def model() -> Recogniser:
    torch.manual_seed(0)
    return Recogniser(TINY).eval().requires_grad_(False)


def test_classes_are_arpabet_and_silence() -> None:
    assert len(PHONES) == len(set(PHONES)) == 40
    bare = {symbol.rstrip("012") for symbol in SYMBOLS["v2"]}
    assert set(PHONES[1:]) <= bare


@pytest.mark.parametrize(("samples", "frames"), [(16_000, 50), (320, 1), (480, 2), (6_720, 21)])
def test_frames(model: Recogniser, samples: int, frames: int) -> None:
    features = model.features(torch.randn(2, samples))
    assert features.shape == (2, TINY.width, frames)
    assert model.phones(features).shape == (2, len(PHONES), frames)


def test_features_are_standardised(model: Recogniser) -> None:
    audio = torch.randn(1, 16_000)
    plain = model.features(audio)
    model.mean.fill_(0.5)
    model.deviation.fill_(2.0)
    scaled = model.features(audio)
    model.mean.zero_()
    model.deviation.fill_(1.0)
    assert torch.allclose(scaled, (plain - 0.5) / 2.0, atol=1e-6)


def test_mel_is_whispers() -> None:
    """A tone stands out in its band; nothing is more than 8 decades (2 after scaling) below it."""
    time = torch.arange(16_000) / 16_000
    mel = whisper_mel(torch.sin(2 * torch.pi * 1000 * time)[None])
    assert mel.shape == (1, 80, 100)
    bands = mel[0, :, 50]
    # Slaney's scale is linear up to 1 kHz, which is mel 15 of 45.25 at 8 kHz.
    assert int(bands.argmax()) == pytest.approx(15 / 45.25 * 81 - 1, abs=1)
    assert mel.min() == pytest.approx(mel.max().item() - 2.0, abs=1e-5)


def test_state_is_weights_only(model: Recogniser) -> None:
    assert isinstance(model, nn.Module)
    assert "positions" not in model.state_dict()
    assert {"mean", "deviation"} <= set(model.state_dict())
