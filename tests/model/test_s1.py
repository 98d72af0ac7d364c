"""S1, tiny: padding and guidance agree with the plain forward pass."""

import pytest
import torch

from model.s1 import S1Config, Text2SemanticDecoder

CONFIG = S1Config(width=16, heads=2, layers=3, phones=20, codes=12, bert=4)


@pytest.fixture(scope="module")
def model() -> Text2SemanticDecoder:
    torch.manual_seed(0)
    model = Text2SemanticDecoder(CONFIG).eval().requires_grad_(False)
    model.bert_proj.bias.normal_()
    return model


def sequence(phones: int, tokens: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.randint(0, CONFIG.phones, (phones,), generator=draw),
        torch.randint(0, CONFIG.codes, (tokens,), generator=draw),
    )


def forward(model: Text2SemanticDecoder, phones: torch.Tensor, tokens: torch.Tensor):
    return model(
        phones[None],
        torch.tensor([len(phones)]),
        tokens[None],
        torch.tensor([len(tokens)]),
        guided=(1, 2),
    )


def test_padding_changes_nothing(model: Text2SemanticDecoder) -> None:
    rows = [sequence(7, 9, 1), sequence(4, 5, 2), sequence(1, 0, 3)]
    phones, tokens = torch.zeros(3, 7, dtype=torch.long), torch.full((3, 9), CONFIG.end)
    for row, (p, t) in enumerate(rows):
        phones[row, : len(p)], tokens[row, : len(t)] = p, t
    lengths = torch.tensor([7, 4, 1]), torch.tensor([9, 5, 0])
    logits, attention = model(phones, lengths[0], tokens, lengths[1], guided=(1, 2))
    assert attention is not None
    assert logits.shape == (3, 10, 13)
    assert attention.shape == (3, 2, 10, 7)
    for row, (p, t) in enumerate(rows):
        single, seen = forward(model, p, t)
        assert torch.allclose(logits[row, : len(t) + 1], single[0], atol=1e-5)
        part = attention[row, :, : len(t) + 1]
        assert torch.allclose(part[..., : len(p)].exp(), seen[0].exp(), atol=1e-5)
        assert part[..., len(p) :].exp().sum() == 0


def test_bert_features_of_zero_are_none(model: Text2SemanticDecoder) -> None:
    phones, _ = sequence(5, 0)
    zeros = model.embed_phones(phones[None], torch.zeros(1, CONFIG.bert, 5))
    assert torch.allclose(zeros, model.embed_phones(phones[None], None))


def test_guided_attention_is_a_share(model: Text2SemanticDecoder) -> None:
    _, attention = forward(model, *sequence(6, 8))
    share = attention.exp().sum(-1)
    assert attention.shape == (1, 2, 9, 6)
    assert (share <= 1 + 1e-5).all()
    # The first target sees phones only, the others tokens as well.
    assert torch.allclose(share[..., 0], torch.ones(()))
    assert (share[..., 1:] < 1).all()


def test_phones_do_not_see_tokens(model: Text2SemanticDecoder) -> None:
    """Else the cached keys of the phones (model/slots.py) would depend on what comes after them."""
    phones, tokens = sequence(5, 6)
    logits, _ = forward(model, phones, tokens)
    changed = tokens.clone()
    changed[3:] = (changed[3:] + 1) % CONFIG.codes
    others, _ = forward(model, phones, changed)
    assert torch.allclose(logits[:, :4], others[:, :4], atol=1e-6)
    assert not torch.allclose(logits[:, 4:], others[:, 4:], atol=1e-3)


def test_names_are_the_official_ones(model: Text2SemanticDecoder) -> None:
    names = set(model.state_dict())
    assert "h.layers.0.self_attn.in_proj_weight" in names
    assert "ar_audio_embedding.word_embeddings.weight" in names
    assert "ar_text_position.alpha" in names
    assert not any("table" in name for name in names)
