"""The reference encoder."""

import torch

from model.s2.reference import MelStyleEncoder


def test_padding_does_not_change_a_voice() -> None:
    torch.manual_seed(0)
    encoder = MelStyleEncoder(bins=12, outputs=8, hidden=16).eval()
    spectrogram = torch.rand(2, 12, 20)
    batch = encoder(spectrogram, torch.tensor([20, 13]))
    assert batch.shape == (2, 8, 1)
    single = encoder(spectrogram[1:, :, :13], torch.tensor([13]))
    assert torch.allclose(batch[1:], single, atol=1e-6)


def test_voice_does_not_depend_on_how_often_the_reference_repeats_a_frame() -> None:
    """The vector is a mean over frames: a constant spectrogram gives one voice at any length."""
    torch.manual_seed(0)
    encoder = MelStyleEncoder(bins=12, outputs=8, hidden=16, kernel=1).eval()
    frame = torch.rand(1, 12, 1)
    short, long = (encoder(frame.repeat(1, 1, n), torch.tensor([n])) for n in (3, 30))
    assert torch.allclose(short, long, atol=1e-6)
