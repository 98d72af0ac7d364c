"""Real speech passes; with noise, music, clipping it does not, and the reason is the right one."""

import numpy as np
import pytest

from tasks.audio_in import load_sample
from tasks.cleaning import fault, measure
from tasks.reference import speech_probabilities

RATE = 16_000


@pytest.fixture(scope="module")
def speech(shared) -> np.ndarray:
    """Eight seconds of a reader, between two pauses."""
    audio, rate = load_sample(shared / "voices" / "librispeech_1688-0001.flac")
    assert rate == RATE
    return audio[int(0.5 * RATE) : int(8.6 * RATE)]


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, samples)


def held_chords(samples: int) -> np.ndarray:
    """Chords that change every 1.2 s and die away slowly."""
    found, step = np.zeros(samples), int(1.2 * RATE)
    for number, start in enumerate(range(0, samples, step)):
        time = np.arange(min(step, samples - start)) / RATE
        root = (220, 261.6, 196, 246.9)[number % 4]
        for interval in (1, 1.26, 1.5, 2):
            for harmonic in range(1, 6):
                wave = np.sin(2 * np.pi * root * interval * harmonic * time) / harmonic
                found[start : start + time.size] += wave * np.exp(-0.8 * time)
    return found


def plucked_notes(samples: int) -> np.ndarray:
    """Four notes a second that die away quickly."""
    found, step = np.zeros(samples), RATE // 4
    for number, start in enumerate(range(0, samples, step)):
        time = np.arange(min(2 * step, samples - start)) / RATE
        pitch = 220 * 2 ** ((0, 4, 7, 12, 9, 5, 2, 7)[number % 8] / 12)
        for harmonic in range(1, 8):
            wave = np.sin(2 * np.pi * pitch * harmonic * time) / harmonic
            found[start : start + time.size] += wave * np.exp(-5 * time)
    return found


def judged(audio: np.ndarray) -> str:
    audio = audio.astype(np.float32)
    return fault(measure(audio, RATE, speech_probabilities(audio, RATE)))


def mixed(speech: np.ndarray, other: np.ndarray, ratio_db: float) -> np.ndarray:
    other = other * np.sqrt(np.square(speech).mean() / np.square(other).mean())
    audio = speech + other * 10 ** (-ratio_db / 20)
    return 0.8 * audio / np.abs(audio).max()


def test_clean_speech_passes(speech):
    assert judged(speech) == ""
    assert judged(mixed(speech, noise(speech.size), 30)) == ""


@pytest.mark.parametrize("ratio_db", [10, 5])
def test_noise_and_music_under_speech_are_told_apart(speech, ratio_db):
    assert judged(mixed(speech, noise(speech.size), ratio_db)) == "noise under the speech"
    for music in (held_chords, plucked_notes):
        assert judged(mixed(speech, music(speech.size), ratio_db)) == "music under the speech"


def test_noise_and_music_alone_are_no_speech():
    for sound in (noise, held_chords, plucked_notes):
        audio = sound(5 * RATE)
        assert judged(0.5 * audio / np.abs(audio).max()) == "hardly any speech"


def test_levels(speech):
    peak = np.abs(speech).max()
    assert judged((4 * speech / peak).clip(-1, 1)) == "clipped (recorded too loud)"
    assert judged(0.003 * speech / peak) == "too quiet"
    assert judged(speech[:RATE]) == "too short"


def test_silence_and_nothing_are_measured_too():
    for samples in (0, 10, 3 * RATE):
        found = measure(np.zeros(samples, np.float32), RATE, np.zeros(samples // 512))
        assert fault(found) in ("too short", "hardly any speech")
