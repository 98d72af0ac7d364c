"""Each rule of the draw, on logits written by hand; the last class is the end."""

import torch

from model.sampling import SHORTEST, Sampling, choose_tokens

PLAIN = Sampling(top_k=100, temperature=1.0)
LATE = torch.tensor([SHORTEST])


def choose(
    logits: list[float],
    sampling: Sampling = PLAIN,
    seen: tuple[int, ...] = (),
    noise: list[float] | None = None,
    steps: torch.Tensor = LATE,
) -> int:
    row = torch.tensor([logits])
    marked = torch.zeros(row.shape, dtype=torch.bool)
    marked[0, list(seen)] = True
    drawn = torch.tensor([noise]) if noise else torch.ones(row.shape)
    before = row.clone()
    chosen = int(
        choose_tokens(row, marked, steps, lambda classes: drawn.gather(1, classes), sampling)[0]
    )
    assert torch.equal(row, before), "the caller's logits were changed"
    return int(chosen)


def test_least_noise_wins_among_equals() -> None:
    assert choose([0, 0, 0, -9], noise=[1, 0.5, 1, 1]) == 1


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2, 1e-9]).log().expand(20_000, 4)
    noise = torch.empty(20_000, 4).exponential_(generator=torch.Generator().manual_seed(0))
    seen, steps = torch.zeros(20_000, 4, dtype=torch.bool), LATE.expand(20_000)
    counts = torch.bincount(
        choose_tokens(logits, seen, steps, lambda c: noise.gather(1, c), PLAIN), minlength=4
    )
    assert torch.allclose(counts[:3] / 20_000, torch.tensor([0.5, 0.3, 0.2]), atol=0.02)


def test_repetition_penalty_shrinks_what_was_seen() -> None:
    sampling = Sampling(top_k=100, temperature=1.0, repetition_penalty=2.0)
    assert choose([3, 2, 0, -9], sampling) == 0
    assert choose([3, 2, 0, -9], sampling, seen=(0,)) == 1
    # A negative logit is multiplied, so that it falls too.
    assert choose([-1, -1.5, -5, -9], sampling, seen=(0,)) == 1


def test_top_k_leaves_the_likeliest() -> None:
    noise = [1, 1, 1e-6, 1]
    assert choose([2, 1, 0, -9], noise=noise) == 2
    assert choose([2, 1, 0, -9], Sampling(top_k=2, temperature=1.0), noise=noise) == 0


def test_top_p_leaves_the_likeliest() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().tolist()
    noise = [1, 1, 1e-6, 1]
    assert choose(logits, noise=noise) == 2
    assert choose(logits, Sampling(top_k=100, top_p=0.85, temperature=1.0), noise=noise) == 0
    # The likeliest token stays however small top_p is.
    assert choose(logits, Sampling(top_k=100, top_p=0.01, temperature=1.0), noise=noise) == 0


def test_temperature_sharpens() -> None:
    noise = [1, 0.2, 1, 1]
    assert choose([1, 0.5, -5, -9], noise=noise) == 1
    assert choose([1, 0.5, -5, -9], Sampling(top_k=100, temperature=0.1), noise=noise) == 0
    assert choose([1, 0.5, -5, -9], Sampling(top_k=100, temperature=0.0), noise=noise) == 0


def test_no_end_before_the_least_length() -> None:
    early = torch.tensor([SHORTEST - 1])
    assert choose([0, -1, -2, 9], steps=early) == 0
    assert choose([0, -1, -2, 9]) == 3


def test_the_likeliest_end_ends_though_another_was_drawn() -> None:
    assert choose([0, 0, 0, 0.1], noise=[1e-6, 1, 1, 1]) == 3


def test_rows_are_independent() -> None:
    logits = torch.randn(16, 9, generator=torch.Generator().manual_seed(0))
    noise = torch.rand(16, 9, generator=torch.Generator().manual_seed(1))
    seen, steps = logits > 1, torch.arange(16)
    sampling = Sampling(top_k=3, top_p=0.9, temperature=0.8, repetition_penalty=1.3)
    together = choose_tokens(logits, seen, steps, lambda c: noise.gather(1, c), sampling)

    def alone(row: slice) -> int:
        given = noise[row]
        return int(
            choose_tokens(
                logits[row], seen[row], steps[row], lambda c: given.gather(1, c), sampling
            )
        )

    assert together.tolist() == [alone(slice(i, i + 1)) for i in range(16)]
