"""The HiFi-GAN vocoder."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.vocoder import Generator, GeneratorConfig, generate, windows

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


@given(st.lists(st.integers(0, 90), max_size=4), st.integers(1, 8), st.integers(1, 30))
def test_windows_keep_every_frame_once_and_away_from_cuts(
    lengths: list[int], reach: int, more: int
) -> None:
    frames = 2 * reach + more
    kept: list[list[int]] = [[] for _ in lengths]
    for one in windows(lengths, frames, reach):
        length = lengths[one.item]
        assert one.stop - one.start == min(frames, length)
        assert one.start == 0 or one.first - one.start >= reach
        assert one.stop == length or one.stop - one.last >= reach
        kept[one.item] += range(one.first, one.last)
    assert kept == [list(range(length)) for length in lengths]


@pytest.mark.parametrize(("frames", "rows"), [(60, 1), (60, 3), (48, 2)])
@torch.no_grad()
def test_windows_of_many_sentences_give_what_each_gives_alone(frames: int, rows: int) -> None:
    """To the last sample; 48 frames are two reaches and a half."""
    torch.manual_seed(0)
    model = Generator(TINY, 3).eval()
    assert model.config.reach < 24
    mels, voice = [torch.randn(1, 5, n) for n in (150, 60, 7, 61, 1)], torch.randn(1, 3, 1)
    for mel, made in zip(mels, generate(model, mels, voice, frames, rows), strict=True):
        torch.testing.assert_close(made, model(mel, voice)[0, 0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_reach_covers_the_official_view() -> None:
    """Of narrow models with the official kernels and rates, no frame farther away is heard."""
    for rates, kernels in (
        ((10, 8, 2, 2, 2), (16, 16, 8, 2, 2)),
        ((10, 6, 2, 2, 2), (20, 12, 4, 4, 4)),
    ):
        torch.manual_seed(0)
        config = GeneratorConfig(mels=2, width=32, rates=rates, rate_kernels=kernels)
        model = Generator(config).eval()
        assert config.reach <= 14
        mel = torch.randn(1, 2, 45)
        changed = mel.clone()
        changed[..., 22] += 100
        moved = (model(mel) != model(changed))[0, 0].nonzero()[:, 0] // config.hop_samples
        assert 22 - config.reach <= int(moved.min())
        assert int(moved.max()) <= 22 + config.reach


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    model = Generator(TINY)
    model(torch.randn(1, 5, 9)).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
