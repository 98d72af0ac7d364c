"""Discriminators of S2."""

import pytest
import torch

from model.s2.discriminators import (
    PERIODS,
    PERIODS_PRO,
    DiscriminatorP,
    DiscriminatorS,
    MultiPeriodDiscriminator,
)


@pytest.fixture(scope="module")
def third() -> DiscriminatorP:
    torch.manual_seed(0)
    return DiscriminatorP(3)


@torch.no_grad()
def test_scale_discriminator_strides_by_256() -> None:
    scores, maps = DiscriminatorS()(torch.randn(2, 1, 2048))
    assert scores.shape == (2, 8)
    assert [one.shape[1] for one in maps] == [16, 64, 256, 1024, 1024, 1024, 1]
    assert torch.equal(maps[-1].flatten(1), scores)


@pytest.mark.parametrize("samples", [300, 301, 302])
@torch.no_grad()
def test_columns_are_filled_by_reflection(third: DiscriminatorP, samples: int) -> None:
    audio = torch.randn(1, 1, samples)
    scores, maps = third(audio)
    rows = -(-samples // 3)
    assert [one.shape[1] for one in maps] == [32, 128, 512, 1024, 1024, 1]
    assert maps[0].shape == (1, 32, -(-rows // 3), 3)
    missing = 3 * rows - samples
    mirrored = torch.cat((audio, audio[..., samples - 1 - missing : samples - 1].flip(2)), dim=2)
    assert torch.equal(third(mirrored)[0], scores)


@pytest.mark.slow  # the first random number without memory imports half of torch
@pytest.mark.parametrize(
    ("periods", "parameters"), [(PERIODS, 46_747_132), (PERIODS_PRO, 63_189_440)]
)
def test_sizes_of_the_official_ones(periods: tuple[int, ...], parameters: int) -> None:
    with torch.device("meta"):
        model = MultiPeriodDiscriminator(periods)
    assert len(model.discriminators) == 1 + len(periods)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_gradient_reaches_the_audio(third: DiscriminatorP) -> None:
    audio = torch.randn(1, 1, 301, requires_grad=True)
    scores, maps = third(audio)
    (scores.square().mean() + sum(one.abs().mean() for one in maps)).backward()
    assert audio.grad is not None
    assert (audio.grad != 0).float().mean() > 0.9
