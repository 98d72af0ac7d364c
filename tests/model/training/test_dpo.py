"""Preference optimisation: what is rejected, and what the loss asks for."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.training.dpo import corrupted, dpo_loss, sequence_log_probability


@given(count=st.integers(2, 40), seed=st.integers(0, 1000))
def test_a_stretch_is_repeated_or_left_out(count: int, seed: int) -> None:
    tokens = torch.arange(count)
    made = corrupted(tokens, torch.Generator().manual_seed(seed)).tolist()
    assert made
    if len(made) > count:
        stop = next(i for i in range(1, len(made)) if made[i] != made[i - 1] + 1)
        start = made[stop]
        assert made == [*range(stop), *range(start, count)]
    else:
        assert len(made) < count
        kept = [i for i in range(count) if i not in set(made)]
        assert kept == list(range(kept[0], kept[-1] + 1))
        assert made == [i for i in range(count) if i not in kept]


def test_log_probabilities_by_hand() -> None:
    logits = torch.log(torch.tensor([[[0.5, 0.5], [0.1, 0.9], [0.3, 0.7]]]))
    found = sequence_log_probability(logits, torch.tensor([[0, 1, -100]]))
    assert found.item() == pytest.approx(math.log(0.5 * 0.9))


def test_loss_by_hand() -> None:
    chosen, rejected = torch.tensor([-10.0, -10.0]), torch.tensor([-12.0, -5.0])
    found = dpo_loss(chosen, rejected, 0.2, None)
    assert found.tolist() == pytest.approx([math.log1p(math.exp(-0.4)), math.log1p(math.e)])
    # a reference that prefers the true one just as much has nothing to teach
    same = dpo_loss(chosen, rejected, 0.2, chosen - rejected)
    assert same.tolist() == pytest.approx([math.log(2)] * 2)
