"""Loudness of a book: one gain, peaks held, measured on what is delivered."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from configs.errors import UserError
from tasks.ffmpeg import run_ffmpeg
from tasks.master import (
    TARGET_LUFS,
    Loudness,
    book_gain,
    book_level,
    chapter_blocks,
    master_filter,
    measure_delivered,
    measure_loudness,
    pcm_input_arguments,
    verdicts,
)

RATE = 24_000


def sine(seconds: float, level_db: float, hertz: float = 997.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return 10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * time)


def flac(path: Path, audio: np.ndarray) -> Path:
    soundfile.write(path, audio, RATE)
    return path


def mastered(path: Path, audio: np.ndarray, gain_db: float, out: Path) -> Loudness:
    blocks = chapter_blocks([flac(path, audio)], RATE)
    run_ffmpeg(
        [
            *pcm_input_arguments(RATE),
            *("-af", master_filter(gain_db, RATE, 44_100), "-c:a", "pcm_s24le", str(out)),
        ],
        feed=(block.tobytes() for block in blocks),
    )
    return measure_delivered(out)


def test_a_reference_tone_measures_as_the_standard_says(tmp_path: Path) -> None:
    # BS.1770: a mono sine of 997 Hz at 0 dBFS (peak) measures -3.01 LUFS.
    path = flac(tmp_path / "a.flac", sine(5, -20))
    assert measure_loudness([path], RATE) == pytest.approx(-23.0, abs=0.1)


def test_the_book_is_measured_as_one_stream(tmp_path: Path) -> None:
    paths = [flac(tmp_path / f"{n}.flac", sine(3, db)) for n, db in enumerate((-30, -20, -24))]
    whole = np.concatenate([sine(3, db) for db in (-30, -20, -24)])
    heard: list[float] = []
    together = measure_loudness(paths, RATE, heard.append)
    assert together == measure_loudness([flac(tmp_path / "whole.flac", whole)], RATE)
    assert together == pytest.approx(-26.0, abs=0.15)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_the_gain_brings_a_book_to_its_target(tmp_path: Path) -> None:
    audio = sine(5, -30)
    before = measure_loudness([flac(tmp_path / "a.flac", audio)], RATE)
    after = mastered(tmp_path / "a.flac", audio, book_gain(before), tmp_path / "a.wav")
    assert after.integrated_lufs == pytest.approx(TARGET_LUFS, abs=0.1)
    assert after.seconds == pytest.approx(5.0, abs=0.001)


def test_gains_stay_reasonable() -> None:
    assert book_gain(-25.0) == 6.0
    assert book_gain(-10.3) == -8.7
    assert book_gain(-65.0) == 30.0
    assert book_gain(-70.0) == book_gain(float("-inf")) == 0.0


def test_a_sound_is_neither_moved_nor_resized_by_mastering(tmp_path: Path) -> None:
    audio = np.zeros(RATE)
    audio[RATE // 2] = 0.5
    mastered(tmp_path / "a.flac", audio, 0.0, tmp_path / "a.wav")
    delivered, rate = soundfile.read(tmp_path / "a.wav")
    assert delivered.size == rate == 44_100
    assert abs(int(np.abs(delivered).argmax()) - 22_050) <= 1


def test_peaks_between_samples_are_limited(tmp_path: Path) -> None:
    # A quarter of the rate, sampled 45 degrees off its peaks: the samples lie 3 dB under the wave.
    time = np.arange(3 * RATE)
    audio = 0.6 * np.sin(2 * np.pi * time / 4 + np.pi / 4)
    loudness = mastered(tmp_path / "a.flac", audio, 6.0, tmp_path / "a.wav")
    assert loudness.true_peak_dbtp == pytest.approx(-4.5, abs=0.3)


def test_quiet_passages_keep_their_distance_to_loud_ones(tmp_path: Path) -> None:
    audio = np.concatenate([sine(2, -40), sine(2, -20)])
    mastered(tmp_path / "a.flac", audio, 10.0, tmp_path / "a.wav")
    delivered, rate = soundfile.read(tmp_path / "a.wav")
    soft, loud = delivered[rate // 2 : rate], delivered[-rate : -rate // 2]
    assert 20 * np.log10(loud.std() / soft.std()) == pytest.approx(20.0, abs=0.05)


def test_measures_of_a_known_file(tmp_path: Path) -> None:
    noise = 10 ** (-70 / 20) * np.random.default_rng(0).standard_normal(RATE)
    loudness = measure_delivered(flac(tmp_path / "a.flac", np.concatenate([noise, sine(9, -20)])))
    assert loudness.integrated_lufs == pytest.approx(-23.0, abs=0.15)
    assert loudness.true_peak_dbtp == pytest.approx(-20.0, abs=0.1)
    assert loudness.rms_db == pytest.approx(-23.5, abs=0.2)
    assert loudness.noise_floor_db == pytest.approx(-71, abs=1.5)
    assert loudness.seconds == 10.0


def test_silence_measures_as_nothing(tmp_path: Path) -> None:
    path = flac(tmp_path / "a.flac", np.zeros(2 * RATE))
    assert book_gain(measure_loudness([path], RATE)) == 0.0
    assert measure_delivered(path).rms_db == float("-inf")


def test_verdicts() -> None:
    good = Loudness(-19.2, 4.0, -3.4, -20.0, -66.0, 60.0)
    assert [verdict.passed for verdict in verdicts(good)] == [True, True, True]
    bad = Loudness(-23.0, 4.0, -2.9, -24.0, -50.0, 60.0)
    assert [verdict.passed for verdict in verdicts(bad)] == [False, False, False]
    assert verdicts(bad)[0].wanted == "-20 to -18"


def test_what_is_broken_is_named(tmp_path: Path) -> None:
    whole = flac(tmp_path / "a.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE))
    broken = tmp_path / "b.flac"
    broken.write_bytes(whole.read_bytes()[:50_000])
    for paths in ([whole, broken], [whole, tmp_path / "none.flac"]):
        with pytest.raises(UserError, match=r"(b|none)\.flac is missing or broken"):
            measure_loudness(paths, RATE)
    with pytest.raises(ValueError, match="is not mono at 16000 Hz"):
        measure_loudness([whole], 16_000)
    with pytest.raises(UserError, match=r"a\.txt does not play through"):
        (tmp_path / "a.txt").write_text("no sound")
        measure_delivered(tmp_path / "a.txt")


def test_what_the_limiter_takes_from_a_peaky_book_is_given_back(tmp_path: Path) -> None:
    # Twenty clicks a second over a quiet tone: a gain that lifts the tone drives the clicks deep
    # into the limiter.
    audio = sine(6, -36)
    audio[:: RATE // 20] = 0.5
    path = flac(tmp_path / "book.flac", audio)
    level = book_level([path], RATE)
    plain = mastered(
        tmp_path / "a.flac", audio, book_gain(level.lufs, TARGET_LUFS), tmp_path / "plain.wav"
    )
    corrected = mastered(tmp_path / "b.flac", audio, level.gain_db, tmp_path / "corrected.wav")
    assert plain.integrated_lufs < TARGET_LUFS - 1.0
    assert abs(corrected.integrated_lufs - TARGET_LUFS) < abs(plain.integrated_lufs - TARGET_LUFS)
    assert corrected.true_peak_dbtp <= -3.0


def test_a_loud_book_is_only_turned_down(tmp_path: Path) -> None:
    level = book_level([flac(tmp_path / "book.flac", sine(4, -6))], RATE)
    assert level.gain_db == book_gain(level.lufs) < 0
