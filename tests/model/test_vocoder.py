"""The HiFi-GAN vocoder."""

import torch

from model.vocoder import Generator, GeneratorConfig

TINY = GeneratorConfig(mels=5, width=16, rates=(4, 2), rate_kernels=(8, 4), block_kernels=(3, 7))


def test_a_frame_becomes_the_product_of_the_rates() -> None:
    torch.manual_seed(0)
    audio = Generator(TINY)(torch.randn(2, 5, 9))
    assert audio.shape == (2, 1, 72)
    assert audio.abs().max() <= 1


def test_official_rates_make_480_samples() -> None:
    rates = GeneratorConfig().rates
    assert torch.tensor(rates).prod() == 480


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
