"""Random numbers by counter: the published test vectors, and the distribution."""

import pytest
import torch

from model.philox import exponential, philox, seed_words


@pytest.mark.parametrize(
    ("counter", "key", "bits"),
    [
        ("00000000 " * 4, "00000000 " * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_vectors_of_the_authors(counter: str, key: str, bits: str) -> None:
    words = [
        tuple(torch.tensor([int(word, 16)]) for word in part.split()) for part in (counter, key)
    ]
    assert [int(word) for word in philox(*words)] == [int(word, 16) for word in bits.split()]


def test_draws_are_exponential_and_depend_on_seed_step_and_class() -> None:
    seeds = torch.tensor([seed_words(7), seed_words(8), seed_words(7 + (1 << 32)), seed_words(7)])
    steps, classes = torch.tensor([0, 0, 0, 1]), torch.arange(20_000).expand(4, -1)
    draws = exponential(seeds, steps, classes)
    assert (draws > 0).all()
    assert torch.allclose(draws.mean(1), torch.ones(4), atol=0.03)
    assert torch.allclose(draws.var(1), torch.ones(4), atol=0.06)
    assert torch.corrcoef(draws).fill_diagonal_(0).abs().max() < 0.03
    some = torch.tensor([[17, 3], [3, 17], [0, 1], [5, 5]])
    assert torch.equal(exponential(seeds, steps, some), draws.gather(1, some))
