"""The velocity field and its integration."""

import pytest
import torch

from model.s2.flow_matching import CFM, DiT, RotaryEmbedding, rotate


@pytest.fixture
def cfm() -> CFM:
    """A tiny CFM whose zero-initialised layers are drawn too."""
    torch.manual_seed(0)
    estimator = DiT(
        dim=32,
        depth=2,
        heads=2,
        dim_head=16,
        ff_mult=2,
        mels=5,
        text_dim=6,
        conv_layers=2,
        conv_pos_kernel=7,
        conv_pos_groups=4,
        dropout=0.1,
    )
    for parameter in estimator.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return CFM(estimator).eval()


def test_untrained_velocity_is_zero() -> None:
    estimator = DiT(
        dim=32,
        depth=1,
        heads=2,
        dim_head=16,
        ff_mult=2,
        mels=5,
        text_dim=6,
        conv_layers=1,
        conv_pos_kernel=7,
        conv_pos_groups=4,
        dropout=0.0,
    )
    x = torch.randn(1, 5, 9)
    time = torch.rand(1)
    assert not estimator(x, x, None, time, time, torch.randn(1, 6, 9)).any()


def test_padding_does_not_change_an_item(cfm: CFM) -> None:
    x, prompt, fea = torch.randn(2, 5, 20), torch.randn(2, 5, 20), torch.randn(2, 6, 20)
    t, dt = torch.tensor([0.3, 0.6]), torch.tensor([0.0, 0.25])
    batch = cfm.estimator(x, prompt, torch.tensor([20, 13]), t, dt, fea)
    short = (y[1:, :, :13] for y in (x, prompt, fea))
    x1, prompt1, fea1 = short
    single = cfm.estimator(x1, prompt1, None, t[1:], dt[1:], fea1)
    assert torch.allclose(batch[1:, :, :13], single, atol=1e-5)
    assert not batch[1, :, 13:].any()


def test_one_step_size_serves_a_whole_batch(cfm: CFM) -> None:
    x, prompt, fea = torch.randn(3, 5, 9), torch.randn(3, 5, 9), torch.randn(3, 6, 9)
    one = cfm.estimator(x, prompt, None, torch.tensor([0.4]), torch.tensor([0.1]), fea)
    all_ = cfm.estimator(x, prompt, None, torch.full((3,), 0.4), torch.full((3,), 0.1), fea)
    assert torch.allclose(one, all_, atol=1e-6)


def test_inference_is_an_euler_integration(cfm: CFM) -> None:
    """Against the integration spelled out through the public velocity field."""
    fea, noise, prompt = torch.randn(2, 6, 12), torch.randn(2, 5, 12), torch.randn(2, 5, 4)
    mel = cfm.inference(fea, None, prompt, 3, noise)
    assert not mel[..., :4].any()
    x = noise.clone()
    given = torch.zeros_like(x)
    given[..., :4] = prompt
    for step in range(3):
        x[..., :4] = 0
        t, dt = torch.full((2,), step / 3), torch.full((2,), 1 / 3)
        with torch.no_grad():
            x = x + cfm.estimator(x, given, None, t, dt, fea) / 3
    assert torch.allclose(mel[..., 4:], x[..., 4:], atol=1e-5)


def test_inference_in_a_padded_batch_equals_alone(cfm: CFM) -> None:
    fea, noise, prompt = torch.randn(2, 6, 12), torch.randn(2, 5, 12), torch.randn(1, 5, 3)
    batch = cfm.inference(fea, torch.tensor([12, 8]), prompt, 3, noise, cfg_rate=0.7)
    single = cfm.inference(fea[1:, :, :8], None, prompt, 3, noise[1:, :, :8], cfg_rate=0.7)
    assert torch.allclose(batch[1:, :, :8], single, atol=1e-5)


def test_guidance_moves_away_from_the_unconditional_velocity(cfm: CFM) -> None:
    fea, noise, prompt = torch.randn(1, 6, 12), torch.randn(1, 5, 12), torch.randn(1, 5, 3)
    plain = cfm.inference(fea, None, prompt, 1, noise)
    blind = cfm.inference(torch.zeros_like(fea), None, torch.zeros_like(prompt), 1, noise)
    guided = cfm.inference(fea, None, prompt, 1, noise, cfg_rate=0.5)
    assert torch.allclose(guided, plain + 0.5 * (plain - blind), atol=1e-5)


def test_a_brief_unconditional_pass_knows_no_frames_of_the_prompt(cfm: CFM) -> None:
    fea, noise, prompt = torch.randn(1, 6, 12), torch.randn(1, 5, 12), torch.randn(1, 5, 3)
    plain = cfm.inference(fea, None, prompt, 1, noise)[..., 3:]
    nothing = torch.zeros(1, 5, 0)
    blind = cfm.inference(torch.zeros(1, 6, 9), None, nothing, 1, noise[..., 3:])
    guided = cfm.inference(fea, None, prompt, 1, noise, cfg_rate=0.5, brief=True)
    assert torch.allclose(guided[..., 3:], plain + 0.5 * (plain - blind), atol=1e-5)
    assert not guided[..., :3].any()


def test_a_brief_pass_in_a_padded_batch_equals_alone(cfm: CFM) -> None:
    fea, noise, prompt = torch.randn(2, 6, 12), torch.randn(2, 5, 12), torch.randn(1, 5, 3)
    batch = cfm.inference(fea, torch.tensor([12, 8]), prompt, 3, noise, 0.7, brief=True)
    single = cfm.inference(fea[1:, :, :8], None, prompt, 3, noise[1:, :, :8], 0.7, brief=True)
    assert torch.allclose(batch[1:, :, :8], single, atol=1e-5)


def test_rotation_touches_the_first_head_only_and_is_relative() -> None:
    rope = RotaryEmbedding(4)
    query, key = torch.randn(1, 1, 8), torch.randn(1, 1, 8)
    turned_query, turned_key = (rotate(x.expand(1, 10, 8), rope(10)) for x in (query, key))
    assert torch.equal(turned_query[..., 4:], query[..., 4:].expand(1, 10, 4))
    scores = turned_query[0, :, :4] @ turned_key[0, :, :4].T
    assert torch.allclose(scores[0, 3], scores[5, 8], atol=1e-5)
    assert not torch.allclose(scores[0, 3], scores[0, 4], atol=1e-3)


def test_rotation_tables_grow_with_the_sequence() -> None:
    rope = RotaryEmbedding(4)
    short, _ = rope(10)
    long, _ = rope(3000)
    assert torch.equal(short, long[:10])
    assert long.shape == (3000, 4)


def test_a_model_that_has_spoken_can_still_be_trained(cfm: CFM) -> None:
    fea, noise = torch.randn(1, 6, 12), torch.randn(1, 5, 12)
    with torch.inference_mode():
        cfm.inference(fea, None, noise[..., :3], 1, noise)
    time = torch.rand(1)
    cfm.estimator(noise, noise, None, time, time, fea).sum().backward()
    assert cfm.estimator.proj_out.weight.grad is not None
