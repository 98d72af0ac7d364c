"""With a stand-in for demucs, whose weights are not there: it keeps what is under 1 kHz."""

import sys

import numpy as np
import pytest
import soundfile

from configs.errors import UserError
from tasks import separate
from tasks.dub_types import RATE
from tasks.separate import remove_voice, separator

STAND_IN = f"""#!{sys.executable}
import argparse, pathlib
import numpy, scipy.signal, soundfile
asked = argparse.ArgumentParser()
asked.add_argument("--two-stems")
asked.add_argument("--float32", action="store_true")
asked.add_argument("--clip-mode")
asked.add_argument("-o")
asked.add_argument("track", type=pathlib.Path)
asked = asked.parse_args()
sound, rate = soundfile.read(asked.track, always_2d=True)
sound = scipy.signal.resample_poly(sound, 147, 160) * numpy.ones((1, 2))
low = scipy.signal.sosfiltfilt(scipy.signal.butter(4, 1000, fs=44100, output="sos"), sound, axis=0)
folder = pathlib.Path(asked.o, "htdemucs", asked.track.stem)
folder.mkdir(parents=True)
soundfile.write(folder / f"no_{{asked.two_stems}}.wav", low, 44100, subtype="FLOAT")
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    path = tmp_path / "bin" / "demucs"
    path.parent.mkdir()
    path.write_text(STAND_IN)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent), prepend=":")
    assert separator() == str(path)
    return str(path)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_voice_goes_and_the_music_stays_without_seams(tmp_path, monkeypatch, program, channels):
    monkeypatch.setattr(separate, "_STRETCH", 3 * RATE)
    samples, channels = 7 * RATE + 321, 1
    times = np.arange(samples) / RATE
    music = 0.2 * np.sin(2 * np.pi * 100 * times)
    music[: RATE // 2] = 0
    voice = 0.2 * np.sin(2 * np.pi * 5000 * times)
    both = np.repeat((music + voice)[:, None], channels, 1)
    soundfile.write(tmp_path / "original.flac", both, RATE, subtype="PCM_24")
    out = remove_voice(tmp_path / "original.flac", tmp_path / "bed.flac", program)
    bed, rate = soundfile.read(out, always_2d=True)
    assert (bed.shape, rate) == ((samples, channels), RATE)
    inner = slice(RATE, samples - RATE)
    assert np.abs(bed[inner] - music[inner, None]).max() < 0.005


def test_silence_is_left_alone(tmp_path, program):
    soundfile.write(tmp_path / "original.flac", np.zeros((RATE, 2)), RATE)
    out = remove_voice(tmp_path / "original.flac", tmp_path / "bed.flac", program + " is not run")
    assert not soundfile.read(out)[0].any()


def test_what_it_cannot_do_it_says(tmp_path, monkeypatch, program):
    noise = np.random.default_rng(0).standard_normal((RATE, 6)) * 0.1
    soundfile.write(tmp_path / "surround.flac", noise, RATE)
    with pytest.raises(UserError, match="6 channels"):
        remove_voice(tmp_path / "surround.flac", tmp_path / "bed.flac", program)
    soundfile.write(tmp_path / "mono.flac", noise[:, 0], RATE)
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no weights >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(UserError, match="no weights"):
        remove_voice(tmp_path / "mono.flac", tmp_path / "bed.flac", str(broken))
    assert not (tmp_path / "bed.flac").exists()
    monkeypatch.setenv("PATH", "/nowhere")
    assert separator() is None
