from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tasks.takes import (
    Take,
    decode_take,
    dequantize,
    encode_take,
    quantize,
    rank,
    take_key,
    take_seed,
)

RATE = 24000
PHONES = ("HH", "AH0", "L", "OW1", ".")
SAMPLING = {"top_k": 15, "temperature": 1.0}


def tone(seconds: float) -> np.ndarray:
    return np.sin(np.arange(int(seconds * RATE)) / 20).astype(np.float32) * 0.5


def take(audio: np.ndarray, problem: str = "") -> Take:
    tokens = np.arange(5, dtype=np.int16)
    if problem:
        return Take(audio, RATE, tokens, False, 1, "suspect", (problem,))
    return Take(audio, RATE, tokens, True, 1)


@given(
    arrays.arrays(np.int16, st.integers(0, 3000)),
    arrays.arrays(np.int16, st.integers(0, 50)),
    st.booleans(),
    st.integers(1, 3),
)
def test_a_take_comes_back_as_it_was(pcm, tokens, complete, attempts):
    times = np.sort(tokens[: len(tokens) // 2 * 2]).reshape(-1, 2)
    verdict = "ok" if complete else "suspect"
    reasons = () if complete else ("silent", "too long")
    measures = {"lost": 1.25, "seconds": float(attempts)}
    original = Take(
        dequantize(pcm),
        RATE,
        tokens,
        complete,
        attempts,
        verdict,
        reasons,
        measures,
        0.5,
        ("clipped",),
        times,
    )
    data = encode_take(original)
    again = decode_take(data)
    np.testing.assert_array_equal(again.audio, original.audio)
    np.testing.assert_array_equal(again.tokens, tokens)
    np.testing.assert_array_equal(again.times, times)
    assert again.times.dtype == np.int16
    assert again.audio.dtype == np.float32
    assert (again.sample_rate, again.complete, again.attempts) == (RATE, complete, attempts)
    assert (again.verdict, again.reasons, again.measures) == (verdict, reasons, measures)
    assert again.problem == "; ".join(reasons)
    assert again.rejected == ("clipped",)
    assert encode_take(again) == data


def test_samples_outside_the_range_are_bounded():
    assert quantize(np.array([2.0, -2.0, np.nan, np.inf])).tolist() == [32767, -32768, 0, 32767]


def test_the_key_knows_everything_that_decides_the_take():
    usual = take_key(PHONES, "en", "v", "m", SAMPLING, 0)
    assert usual == take_key(list(PHONES), "en", "v", "m", dict(reversed(SAMPLING.items())), 0)
    others = {
        take_key(PHONES[:-1], "en", "v", "m", SAMPLING, 0),
        take_key(PHONES, "de", "v", "m", SAMPLING, 0),
        take_key(PHONES, "en", "w", "m", SAMPLING, 0),
        take_key(PHONES, "en", "v", "n", SAMPLING, 0),
        take_key(PHONES, "en", "v", "m", SAMPLING | {"top_k": 14}, 0),
        take_key(PHONES, "en", "v", "m", SAMPLING, 1),
    }
    assert len(others | {usual}) == 7


def test_seeds_differ_by_attempt_and_fit_a_generator():
    key = take_key(PHONES, "en", "v", "m", SAMPLING, 0)
    seeds = [take_seed(key, attempt) for attempt in range(3)]
    assert len(set(seeds)) == 3
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert take_seed(key) == seeds[0]


def test_the_less_doubtful_of_flawed_takes_comes_first():
    worse, better = (replace(take(tone(1), "missing"), doubt=doubt) for doubt in (3.0, 1.1))
    assert sorted([worse, better], key=lambda t: rank(t, PHONES)) == [better, worse]


def test_the_best_take_comes_first():
    sound, long, longer = take(tone(2)), take(tone(1), "long"), take(tone(3), "longer")
    assert sorted([longer, long, sound], key=lambda t: rank(t, PHONES)) == [sound, long, longer]
