from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from tasks.clips import (
    ANOTHER_VOICE,
    NO_SPEECH,
    TOO_MUCH,
    Candidate,
    best_sample,
    choose,
    hold_out,
)

ADA, BOB = (1.0, 0.1), (-0.1, 1.0)


def clip(start: float, seconds: float = 6.0, snr_db: float = 40.0, **changes) -> Candidate:
    return replace(Candidate(0, start, seconds, snr_db, "", ADA), **changes)


def test_faulty_clips_and_strangers_are_left_out_and_counted():
    found = [clip(10.0 * number) for number in range(5)]
    found += [clip(60, why_not="clipped", vector=()), clip(70, vector=BOB)]
    chosen = choose(found, 100.0, 300.0)
    assert chosen.clips == tuple(found[:5])
    assert chosen.seconds == 30
    assert chosen.dropped == {"clipped": 6.0, ANOTHER_VOICE: 6.0, NO_SPEECH: 58.0}


def test_the_cleanest_minutes_are_taken_in_their_order():
    found = [clip(10.0 * number, snr_db=20 + number) for number in range(10)]
    chosen = choose(found, 60.0, 30.0)
    assert [one.start for one in chosen.clips] == [50, 60, 70, 80, 90]
    assert chosen.dropped == {TOO_MUCH: 30.0}


def test_too_little_says_how_much_and_what_to_do():
    found = [clip(0), clip(10), clip(20, why_not="too quiet")]
    with pytest.raises(UserError, match=r"Only 12 s .* 6 s too quiet.*voxloom voices add"):
        choose(found, 60.0, 300.0)
    with pytest.raises(UserError, match="Only 0 s"):
        choose([], 5.0, 300.0)


def test_the_sample_is_the_cleanest_of_a_good_length():
    clips = [clip(0, 2.5, 60), clip(10, 11.0, 50), clip(30, 5.0, 30), clip(40, 9.0, 35)]
    assert best_sample(clips) == 3
    assert best_sample([clip(0, 2.5, 30), clip(3, 11.0, 50)]) == 1


@given(st.integers(2, 200), st.data())
def test_some_are_held_out_and_never_the_sample(count, data):
    sample = data.draw(st.integers(0, count - 1))
    held_out = hold_out(count, sample)
    assert held_out == hold_out(count, sample)
    assert sample not in held_out
    assert held_out == sorted(set(held_out))
    assert 1 <= len(held_out) <= min(6, count - 1)
    assert all(0 <= number < count for number in held_out)
