"""Weight-normed convolutions and the WaveNet encoder."""

import torch
from torch import nn

from model.s2.wavenet import WaveNetEncoder, WeightNormConv


def test_weight_norm_equals_torchs() -> None:
    torch.manual_seed(0)
    ours = WeightNormConv(3, 4, kernel=5, dilation=2)
    theirs = nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 5, dilation=2, padding=4))
    with torch.no_grad():
        ours.weight_g.mul_(1.5)
        theirs.bias.copy_(ours.bias)
        theirs.parametrizations.weight.original0.copy_(ours.weight_g)
        theirs.parametrizations.weight.original1.copy_(ours.weight_v)
    x = torch.randn(2, 3, 11)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)


def test_padding_does_not_change_an_item() -> None:
    torch.manual_seed(0)
    encoder = WaveNetEncoder(6, 7, hidden=8, kernel=5, layers=3, voice_channels=4)
    x, voice = torch.randn(2, 6, 15), torch.randn(2, 4, 1)
    batch = encoder(x, torch.tensor([15, 9]), voice)
    assert batch.shape == (2, 7, 15)
    single = encoder(x[1:, :, :9], torch.tensor([9]), voice[1:])
    assert torch.allclose(batch[1:, :, :9], single, atol=1e-6)
    assert not batch[1, :, 9:].any()
