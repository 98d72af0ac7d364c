"""Flow-matching losses of S2, tiny."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from model.s2.synthesizer import S2Config, SynthesizerTrnV3
from model.tuning.adapters import adapt
from model.tuning.flow import (
    FlowDraw,
    FlowItem,
    draw_window,
    flow_losses,
    frame_count,
    self_consistent,
)
from model.tuning.parameters import VOICE_PARTS, changed, thaw

TINY = S2Config(
    ssl_dim=12,
    codebook=16,
    symbols=20,
    inter_channels=8,
    hidden_channels=16,
    filter_channels=16,
    layers=2,
    mrte_hidden=16,
    mrte_heads=2,
    gin_channels=24,
    reference_bins=10,
    wns1_width=16,
    wns1_layers=1,
    mels=10,
    dit_dim=32,
    dit_depth=1,
    dit_heads=2,
    dit_dim_head=16,
    text_dim=16,
    conv_layers=1,
    conv_pos_kernel=3,
    conv_pos_groups=2,
)


def build() -> SynthesizerTrnV3:
    """A model whose zero-initialised layers are drawn too."""
    torch.manual_seed(0)
    model = SynthesizerTrnV3(TINY).eval()
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    return model


def item(tokens: int, phones: int, seed: int) -> FlowItem:
    draw = torch.Generator().manual_seed(seed)
    return FlowItem(
        torch.randint(16, (tokens,), generator=draw),
        torch.randint(20, (phones,), generator=draw),
        torch.randn((10, int(tokens * 3.75) - 1), generator=draw),
        torch.randn((10, 10 + tokens), generator=draw),
    )


def draws(model: SynthesizerTrnV3, items: list[FlowItem], window: int) -> list[FlowDraw]:
    draw = torch.Generator().manual_seed(1)
    return [draw_window(frame_count(model, i), 10, window, draw) for i in items]


@pytest.mark.parametrize("consistent", [False, True])
@torch.no_grad()
def test_an_item_has_the_loss_that_it_has_alone(consistent: bool) -> None:
    model = build()
    items = [item(9, 4, 0), item(16, 7, 1), item(5, 2, 2)]
    drawn = draws(model, items, 40)
    if consistent:
        drawn = [self_consistent(d, torch.Generator().manual_seed(0)) for d in drawn]
    together = flow_losses(model, items, drawn, consistent)
    for i, (one, chance) in enumerate(zip(items, drawn, strict=True)):
        alone = flow_losses(model, [one], [chance], consistent)
        torch.testing.assert_close(alone.flow[0], together.flow[i])
        torch.testing.assert_close(alone.rough[0], together.rough[i])
    assert len(set(together.flow.tolist())) == 3


@torch.no_grad()
def test_the_loss_by_hand() -> None:
    """The velocity from the noisy mel, against mel minus noise, outside the prompt."""
    model, one = build(), item(8, 3, 0)
    chance = FlowDraw(3, 5, torch.randn(10, 20), 0.25, 0.125, False)
    voice = model.reference_embedding(one.reference[None], torch.tensor([one.reference.shape[1]]))
    fea, _ = model.condition(
        one.codes[None], torch.tensor([8]), one.text[None], torch.tensor([3]), voice
    )
    mel = one.mel[:, 3:23]
    x, prompt = 0.75 * chance.noise + 0.25 * mel, torch.zeros(10, 20)
    x[:, :5], prompt[:, :5] = 0, mel[:, :5]
    velocity = model.cfm.estimator(
        x[None],
        prompt[None],
        None,
        torch.tensor([0.25]),
        torch.tensor([0.125]),
        fea[..., 3:23],
    )[0]
    expected = (velocity - (mel - chance.noise))[:, 5:].square().mean()
    found = flow_losses(model, [one], [chance])
    torch.testing.assert_close(found.flow[0], expected)
    rough = (model.linear_mel(fea)[0, :, :29] - one.mel).abs().mean()
    torch.testing.assert_close(found.rough[0], rough)
    blind = flow_losses(model, [one], [replace(chance, blind=True)])
    other = flow_losses(model, [replace(one, text=one.text + 1)], [replace(chance, blind=True)])
    assert blind.flow == other.flow, "nothing is told"


def test_chance_keeps_to_its_limits() -> None:
    draw = torch.Generator().manual_seed(0)
    drawn = [draw_window(50, 10, 30, draw) for _ in range(300)]
    assert {d.noise.shape for d in drawn} == {(10, 30)}
    assert {d.start for d in drawn} == set(range(21))
    assert max(d.prompt for d in drawn) <= 20
    assert 0.05 < sum(d.prompt == 0 for d in drawn) / 300 < 0.25
    assert 0.05 < sum(d.blind for d in drawn) / 300 < 0.2
    assert draw_window(12, 10, 30, draw).noise.shape == (10, 12)
    steps = [self_consistent(d, draw) for d in drawn]
    assert all(d.time + 2 * d.size <= 1 for d in steps)
    assert {d.size for d in steps} == {0.5**n for n in range(2, 8)}


def test_gradients_flow_where_they_should() -> None:
    model = build()
    tuned = thaw(model, VOICE_PARTS)
    prefixes = tuple(f"{part}." for part in VOICE_PARTS)
    assert set(tuned) == {n for n, _ in model.named_parameters() if n.startswith(prefixes)}
    lora = adapt(model, 2, 0)
    assert len(lora) == 8
    items = [item(9, 4, 0), item(16, 7, 1)]
    found = flow_losses(model, items, draws(model, items, 40))
    (found.flow + found.rough).mean().backward()
    for name, parameter in model.named_parameters():
        if name not in tuned:
            assert parameter.grad is None, name
        elif not name.endswith("conv_k.bias"):  # attention does not depend on it
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
    for name, parameter in lora.items():
        assert parameter.grad is not None
        assert bool(parameter.grad.any()) == ("lora_B" in name), "A waits for B"


def test_the_quantizer_is_frozen_always() -> None:
    tuned = thaw(build(), ("",))
    assert len(tuned) > 100
    assert not any(name.startswith(("ssl_proj.", "quantizer.")) for name in tuned)
    assert "enc_p.ssl_proj.weight" in tuned


def test_one_clip_is_learned_by_heart() -> None:
    model, one = build(), item(16, 5, 0)
    tuned = thaw(model, ("",))
    chance = draws(model, [one], 60)
    optimiser = torch.optim.Adam(tuned.values(), lr=3e-3)
    found = []
    for _ in range(16):
        losses = flow_losses(model, [one], chance)
        optimiser.zero_grad()
        (losses.flow + losses.rough).sum().backward()
        optimiser.step()
        found.append((losses.flow.item(), losses.rough.item()))
    assert found[-1][0] < 0.8 * found[0][0]
    assert found[-1][1] < 0.98 * found[0][1]


@torch.no_grad()
def test_a_copy_shares_what_did_not_change() -> None:
    model = build()
    weight = torch.ones_like(model.ref_enc.fc.fc.weight)
    other = changed(model, {"ref_enc.fc.fc.weight": weight})
    assert torch.equal(other.ref_enc.fc.fc.weight, weight)
    assert not torch.equal(model.ref_enc.fc.fc.weight, weight)
    assert other.bridge[0].weight is model.bridge[0].weight
