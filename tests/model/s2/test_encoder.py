"""The prior encoder: relative positions, padding, speed."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from model.s2.encoder import (
    Encoder,
    MultiHeadAttention,
    band_to_square,
    square_to_band,
    stretch,
)


@given(length=st.integers(1, 12), window=st.integers(1, 5))
def test_band_lands_at_its_offset(length: int, window: int) -> None:
    band = torch.randn(2, length, 2 * window + 1)
    square = band_to_square(band)
    assert square.shape == (2, length, length)
    for query in range(length):
        for key in range(length):
            offset = key - query + window
            inside = 0 <= offset <= 2 * window
            expected = band[:, query, offset] if inside else torch.zeros(2)
            assert torch.equal(square[:, query, key], expected)


@given(length=st.integers(1, 12), window=st.integers(1, 5))
def test_band_is_read_back_from_its_square(length: int, window: int) -> None:
    square = torch.randn(2, length, length)
    band = square_to_band(square, window)
    assert band.shape == (2, length, 2 * window + 1)
    offsets = torch.arange(length) - torch.arange(length)[:, None]
    assert torch.equal(band_to_square(band), square * (offsets.abs() <= window))


def test_attention_sees_relative_positions_only() -> None:
    """Moving a pattern by some frames, far from the edges, moves the result by as many."""
    torch.manual_seed(0)
    attention = MultiHeadAttention(8, 2, window=2).eval()
    x = torch.zeros(1, 8, 24)
    x[:, :, 8:12] = torch.randn(8, 4)
    mask = torch.ones(1, 24, dtype=torch.bool)
    here = attention(x, x, mask)
    moved = x.roll(3, dims=2)
    there = attention(moved, moved, mask)
    assert torch.allclose(here[:, :, 5:15], there[:, :, 8:18], atol=1e-6)


def test_padding_does_not_change_an_item() -> None:
    torch.manual_seed(0)
    encoder = Encoder(8, 16, heads=2, layers=2, kernel=3, dropout=0.1).eval()
    x = torch.randn(2, 8, 9)
    mask = torch.arange(9) < torch.tensor([[9], [5]])
    batch = encoder(x, mask)
    single = encoder(x[1:, :, :5], mask[1:, :5])
    assert torch.allclose(batch[1:, :, :5], single, atol=1e-5)
    assert not batch[1, :, 5:].any()


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=3), speed=st.floats(0.5, 2.0))
def test_stretch_gives_each_item_its_own_length(lengths: list[int], speed: float) -> None:
    x = torch.randn(len(lengths), 3, max(lengths))
    stretched, sizes = stretch(x, torch.tensor(lengths), speed)
    for i, n in enumerate(lengths):
        single, size = stretch(x[i : i + 1, :, :n], torch.tensor([n]), speed)
        assert sizes[i] == size[0] == int(n / speed) + 1
        assert torch.equal(stretched[i, :, : size[0]], single[0])
        assert not stretched[i, :, size[0] :].any()
