"""S1's table of slots with prompts: what a sentence comes to depends on itself alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decode import Sentence, decode, longest_repetition, run, token_bound
from model.linear import Precision
from model.recogniser import PHONES
from model.s1 import POSITIONS, S1Config, Text2SemanticDecoder
from model.sampling import SHORTEST, Sampling
from model.slots import SlotTable

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
    s1: Text2SemanticDecoder,
    sentences: Sequence[Sentence],
    sampling: Sampling = SAMPLING,
    slots: int = 4,
    precision: Precision = "f32",
) -> dict[int, tuple[list[int], bool]]:
    made = decode(s1, sentences, sampling, slots, precision)
    return {index: (tokens.tolist(), ended) for index, tokens, ended in made}


POOL = [sentence(n, 3 + n % 11, prompt=7 * (n % 4), bert=n % 2 == 0) for n in range(16)]
POOL = [replace(one, bound=5 + 3 * (n % 9)) for n, one in enumerate(POOL)]


@pytest.fixture(scope="module")
def alone(
    s1: Text2SemanticDecoder, held: Text2SemanticDecoder
) -> dict[tuple[bool, Precision], list[tuple[list[int], bool]]]:
    """What each sentence of the pool comes to with nobody beside it."""
    precisions: tuple[Precision, ...] = ("f32", "bf16", "int8")
    return {
        (network is held, precision): [
            tokens_of(network, [one], precision=precision)[0] for one in POOL
        ]
        for network in (s1, held)
        for precision in precisions
    }


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, len(POOL) - 1), min_size=1, max_size=24),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from(["f32", "bf16", "int8"]),
)
def test_neighbours_slots_and_refills_change_nothing(
    s1: Text2SemanticDecoder,
    held: Text2SemanticDecoder,
    alone: dict[tuple[bool, Precision], list[tuple[list[int], bool]]],
    chosen: list[int],
    slots: int,
    guided: bool,
    precision: Precision,
) -> None:
    network = held if guided else s1
    together = tokens_of(network, [POOL[n] for n in chosen], SAMPLING, slots, precision)
    assert len(together) == len(chosen)
    for index, number in enumerate(chosen):
        assert together[index] == alone[guided, precision][number]


@settings(max_examples=10)
@given(
    st.permutations(range(8)),
    st.lists(st.integers(0, 7), min_size=8, max_size=8),
    st.integers(1, 5),
)
def test_a_sentence_may_stand_in_any_slot_and_run_over_its_end(
    s1: Text2SemanticDecoder, places: list[int], chosen: list[int], extra: int
) -> None:
    """As on a device whose ends are read late: all slots step on, those that are done, too."""
    table = SlotTable(s1, 8, max(one.places for one in POOL), SAMPLING)
    for keys in table.keys + table.values:
        keys.normal_()  # whatever another sentence left
    table.fill([(slot, POOL[number]) for slot, number in zip(places, chosen, strict=True)])
    for _ in range(40 + extra):
        table.step(torch.arange(8), table.capacity)
    assert table.done.all()
    for slot, number in zip(places, chosen, strict=True):
        ((expected, ended),) = tokens_of(s1, [POOL[number]]).values()
        assert table.tokens[slot, : table.counts[slot]].tolist() == expected
        assert bool(table.ended[slot]) == ended


@settings(max_examples=10)
@given(
    st.lists(st.integers(0, len(POOL) - 1), min_size=1, max_size=16),
    st.integers(1, 5),
    st.integers(2, 9),
)
def test_ends_may_be_read_late(
    held: Text2SemanticDecoder,
    alone: dict[tuple[bool, Precision], list[tuple[list[int], bool]]],
    chosen: list[int],
    slots: int,
    unread: int,
) -> None:
    """What a CUDA device records: all slots step on, and the ends are looked at now and then."""
    table = SlotTable(held, slots, max(one.places for one in POOL), SAMPLING)
    every = torch.arange(slots)
    sentences = [POOL[n] for n in chosen]
    made = list(run(table, sentences, lambda _, reach: table.step(every, reach), unread))
    assert sorted(index for index, _, _ in made) == list(range(len(chosen)))
    for index, tokens, ended in made:
        assert (tokens.tolist(), ended) == alone[True, "f32"][chosen[index]]


def test_another_seed_draws_other_tokens(s1: Text2SemanticDecoder) -> None:
    one = sentence(1)
    made = [tokens_of(s1, [replace(one, seed=seed)])[0][0] for seed in (1, 2, 1 + (1 << 40), 1)]
    assert made[0] == made[3]
    assert made[0] != made[1]
    assert made[0] != made[2]


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
