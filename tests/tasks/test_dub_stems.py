import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import dub_stems
from tasks.dub_stems import Cut, collected, merged, speaker_levels, voice_blocks, write_stems
from tasks.dub_types import RATE
from tasks.levels import amplitude

FADE = round(dub_stems.FADE_SECONDS * RATE)


def noise(samples: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    sound = np.random.default_rng(seed).standard_normal(samples, dtype=np.float32)
    return np.clip(sound * np.float32(level), -0.9, 0.9)


def speech(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """Noise that comes and goes as syllables do."""
    sound = noise(round(seconds * RATE), seed, level)
    return sound * np.abs(np.sin(np.arange(sound.size) * 2 * np.pi * 2 / RATE)).astype(np.float32)


clips = st.lists(
    st.tuples(
        st.integers(-5_000, 210_000),
        st.integers(0, 80_000),
        st.sampled_from(["", "ann", "bob"]),
        st.integers(0, 2**32 - 1),
    ),
    max_size=8,
)


@settings(max_examples=60)
@given(clips, st.integers(1, 200_000), st.randoms(use_true_random=False))
def test_the_sum_is_that_of_all_clips_at_their_places(tmp_path_factory, drawn, samples, random):
    folder = tmp_path_factory.getbasetemp()
    gains = {"": 0.0, "ann": -3.0, "bob": 2.5}
    given_clips = [
        (start, noise(size, seed % 1000), speaker) for start, size, speaker, seed in drawn
    ]
    expected = {speaker: np.zeros(samples) for speaker in gains}
    lost = 0
    for start, audio, speaker in given_clips:
        first, last = max(0, start), max(0, start, min(samples, start + audio.size))
        kept = audio[first - start : last - start].astype(np.float64)
        fade = min(FADE, kept.size // 2)
        ramp = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / fade) ** 2 if fade else np.zeros(0)
        kept[:fade] *= ramp
        kept[kept.size - fade :] *= ramp[::-1]
        expected[speaker][first:last] += kept * amplitude(gains[speaker])
        lost += audio.size - kept.size
    shuffled = list(given_clips)
    random.shuffle(shuffled)
    with collected(given_clips, samples, folder) as voices:
        whole = np.concatenate(list(voice_blocks(voices, gains)))
        parts = {
            speaker: np.concatenate(list(voice_blocks(voices, gains, speaker))) for speaker in gains
        }
        assert sum(one.samples for one in voices.cut) == lost
    assert whole.size == samples
    for speaker in gains:
        np.testing.assert_allclose(parts[speaker], expected[speaker], atol=1e-6)
    np.testing.assert_allclose(whole, sum(expected.values()), atol=1e-6)
    with collected(shuffled, samples, folder) as voices:
        again = np.concatenate(list(voice_blocks(voices, gains)))
    np.testing.assert_allclose(again, whole, atol=1e-7)


def test_voices_are_brought_together_by_one_gain_each(tmp_path):
    quiet, loud = speech(4.0, 1, 0.02), speech(4.0, 2, 0.2)
    whisper = speech(0.2, 3, 0.005)
    given_clips = [
        (0, loud, "loud"),
        (4 * RATE, quiet, "quiet"),
        (9 * RATE, whisper, "quiet"),
        (10 * RATE, loud[: RATE // 5], "short"),
    ]
    with collected(given_clips, 12 * RATE, tmp_path) as voices:
        stems = write_stems(voices, -23.0, tmp_path / "stems")
        levels = speaker_levels(voices, -23.0)
    assert [stem.speaker for stem in stems] == ["loud", "quiet", "short"]
    loudness = {speaker: lufs + gain for speaker, (lufs, gain) in levels.items()}
    assert all(abs(lufs + 23.0) <= 0.05 for lufs in loudness.values())
    assert levels["quiet"][1] - levels["loud"][1] == pytest.approx(20.0, abs=0.5)
    for stem in stems:
        sound, rate = soundfile.read(stem.path, dtype="float32")
        assert (sound.shape, rate) == ((12 * RATE,), RATE)
        assert soundfile.info(stem.path).subtype == "PCM_24"
    heard = soundfile.read(stems[1].path, dtype="float32")[0]
    # A whisper got the gain of its speaker, not one of its own.
    factor = amplitude(stems[1].gain_db)
    middle = slice(FADE, whisper.size - FADE)
    np.testing.assert_allclose(
        heard[9 * RATE :][: whisper.size][middle], whisper[middle] * factor, atol=1e-6
    )
    assert not heard[: 4 * RATE].any()


def test_no_gain_lifts_a_peak_over_full_scale(tmp_path):
    click = np.zeros(2 * RATE, np.float32)
    click[RATE] = 0.8
    with collected([(0, click, "x")], 3 * RATE, tmp_path) as voices:
        gain = speaker_levels(voices, -10.0)["x"][1]
        assert np.abs(np.concatenate(list(voice_blocks(voices, {"x": gain})))).max() <= 1.0001


def test_what_is_not_heard_is_named(tmp_path):
    sound = noise(1000)
    given_clips = [
        (-200, sound, "a"),
        (9_500, sound, "b"),
        (20_000, sound, "c"),
        (-5_000, sound, "d"),
    ]
    with collected(given_clips, 10_000, tmp_path) as voices:
        assert voices.cut == (
            Cut("d", -5_000, 1000),
            Cut("a", -200, 200),
            Cut("b", 9_500, 500),
            Cut("c", 20_000, 1000),
        )
        assert list(voices.peaks) == ["a", "b"]
    assert not list(tmp_path.iterdir())  # nothing is left of the tape


def test_where_it_sounds(tmp_path):
    sound = np.concatenate([noise(RATE), np.zeros(RATE, np.float32), noise(RATE // 2, 1)])
    with collected(
        [(RATE, sound, ""), (RATE // 2, noise(RATE), "x")], 5 * RATE, tmp_path
    ) as voices:
        assert voices.sounding == ((RATE // 2, 2 * RATE), (3 * RATE, round(3.5 * RATE)))


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(-5, 20)), max_size=10), st.integers(0, 5)
)
def test_merged_intervals_hold_the_same_and_have_gaps(drawn, gap):
    intervals = [(start, start + size) for start, size in drawn]
    joined = merged(intervals, gap)
    assert all(start < end for start, end in joined)
    assert all(b[0] - a[1] > gap for a, b in pairwise(joined))
    held = {n for start, end in joined for n in range(start, end)}
    assert held >= {n for start, end in intervals for n in range(start, end)}


def test_speakers_have_files_of_their_own(tmp_path):
    names = ["Ann", "ann", "../ann", "", "ann 2", "CON/x", "é" * 200]
    given_clips = [(n * 4800, noise(4800), name) for n, name in enumerate(names)]
    with collected(given_clips, RATE, tmp_path) as voices:
        stems = write_stems(voices, -23.0, tmp_path / "stems")
    assert [stem.speaker for stem in stems] == names
    assert len({str(stem.path).casefold() for stem in stems}) == len(names)
    assert all(stem.path.parent == tmp_path / "stems" and stem.path.exists() for stem in stems)


def test_a_track_without_clips_has_no_stems(tmp_path):
    with collected([], 1000, tmp_path) as voices:
        assert write_stems(voices, -23.0, tmp_path) == []
        assert not np.concatenate(list(voice_blocks(voices, {}))).any()


def test_sound_that_is_no_number_is_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="finite"),
        collected([(0, np.full(10, np.nan, np.float32), "")], 1000, tmp_path),
    ):
        pass


def test_memory_does_not_grow_with_the_track(tmp_path):
    def peak(minutes: int) -> int:
        seconds = range(0, 60 * minutes, 6)
        given_clips = ((second * RATE, noise(4 * RATE, second), "a") for second in seconds)
        tracemalloc.start()
        with collected(given_clips, 60 * minutes * RATE, tmp_path) as voices:
            for _ in voice_blocks(voices, {"a": 0.0}):
                pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)
    assert peak(8) < 1.1 * peak(2)
