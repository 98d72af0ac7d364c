"""BigVGAN: shapes, the anti-aliasing filters, the periodic activation, weight norm.

No numbers of the reference are at hand to compare with.
"""

import math

import pytest
import scipy.signal
import torch

from model.bigvgan import (
    Activation,
    BigVGAN,
    BigVGANConfig,
    SnakeBeta,
    Upsample,
    folded,
    kaiser_lowpass,
)

TINY = BigVGANConfig(mels=8, width=64)


def test_names_and_sizes_of_the_official_generator() -> None:
    with torch.device("meta"):
        state = BigVGAN().state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert shapes["conv_pre.weight"] == (1536, 100, 7)
    assert shapes["ups.0.0.weight"] == (1536, 768, 8)
    assert shapes["ups.5.0.weight"] == (48, 24, 4)
    assert shapes["resblocks.17.convs2.2.weight"] == (24, 24, 11)
    assert shapes["resblocks.0.activations.5.act.alpha"] == (768,)
    assert shapes["resblocks.0.activations.0.upsample.filter"] == (1, 1, 12)
    assert shapes["resblocks.0.activations.0.downsample.lowpass.filter"] == (1, 1, 12)
    assert shapes["activation_post.act.beta"] == (24,)
    assert shapes["conv_post.weight"] == (1, 24, 7)
    assert "conv_post.bias" not in shapes
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in BigVGAN().parameters())
    assert count == pytest.approx(112e6, rel=0.01)  # as its model card says


def test_256_samples_a_frame_within_bounds() -> None:
    torch.manual_seed(0)
    wave = BigVGAN(TINY)(10 * torch.randn(2, 8, 5))
    assert wave.shape == (2, 1, 5 * 256)
    assert wave.abs().max() <= 1.0


def test_the_filter_is_a_kaiser_lowpass_at_half_the_band() -> None:
    lowpass = kaiser_lowpass(0.25, 0.3, 12)
    assert lowpass.sum() == pytest.approx(1.0)
    torch.testing.assert_close(lowpass, lowpass.flip(0))
    # scipy's own design of the same filter: the attenuation of 12 taps over that transition.
    beta = scipy.signal.kaiser_beta(2.285 * 5 * math.pi * 4 * 0.3 + 7.95)
    expected = scipy.signal.firwin(12, 0.5, window=("kaiser", beta), fs=2.0)
    torch.testing.assert_close(lowpass, torch.tensor(expected, dtype=torch.float32))
    _, response = scipy.signal.freqz(lowpass.numpy(), worN=[0.0, math.pi / 2, math.pi])
    assert abs(response[1]) == pytest.approx(0.5, abs=0.03)
    assert abs(response[2]) < 0.01


def test_twice_the_rate_keeps_a_tone_and_makes_no_image_of_it() -> None:
    time = torch.arange(400.0)
    tone = torch.sin(2 * math.pi * 0.1 * time)
    up = Upsample()(tone[None, None])[0, 0]
    assert len(up) == 800
    twice = torch.sin(2 * math.pi * 0.05 * (torch.arange(800.0) - 0.5))
    inner = slice(50, -50)
    torch.testing.assert_close(up[inner], twice[inner], atol=0.02, rtol=0)


def test_the_activation_is_periodic_and_does_not_alias() -> None:
    torch.manual_seed(0)
    snake = SnakeBeta(3)
    torch.nn.init.normal_(snake.alpha)
    torch.nn.init.normal_(snake.beta)
    x = torch.randn(1, 3, 20)
    alpha, beta = snake.alpha.exp()[:, None], snake.beta.exp()[:, None]
    torch.testing.assert_close(snake(x), x + torch.sin(alpha * x) ** 2 / beta)
    # The square of a tone at 0.35 cycles a sample lies at 0.7, beyond what there is: at the plain
    # rate it comes back as a tone at 0.3.
    tone = torch.sin(2 * math.pi * 0.35 * torch.arange(1000.0))[None, None]
    alias = torch.exp(-2j * math.pi * 0.3 * torch.arange(900))

    def at_alias(y: torch.Tensor) -> float:
        return float((y[0, 0, 50:-50] * alias).mean().abs())

    activation = Activation(1).requires_grad_(False)
    assert at_alias(activation(tone)) < 0.3 * at_alias(activation.act(tone))
    assert activation(tone).shape == tone.shape


def test_weight_norm_is_folded_as_torch_means_it() -> None:
    torch.manual_seed(0)
    conv = torch.nn.utils.parametrizations.weight_norm(torch.nn.ConvTranspose1d(4, 6, 3))
    conv.parametrizations.weight.original0.data.mul_(1.7)
    state = {
        "ups.weight_g": conv.parametrizations.weight.original0.detach(),
        "ups.weight_v": conv.parametrizations.weight.original1.detach(),
        "ups.bias": conv.bias.detach(),
    }
    plain = folded(state)
    assert plain.keys() == {"ups.weight", "ups.bias"}
    torch.testing.assert_close(plain["ups.weight"], conv.weight.detach())
    half = folded({key: value.half() for key, value in state.items()})
    assert half["ups.weight"].dtype == torch.float16
