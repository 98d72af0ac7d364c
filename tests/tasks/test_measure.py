"""Measuring what is delivered."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from configs.errors import UserError
from tasks.ffmpeg import run_ffmpeg
from tasks.master import Mastering
from tasks.measure import Measured, measure_delivered, mp3_kbits
from tasks.verdicts import verdicts
from tests.tasks.test_master import RATE, flac, sine

ACX = Mastering(-20.0, -3.0, 2.0)
GOOD = Measured(-20.1, 4.0, -3.4, -3.5, -20.6, -66.0, 0.6, 2.0, 60.0, 44_100, 1, 192.0, True)


def test_measures_of_a_known_file(tmp_path: Path) -> None:
    noise = 10 ** (-70 / 20) * np.random.default_rng(0).standard_normal(RATE)
    audio = np.concatenate([noise, sine(9.005, -20), noise[: RATE // 2]])
    heard: list[float] = []
    measured, shape = measure_delivered(flac(tmp_path / "a.flac", audio), heard.append)
    assert measured.integrated_lufs == pytest.approx(-23.0, abs=0.15)
    assert measured.true_peak_dbtp == pytest.approx(-20.0, abs=0.1)
    assert measured.sample_peak_db == pytest.approx(-20.0, abs=0.1)
    assert measured.rms_db == pytest.approx(-23.65, abs=0.1)
    assert measured.noise_floor_db == pytest.approx(-70.3, abs=0.5)
    assert measured.head_seconds == pytest.approx(1.0, abs=0.011)
    assert measured.tail_seconds == pytest.approx(0.5, abs=0.011)
    assert measured.seconds == 10.505
    assert (measured.sample_rate, measured.channels) == (RATE, 1)
    assert shape.peaks[50] == pytest.approx(0.1, abs=0.001)
    assert shape.peaks[3] < 0.003
    assert shape.loudness[80] == pytest.approx(-23.0, abs=0.2)
    assert len(shape.part(1.0, 3.0).peaks) == 20
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(10.5)


def test_digital_silence(tmp_path: Path) -> None:
    measured, _ = measure_delivered(flac(tmp_path / "a.flac", np.zeros(2 * RATE)))
    assert measured.rms_db == measured.noise_floor_db == float("-inf")
    assert measured.head_seconds == measured.tail_seconds == 2.0


def test_a_file_shorter_than_a_tenth_of_a_second(tmp_path: Path) -> None:
    measured, shape = measure_delivered(flac(tmp_path / "a.flac", sine(0.05, -20)))
    assert measured.seconds == 0.05
    assert measured.rms_db == pytest.approx(-23.0, abs=0.3)
    assert len(shape.peaks) == 0


def test_what_does_not_play(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no sound")
    with pytest.raises(UserError, match=r"a\.txt is no audio file"):
        measure_delivered(tmp_path / "a.txt")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE)
    whole = flac(tmp_path / "a.flac", noise).read_bytes()
    (tmp_path / "b.flac").write_bytes(whole[:50_000] + b"damage" * 99 + whole[51_000:])
    with pytest.raises(UserError, match=r"b\.flac does not play through"):
        measure_delivered(tmp_path / "b.flac")


def test_a_bit_rate_that_varies_is_seen(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sine(3, -20), RATE)
    for name, how in (("v.mp3", ["-q:a", "4"]), ("c.mp3", ["-b:a", "192k"])):
        out = tmp_path / name
        run_ffmpeg(["-i", str(tmp_path / "a.wav"), "-ar", "44100", *how, str(out)])
        assert (len(set(mp3_kbits(out))) == 1) == (name == "c.mp3")
        assert measure_delivered(out)[0].constant_rate == (name == "c.mp3")
    frames = list(mp3_kbits(tmp_path / "c.mp3"))
    assert len(frames) == pytest.approx(3 * 44_100 / 1152, abs=4)


def failed(preset: str, kind: str, mastering: Mastering = ACX, **changed: float) -> list[str]:
    measured = Measured(**{**GOOD.__dict__, **changed})
    found = verdicts(measured, preset, mastering, kind)
    return [verdict.name for verdict in found if not verdict.passed]


def test_what_shops_ask_for() -> None:
    assert failed("acx", "mp3") == []
    bad = {
        "rms_db": -23.1, "sample_peak_db": -2.9, "noise_floor_db": -59.0, "head_seconds": 0.4,
        "tail_seconds": 5.1, "seconds": 7201.0, "constant_rate": False, "kbits": 128.0,
        "sample_rate": 48_000, "channels": 2,
    }  # fmt: skip
    for name, value in bad.items():
        assert failed("acx", "mp3", **{name: value}) == [name]
    assert sorted(failed("acx", "mp3", **bad)) == sorted(bad)
    # One file for the whole book may be long, and is no MP3.
    assert failed("acx", "m4b", seconds=90_000.0, kbits=64.0, constant_rate=False) == []
    assert failed("acx", "flac", seconds=90_000.0) == ["seconds"]


def test_what_other_presets_ask_for() -> None:
    standard = Mastering(-19.0, -3.0, 2.0)
    assert failed("standard", "m4b", standard) == ["integrated_lufs"]
    assert failed("standard", "m4b", standard, integrated_lufs=-19.9) == []
    assert failed("standard", "m4b", standard, integrated_lufs=-19.0, true_peak_dbtp=-2.9) == [
        "true_peak_dbtp"
    ]
    assert failed("ebu", "mp3", Mastering(-20.0, -1.0, 2.0), kbits=128.0) == ["kbits"]
    as_spoken = Mastering(None, -3.0, 0.0)
    assert failed("none", "m4b", as_spoken, integrated_lufs=-40.0, true_peak_dbtp=0.0) == []
    assert failed("none", "m4b", as_spoken, noise_floor_db=-50.0) == ["noise_floor_db"]
