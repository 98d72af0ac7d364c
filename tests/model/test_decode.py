"""S1's table of slots with prompts: what a sentence comes to depends on itself alone."""

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.decode import Sentence, decode, longest_repetition, token_bound
from model.recogniser import PHONES
from model.s1 import ENDING, FUSION, LINGERED, POSITIONS, RARE, S1Config, Text2SemanticDecoder
from model.sampling import SHORTEST, Sampling
from model.text import phone_ids
from model.text.symbols import SYMBOLS

SAMPLING = Sampling(top_k=5, temperature=1.0, repetition_penalty=1.35)


@pytest.fixture(scope="module")
def s1() -> Text2SemanticDecoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Text2SemanticDecoder(S1Config(width=16, heads=2, layers=2, codes=32, bert=4))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def held(s1: Text2SemanticDecoder) -> Text2SemanticDecoder:
    """The same network, its attention held to the text."""
    network = Text2SemanticDecoder(replace(s1.config, guided_layer=1, guided_heads=1))
    network.load_state_dict(s1.state_dict(), strict=False)
    draw = torch.Generator().manual_seed(1)
    network.sounds_of_codes.copy_(torch.rand(32, len(PHONES), generator=draw))
    return network.eval().requires_grad_(False)


def sentence(seed: int, phones: int = 6, prompt: int = 5, bert: bool = False) -> Sentence:
    draw = torch.Generator().manual_seed(seed)
    return Sentence(
        torch.randint(0, 700, (phones,), generator=draw),
        torch.randint(0, 32, (prompt,), generator=draw),
        seed,
        bound=20,
        repeats=20,
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


def test_neighbours_change_nothing_where_attention_is_held(held: Text2SemanticDecoder) -> None:
    sentences = [sentence(n, 3 + n, prompt=7 * (n % 3), bert=n % 2 == 0) for n in range(9)]
    together = tokens_of(held, sentences)
    for index, one in enumerate(sentences):
        assert tokens_of(held, [one])[0] == together[index]


def test_held_attention_reads_on_phone_by_phone_and_ends_with_the_text(
    held: Text2SemanticDecoder,
) -> None:
    sounds = [symbol for symbol in SYMBOLS["v2"] if symbol in PHONES][:18]
    phones = torch.tensor(phone_ids([*sounds[:9], ",", *sounds[9:], "."]))
    cache = held.new_cache(2, 128)
    held.prefill(cache, 0, phones, torch.zeros(0, dtype=torch.long))
    places = [0]
    for step in range(60):
        logits = held.step(cache, torch.tensor([step % 32, 0]), torch.tensor([step, 0]), 128)
        places.append(int(cache.reading[0]))
        may_end = bool(torch.isfinite(logits[0, held.config.end]))
        assert may_end == (places[-1] >= len(phones) - ENDING)
        assert torch.isfinite(logits[:, :-1]).all()
    over_marks = {8: 10, 18: 20}
    stayed = 0
    passed = 0
    for before, after in pairwise(places):
        assert after - before >= 0
        assert after <= max(before + 1, over_marks.get(before, 0)) + stayed // LINGERED
        stayed = stayed + 1 if after == before else 0
        passed += after != before
    assert passed > 3


def test_tokens_that_sound_like_the_phone_are_likelier(held: Text2SemanticDecoder) -> None:
    phones = torch.tensor(phone_ids(["S", "IY1", "."]))
    chances = []
    for sound in ("S", "AA"):
        network = copy.deepcopy(held)
        network.sounds_of_codes.zero_()
        network.sounds_of_codes[5, PHONES.index(sound)] = 1.0
        cache = network.new_cache(1, 64)
        network.prefill(cache, 0, phones, torch.zeros(0, dtype=torch.long))
        cache.texts[0] = 1  # only the first phone may be said
        logits = network.step(cache, torch.tensor([3]), torch.tensor([0]), 64)
        chances.append(logits[0, 5] - logits[0, 6])
    assert chances[0] - chances[1] == pytest.approx(FUSION * np.log(1.01 / RARE), abs=1e-4)


def test_prompt_and_bert_features_count(s1: Text2SemanticDecoder) -> None:
    plain, other = sentence(1), sentence(2)
    told = [
        plain,
        replace(plain, prompt=other.prompt),
        replace(plain, bert=9 * torch.ones(1, 4, 6)),
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
    long = Sentence(zeros, zeros, 0, POSITIONS, 20)
    with pytest.raises(ValueError, match="4000 tokens"):
        next(decode(s1, [long], SAMPLING))
    assert list(decode(s1, [], SAMPLING)) == []


def test_a_prompt_is_not_part_of_the_answer(s1: Text2SemanticDecoder) -> None:
    made = next(decode(s1, [sentence(4, prompt=30)], SAMPLING))[1]
    assert made.dtype == np.int16
    assert SHORTEST <= len(made) <= 20


def test_a_stuck_repetition_is_given_up() -> None:
    """With nothing but a bias, S1 says the same token for ever."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        stuck = Text2SemanticDecoder(S1Config(width=16, heads=2, layers=2, codes=32, bert=4)).eval()
    *_, last = stuck.requires_grad_(False).h
    last.norm2.weight.zero_()
    last.norm2.bias.fill_(1.0)
    greedy = Sampling(top_k=1, temperature=1.0)
    one = replace(sentence(1), bound=200)
    _, made, ended = next(decode(stuck, [replace(one, repeats=30)], greedy))
    assert len(set(made.tolist())) == 1
    assert len(made) == 1 + 31
    assert not ended
    _, made, ended = next(decode(stuck, [replace(one, repeats=200)], greedy))
    assert len(made) == 200
    assert not ended


def test_bound_keeps_to_the_position_table() -> None:
    assert token_bound(1, 4) == 34
    assert token_bound(POSITIONS, 4) == POSITIONS


@pytest.mark.parametrize(
    ("values", "longest"),
    [([], 0), ([0], 0), ([1, 2, 3], 0), ([7, 7, 7], 2), ([1, 2, 1, 2, 1], 3), ([3, 1, 2, 1, 2], 2)],
)
def test_repetitions(values: list[int], longest: int) -> None:
    assert longest_repetition(values) == longest


@given(
    st.lists(st.integers(0, 9), max_size=5),
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.integers(2, 5),
)
def test_a_repeated_phrase_is_noticed(head: list[int], phrase: list[int], times: int) -> None:
    assert longest_repetition(head + phrase * times) >= len(phrase) * (times - 1)
