import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.reference import FRAME_SECONDS
from tasks.slicing import LONGEST_SECONDS, slices


def likely(*parts: tuple[float, float]) -> np.ndarray:
    """Frames that are speech with a probability for so many seconds each."""
    return np.concatenate([np.full(round(seconds / FRAME_SECONDS), p) for p, seconds in parts])


def test_a_recording_is_cut_at_pauses():
    found = slices(likely((0.0, 2), (0.9, 4), (0.0, 0.4), (0.9, 3), (0.0, 2), (0.9, 5), (0.0, 1)))
    assert found == [pytest.approx((1.9, 9.5), abs=0.1), pytest.approx((11.3, 16.5), abs=0.1)]


def test_phrases_are_put_together_up_to_a_good_length():
    found = slices(likely(*[(0.9, 3), (0.0, 0.4)] * 6))
    assert [stop - start for start, stop in found] == pytest.approx([6.5] * 3, abs=0.2)


def test_a_phrase_without_a_pause_is_cut_where_speech_is_least_likely():
    found = slices(likely((0.9, 7), (0.6, 0.1), (0.9, 9)))
    assert found[0][1] == found[1][0] == pytest.approx(7.05, abs=0.15)


def test_nothing_is_found_in_silence():
    assert slices(likely((0.1, 30))) == []
    assert slices(np.zeros(0)) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 500)), max_size=30))
def test_slices_are_in_order_apart_and_never_too_long(runs):
    frames = np.concatenate([np.zeros(0), *(np.full(count, p) for p, count in runs)])
    found = slices(frames)
    edges = [edge for pair in found for edge in pair]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(frames) * FRAME_SECONDS + 1e-6 for edge in edges)
    assert all(0 < stop - start <= LONGEST_SECONDS + 1e-6 for start, stop in found)
    covered = np.zeros(len(frames), bool)
    for start, stop in found:
        covered[int(start / FRAME_SECONDS) : int(np.ceil(stop / FRAME_SECONDS)) + 1] = True
    assert covered[frames >= 0.5].all(), "no speech is lost"
