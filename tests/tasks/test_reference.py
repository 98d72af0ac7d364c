from pathlib import Path

import numpy as np
import pytest

from tasks.audio_in import load_sample
from tasks.reference import best_stretch, choose_speech, speech_probabilities

FRAME = 512 / 16_000


def likely(*parts: tuple[float, float]) -> np.ndarray:
    """Frames that are speech with a probability for so many seconds each."""
    return np.concatenate([np.full(round(seconds / FRAME), p) for p, seconds in parts])


def test_the_stretch_with_the_most_speech_is_cut_at_pauses():
    recording = likely(
        (0.0, 2.0),
        (0.9, 3.5),
        (0.0, 3.0),
        (0.9, 4.0),
        (0.05, 0.4),
        (0.9, 4.5),
        (0.05, 0.4),
        (0.9, 2),
    )
    start, stop = best_stretch(recording, 10.0)
    assert start == pytest.approx(8.5, abs=0.2)
    assert stop == pytest.approx(17.4, abs=0.2)


def test_silence_inside_counts_against_a_stretch():
    recording = likely((0.9, 3.2), (0.0, 3.0), (0.9, 3.3))
    start, stop = best_stretch(recording, 10.0)
    assert (start, stop) == pytest.approx((6.1, 9.5), abs=0.1)


def test_a_phrase_without_a_pause_is_cut_off():
    start, stop = best_stretch(likely((0.0, 1.0), (0.9, 30.0)), 10.0)
    assert start == pytest.approx(0.9, abs=0.1)
    assert 9.5 < stop - start <= 10.0


def test_too_little_speech_is_none():
    assert best_stretch(likely((0.0, 20.0)), 10.0) is None
    assert best_stretch(likely((0.9, 2.0), (0.0, 20.0), (0.9, 2.0)), 10.0) is None


def test_what_is_short_enough_stays_as_it_is():
    audio = np.zeros(16_000 * 10, np.float32)
    assert choose_speech(audio, 16_000, 10.0) is audio


def test_noise_without_speech_gives_its_beginning(caplog):
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000 * 12).astype(np.float32)
    np.testing.assert_array_equal(choose_speech(noise, 16_000, 10.0), noise[:160_000])
    assert "no clear speech" in caplog.text


def test_speech_is_found_between_noise(shared: Path):
    audio, rate = load_sample(shared / "voices" / "librispeech_1688-0000.flac")
    noise = np.random.default_rng(0).normal(0, 0.1, 6 * rate).astype(np.float32)
    assert speech_probabilities(noise, rate).mean() < 0.2
    chosen = choose_speech(np.concatenate([noise, audio, noise]), rate, 10.0)
    assert 3.0 * rate <= chosen.size <= 10.0 * rate
    assert speech_probabilities(chosen, rate).mean() > 0.5
