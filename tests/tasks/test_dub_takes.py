"""Candidates and takes of dubbed lines, with the tiny random model."""

from dataclasses import replace

import numpy as np
import pytest

from model.engine import Engine
from model.sampling import Sampling
from model.speaking import Sample, Semantics
from storage.objects import ObjectStore
from tasks.dub_takes import (
    candidate_key,
    candidate_request,
    chosen_line,
    decode_candidate,
    encode_candidate,
    load_candidate,
    make_candidates,
    render_chosen,
    said_line,
    spoken_as,
)
from tasks.gate import Gate
from tasks.plan import Utterance
from tasks.takes import decode_take

PHONES = ("HH", "AH0", "L", "OW1", ",", "W", "ER1", "L", "D", ".")
SAMPLING = Sampling(steps=1)


def utterance(phones: tuple[str, ...]) -> Utterance:
    return Utterance(0, 0, "Hello, world.", phones, "en", 0.0, "paragraph")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.debug()


@pytest.fixture(scope="module")
def voice(engine: Engine):
    noise = 0.1 * np.random.default_rng(0).normal(size=72_000)
    return engine.reference([Sample(noise.astype(np.float32), 24_000)])


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store"))


def said(engine: Engine, phones: tuple[str, ...], sampling: Sampling = SAMPLING, seed: int = 0):
    return said_line(utterance(phones), "voice", engine.content_hash, sampling, seed)


@pytest.mark.parametrize("tokens", [[], [5], list(range(300))])
def test_candidates_are_kept_as_bytes(tokens):
    for complete in (True, False):
        data = encode_candidate(Semantics(np.array(tokens, np.int16), complete))
        again = decode_candidate(data)
        assert (again.tokens.tolist(), again.complete) == (tokens, complete)


def test_what_is_said_does_not_depend_on_how_it_sounds(engine):
    usual = said(engine, PHONES).key
    assert said(engine, PHONES, replace(SAMPLING, speed=1.1, steps=9, guidance=0.0)).key == usual
    others = [
        said(engine, PHONES, replace(SAMPLING, top_k=7)).key,
        said(engine, PHONES, seed=1).key,
        said(engine, PHONES[1:]).key,
    ]
    assert len({usual, *others}) == 4
    line = said(engine, PHONES)
    takes = [
        chosen_line(line, candidate, speed, sampling).key
        for candidate in (0, 1)
        for speed in (1.0, 1.01)
        for sampling in (SAMPLING, replace(SAMPLING, steps=2))
    ]
    assert len(set(takes)) == 8


def test_a_take_is_its_candidate_at_its_speed(engine, voice, store):
    lines = [said(engine, PHONES), said(engine, PHONES * 3)]
    wanted = [(line, number) for line in lines for number in range(3)]
    assert make_candidates(wanted, engine, voice, SAMPLING, store) == {}
    stored = {one: load_candidate(store, one[0].key, one[1]) for one in wanted}
    assert all(stored.values())
    chosen = chosen_line(lines[1], 2, 1.1, SAMPLING)
    told = []
    failures = render_chosen(
        [chosen], engine, voice, SAMPLING, store, lambda line, take: told.append(line), Gate()
    )
    assert failures == {}
    assert told == [chosen]
    take = decode_take(store.get(chosen.key))
    number, speed = spoken_as(chosen, take.attempts - 1, engine, store)
    assert np.array_equal(stored[lines[1], number].tokens, take.tokens)
    assert take.attempts > 1 or (number, speed) == (2, 1.1)
    request = candidate_request(lines[1], lines[1].key, number)
    at_speed = replace(SAMPLING, speed=speed)
    (made,) = engine.acoustics([request], [stored[lines[1], number]], voice, at_speed)
    assert len(made.audio) == len(take.audio)
    np.testing.assert_allclose(made.audio, take.audio, atol=1 / 32768)


def test_what_sounds_in_place_of_the_chosen_one_is_as_long(engine, store):
    line = said(engine, PHONES)
    for number, tokens in enumerate((100, 105, 200)):
        semantics = Semantics(np.zeros(tokens, np.int16), True)
        store.put(candidate_key(line.key, number), encode_candidate(semantics))
    chosen = chosen_line(line, 0, 1.0, SAMPLING)
    assert [spoken_as(chosen, attempt, engine, store)[0] for attempt in range(3)] == [0, 1, 2]
    speeds = [spoken_as(chosen, attempt, engine, store)[1] for attempt in range(3)]
    assert speeds == [1.0, 1.05, 1.15]
    free = chosen_line(line, 0, 1.0, SAMPLING, fits=False)
    assert free.key != chosen.key
    assert [spoken_as(free, attempt, engine, store)[1] for attempt in range(3)] == [1.0] * 3


def test_a_missing_candidate_is_made(engine, voice, store):
    """It may have been damaged since the choice, or a suspect needs one more."""
    line = said(engine, PHONES)
    chosen = chosen_line(line, 1, 1.0, SAMPLING)
    assert (
        render_chosen([chosen], engine, voice, SAMPLING, store, lambda line, take: None, Gate())
        == {}
    )
    assert store.get(candidate_key(line.key, 1)) is not None
    first = store.get(chosen.key)
    store.delete(chosen.key)
    render_chosen([chosen], engine, voice, SAMPLING, store, lambda line, take: None, Gate())
    assert store.get(chosen.key) == first


def test_no_line_stops_the_others(engine, voice, store):
    good, bad = said(engine, PHONES), said(engine, ("AH0",) * 4001)
    failures = make_candidates([(good, 0), (bad, 0)], engine, voice, SAMPLING, store)
    assert list(failures) == [bad.key]
    assert load_candidate(store, good.key, 0) is not None
    chosen = [chosen_line(line, 0, 1.0, SAMPLING) for line in (bad, good)]
    told = []
    failures = render_chosen(
        chosen, engine, voice, SAMPLING, store, lambda line, take: told.append(line), Gate()
    )
    assert list(failures) == [chosen[0].key]
    assert told == [chosen[1]]
