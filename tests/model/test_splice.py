"""Splices of two sayings of one text, whose tokens here are the sounds that they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.alignment import is_sound
from model.pronunciation import Pronunciation, Trouble
from model.recogniser import PHONES as CLASSES
from model.recogniser import SILENCE
from model.splice import SHORTEST, splice, troubled

SILENT = CLASSES.index(SILENCE)
# Token n says class n % 40 for sure, so that several tokens sound alike.
LOG_PROBS = np.log(np.tile(np.eye(len(CLASSES), dtype=np.float32), (4, 1)) + 0.01)
SOUNDS = st.sampled_from([one for one in CLASSES if one != SILENCE])
PHONES = ("HH", "AH", "L", "OW", ",", "W", "ER", "L", "D", ".")


def saying(phones: tuple[str, ...], lengths: list[int], pauses: list[int], kind: int) -> np.ndarray:
    """Tokens of the sounds, each so long and followed by such a pause, of one of four kinds."""
    tokens = []
    for phone, length, pause in zip(phones, lengths, pauses, strict=True):
        tokens += [CLASSES.index(phone)] * length + [SILENT] * pause
    return (np.array(tokens) + kind * len(CLASSES)).astype(np.int16)


def said_sounds(tokens: np.ndarray) -> list[str]:
    """What tokens say, runs taken together."""
    classes = [CLASSES[token % len(CLASSES)] for token in tokens]
    runs = [one for place, one in enumerate(classes) if place == 0 or classes[place - 1] != one]
    return [one for one in runs if one != SILENCE]


@st.composite
def two_sayings(draw: st.DrawFn) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, tuple[int, int]]:
    phones = draw(st.lists(SOUNDS, min_size=1, max_size=40))
    # Of two alike in a row nobody could tell where one ends.
    phones = [one for place, one in enumerate(phones) if not place or phones[place - 1] != one]
    count = len(phones)

    def numbers(least: int, most: int) -> list[int]:
        return draw(st.lists(st.integers(least, most), min_size=count, max_size=count))

    said = saying(tuple(phones), numbers(1, 4), numbers(0, 2), 0)
    other = saying(tuple(phones), numbers(1, 4), numbers(0, 2), 1)
    first = draw(st.integers(0, count - 1))
    return tuple(phones), said, other, (first, draw(st.integers(first, count - 1)))


@given(two_sayings())
def test_the_text_stays_whole(
    sayings: tuple[tuple[str, ...], np.ndarray, np.ndarray, tuple[int, int]],
) -> None:
    phones, said, other, trouble = sayings
    made = splice(said, other, phones, trouble, LOG_PROBS)
    if made is None:
        return
    after = len(made.tokens) - made.after
    assert np.array_equal(made.tokens[: made.before], said[: made.before])
    assert np.array_equal(made.tokens[after:], said[len(said) - made.after :])
    new = made.tokens[made.before : after]
    assert (new >= len(CLASSES)).all(), "what is between is the other saying's"
    assert made.before + made.after > 0, "something is kept"
    assert said_sounds(made.tokens) == list(phones)
    kept = len(said_sounds(made.tokens[: made.before]))
    assert kept <= trouble[0]
    assert kept + len(said_sounds(new)) > trouble[1], "all that was troubled is new"
    if made.before:  # cut where both are silent, or at the end of a silence
        assert SILENT in (said[made.before - 1] % 40, said[made.before] % 40)
    stretch = len(said) - made.before - made.after
    assert stretch >= SHORTEST or made.before + made.after == 0


def test_the_shortest_stretch_around_the_trouble() -> None:
    phones = ("HH", "AH", "L", "OW", "W", "ER", "L", "D", "AE", "N", "D", "G", "UH", "D", "B", "AY")
    pauses = [1 if number in (3, 7, 10, 13) else 0 for number in range(16)]
    said = saying(phones, [4] * 16, pauses, 0)
    other = saying(phones, [5] * 16, pauses, 1)
    made = splice(said, other, phones, (5, 6), LOG_PROBS)
    assert made is not None
    # "WER LD", four sounds of 4 tokens and the pause behind them.
    assert (made.before, made.after) == (17 - 1, len(said) - 33)
    # "AND" alone would be too short: 13 tokens; the next word is nearer than the one before.
    made = splice(said, other, phones, (8, 9), LOG_PROBS)
    assert made is not None
    assert said_sounds(made.tokens[made.before : len(made.tokens) - made.after]) == list(
        phones[8:14]
    )


@pytest.mark.parametrize(
    ("said", "other"),
    [
        (np.arange(1, 9), np.arange(1, 9)),  # no silence in either
        (np.arange(1, 4), np.arange(1, 9)),  # fewer tokens than sounds
    ],
)
def test_no_place_to_cut(said: np.ndarray, other: np.ndarray) -> None:
    phones = tuple(CLASSES[1:9])
    assert splice(said.astype(np.int16), other.astype(np.int16), phones, (3, 4), LOG_PROBS) is None


def test_a_splice_of_the_whole_text_is_none() -> None:
    said = saying(("HH", "AH"), [4, 4], [3, 3], 0)
    assert splice(said, said + 40, ("HH", "AH"), (0, 1), LOG_PROBS) is None


def test_trouble_is_found_by_its_time() -> None:
    times = np.array([[10 * n, 10 * n + 10] for n in range(10)], np.int16)
    assert [phone for phone in PHONES if not is_sound(phone)] == [",", "."]

    def around(**measures: float) -> tuple[int, int] | None:
        nothing = {"lost": 0.0, "lost_at": 0.0, "repeated": 0.0, "repeated_at": 0.0}
        return troubled(Pronunciation(**(nothing | measures)), times, PHONES)

    # Sounds begin every 0.2 s, but for the comma after the fourth.
    assert around(lost=20.0, lost_at=0.45) == (1, 7)
    assert around(repeated=30.0, repeated_at=0.0) == (0, 5)
    assert around(wrong=9.0, wrong_at=1.65) == (6, 7)
    assert around(lost=16.0, lost_at=1.9, stray=30.0, stray_at=0.1) == (6, 7), "the worst one"
    assert troubled(Pronunciation(20.0, 0.1, 0.0, 0.0), times[:0], PHONES) is None


def test_the_worst_trouble_is_that_furthest_over_its_limit() -> None:
    heard = Pronunciation(16.0, 1.0, 20.0, 2.0, wrong=4.0, stray=70.0, stray_at=3.0)
    assert heard.worst == Trouble("stray", 2.0, 3.0)
    assert {one.kind for one in heard.troubles if one.doubt > 1} == {"lost", "stray"}
