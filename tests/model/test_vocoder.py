"""The HiFi-GAN vocoder."""

import pytest
import torch

from model.vocoder import Generator, GeneratorConfig

TINY = GeneratorConfig(mels=5, width=16, rates=(4, 2), rate_kernels=(8, 4), block_kernels=(3, 7))


def test_a_frame_becomes_the_product_of_the_rates() -> None:
    torch.manual_seed(0)
    audio = Generator(TINY)(torch.randn(2, 5, 9))
    assert audio.shape == (2, 1, 72)
    assert audio.abs().max() <= 1


def test_official_rates_make_480_samples() -> None:
    assert GeneratorConfig().hop_samples == 480


@pytest.mark.parametrize("voice_channels", [None, 3])
@torch.no_grad()
def test_lengths_keep_padding_out(voice_channels: int | None) -> None:
    """An item of a padded batch sounds as it does alone, to its last sample."""
    torch.manual_seed(0)
    model = Generator(TINY, voice_channels).eval()
    mel = torch.randn(2, 5, 9)
    before = mel.clone()
    voice = None if voice_channels is None else torch.randn(2, voice_channels, 1)
    audio = model(mel, voice, torch.tensor([9, 4]))
    assert torch.equal(mel, before)
    alone = model(mel[1:, :, :4], None if voice is None else voice[1:])
    assert torch.allclose(audio[1:, :, :32], alone, atol=1e-6)
    assert not audio[1, :, 32:].any()
    heard = model(mel, voice)[1:, :, :32]
    assert not torch.allclose(heard, alone, atol=1e-4)


def test_distant_frames_do_not_matter() -> None:
    """Its view is bounded, so long mels may be vocoded in overlapping pieces."""
    torch.manual_seed(0)
    model = Generator(TINY).eval()
    mel = torch.randn(1, 5, 80)
    changed = mel.clone()
    changed[..., 70:] = 0
    assert torch.allclose(model(mel)[..., : 20 * 8], model(changed)[..., : 20 * 8], atol=1e-6)
    assert not torch.allclose(model(mel)[..., 75 * 8 :], model(changed)[..., 75 * 8 :], atol=1e-6)


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    model = Generator(TINY)
    model(torch.randn(1, 5, 9)).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
