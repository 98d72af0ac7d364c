"""S1's losses against hand-made cases; padding changes nothing."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from model.s1 import S1Config, Text2SemanticDecoder
from model.s1_losses import (
    accuracy,
    damaged,
    dpo_loss,
    log_likelihood,
    summed_cross_entropy,
    targets,
)

CONFIG = S1Config(width=16, heads=2, layers=2, phones=20, codes=12, bert=4)


def model() -> Text2SemanticDecoder:
    torch.manual_seed(0)
    return Text2SemanticDecoder(CONFIG).eval()


def test_targets_end_where_the_row_ends() -> None:
    tokens = torch.tensor([[3, 4, 5], [6, 99, 99]])
    assert targets(tokens, torch.tensor([3, 1]), 12).tolist() == [
        [3, 4, 5, 12],
        [6, 12, -100, -100],
    ]


def test_log_likelihood_of_known_probabilities() -> None:
    probabilities = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]])
    tokens = torch.tensor([[0, 7]])
    found = log_likelihood(probabilities.log(), tokens, torch.tensor([1]))
    assert found.item() == pytest.approx(math.log(0.5 * 0.7))
    assert accuracy(probabilities.log(), tokens, torch.tensor([1])).item() == 1


@torch.no_grad()
def test_a_padded_row_has_the_loss_that_it_has_alone() -> None:
    s1 = model()
    draw = torch.Generator().manual_seed(1)
    phones = torch.randint(20, (3, 9), generator=draw)
    tokens = torch.randint(12, (3, 14), generator=draw)
    bert = torch.randn(3, 4, 9, generator=draw)
    phone_lengths, token_lengths = torch.tensor([9, 4, 6]), torch.tensor([5, 14, 9])
    logits, _ = s1(phones, phone_lengths, tokens, token_lengths, bert)
    rows = log_likelihood(logits, tokens, token_lengths)
    for i, (p, t) in enumerate(zip(phone_lengths, token_lengths, strict=True)):
        alone = tokens[i : i + 1, :t]
        logits_alone, _ = s1(phones[i : i + 1, :p], p[None], alone, t[None], bert[i : i + 1, :, :p])
        torch.testing.assert_close(log_likelihood(logits_alone, alone, t[None])[0], rows[i])
        end = torch.tensor([12])
        by_hand = F.cross_entropy(logits_alone[0], torch.cat([alone[0], end]), reduction="sum")
        torch.testing.assert_close(-rows[i], by_hand)
    torch.testing.assert_close(summed_cross_entropy(logits, tokens, token_lengths), -rows.sum())


def test_gradients_leave_the_padding_alone() -> None:
    logits = torch.randn(2, 5, 13, requires_grad=True)
    summed_cross_entropy(logits, torch.randint(12, (2, 4)), torch.tensor([4, 1])).backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().sum(1).all()
    assert logits.grad[1, :2].abs().sum(1).all()
    assert not logits.grad[1, 2:].any()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5), st.integers(0, 10_000))
def test_damage_is_a_span_said_twice_or_left_out(lengths: list[int], seed: int) -> None:
    tokens = torch.arange(max(lengths)).expand(len(lengths), -1)
    made, counts = damaged(tokens, torch.tensor(lengths), 99, torch.Generator().manual_seed(seed))
    for row, count, length in zip(made.tolist(), counts.tolist(), lengths, strict=True):
        said, whole = row[:count], list(range(length))
        assert set(row[count:]) <= {99}
        if length == 0:
            assert said == []
            continue
        assert said != whole
        span = abs(count - length)
        assert 1 <= span <= max(1, length // 3)
        longer, shorter = (said, whole) if count > length else (whole, said)
        assert any(
            longer[:at] + longer[at + span :] == shorter
            and (count < length or longer[at - span : at] == longer[at : at + span])
            for at in range(len(longer) - span + 1)
        )


def test_dpo_by_hand() -> None:
    chosen, rejected = torch.tensor([-10.0, -12.0]), torch.tensor([-11.0, -12.0])
    free = (math.log1p(math.exp(-0.2)) + math.log(2)) / 2
    assert dpo_loss(chosen, rejected, beta=0.2).item() == pytest.approx(free)
    same = dpo_loss(chosen, rejected, chosen, rejected)
    assert same.item() == pytest.approx(math.log(2)), "nothing gained on the reference yet"


def test_dpo_moves_the_model_from_the_damaged_sequence() -> None:
    s1 = model()
    draw = torch.Generator().manual_seed(0)
    phones, tokens = torch.randint(20, (2, 5)), torch.randint(12, (2, 10))
    phone_lengths, lengths = torch.tensor([5, 4]), torch.tensor([10, 7])
    wrong, wrong_lengths = damaged(tokens, lengths, CONFIG.end, draw)
    optimiser = torch.optim.Adam(s1.parameters(), lr=1e-3)
    margins = []
    for _ in range(6):
        said = log_likelihood(s1(phones, phone_lengths, tokens, lengths)[0], tokens, lengths)
        logits, _ = s1(phones, phone_lengths, wrong, wrong_lengths)
        other = log_likelihood(logits, wrong, wrong_lengths)
        margins.append((said - other).mean().item())
        optimiser.zero_grad()
        dpo_loss(said, other).backward()
        optimiser.step()
    assert margins[-1] > margins[0] + 0.5
