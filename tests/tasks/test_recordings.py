import numpy as np
import pytest
import soundfile

from configs.errors import UserError
from tasks.recordings import cut, decode_recording, speech_in

RATE = 22_050


@pytest.fixture
def tone():
    time = np.arange(3 * RATE) / RATE
    return (0.5 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)


def test_channels_are_mixed_and_the_rate_stays(tone, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([tone, 0 * tone], 1), RATE)
    target = tmp_path / "work" / "a.flac"
    assert decode_recording(tmp_path / "a.wav", target) == pytest.approx(3)
    audio, rate = soundfile.read(target)
    assert (rate, audio.ndim) == (RATE, 1)
    np.testing.assert_allclose(audio, tone / 2, atol=1e-4)


def test_a_float_file_beyond_full_scale_is_lowered_not_clipped(tone, tmp_path):
    soundfile.write(tmp_path / "a.wav", 6 * tone, RATE, subtype="FLOAT")
    decode_recording(tmp_path / "a.wav", tmp_path / "a.flac")
    audio, _ = soundfile.read(tmp_path / "a.flac")
    np.testing.assert_allclose(audio, 2 * tone, atol=1e-3)


def test_what_libsndfile_does_not_know_is_read_by_ffmpeg(tone, tmp_path):
    from tasks.ffmpeg import run_ffmpeg

    soundfile.write(tmp_path / "a.wav", tone, RATE)
    run_ffmpeg(["-i", str(tmp_path / "a.wav"), "-c:a", "aac", str(tmp_path / "a.m4a")])
    assert decode_recording(tmp_path / "a.m4a", tmp_path / "a.flac") == pytest.approx(3, abs=0.2)
    assert soundfile.info(tmp_path / "a.flac").samplerate == RATE


def test_a_file_that_breaks_off_gives_what_comes_before(tone, tmp_path):
    soundfile.write(tmp_path / "a.flac", tone, RATE)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "half.flac").write_bytes(whole[: len(whole) // 2])
    assert 0.5 < decode_recording(tmp_path / "half.flac", tmp_path / "out.flac") < 3


def test_what_is_no_sound_is_a_sentence_and_leaves_nothing(tone, tmp_path):
    (tmp_path / "text.wav").write_text("not audio")
    with pytest.raises(UserError, match=r"text\.wav is not audio"):
        decode_recording(tmp_path / "text.wav", tmp_path / "out.flac")
    tone[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", tone, RATE, subtype="FLOAT")
    with pytest.raises(UserError, match="no numbers"):
        decode_recording(tmp_path / "nan.wav", tmp_path / "out.flac")
    with pytest.raises(UserError, match="There is no file"):
        decode_recording(tmp_path / "absent.wav", tmp_path / "out.flac")
    assert not (tmp_path / "out.flac").exists()


def test_stretches_are_cut_without_their_offset(tone, tmp_path):
    soundfile.write(tmp_path / "a.wav", tone + 0.2, RATE)
    decode_recording(tmp_path / "a.wav", tmp_path / "a.flac")
    (one, rate), (last, _) = cut(tmp_path / "a.flac", [(0.5, 1.5), (2.5, 9.0)])
    assert (rate, one.size, last.size) == (RATE, RATE, RATE // 2)
    assert abs(one.mean()) < 1e-4
    np.testing.assert_allclose(one, tone[RATE // 2 : RATE // 2 + RATE], atol=1e-2)


def test_speech_is_found_minute_by_minute(root, tmp_path):
    voice, rate = soundfile.read(root / "demo" / "voice.flac", dtype="float32")
    hush = np.zeros(58 * rate, np.float32)
    soundfile.write(tmp_path / "a.flac", np.concatenate([hush, voice]), rate)
    done: list[float] = []
    likely = speech_in(tmp_path / "a.flac", done.append)
    frame = 512 / 16_000
    assert likely[: int(57 / frame)].max() < 0.3
    assert likely[int(58.5 / frame) :].mean() > 0.5
    assert done[-1] == 1 and len(done) == 2
