"""The carrier of very short texts: which have one, and where it is cut off."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.alignment import is_sound
from model.carrier import CARRIER, cut_off, text_start, with_carrier
from model.recogniser import PHONES, SILENCE

TEXT = ("N", "OW1", ".")


def frames_of(names: list[str]) -> np.ndarray:
    probabilities = np.full((len(names), len(PHONES)), 0.1 / (len(PHONES) - 1))
    probabilities[np.arange(len(names)), [PHONES.index(name) for name in names]] = 0.9
    return np.log(probabilities).astype(np.float32)


def speech(pause: int) -> np.ndarray:
    """The carrier, four frames a sound, a pause of some frames, and the text."""
    said = [phone.rstrip("012") for phone in CARRIER if is_sound(phone) for _ in range(4)]
    return frames_of(said + [SILENCE] * pause + ["N"] * 5 + ["OW"] * 8 + [SILENCE] * 3)


@pytest.mark.parametrize(("pause", "start"), [(10, 44 + 7), (2, 44), (3, 44)])
def test_the_text_begins_in_the_pause(pause: int, start: int) -> None:
    found = text_start(speech(pause), CARRIER + TEXT)
    assert found == pytest.approx(start * 0.02)


@pytest.mark.parametrize("pause", [0, 1])
def test_without_a_pause_nobody_can_tell(pause: int) -> None:
    assert text_start(speech(pause), CARRIER + TEXT) is None


def test_a_cut_does_not_click() -> None:
    audio = np.ones(24_000, np.float32)
    kept = cut_off(audio, 24_000, 0.5)
    assert len(kept) == 12_000
    assert kept[0] == 0
    assert np.abs(np.diff(kept)).max() < 0.01
    assert (kept[240:] == 1).all()
    assert (audio == 1).all()
    assert len(cut_off(audio, 24_000, 0.999)) == 24
    assert len(cut_off(audio, 24_000, 1.5)) == 0


@given(st.lists(st.sampled_from(["N", "OW1", ",", "."]), max_size=20), st.integers(0, 9))
def test_nothing_of_a_text_is_lost(phones: list[str], sounds: int) -> None:
    spoken = with_carrier(tuple(phones), sounds)
    assert spoken[len(spoken) - len(phones) :] == tuple(phones)
    carried = 0 < sum(map(is_sound, phones)) <= sounds
    assert spoken[: len(spoken) - len(phones)] == (CARRIER if carried else ())
