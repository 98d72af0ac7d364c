"""S1's table of slots with prompts: what a sentence comes to depends on itself alone."""

import numpy as np
import pytest
import torch

from model.decode import Sentence, decode
from model.s1 import POSITIONS, S1Config, Text2SemanticDecoder
from model.sampling import SHORTEST, Sampling

SAMPLING = Sampling(top_k=5, temperature=1.0, repetition_penalty=1.35)


@pytest.fixture(scope="module")
def s1() -> Text2SemanticDecoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Text2SemanticDecoder(S1Config(width=16, heads=2, layers=2, codes=32, bert=4))
    return network.eval().requires_grad_(False)


def sentence(seed: int, phones: int = 6, prompt: int = 5, bert: bool = False) -> Sentence:
    draw = torch.Generator().manual_seed(seed)
    return Sentence(
        torch.randint(0, 700, (phones,), generator=draw),
        torch.randint(0, 32, (prompt,), generator=draw),
        seed,
        bound=20,
        bert=torch.randn(1, 4, phones, generator=draw) if bert else None,
    )


def tokens_of(
    s1: Text2SemanticDecoder, sentences: list[Sentence], sampling: Sampling = SAMPLING
) -> dict[int, tuple[list[int], bool]]:
    return {i: (made.tolist(), ended) for i, made, ended in decode(s1, sentences, sampling, 4)}


def test_neighbours_and_refilled_slots_change_nothing(s1: Text2SemanticDecoder) -> None:
    sentences = [sentence(n, 3 + n, prompt=7 * (n % 3), bert=n % 2 == 0) for n in range(9)]
    together = tokens_of(s1, sentences)
    for index, one in enumerate(sentences):
        assert tokens_of(s1, [one])[0] == together[index]


def test_prompt_and_bert_features_count(s1: Text2SemanticDecoder) -> None:
    plain, other = sentence(1), sentence(2)
    told = [
        plain,
        Sentence(plain.phones, other.prompt, plain.seed, plain.bound),
        Sentence(plain.phones, plain.prompt, plain.seed, plain.bound, 9 * torch.ones(1, 4, 6)),
    ]
    made = [tokens for tokens, _ in tokens_of(s1, told).values()]
    assert len({tuple(tokens) for tokens in made}) == 3


def test_tokens_are_those_of_decoding_without_a_cache(s1: Text2SemanticDecoder) -> None:
    """Greedy: each token is the likeliest one of teacher forcing, the prompt's penalised too."""
    one = sentence(3)
    greedy = Sampling(top_k=1, temperature=1.0, repetition_penalty=1.35)
    ((made, _),) = tokens_of(s1, [one], greedy).values()
    history = one.prompt.tolist()
    for step, token in enumerate(made):
        lengths = (torch.tensor([len(one.phones)]), torch.tensor([len(history)]))
        tokens = torch.tensor(history)[None]
        logits, _ = s1(one.phones[None], lengths[0], tokens, lengths[1])
        last = logits[0, -1]
        seen = last[sorted(set(history))]
        last[sorted(set(history))] = torch.where(seen < 0, seen * 1.35, seen / 1.35)
        if step < SHORTEST:
            last[-1] = float("-inf")
        assert int(last.argmax()) == token
        history.append(token)


def test_what_s1_has_no_room_for(s1: Text2SemanticDecoder) -> None:
    zeros = torch.zeros(4, dtype=torch.long)
    long = Sentence(zeros, zeros, 0, POSITIONS)
    with pytest.raises(ValueError, match="4000 tokens"):
        next(decode(s1, [long], SAMPLING))
    assert list(decode(s1, [], SAMPLING)) == []


def test_a_prompt_is_not_part_of_the_answer(s1: Text2SemanticDecoder) -> None:
    made = next(decode(s1, [sentence(4, prompt=30)], SAMPLING))[1]
    assert made.dtype == np.int16
    assert SHORTEST <= len(made) <= 20
