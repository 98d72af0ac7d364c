"""The whole acoustic model, tiny."""

from dataclasses import replace

import pytest
import torch

from model.s2.synthesizer import S2Config, SynthesizerTrnV3

TINY = S2Config(
    ssl_dim=12,
    codebook=16,
    symbols=20,
    inter_channels=8,
    hidden_channels=8,
    filter_channels=16,
    heads=2,
    layers=2,
    mrte_hidden=16,
    mrte_heads=2,
    gin_channels=16,
    reference_bins=10,
    wns1_width=12,
    wns1_layers=2,
    mels=5,
    dit_dim=32,
    dit_depth=2,
    dit_heads=2,
    dit_dim_head=16,
    text_dim=14,
    conv_layers=2,
    conv_pos_groups=4,
)


def build(config: S2Config = TINY) -> SynthesizerTrnV3:
    """A model without dropout whose zero-initialised layers are drawn too."""
    torch.manual_seed(0)
    model = SynthesizerTrnV3(config).eval()
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize(("upsample", "frames"), [(1.875, 37), (2.0, 40)])
def test_frame_rates_of_v3_and_v4(upsample: float, frames: int) -> None:
    """10 codes are 0.4 s: 37 whole frames at 93.75 Hz, 40 at 100 Hz."""
    model = build(replace(TINY, upsample=upsample))
    fea, lengths = model.condition(
        torch.randint(0, 16, (1, 10)),
        torch.tensor([10]),
        torch.randint(0, 20, (1, 7)),
        torch.tensor([7]),
        torch.randn(1, 16, 1),
    )
    assert fea.shape == (1, 14, frames)
    assert lengths.tolist() == [frames]


@pytest.mark.parametrize("speed", [1.0, 1.25, 0.8])
@pytest.mark.parametrize("gin_channels", [16, 8])
def test_padding_does_not_change_an_item(speed: float, gin_channels: int) -> None:
    model = build(replace(TINY, gin_channels=gin_channels))
    codes, text = torch.randint(0, 16, (2, 10)), torch.randint(0, 20, (2, 7))
    voice = torch.randn(2, gin_channels, 1)
    fea, lengths = model.condition(
        codes, torch.tensor([10, 6]), text, torch.tensor([7, 4]), voice, speed
    )
    single, length = model.condition(
        codes[1:, :6], torch.tensor([6]), text[1:, :4], torch.tensor([4]), voice[1:], speed
    )
    assert lengths[1] == length[0] == single.shape[2]
    assert lengths[0] == fea.shape[2]
    assert torch.allclose(fea[1:, :, : length[0]], single, atol=1e-5)
    assert not fea[1, :, length[0] :].any()


def test_speed_shortens() -> None:
    model = build()
    arguments = (
        torch.randint(0, 16, (1, 10)),
        torch.tensor([10]),
        torch.randint(0, 20, (1, 7)),
        torch.tensor([7]),
        torch.randn(1, 16, 1),
    )
    _, lengths = model.condition(*arguments, speed=1.25)
    assert lengths.tolist() == [int((int(20 / 1.25) + 1) * 1.875)]


def test_codes_are_at_half_the_feature_rate() -> None:
    codes = build().extract_codes(torch.randn(2, 12, 31))
    assert codes.shape == (2, 15)
    assert codes.dtype == torch.int64
    assert codes.min() >= 0
    assert codes.max() < 16


def test_reference_hears_only_the_lowest_bins() -> None:
    model = build()
    spectrogram = torch.rand(1, 13, 20)
    whole = model.reference_embedding(spectrogram, torch.tensor([20]))
    assert whole.shape == (1, 16, 1)
    low = model.reference_embedding(spectrogram[:, :10], torch.tensor([20]))
    assert torch.equal(whole, low)


def test_gradient_reaches_everything_that_speaks() -> None:
    model = build(replace(TINY, gin_channels=8)).train()
    codes, text = torch.randint(0, 16, (2, 10)), torch.randint(0, 20, (2, 7))
    voice = model.reference_embedding(torch.rand(2, 10, 20), torch.tensor([20, 15]))
    fea, lengths = model.condition(codes, torch.tensor([10, 8]), text, torch.tensor([7, 6]), voice)
    x = torch.randn(2, 5, fea.shape[2])
    velocity = model.cfm.estimator(x, x, lengths, torch.rand(2), torch.zeros(2), fea)
    (velocity.square().mean() + model.linear_mel(fea).square().mean()).backward()
    without = {
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    }
    # A bias of attention keys shifts all scores of a query alike: its gradient is rounding noise.
    unused = {"enc_p.proj.weight", "enc_p.proj.bias", "ssl_proj.weight", "ssl_proj.bias"}
    assert {name for name in without if not name.endswith(("conv_k.bias", "to_k.bias"))} <= unused


def test_model_runs_in_bfloat16() -> None:
    model = build().bfloat16()
    voice = model.reference_embedding(torch.rand(1, 10, 20).bfloat16(), torch.tensor([20]))
    fea, lengths = model.condition(
        torch.randint(0, 16, (1, 10)),
        torch.tensor([10]),
        torch.randint(0, 20, (1, 7)),
        torch.tensor([7]),
        voice,
    )
    noise = torch.randn(1, 5, fea.shape[2]).bfloat16()
    mel = model.cfm.inference(fea, lengths, torch.zeros(1, 5, 4).bfloat16(), 2, noise)
    assert mel.dtype == torch.bfloat16
    assert mel.isfinite().all()
