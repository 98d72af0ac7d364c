"""The speaker-verification network, tiny, and its features."""

import pytest
import torch

from model.speaker import AttentionalFusion, ERes2NetV2, SpeakerConfig, filterbank

TINY = SpeakerConfig(bins=16, channels=8, blocks=(1, 1, 2, 1), base_width=32, scale=2, embedding=5)


def build() -> ERes2NetV2:
    torch.manual_seed(0)
    return ERes2NetV2(TINY).eval()


@torch.no_grad()
def test_vector_of_a_recording() -> None:
    """Channels of the last stage (8 * 8 * 4) times the bins left (2), whatever the length."""
    network = build()
    assert TINY.outputs == 512
    audio = torch.randn(2, 8000) * 0.1
    vectors = network.embed(audio)
    assert vectors.shape == (2, 512)
    assert not torch.allclose(vectors[0], vectors[1])
    assert torch.allclose(network.embed(audio[1:]), vectors[1:], atol=1e-5)
    assert network.embed(audio[:1, :4000]).shape == (1, 512)


@torch.no_grad()
def test_network_runs_in_half_precision() -> None:
    vectors = build().bfloat16().embed(torch.randn(1, 4000) * 0.1)
    assert vectors.dtype == torch.bfloat16
    assert vectors.isfinite().all()


@pytest.mark.slow  # the first random number without memory imports half of torch
def test_size_of_the_official_one() -> None:
    with torch.device("meta"):
        network = ERes2NetV2()
    assert SpeakerConfig().outputs == 20480
    assert sum(parameter.numel() for parameter in network.parameters()) == 53_513_632


def test_fusion_weighs_both_sides() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8, 3, 4)
    assert torch.allclose(AttentionalFusion(8).eval()(x, x), 2 * x, atol=1e-6)


def test_filterbank_of_a_tone() -> None:
    """100 frames a second, whole windows only; ten times the level is 2 ln 10 more energy."""
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 16_000)[None] * 0.05
    bank = filterbank(tone)
    assert bank.shape == (1, 98, 80)
    # 1000 Hz is at 0.343 of the mel range from 20 to 8000 Hz.
    assert (bank.argmax(2) - 27).abs().max() <= 1
    peak = bank[0, 50].max()
    assert (filterbank(10 * tone)[0, 50].max() - peak).item() == pytest.approx(4.605, abs=0.01)


def test_filterbank_of_silence_is_finite() -> None:
    assert filterbank(torch.zeros(1, 1600)).isfinite().all()


def test_too_short_is_said() -> None:
    with pytest.raises(ValueError, match="shorter than a window"):
        filterbank(torch.zeros(1, 300))
