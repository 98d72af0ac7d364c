"""Reading a voice sample: what loads, and the one sentence for what does not."""

import logging
import os
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from configs.errors import UserError
from tasks.audio_in import MAX_SECONDS, load_sample
from tasks.ffmpeg import run_ffmpeg

RATE = 16_000


def speech_like(seconds: float, rate: int = RATE, level: float = 0.3) -> np.ndarray:
    """Syllables of a buzzing tone, four a second, with gaps between them."""
    time = np.arange(round(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * 120 * n * time) / n for n in range(1, 12))
    return level * 0.5 * tone * (0.1 + 0.9 * (np.sin(2 * np.pi * 4 * time) > -0.3))


def silence(seconds: float, rate: int = RATE) -> np.ndarray:
    return np.zeros(round(seconds * rate))


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(round(seconds * RATE))


def saved(path: Path, audio: np.ndarray, rate: int = RATE, **how: str) -> Path:
    soundfile.write(path, audio, rate, **how)
    return path


@pytest.mark.parametrize(
    ("name", "rate", "least", "most"),
    [
        ("librispeech_1688-0003.flac", 16_000, 4.5, 5.07),
        ("librispeech_2033-0001.flac", 16_000, 5.0, 6.75),
        ("mobydick_1.mp3", 44_100, 80.0, 88.0),
    ],
)
def test_real_samples_load(shared: Path, name: str, rate: int, least: float, most: float) -> None:
    audio, found_rate = load_sample(shared / "voices" / name)
    assert found_rate == rate
    assert audio.dtype == np.float32
    assert audio.ndim == 1
    assert least <= audio.size / rate <= most
    assert 0.05 < np.abs(audio).max() <= 1.0
    assert np.array_equal(audio, load_sample(shared / "voices" / name)[0])


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", ["-c:a", "aac"]),
        ("a.mka", ["-c:a", "flac"]),
        ("a.wma", ["-c:a", "wmav2"]),
    ],
)
def test_formats_that_libsndfile_lacks(tmp_path: Path, name: str, codec: list[str]) -> None:
    source = saved(tmp_path / "a.wav", speech_like(4.0, 48_000), 48_000)
    run_ffmpeg(["-i", str(source), *codec, str(tmp_path / name)])
    audio, rate = load_sample(tmp_path / name)
    assert rate == 48_000
    assert audio.size / rate == pytest.approx(4.0, abs=0.2)


def test_the_name_does_not_decide(tmp_path: Path) -> None:
    saved(tmp_path / "a.wav", speech_like(4.0))
    for name in ("-i.txt", "http:x.mp3", "voice"):
        (tmp_path / name).write_bytes((tmp_path / "a.wav").read_bytes())
        assert load_sample(tmp_path / name)[1] == RATE


def test_channels_are_mixed_and_the_offset_removed(tmp_path: Path) -> None:
    left = speech_like(4.0)
    both = np.stack([left, 0.5 * left], axis=1) + 0.2
    audio, _ = load_sample(saved(tmp_path / "a.wav", both, subtype="FLOAT"))
    plain, _ = load_sample(saved(tmp_path / "b.wav", 0.75 * left, subtype="FLOAT"))
    np.testing.assert_allclose(audio, plain, atol=1e-4)


def test_silence_at_the_ends_is_trimmed(tmp_path: Path) -> None:
    inside = speech_like(4.0)
    audio, _ = load_sample(saved(tmp_path / "a.wav", np.r_[silence(2), inside, silence(3)]))
    assert audio.size / RATE == pytest.approx(4.0, abs=0.2)


def test_only_the_first_minutes_are_read(tmp_path: Path) -> None:
    audio, _ = load_sample(saved(tmp_path / "a.flac", speech_like(MAX_SECONDS + 10.0)))
    assert MAX_SECONDS - 1 < audio.size / RATE <= MAX_SECONDS


def test_float_beyond_full_scale_is_scaled(tmp_path: Path) -> None:
    audio, _ = load_sample(saved(tmp_path / "a.wav", 9 * speech_like(4.0), subtype="FLOAT"))
    assert np.abs(audio).max() == pytest.approx(1.0)


def test_a_quiet_recording_is_not_silent(tmp_path: Path) -> None:
    audio, _ = load_sample(saved(tmp_path / "a.wav", speech_like(4.0, level=0.01)))
    assert audio.size > 3 * RATE


def test_heavy_clipping_only_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_sample(saved(tmp_path / "loud.wav", np.clip(20 * speech_like(4.0), -1, 1)))
        load_sample(saved(tmp_path / "fine.wav", speech_like(4.0)))
    assert [record.args for record in caplog.records] == [(tmp_path / "loud.wav",)]
    assert "clipped" in caplog.text


@pytest.mark.parametrize(
    ("audio", "sentence"),
    [
        (silence(5), "is silent"),
        (silence(5) + 0.5, "is silent"),
        (1e-4 * noise(5), "is silent"),
        (silence(1), "only 1.0 s long and silent"),
        (silence(0), "only 0.0 s long and silent"),
        (speech_like(2.0), "too short: it holds 2.0 s"),
        (np.r_[silence(9), speech_like(1.5), silence(9)], "mostly silence: only 1.5 s of its 19.5"),
        (np.r_[speech_like(4.0), np.nan], "no numbers"),
        (np.r_[speech_like(4.0), -np.inf], "no numbers"),
    ],
)
def test_bad_sound(tmp_path: Path, audio: np.ndarray, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        load_sample(saved(tmp_path / "a.wav", audio, subtype="FLOAT"))
    assert str(tmp_path / "a.wav") in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"just some text, nothing more\n" * 50,
        b"PK\x03\x04" + bytes(200),
        b"RIFF\xff\xff\xff\xffWAVEfmt " + bytes(40),
        b"fLaC" + bytes(100),
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.wav\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile a.wav\n",
        np.random.default_rng(0).bytes(5000),
    ],
)
def test_what_is_not_audio(tmp_path: Path, data: bytes) -> None:
    saved(tmp_path / "a.wav", speech_like(4.0))
    for name in ("voice.mp3", "voice.raw", "voice.m3u8"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=r"not audio|silent|too short"):
            load_sample(tmp_path / name)


def test_a_picture_track_alone_is_not_audio(tmp_path: Path) -> None:
    run_ffmpeg(["-f", "lavfi", "-i", "color=d=1:s=64x64", str(tmp_path / "a.mp4")])
    with pytest.raises(UserError, match="not audio"):
        load_sample(tmp_path / "a.mp4")


def test_a_file_that_breaks_off_counts_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.flac", speech_like(8.0) + 0.01 * noise(8.0)).read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) * 3 // 4])
    audio, _ = load_sample(tmp_path / "a.flac")
    assert 3.0 < audio.size / RATE < 7.0


def test_a_rate_that_is_no_rate(tmp_path: Path) -> None:
    saved(tmp_path / "a.wav", speech_like(4.0), 4_000)
    with pytest.raises(UserError, match="sample rate of 4000 Hz"):
        load_sample(tmp_path / "a.wav")


def test_paths_that_hold_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    os.mkfifo(tmp_path / "pipe.wav")
    for path, sentence in [
        (tmp_path / "none.wav", "no file"),
        (tmp_path, "is a folder"),
        (tmp_path / "empty.wav", "is empty"),
        (tmp_path / "pipe.wav", "not a regular file"),
        (tmp_path / "empty.wav" / "a.wav", "no file|Cannot read"),
    ]:
        with pytest.raises(UserError, match=sentence):
            load_sample(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.wav").open("wb") as file:
        file.truncate(3 << 30)  # sparse
    with pytest.raises(UserError, match="larger than 2 GiB"):
        load_sample(tmp_path / "a.wav")


def test_a_header_that_claims_hours_costs_nothing(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, 44_100, 0, "NONE", ""))
        file.writeframes(bytes(4000))
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[40:44] = struct.pack("<I", 0xFFFFFF00)
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(UserError, match="silent"):
        load_sample(tmp_path / "a.wav")
