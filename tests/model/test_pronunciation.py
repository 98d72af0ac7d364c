"""Lost and repeated words are noticed, where they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.alignment import is_sound
from model.pronunciation import bled, judge
from model.recogniser import PHONES, SILENCE

SENTENCE = ("N", "OW1", "K", "AE1", "T", "S", "IY0", "M", ".")


def speech(*names: str) -> np.ndarray:
    """Log-probabilities of speech that says each of the names for five frames."""
    labels = [PHONES.index(name) for name in names for _ in range(5)]
    probabilities = np.full((len(labels), len(PHONES)), 0.1 / (len(PHONES) - 1))
    probabilities[np.arange(len(labels)), labels] = 0.9
    return np.log(probabilities).astype(np.float32)


WHOLE = (SILENCE, "N", "OW", "K", "AE", "T", "S", "IY", "M", SILENCE)


def test_what_says_its_text_has_no_doubt() -> None:
    found = judge(speech(*WHOLE), SENTENCE)
    assert found.lost == 0
    assert found.repeated == 0


def test_a_lost_word() -> None:
    found = judge(speech(*(name for name in WHOLE if name not in ("K", "AE", "T"))), SENTENCE)
    assert found.lost > 10
    assert found.lost_at == pytest.approx(0.3, abs=0.03)
    assert found.repeated == 0


@pytest.mark.parametrize("pause", [(), (SILENCE, SILENCE)])
def test_a_repeated_word(pause: tuple[str, ...]) -> None:
    found = judge(speech(*WHOLE[:6], *pause, "K", "AE", "T", *WHOLE[6:]), SENTENCE)
    assert found.repeated > 10
    assert found.repeated_at == pytest.approx(0.6, abs=0.03)
    assert found.lost == 0


@pytest.mark.parametrize("said", [WHOLE[:6], WHOLE[3:], (SILENCE, *WHOLE[3:]), WHOLE[:3]])
def test_a_lost_end_or_beginning(said: tuple[str, ...]) -> None:
    assert judge(speech(*said), SENTENCE).lost > 10


def test_the_last_word_twice() -> None:
    found = judge(speech(*WHOLE[:9], "S", "IY", "M", SILENCE), SENTENCE)
    assert found.repeated > 10


def test_what_has_no_class_can_not_be_missed() -> None:
    found = judge(speech("N", "OW", "S"), ("N", "OW1", "UNK"))
    assert found.lost == found.repeated == 0
    assert judge(speech("N"), ("N",)).lost == 0


def test_too_little_sound() -> None:
    with pytest.raises(ValueError, match="too few"):
        judge(speech("N"), SENTENCE)


@given(st.lists(st.sampled_from(["N", "OW1", "S", ","]), min_size=1, max_size=40), st.integers(0))
def test_a_jump_makes_nothing_less_likely(phones: list[str], seed: int) -> None:
    sounds = sum(map(is_sound, phones))
    logits = np.random.default_rng(seed).normal(size=(sounds + 5, len(PHONES)), scale=3)
    log_probs = (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)
    if not sounds:
        return
    found = judge(log_probs, phones)
    assert 0 <= found.lost < 1e6
    assert 0 <= found.repeated < 1e6
    assert min(found.lost_at, found.repeated_at) >= 0
    assert max(found.lost_at, found.repeated_at) <= len(log_probs) / 50


def test_a_word_that_is_said_wrong() -> None:
    found = judge(speech(*WHOLE), SENTENCE)
    other = judge(speech(*WHOLE[:3], "G", "UH", "D", *WHOLE[6:]), SENTENCE)
    assert other.wrong > found.wrong + 1
    assert other.wrong_at == pytest.approx(0.3, abs=0.11)


def test_a_strange_sound_in_a_pause() -> None:
    quiet = judge(speech(SILENCE, *WHOLE), SENTENCE)
    log_probs = speech(SILENCE, SILENCE, *WHOLE)
    log_probs[2:7, PHONES.index("ZH")] = -0.05  # likelier than the silence there, but no text
    loud = judge(log_probs, SENTENCE)
    assert quiet.stray == 0
    assert loud.stray == pytest.approx(5 * (np.log(1 / 0.9) - 0.05), abs=0.01)
    assert loud.stray_at == 0


PROMPT = ("HH", "AH0", "L", "OW1", "W", "ER1", "L", "D", ".")


def test_words_of_the_sample_that_are_said_too() -> None:
    assert bled(speech(*WHOLE), PROMPT, SENTENCE) == 0
    assert bled(speech("W", "ER", "L", "D", *WHOLE), PROMPT, SENTENCE) > 20
    assert bled(speech(SILENCE, SILENCE, *WHOLE), PROMPT, SENTENCE) == 0
    assert bled(speech("N", "OW"), PROMPT, SENTENCE) == 0, "no room"
