"""The flow between posterior and prior."""

import torch

from model.s2.flow import ResidualCouplingBlock
from model.s2.masks import length_mask


def build() -> ResidualCouplingBlock:
    torch.manual_seed(0)
    flow = ResidualCouplingBlock(6, 8, kernel=5, layers=2, couplings=3, voice_channels=4).eval()
    for parameter in flow.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)
    return flow


def test_reverse_undoes_it() -> None:
    flow = build()
    mask = length_mask(torch.tensor([9, 6]), 9)[:, None].float()
    x, voice = torch.randn(2, 6, 9) * mask, torch.randn(2, 4, 1)
    there = flow(x, mask, voice)
    assert not torch.allclose(there, x, atol=0.1)
    assert torch.allclose(flow(there, mask, voice, reverse=True), x, atol=1e-5)


def test_padding_does_not_change_an_item() -> None:
    flow = build()
    mask = length_mask(torch.tensor([9, 6]), 9)[:, None].float()
    x, voice = torch.randn(2, 6, 9) * mask, torch.randn(2, 4, 1)
    batch = flow(x, mask, voice, reverse=True)
    single = flow(x[1:, :, :6], mask[1:, :, :6], voice[1:], reverse=True)
    assert torch.allclose(batch[1:, :, :6], single, atol=1e-5)
    assert not batch[1, :, 6:].any()


def test_begins_as_a_shuffle_of_channels() -> None:
    flow = ResidualCouplingBlock(6, 8, kernel=5, layers=2, couplings=2, voice_channels=4)
    x = torch.randn(1, 6, 5)
    assert torch.equal(flow(x, torch.ones(1, 1, 5), torch.randn(1, 4, 1)), x)
