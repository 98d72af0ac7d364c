"""The WaveNet encoder."""

import torch

from model.s2.wavenet import WaveNetEncoder


def test_padding_does_not_change_an_item() -> None:
    torch.manual_seed(0)
    encoder = WaveNetEncoder(6, 7, hidden=8, kernel=5, layers=3, voice_channels=4)
    x, voice = torch.randn(2, 6, 15), torch.randn(2, 4, 1)
    batch = encoder(x, torch.tensor([15, 9]), voice)
    assert batch.shape == (2, 7, 15)
    single = encoder(x[1:, :, :9], torch.tensor([9]), voice[1:])
    assert torch.allclose(batch[1:, :, :9], single, atol=1e-6)
    assert not batch[1, :, 9:].any()
