"""Loudness of a book: one gain, peaks held, measured on what is delivered."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from configs.errors import UserError
from tasks.ffmpeg import run_ffmpeg
from tasks.master import (
    Mastering,
    Stretch,
    book_gain,
    book_level,
    integrated_loudness,
    master_arguments,
    master_feed,
    mastered_blocks,
    momentary_loudness,
    number_in,
    pcm_input_arguments,
)
from tasks.measure import Measured, measure_delivered

STANDARD = Mastering(-19.0, -3.0, 2.0)
RATE = 24_000


def sine(seconds: float, level_db: float, hertz: float = 997.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return 10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * time)


def flac(path: Path, audio: np.ndarray) -> Path:
    soundfile.write(path, audio, RATE)
    return path


def stretch(path: Path, gain_db: float = 0.0) -> Stretch:
    return Stretch(path, 0, soundfile.info(path).frames, gain_db)


def loudness(*paths: Path, **how: Any) -> float:
    return integrated_loudness(momentary_loudness([stretch(path) for path in paths], RATE, **how))


def mastered(
    path: Path, audio: np.ndarray, gain_db: float, out: Path, mastering: Mastering = STANDARD
) -> Measured:
    whole = stretch(flac(path, audio), gain_db)
    run_ffmpeg(
        [
            *pcm_input_arguments(RATE),
            *master_arguments(mastering, RATE, 44_100),
            *("-c:a", "pcm_s24le", "-y", str(out)),
        ],
        feed=master_feed([whole], RATE),
    )
    return measure_delivered(out)[0]


def test_a_reference_tone_measures_as_the_standard_says(tmp_path: Path) -> None:
    # BS.1770: a mono sine of 997 Hz at 0 dBFS (peak) measures -3.01 LUFS.
    path = flac(tmp_path / "a.flac", sine(5, -20))
    assert loudness(path) == pytest.approx(-23.0, abs=0.1)


def test_the_book_is_measured_as_one_stream(tmp_path: Path) -> None:
    paths = [flac(tmp_path / f"{n}.flac", sine(3, db)) for n, db in enumerate((-30, -20, -24))]
    whole = np.concatenate([sine(3, db) for db in (-30, -20, -24)])
    heard: list[float] = []
    together = loudness(*paths, on_progress=heard.append)
    assert together == loudness(flac(tmp_path / "whole.flac", whole))
    assert together == pytest.approx(-26.0, abs=0.15)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_loudness_is_that_of_the_standard_meter(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pieces = [sine(2, db) + 1e-3 * rng.standard_normal(2 * RATE) for db in (-20, -50, -27, -35)]
    path = flac(tmp_path / "a.flac", np.concatenate(pieces))
    said = run_ffmpeg(["-i", str(path), "-af", "ebur128=framelog=quiet", "-f", "null", "-"])
    assert loudness(path) == pytest.approx(number_in(r"\bI:\s+(\S+) LUFS", said), abs=0.1)


def test_temporary_files_may_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = flac(tmp_path / "a.flac", sine(2, -20))
    odd = tmp_path / "a:b, [c]; it's \\ d=e"
    odd.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(odd))
    assert loudness(path) == pytest.approx(-23.0, abs=0.1)


def test_the_gain_brings_a_book_to_its_target(tmp_path: Path) -> None:
    audio = sine(5, -30)
    before = loudness(flac(tmp_path / "a.flac", audio))
    after = mastered(tmp_path / "a.flac", audio, book_gain(before, -19.0), tmp_path / "a.wav")
    assert after.integrated_lufs == pytest.approx(-19.0, abs=0.1)
    assert after.seconds == pytest.approx(5.0, abs=0.001)


def test_gains_stay_reasonable() -> None:
    assert book_gain(-25.0, -19.0) == 6.0
    assert book_gain(-10.34, -19.0) == -8.7
    assert book_gain(-65.0, -19.0) == 30.0
    assert book_gain(-70.0, -19.0) == book_gain(float("-inf"), -19.0) == 0.0


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
    measured = mastered(tmp_path / "a.flac", audio, 6.0, tmp_path / "a.wav")
    assert measured.true_peak_dbtp == pytest.approx(-4.5, abs=0.3)


def test_quiet_passages_keep_their_distance_to_loud_ones(tmp_path: Path) -> None:
    audio = np.concatenate([sine(2, -40), sine(2, -20)])
    mastered(tmp_path / "a.flac", audio, 10.0, tmp_path / "a.wav")
    delivered, rate = soundfile.read(tmp_path / "a.wav")
    soft, loud = delivered[rate // 2 : rate], delivered[-rate : -rate // 2]
    assert 20 * np.log10(loud.std() / soft.std()) == pytest.approx(20.0, abs=0.05)


def test_silence_stays_silence_with_room_tone(tmp_path: Path) -> None:
    path = flac(tmp_path / "a.flac", np.zeros(4 * RATE))
    level = book_level([stretch(path), stretch(path)], RATE, STANDARD)
    assert (level.gain_db, level.trims_db) == (0.0, (0.0, 0.0))
    measured = mastered(path, np.zeros(4 * RATE), 30.0, tmp_path / "a.wav")
    assert measured.rms_db == pytest.approx(-70.0, abs=0.5)


def test_chapters_are_trimmed_a_little_towards_the_book(tmp_path: Path) -> None:
    levels = (-30.0, -28.7, -20.0, -30.2)
    paths = [flac(tmp_path / f"{n}.flac", sine(20, db)) for n, db in enumerate(levels)]
    short = flac(tmp_path / "short.flac", sine(1, -10))
    level = book_level([*map(stretch, paths), stretch(short)], RATE, STANDARD)
    assert level.lufs == pytest.approx(-26.6, abs=0.2)
    assert level.trims_db == (2.0, 2.0, -2.0, 2.0, 0.0)
    none = book_level([*map(stretch, paths)], RATE, Mastering(-19.0, -3.0, 0.0))
    assert none.trims_db == (0.0,) * 4
    assert level.gains_db[0] == pytest.approx(level.gain_db + 2.0)


def test_a_book_may_stay_as_it_was_spoken(tmp_path: Path) -> None:
    as_spoken = Mastering(None, -3.0, 0.0)
    audio = sine(4, -1)
    level = book_level([stretch(flac(tmp_path / "a.flac", audio))], RATE, as_spoken)
    assert (level.gain_db, level.trims_db) == (0.0, (0.0,))
    measured = mastered(tmp_path / "a.flac", audio, 0.0, tmp_path / "a.wav", as_spoken)
    assert measured.sample_peak_db == pytest.approx(-1.0, abs=0.1)


def test_room_around_a_part_of_a_chapter(tmp_path: Path) -> None:
    path = flac(tmp_path / "a.flac", np.linspace(0.1, 0.9, RATE))
    part = Stretch(path, 1000, 3000, lead=500, trail=200)
    audio = np.concatenate(list(mastered_blocks([part], RATE)))
    assert audio.size == part.samples == 2700
    assert np.abs(audio[:500]).max() < 0.01 < np.abs(audio[500:600]).min()
    whole, _ = soundfile.read(path)
    assert audio[500:2500] == pytest.approx(whole[1000:3000], abs=0.002)


def test_what_is_broken_is_named(tmp_path: Path) -> None:
    whole = flac(tmp_path / "a.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE))
    broken = tmp_path / "b.flac"
    broken.write_bytes(whole.read_bytes()[:50_000])
    for paths in ([whole, broken], [whole, tmp_path / "none.flac"]):
        with pytest.raises(UserError, match=r"(b|none)\.flac is missing or broken"):
            list(mastered_blocks([Stretch(one, 0, 4 * RATE) for one in paths], RATE))
    with pytest.raises(UserError, match=r"a\.flac is missing or broken"):
        list(mastered_blocks([Stretch(whole, 0, 4 * RATE + 1)], RATE))
    with pytest.raises(ValueError, match="is not mono at 16000 Hz"):
        list(mastered_blocks([stretch(whole)], 16_000))


def test_what_the_limiter_takes_from_a_peaky_book_is_given_back(tmp_path: Path) -> None:
    # Twenty clicks a second over a quiet tone: a gain that lifts the tone drives the clicks deep
    # into the limiter.
    audio = sine(6, -36)
    audio[:: RATE // 20] = 0.5
    path = flac(tmp_path / "book.flac", audio)
    level = book_level([stretch(path)], RATE, STANDARD)
    plain = mastered(
        tmp_path / "a.flac", audio, book_gain(level.lufs, -19.0), tmp_path / "plain.wav"
    )
    corrected = mastered(tmp_path / "b.flac", audio, level.gain_db, tmp_path / "corrected.wav")
    assert plain.integrated_lufs < -19.0 - 1.0
    assert abs(corrected.integrated_lufs - -19.0) < abs(plain.integrated_lufs - -19.0)
    assert corrected.true_peak_dbtp <= -3.0


def test_a_loud_book_is_only_turned_down(tmp_path: Path) -> None:
    level = book_level([stretch(flac(tmp_path / "book.flac", sine(4, -6)))], RATE, STANDARD)
    assert level.gain_db == book_gain(level.lufs, -19.0) < 0
