"""S2 of v1 to v2ProPlus, tiny."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.s2.vits import VITS_CONFIGS, SynthesizerTrn, VitsConfig, frame_count
from model.weight_norm import fold_weight_norm

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
)
TINY_PRO = replace(TINY, gin_channels=24, speaker_dim=6)


def build(config: VitsConfig = TINY) -> SynthesizerTrn:
    """A model whose zero-initialised layers are drawn too."""
    torch.manual_seed(0)
    model = SynthesizerTrn(config).eval()
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def voice(model: SynthesizerTrn, items: int = 1) -> Tensor:
    refer, lengths = torch.rand(items, 13, 20), torch.arange(20, 20 - items, -1)
    sv = torch.randn(items, model.config.speaker_dim) if model.config.speaker_dim else None
    return model.reference_embedding(refer, lengths, sv)


@pytest.mark.parametrize("config", [TINY, TINY_PRO])
@pytest.mark.parametrize("speed", [1.0, 1.25, 0.8])
@torch.no_grad()
def test_an_item_sounds_the_same_in_a_batch(config: VitsConfig, speed: float) -> None:
    """To its last sample, and silence follows."""
    model = build(config)
    code_lengths, text_lengths = torch.tensor([7, 10, 3]), torch.tensor([7, 4, 2])
    codes, text = torch.randint(0, 16, (3, 10)), torch.randint(0, 20, (3, 7))
    ge = voice(model, 3)
    noise = torch.randn(3, 8, frame_count(10, speed))
    audio, lengths = model.decode(
        codes, code_lengths, text, text_lengths, ge, noise, noise_scale=1.0, speed=speed
    )
    assert audio.shape[2] == lengths.max() == 8 * frame_count(10, speed)
    for i, (n, m) in enumerate(zip(code_lengths, text_lengths, strict=True)):
        single, length = model.decode(
            codes[i : i + 1, :n],
            n[None],
            text[i : i + 1, :m],
            m[None],
            ge[i : i + 1],
            noise[i : i + 1, :, : frame_count(int(n), speed)],
            noise_scale=1.0,
            speed=speed,
        )
        assert length[0] == lengths[i] == single.shape[2]
        assert single.abs().max() > 1e-3
        assert torch.allclose(audio[i, :, : length[0]], single[0], atol=1e-5)
        assert not audio[i, :, length[0] :].any()


@torch.no_grad()
def test_one_voice_serves_a_batch() -> None:
    model = build(TINY_PRO)
    ge = voice(model)
    said = (
        torch.randint(0, 16, (2, 5)),
        torch.tensor([5, 4]),
        torch.randint(0, 20, (2, 3)),
        torch.tensor([3, 2]),
    )
    noise = torch.randn(2, 8, 10)
    shared, _ = model.decode(*said, ge, noise)
    each, _ = model.decode(*said, ge.expand(2, -1, -1), noise)
    assert torch.allclose(shared, each, atol=1e-6)


@torch.no_grad()
def test_noise_is_the_only_chance() -> None:
    model = build()
    said = (
        torch.randint(0, 16, (1, 5)),
        torch.tensor([5]),
        torch.randint(0, 20, (1, 3)),
        torch.tensor([3]),
        voice(model),
    )
    noise, other = torch.randn(2, 1, 8, 10)
    first, _ = model.decode(*said, noise)
    assert torch.equal(first, model.decode(*said, noise)[0])
    assert not torch.equal(first, model.decode(*said, other)[0])
    still, _ = model.decode(*said, noise, noise_scale=0.0)
    assert torch.equal(still, model.decode(*said, other, noise_scale=0.0)[0])


@torch.no_grad()
def test_folded_weights_sound_the_same() -> None:
    model = build(TINY_PRO)
    said = (
        torch.randint(0, 16, (1, 5)),
        torch.tensor([5]),
        torch.randint(0, 20, (1, 3)),
        torch.tensor([3]),
        voice(model),
        torch.randn(1, 8, 10),
    )
    expected, _ = model.decode(*said)
    fold_weight_norm(model)
    assert not [name for name in model.state_dict() if name.endswith(("weight_g", "weight_v"))]
    assert torch.equal(model.decode(*said)[0], expected)


@torch.no_grad()
def test_a_voice_in_a_batch_of_recordings() -> None:
    model = build(TINY_PRO)
    refer, sv = torch.rand(2, 13, 20), torch.randn(2, 6)
    both = model.reference_embedding(refer, torch.tensor([20, 14]), sv)
    alone = model.reference_embedding(refer[1:, :, :14], torch.tensor([14]), sv[1:])
    assert both.shape == (2, 24, 1)
    assert torch.allclose(both[1:], alone, atol=1e-6)
    # What lies above the bins that this version hears changes nothing.
    low = model.reference_embedding(refer[:, :10], torch.tensor([20, 14]), sv)
    assert torch.equal(both, low)


def test_pro_needs_a_speaker_vector() -> None:
    with pytest.raises(ValueError, match="speaker"):
        build(TINY_PRO).reference_embedding(torch.rand(1, 13, 20), torch.tensor([20]))


def test_codes_are_at_half_the_feature_rate() -> None:
    codes = build().extract_codes(torch.randn(2, 12, 31))
    assert codes.shape == (2, 15)
    assert codes.dtype == torch.int64


def test_posterior_is_for_training() -> None:
    def names(posterior: bool) -> set[str]:
        return set(SynthesizerTrn(TINY, posterior).state_dict())

    more = names(True) - names(False)
    assert more
    assert all(name.startswith("enc_q.") for name in more)
    assert names(False) < names(True)


def test_gradient_reaches_everything_that_speaks() -> None:
    model = build(TINY_PRO).train()
    said = (
        torch.randint(0, 16, (2, 5)),
        torch.tensor([5, 4]),
        torch.randint(0, 20, (2, 3)),
        torch.tensor([3, 2]),
    )
    audio, _ = model.decode(*said, voice(model, 2), torch.randn(2, 8, 10))
    audio.square().mean().backward()
    without = {
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    }
    # A bias of attention keys shifts all scores of a query alike: its gradient is rounding noise.
    spoken = {name for name in without if not name.endswith(("conv_k.bias", "w_ks.bias"))}
    assert spoken == {"ssl_proj.weight", "ssl_proj.bias"}


@torch.no_grad()
def test_model_runs_in_bfloat16() -> None:
    model = build(TINY_PRO).bfloat16()
    ge = model.reference_embedding(
        torch.rand(1, 13, 20).bfloat16(), torch.tensor([20]), torch.randn(1, 6).bfloat16()
    )
    audio, _ = model.decode(
        torch.randint(0, 16, (1, 5)),
        torch.tensor([5]),
        torch.randint(0, 20, (1, 3)),
        torch.tensor([3]),
        ge,
        torch.randn(1, 8, 10).bfloat16(),
    )
    assert audio.dtype == torch.bfloat16
    assert audio.isfinite().all()


@pytest.mark.slow  # the first random number without memory imports half of torch
@pytest.mark.parametrize(
    ("version", "parameters"),
    [
        ("v1", 51_272_448),
        ("v2", 51_310_080),
        ("v2Pro", 79_428_096),
        ("v2ProPlus", 98_338_432),
    ],
)
def test_sizes_of_the_official_versions(version: str, parameters: int) -> None:
    with torch.device("meta"):
        model = SynthesizerTrn(VITS_CONFIGS[version], posterior=True)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_frames() -> None:
    assert frame_count(12) == 24
    assert frame_count(12, 1.25) == 20
    assert frame_count(12, 0.8) == 31
