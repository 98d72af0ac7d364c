"""Stretched speech has its exact length, its pitch, and its first sound where it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dub_types import RATE, Piece, Placement
from tasks.levels import frame_levels
from tasks.stretch import fitted_piece, stretch

SAMPLE_RATE = 32_000


def bursts(seconds, *starts):
    """Noise of 100 ms from each of `starts` on, in silence."""
    audio = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    for start in starts:
        first = round(start * SAMPLE_RATE)
        audio[first : first + SAMPLE_RATE // 10] = 0.3 * np.random.default_rng(1).standard_normal(
            len(audio[first : first + SAMPLE_RATE // 10])
        )
    return audio


def centre(audio, near, within=0.15):
    """Where the sound around `near` seconds lies, by its energy."""
    first = max(0, round((near - within) * SAMPLE_RATE))
    power = np.square(audio[first : round((near + within) * SAMPLE_RATE)], dtype=np.float64)
    return (first + float((np.arange(power.size) * power).sum() / power.sum())) / SAMPLE_RATE


def test_the_same_length_is_the_very_same_audio():
    audio = bursts(1.0, 0.2)
    assert np.array_equal(stretch(audio, SAMPLE_RATE, audio.size), audio)


@settings(max_examples=40)
@given(st.integers(0, 9000), st.integers(1, 9000))
def test_every_length_is_exact(before, after):
    audio = 0.1 * np.random.default_rng(0).standard_normal(before).astype(np.float32)
    stretched = stretch(audio, SAMPLE_RATE, after)
    assert stretched.shape == (after,) and stretched.dtype == np.float32
    assert np.isfinite(stretched).all() and np.abs(stretched).max() < 2.0


@pytest.mark.parametrize("rate", [0.85, 0.95, 1.1, 1.25, 1.4])
def test_every_sound_is_where_it_should_be(rate):
    """The library's latency is compensated to 5 ms, in the middle and at both edges."""
    starts = (0.0, 0.6, 1.3, 2.0, 2.9)
    audio = bursts(3.0, *starts)
    stretched = stretch(audio, SAMPLE_RATE, round(audio.size / rate))
    for start in starts[1:]:
        wanted = (start + 0.05) / rate
        assert centre(stretched, wanted) == pytest.approx(wanted, abs=0.005)
    level = np.abs(stretched[: SAMPLE_RATE // 100]).max()
    assert level == pytest.approx(np.abs(audio[: SAMPLE_RATE // 100]).max())


def test_the_pitch_is_kept():
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    tone = (0.3 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    stretched = stretch(tone, SAMPLE_RATE, round(tone.size / 1.25))[4000:-4000]
    spectrum = np.abs(np.fft.rfft(stretched * np.hanning(stretched.size)))
    hertz = spectrum.argmax() * SAMPLE_RATE / stretched.size
    assert hertz == pytest.approx(200, abs=2)


def test_the_same_input_gives_the_same_bytes():
    audio = bursts(1.0, 0.1, 0.5)
    assert (
        stretch(audio, SAMPLE_RATE, 25_000).tobytes()
        == stretch(audio, SAMPLE_RATE, 25_000).tobytes()
    )


@pytest.mark.parametrize("rate", [1.0, 0.93, 1.13, 1.4])
def test_a_piece_sounds_first_on_its_sample(rate):
    lead = 480
    audio = bursts(1.5, lead / SAMPLE_RATE, 0.7, 1.4)
    samples = round((audio.size - lead) * RATE / SAMPLE_RATE / rate)
    piece = Piece(0, 0, audio, lead)
    start, fitted = fitted_piece(piece, SAMPLE_RATE, Placement(0, 0, "A", 96_000, samples, rate))
    assert start == 96_000 - lead * RATE // SAMPLE_RATE
    assert fitted.shape == (lead * RATE // SAMPLE_RATE + samples,)
    levels = frame_levels(fitted, RATE)
    first = int(np.flatnonzero(levels > 0.01 * levels.max())[0])
    assert abs(start + first * RATE // 100 - 96_000) <= RATE // 100


def test_a_lead_before_the_beginning_of_the_video_is_left_out():
    piece = Piece(0, 0, bursts(1.0, 0.02), lead=640)
    samples = (32_000 - 640) * 3 // 2
    start, fitted = fitted_piece(piece, SAMPLE_RATE, Placement(0, 0, "A", 0, samples, 1.0))
    assert start == 0 and fitted.size == samples
