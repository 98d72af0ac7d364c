"""Losses of S2 of v1 to v2ProPlus, tiny, against hand computations."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from model.s2.discriminators import MultiPeriodDiscriminator
from model.s2.vits import SynthesizerTrn, VitsConfig
from model.tuning import vits
from model.tuning.parameters import VOICE_PARTS, thaw

HOP = 8
TINY = VitsConfig(
    ssl_dim=12,
    codebook=16,
    symbols=20,
    inter_channels=8,
    hidden_channels=8,
    filter_channels=16,
    layers=2,
    mrte_hidden=16,
    mrte_heads=2,
    gin_channels=16,
    spectrum_bins=13,
    reference_bins=10,
    posterior_layers=2,
    flow_layers=2,
    flow_couplings=2,
    decoder_width=16,
    decoder_rates=(4, 2),
    decoder_rate_kernels=(8, 2),
    dropout=0.0,
)
TINY_PRO = replace(TINY, gin_channels=24, speaker_dim=6)


def build(config: VitsConfig = TINY) -> SynthesizerTrn:
    """A model whose zero-initialised layers are drawn too."""
    torch.manual_seed(0)
    model = SynthesizerTrn(config, posterior=True).eval()
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.3)
    return model


def item(tokens: int, seed: int, speaker_dim: int = 0) -> vits.VitsItem:
    draw = torch.Generator().manual_seed(seed)
    return vits.VitsItem(
        torch.randint(16, (tokens,), generator=draw),
        torch.randint(20, (3 + seed,), generator=draw),
        torch.rand((13, 2 * tokens + 1), generator=draw),
        0.1 * torch.randn((2 * tokens + 1) * HOP, generator=draw),
        torch.rand((13, 15 + 2 * seed), generator=draw),
        torch.randn(speaker_dim, generator=draw) if speaker_dim else None,
    )


def draws(items: list[vits.VitsItem]) -> list[vits.VitsDraw]:
    draw = torch.Generator().manual_seed(3)
    return [vits.draw_segment(vits.frame_count(i), 8, draw) for i in items]


@pytest.mark.parametrize("config", [TINY, TINY_PRO])
@torch.no_grad()
def test_an_item_is_made_as_it_is_alone(config: VitsConfig) -> None:
    model = build(config)
    items = [item(n, seed, config.speaker_dim) for seed, n in enumerate((20, 31, 17))]
    drawn = draws(items)
    together = vits.speak_segments(model, items, drawn)
    assert together.audio.shape == together.true.shape == (3, 1, 32 * HOP)
    for i, (one, chance) in enumerate(zip(items, drawn, strict=True)):
        alone = vits.speak_segments(model, [one], [chance])
        torch.testing.assert_close(alone.kl[0], together.kl[i])
        torch.testing.assert_close(alone.audio[0], together.audio[i], atol=1e-5, rtol=1e-4)
        start = chance.start * HOP
        assert torch.equal(together.true[i, 0], one.audio[start : start + 32 * HOP])


def test_kl_by_hand() -> None:
    """One channel, one frame: log q without its sample's term, which is -1/2 on average."""
    one = torch.ones(1, 1, 1)
    posterior, prior = Normal(0.3, 0.5), Normal(-0.2, 2.0)
    z = 0.7
    found = vits.kl_divergence(z * one, torch.log(0.5 * one), -0.2 * one, torch.log(2.0 * one), one)
    expected = -posterior.entropy() - prior.log_prob(torch.tensor(z))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_kl_of_many_samples_is_the_closed_form() -> None:
    torch.manual_seed(0)
    frames = 200_000
    mean_q, log_q, mean_p, log_p = 0.3, -0.5, -0.2, 0.4
    z = mean_q + torch.randn(1, 1, frames) * torch.tensor(log_q).exp()
    like = torch.ones(1, 1, frames)
    found = vits.kl_divergence(z, log_q * like, mean_p * like, log_p * like, like)
    ratio = (
        torch.tensor(2 * (log_q - log_p)).exp()
        + (mean_q - mean_p) ** 2 * torch.tensor(-2 * log_p).exp()
    )
    assert found.item() == pytest.approx((log_p - log_q - 0.5 + 0.5 * ratio).item(), abs=5e-3)


def test_kl_sums_channels_and_leaves_out_padding() -> None:
    torch.manual_seed(0)
    z, log_q, mean, log_p = torch.randn(4, 1, 3, 5)
    mask = torch.tensor([[[1.0, 1, 0, 0, 0]]])
    cut = [x[None, :, :2] for x in (z[0], log_q[0], mean[0], log_p[0])]
    expected = vits.kl_divergence(*cut, torch.ones(1, 1, 2))
    found = vits.kl_divergence(z, log_q, mean, log_p, mask)
    torch.testing.assert_close(found, expected)
    channels = [
        vits.kl_divergence(*(x[:, c : c + 1] for x in cut), torch.ones(1, 1, 2)) for c in range(3)
    ]
    torch.testing.assert_close(sum(channels), found)


def verdict(*scores: float) -> tuple[Tensor, list[Tensor]]:
    return torch.tensor([scores]), [torch.tensor([scores]), 2 * torch.tensor([scores])]


def test_least_squares_by_hand() -> None:
    true, made = [verdict(1.0, 0.5), verdict(0.0)], [verdict(0.0, 0.2), verdict(1.0)]
    found = vits.discriminator_loss(true, made)
    assert found.item() == pytest.approx((0.25 / 2 + 0.04 / 2) + (1 + 1))
    assert vits.adversarial_loss(made).item() == pytest.approx((1 + 0.64) / 2 + 0)
    features = (1.0 + 0.3) / 2 * 3 + 1.0 * 3
    assert vits.feature_loss(true, made).item() == pytest.approx(features)


def test_gradients_flow_where_they_should() -> None:
    model = build(TINY_PRO)
    tuned = thaw(model, VOICE_PARTS)
    assert {name.split(".")[0] for name in tuned} == {"ref_enc", "enc_p", "ge_to512"}
    items = [item(20, 0, 6), item(31, 1, 6)]
    made = vits.speak_segments(model, items, draws(items))
    (made.kl.sum() + made.audio.square().mean()).backward()
    for name, parameter in model.named_parameters():
        if name not in tuned:
            assert parameter.grad is None, name
        elif not name.endswith("conv_k.bias"):
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


def test_the_voice_learns_nothing_from_the_posterior() -> None:
    model = build()
    one = item(20, 0)
    voice = torch.randn(1, 16, 1, requires_grad=True)
    latent, _ = model.posterior(
        one.spectrogram[None], torch.tensor([41]), voice, torch.zeros(1, 8, 41)
    )
    assert latent.requires_grad
    latent.sum().backward()
    assert voice.grad is None


def test_one_clip_is_learned_by_heart() -> None:
    """S2 against a discriminator, both learning; the mel is one of 8 samples a frame here."""
    model, one = build(), [item(16, 0)]
    discriminator = MultiPeriodDiscriminator((2,))
    drawn = [vits.VitsDraw(torch.zeros(8, 32), 0)]
    tuned = thaw(model, ("",))
    optimiser = torch.optim.Adam(tuned.values(), lr=2e-3)
    rival = torch.optim.Adam(discriminator.parameters(), lr=1e-4)
    kl, features, judged = [], [], []
    for _ in range(6):
        made = vits.speak_segments(model, one, drawn)
        loss = vits.discriminator_loss(discriminator(made.true), discriminator(made.audio.detach()))
        rival.zero_grad()
        loss.backward()
        rival.step()
        judged.append(loss.item())
        with torch.no_grad():
            true = discriminator(made.true)
        fake = discriminator(made.audio)
        adversarial = vits.adversarial_loss(fake) + vits.feature_loss(true, fake)
        distance = (made.audio - made.true).abs().mean()
        optimiser.zero_grad()
        (adversarial + made.kl.mean() + 10 * distance).backward()
        optimiser.step()
        kl.append(made.kl.item())
        features.append(distance.item())
    assert kl[-1] < 0.9 * kl[0]
    assert features[-1] < features[0]
    assert judged[-1] < judged[0]


def test_mel_distance() -> None:
    torch.manual_seed(0)
    audio = 0.1 * torch.randn(2, 1, 20_480)
    assert vits.mel_distance(audio, audio, 640).tolist() == [0, 0]
    louder = vits.mel_distance(2 * audio, audio, 640)
    torch.testing.assert_close(louder, torch.full((2,), 2.0).log(), atol=1e-3, rtol=0)


def test_too_short_and_without_posterior() -> None:
    with pytest.raises(ValueError, match="shorter than a segment"):
        vits.draw_segment(31, 8, torch.Generator())
    one = [item(16, 0)]
    with pytest.raises(ValueError, match="posterior"):
        vits.speak_segments(SynthesizerTrn(TINY), one, draws(one))
