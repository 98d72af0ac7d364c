import subprocess
import sys
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from configs.presets import load_dub_presets
from tasks.dub_mix import LAYOUTS, bed_gain, duck_curve, where_spoken, write_dub, write_mix
from tasks.dub_stems import merged
from tasks.dub_types import RATE
from tasks.levels import decibels

EBU = load_dub_presets().dubbing
STREAMING = load_dub_presets(mastering="streaming").dubbing


def speech(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """Noise over 1 kHz that comes and goes as syllables do."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    syllables = np.abs(np.sin(np.arange(noise.size) * 2 * np.pi * 2 / RATE))
    return np.clip(np.diff(noise, append=0.0) * syllables * level, -0.9, 0.9).astype(np.float32)


def tone(samples: int, level: float = 0.05, hertz: float = 200.0) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)).astype(np.float32)


def tone_db(sound: np.ndarray, start: float, end: float, hertz: float = 200.0) -> float:
    """The level of a tone within a sound (samples,) from one second to another."""
    part = sound[round(start * RATE) : round(end * RATE)]
    turning = np.exp(-2j * np.pi * hertz * np.arange(part.size) / RATE)
    return decibels(2 * abs(np.mean(part * turning)))


@settings(max_examples=4)
@given(st.integers(RATE // 10, 3 * RATE), st.sampled_from(sorted(LAYOUTS)))
def test_every_file_is_exactly_as_long_as_the_track(tmp_path_factory, samples, channels):
    folder = tmp_path_factory.mktemp("exact")
    original = folder / "original.flac"
    soundfile.write(original, np.zeros((RATE, channels)), RATE, subtype="PCM_24")
    dub = write_dub([(0, speech(1.0), "a")], samples, folder, EBU)
    mix = write_mix(dub, original, folder / "mix.flac", EBU, "dub")
    for path in (dub.programme.path, mix.path, dub.stems[0].path):
        assert soundfile.info(path).frames == samples
    assert soundfile.info(mix.path).channels == mix.channels == channels


@pytest.mark.parametrize("preset", [EBU, STREAMING], ids=lambda preset: preset.mastering)
def test_the_programme_has_the_loudness_and_peak_of_its_preset(tmp_path, preset):
    samples = 20 * RATE + 7
    clips = [(2 * RATE, speech(4.0, 1, 0.3), "ann"), (12 * RATE, speech(4.0, 2, 0.02), "bob")]
    # Clicks far over the speech, which only the limiter can hold.
    for place in range(0, 4 * RATE, RATE // 3):
        clips[0][1][place : place + 3] = 0.9
    original = tmp_path / "original.flac"
    bed = np.stack([tone(samples, 0.02), tone(samples, 0.02, 311.0)], axis=1)
    soundfile.write(original, bed, RATE, subtype="PCM_24")
    dub = write_dub(clips, samples, tmp_path, preset)
    shares: list[float] = []
    out = tmp_path / "mix.flac"
    mix = write_mix(dub, original, out, preset, "voice-over", on_progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0
    for programme in (dub.programme, mix):
        assert abs(programme.lufs - preset.loudness) <= 0.2
        assert programme.true_peak_db <= preset.peak_db
        sound, _ = soundfile.read(programme.path)
        assert np.abs(sound).max() < 1.0
    assert mix.programme_lufs <= mix.lufs + 0.1  # what is not speech is quieter


def test_the_sum_of_the_stems_is_the_dubbed_stem(tmp_path):
    clips = [(RATE, tone(3 * RATE), "ann"), (2 * RATE, tone(3 * RATE, 0.1, 640.0), "bob")]
    dub = write_dub(clips, 7 * RATE, tmp_path, EBU)
    stems = sum(soundfile.read(stem.path)[0] for stem in dub.stems)
    heard = soundfile.read(dub.programme.path)[0]
    factor = 10 ** (dub.programme.gain_db / 20)
    # The way to four times the rate and back costs next to nothing.
    assert np.abs(heard - stems * factor).max() < 1e-3 * np.abs(heard).max()


def test_a_sound_stays_where_it_is_to_the_sample(tmp_path):
    click = np.zeros(4_800, np.float32)
    click[1_234] = 0.5
    dub = write_dub([(48_017, click, "a"), (3 * RATE, speech(3.0), "b")], 7 * RATE, tmp_path, EBU)
    original = tmp_path / "original.flac"
    soundfile.write(original, np.zeros((7 * RATE, 2)), RATE)
    mix = write_mix(dub, original, tmp_path / "mix.flac", EBU, "dub")
    for path in (dub.programme.path, mix.path):
        sound, _ = soundfile.read(path, always_2d=True)
        assert np.abs(sound[: 2 * RATE, 0]).argmax() == 48_017 + 1_234


@pytest.mark.parametrize(
    ("mode", "removed", "under"),
    [("dub", False, -24.0), ("voice-over", False, -13.0), ("free", False, -24.0), ("dub", True, 0)],
)
def test_the_original_goes_down_while_somebody_speaks(tmp_path, mode, removed, under):
    samples = 16 * RATE
    original = tmp_path / "original.flac"
    soundfile.write(original, tone(samples), RATE, subtype="PCM_24")
    # One speaks from 4 to 7 s, with half a second's pause; in the original also at 10 to 11 s.
    clips = [(4 * RATE, speech(1.5), "a"), (6 * RATE, speech(1.0), "a")]
    spoken = [(4 * RATE, 7 * RATE), (10 * RATE, 11 * RATE)]
    dub = write_dub(clips, samples, tmp_path, EBU)
    mix = write_mix(dub, original, tmp_path / "mix.flac", EBU, mode, spoken, removed)
    sound, _ = soundfile.read(mix.path)
    before = tone_db(sound, 1.0, 3.0)
    assert tone_db(sound, 4.0, 7.0) - before == pytest.approx(under, abs=0.5)
    assert tone_db(sound, 5.5, 6.0) - before == pytest.approx(under, abs=0.5)
    assert tone_db(sound, 8.0, 9.0) - before == pytest.approx(0.0, abs=0.1)
    also = under if mode != "voice-over" else 0.0
    assert tone_db(sound, 10.0, 11.0) - before == pytest.approx(also, abs=0.5)


@pytest.mark.parametrize(("channels", "centre"), [(1, [0]), (2, [0, 1]), (6, [2])])
def test_the_voice_comes_from_the_middle(tmp_path, channels, centre):
    original = tmp_path / "original.flac"
    soundfile.write(original, np.zeros((5 * RATE, channels)), RATE)
    dub = write_dub([(RATE, speech(3.0), "a")], 5 * RATE, tmp_path, EBU)
    mix = write_mix(dub, original, tmp_path / "mix.flac", EBU, "dub")
    sound, _ = soundfile.read(mix.path, always_2d=True)
    loud = np.flatnonzero(np.abs(sound).max(axis=0) > 1e-3)
    assert loud.tolist() == centre
    assert abs(mix.lufs + 23.0) < 0.2


def test_all_channels_of_the_original_stay_where_they_are(tmp_path):
    samples = 6 * RATE
    bed = np.stack([tone(samples, 0.05, 200.0 + 50 * n) for n in range(6)], axis=1)
    original = tmp_path / "original.flac"
    soundfile.write(original, bed, RATE, subtype="PCM_24")
    dub = write_dub([(4 * RATE, speech(1.0), "a")], samples, tmp_path, EBU)
    mix = write_mix(dub, original, tmp_path / "mix.flac", EBU, "dub")
    sound, _ = soundfile.read(mix.path)
    for channel in range(6):
        levels = [tone_db(sound[:, channel], 0.5, 3.0, 200.0 + 50 * n) for n in range(6)]
        assert int(np.argmax(levels)) == channel
        assert sorted(levels)[-2] < max(levels) - 40


def test_the_original_is_brought_to_the_voices(tmp_path):
    momentary = np.full(1000, -40.0)
    momentary[200:300] = -30.0
    talk = [(20 * RATE, 30 * RATE)]
    assert bed_gain(momentary, talk, -23.0) == pytest.approx(7.0, abs=0.3)
    assert bed_gain(momentary, [], -23.0) == 12.0  # no more, noise stays noise
    assert bed_gain(np.full(1000, -80.0), talk, -23.0) == 0.0
    assert bed_gain(np.full(1000, -5.0), talk, -23.0) == -12.0


intervals = st.lists(st.tuples(st.integers(0, 600_000), st.integers(1, 200_000)), max_size=6).map(
    lambda drawn: [(start, start + size) for start, size in drawn]
)


@given(intervals)
def test_the_duck_is_down_where_it_sounds_and_a_line_of_growing_points(sounding):
    xs, ys = duck_curve(sounding, -20.0, EBU)
    assert all(a < b for a, b in pairwise(xs))
    for start, end in sounding:
        assert (np.interp(np.linspace(start, end, 50), xs, ys) == -20.0).all()
    away = max((end for _, end in sounding), default=0) + round(EBU.release * RATE)
    assert np.interp(away, xs, ys) == 0.0


@given(intervals, st.integers(0, 200))
def test_blocks_with_speech_for_half_their_time(sounding, blocks):
    joined = merged(sounding, 0)
    heard = where_spoken(blocks, joined)
    for block in range(blocks):
        start, end = block * 4_800, block * 4_800 + 19_200
        within = sum(max(0, min(last, end) - max(first, start)) for first, last in joined)
        assert heard[block] == (within >= 9_600)


def test_a_broken_original_is_a_user_error(tmp_path):
    dub = write_dub([(0, speech(1.0), "a")], RATE, tmp_path, EBU)
    (tmp_path / "original.flac").write_bytes(b"no flac")
    with pytest.raises(UserError, match="missing or broken"):
        write_mix(dub, tmp_path / "original.flac", tmp_path / "mix.flac", EBU, "dub")
    assert not (tmp_path / "mix.flac").exists()


def test_the_same_clips_give_the_same_bytes(tmp_path):
    clips = [(RATE, speech(2.0, 1), "a"), (2 * RATE, speech(2.0, 2), "b")]
    first = write_dub(clips, 5 * RATE, tmp_path / "1", EBU)
    again = write_dub(clips[::-1], 5 * RATE, tmp_path / "2", EBU)
    assert first.programme.path.read_bytes() == again.programme.path.read_bytes()
    for one, other in zip(first.stems, again.stems, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()


def test_a_track_of_silence_is_written(tmp_path):
    dub = write_dub([], 2 * RATE, tmp_path, EBU)
    assert (dub.stems, dub.programme.gain_db) == ((), 0.0)
    assert not soundfile.read(dub.programme.path)[0].any()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_film(tmp_path):
    def peak(minutes: int) -> int:
        original = tmp_path / "original.flac"
        with soundfile.SoundFile(original, "w", RATE, 2, "PCM_16", format="FLAC") as file:
            for second in range(60 * minutes):
                file.write(np.stack([tone(RATE), tone(RATE, hertz=300.0 + second)], axis=1))
        starts = range(0, 60 * minutes, 4)
        clips = ((second * RATE, speech(3.0, second), "ab"[second % 8 // 4]) for second in starts)
        tracemalloc.start()
        dub = write_dub(clips, 60 * minutes * RATE, tmp_path, EBU)
        write_mix(dub, original, tmp_path / "mix.flac", EBU, "dub")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)
    assert peak(12) < 1.1 * peak(3)


_LONG = """
import resource, sys
from pathlib import Path
import numpy as np
from configs.errors import UserError
from configs.presets import load_dub_presets
from tasks.dub_mix import write_dub
from tasks.dub_types import RATE
folder, full_after = Path(sys.argv[1]), int(sys.argv[2])
sound = np.random.default_rng(0).standard_normal(3 * RATE).clip(-3, 3).astype(np.float32) / 9
def clips():
    for number in range(21):
        if number == full_after:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        if number < 20:
            yield number * 4 * RATE, sound, "a"
def report(done):
    print(done, flush=True)
try:
    write_dub(clips(), 80 * RATE, folder, load_dub_presets().dubbing, report)
except UserError as error:
    sys.exit(f"said: {error}")
"""


def test_a_kill_leaves_nothing_half_written(tmp_path):
    command = [sys.executable, "-c", _LONG, str(tmp_path), "-1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if float(line) > 0.8:  # the dubbed stem is being written
            process.kill()
            break
    process.wait(timeout=30)
    assert process.returncode == -9
    process.stdout.close()
    assert not (tmp_path / "dub.flac").exists()
    assert soundfile.info(tmp_path / "stems" / "a.flac").frames == 80 * RATE
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dub.flac", "stems"]
    assert soundfile.info(tmp_path / "dub.flac").frames == 80 * RATE


@pytest.mark.parametrize("clips", [3, 20])  # while they are collected; while a stem is written
def test_a_disk_that_is_full_is_a_user_error(tmp_path, clips):
    command = [sys.executable, "-c", _LONG, str(tmp_path), str(clips)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "said: " in done.stderr and "Traceback" not in done.stderr
    assert "ulimit" in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
