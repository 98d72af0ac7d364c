import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pysrt
import pytest
import soundfile

from configs.errors import UserError
from tasks.dub_types import RATE
from tasks.dub_video import Track, Video, dub_notice, extract_audio, language_code, mux, probe
from tasks.ffmpeg import input_arguments, run_ffmpeg
from tasks.tags import synthetic_notice

SRT = "1\n00:00:00,500 --> 00:00:01,250\nGuten Tag\n\n2\n00:00:01,400 --> 00:00:02,000\nTschüß\n"
NOTICE = dub_notice(["ada", "bob"], "built-in")


def video_file(path: Path, sound: str = "sine=f=440:r=44100", more: tuple[str, ...] = ()) -> Path:
    """2.5 s of pictures at 30000/1001 frames a second, and of sound."""
    codecs = ("libvpx", "libopus") if path.suffix == ".webm" else ("mpeg4", "aac")
    run_ffmpeg(
        [
            *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=30000/1001:d=2.5"),
            *("-f", "lavfi", "-i", f"{sound}:d=2.6", *more),
            *("-c:v", codecs[0], "-c:a", codecs[1], "-y", str(path)),
        ]
    )
    return path


def dubbed_sound(video: Video, path: Path, channels: int = 1) -> np.ndarray:
    """A burst of a falling tone at 1.0 s, as long as the video."""
    sound = np.zeros(video.samples)
    times = np.arange(RATE // 5) / RATE
    sound[RATE : RATE + times.size] = 0.3 * np.sin(2 * np.pi * (900 - 1500 * times) * times)
    soundfile.write(path, np.repeat(sound[:, None], channels, 1), RATE, subtype="PCM_24")
    return sound


def decoded(path: Path, stream: str) -> np.ndarray:
    data = bytearray()
    arguments = [*input_arguments(path), "-map", stream, "-ac", "1", "-ar", str(RATE)]
    run_ffmpeg([*arguments, "-f", "f32le", "pipe:1"], on_output=data.extend)
    return np.frombuffer(bytes(data), np.float32)


def packets(path: Path, streams: str) -> list[str]:
    """MD5 of each packet of some streams."""
    data = bytearray()
    arguments = [*input_arguments(path), "-map", streams, "-c", "copy", "-f", "framemd5"]
    run_ffmpeg([*arguments, "pipe:1"], on_output=data.extend)
    lines = data.decode().splitlines()
    return [line.split(",")[-1].strip() for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "ts"])
def test_a_dubbed_track_stands_beside_the_original(tmp_path, suffix):
    source = video_file(tmp_path / f"film.{suffix}", more=("-metadata", "comment=Shot by Eve."))
    video = probe(source)
    assert (video.picture, len(video.audio), len(video.subtitles)) == (True, 1, 0)
    assert abs(video.samples / RATE - 75 * 1001 / 30000) < 0.04
    sound = dubbed_sound(video, tmp_path / "mix.flac")
    (tmp_path / "dub.srt").write_text(SRT, encoding="utf-8")
    out = mux(video, tmp_path / "mix.flac", tmp_path / "out", "de", NOTICE, tmp_path / "dub.srt")
    kept = suffix in ("mp4", "mov", "mkv", "webm")
    assert out.name == f"film.de.{suffix if kept else 'mkv'}"
    assert [path.name for path in out.parent.iterdir()] == [out.name]

    found = probe(out)
    code = "deu" if suffix == "mp4" else "ger"
    assert [track.default for track in found.audio] == [False, True]
    assert [found.audio[1].language, found.subtitles[0].language] == [code, code]
    assert found.comment.endswith(NOTICE)
    if suffix in ("mp4", "mov", "mkv", "webm"):
        assert found.comment.startswith("Shot by Eve.")
        assert packets(out, "0:v") == packets(source, "0:v") != []
        assert packets(out, "0:a:0") == packets(source, "0:a:0") != []

    heard = decoded(out, "0:a:1")
    assert heard.size == video.samples
    # The burst is where it was, to the sample.
    lags = np.arange(-30, 31)
    part = sound[RATE - 100 : RATE + RATE // 5 + 100]
    likeness = [heard[RATE - 100 + lag :][: part.size] @ part for lag in lags]
    assert lags[int(np.argmax(likeness))] == 0

    text = tmp_path / "read.srt"
    run_ffmpeg([*input_arguments(out), "-map", "0:s:0", "-f", "srt", "-y", str(text)])
    times = re.findall(r"[\d:,]+ --> [\d:,]+", text.read_text(encoding="utf-8"))
    assert times == re.findall(r"[\d:,]+ --> [\d:,]+", SRT)
    assert "Tschüß" in text.read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_nothing_is_hidden_where_two_speak_at_once(tmp_path, suffix):
    video = probe(video_file(tmp_path / f"film.{suffix}"))
    dubbed_sound(video, tmp_path / "mix.flac")
    text = "1\n00:00:00,500 --> 00:00:02,000\nLong\n\n2\n00:00:00,500 --> 00:00:01,000\nShort\n"
    (tmp_path / "dub.srt").write_text(text, encoding="utf-8")
    out = mux(video, tmp_path / "mix.flac", tmp_path, "de", NOTICE, tmp_path / "dub.srt")
    data = bytearray()
    run_ffmpeg(
        [*input_arguments(out), "-map", "0:s:0", "-f", "srt", "pipe:1"], on_output=data.extend
    )
    items = list(pysrt.from_string(data.decode()))
    for time, words in ((700, {"Long", "Short"}), (1500, {"Long"})):
        shown = [one.text for one in items if one.start.ordinal <= time < one.end.ordinal]
        assert set("\n".join(shown).split()) == words


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs ffprobe on the PATH")
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_ffprobe_reads_the_languages(tmp_path, suffix):
    video = probe(video_file(tmp_path / f"film.{suffix}", more=("-metadata:s:1", "language=eng")))
    dubbed_sound(video, tmp_path / "mix.flac")
    (tmp_path / "dub.srt").write_text(SRT, encoding="utf-8")
    out = mux(video, tmp_path / "mix.flac", tmp_path, "pt-BR", NOTICE, tmp_path / "dub.srt")
    asked = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(out)]
    said = json.loads(subprocess.run(asked, capture_output=True, check=True, timeout=60).stdout)
    streams = [
        (one["codec_type"], one.get("tags", {}).get("language", "und"), one["disposition"]["dub"])
        for one in said["streams"]
    ]
    expected = [("video", "und", 0), ("audio", "eng", 0), ("audio", "por", 1)]
    assert streams == [*expected, ("subtitle", "por", 0)]
    tags = {name.lower(): value for name, value in said["format"]["tags"].items()}
    assert tags["comment"] == NOTICE


def test_a_film_of_somebody_is_dubbed(shared, tmp_path):
    video = probe(shared / "subtitles" / "open-dubbing_english.mp4")
    assert video.samples == 478_400  # 299 frames, 30 a second
    original = extract_audio(video, tmp_path / "original.flac")
    assert soundfile.info(original).frames == video.samples
    out = mux(video, original, tmp_path, "ca", NOTICE)
    assert packets(out, "0:v") == packets(video.path, "0:v")
    assert decoded(out, "0:a:1").size == video.samples
    again = mux(video, original, tmp_path / "again", "ca", NOTICE)
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("suffix", "codecs"),
    [
        ("mkv", ("mpeg4", "aac")),
        ("flv", ("flv", "aac")),
        ("wmv", ("wmv2", "wmav2")),
        ("mpg", ("mpeg2video", "mp2")),
    ],
)
def test_the_grid_ends_with_the_picture_and_not_with_the_sound(tmp_path, suffix, codecs):
    source = tmp_path / f"film.{suffix}"
    run_ffmpeg(
        [
            *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=12", "-f", "lavfi", "-i", "sine=d=14"),
            *("-c:v", codecs[0], "-c:a", codecs[1], "-y", str(source)),
        ]
    )
    video = probe(source)
    # Some begin with the sound's first packet, up to 50 ms before the picture.
    assert 12.0 <= video.samples / RATE < 12.06
    dubbed_sound(video, tmp_path / "mix.flac")
    out = mux(video, tmp_path / "mix.flac", tmp_path / "out", "de", NOTICE)
    assert decoded(out, "0:a:1").size == video.samples
    assert abs(probe(out).samples - video.samples) <= 0.002 * RATE


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_the_original_keeps_its_channels(tmp_path, layout):
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    tones = "|".join(f"0.2*sin({200 + 100 * n}*2*PI*t)" for n in range(channels))
    sound = f"aevalsrc='{tones}':c={layout}:s=48000"
    video = probe(video_file(tmp_path / "film.mkv", sound, ("-c:a", "flac")))
    assert video.audio[0].channels == channels
    original, rate = soundfile.read(extract_audio(video, tmp_path / "o.flac"), always_2d=True)
    assert (original.shape, rate) == ((video.samples, channels), RATE)
    part = original[RATE // 2 : RATE // 2 + RATE]
    loudest = np.abs(np.fft.rfft(part, axis=0)).argmax(axis=0)
    low = [3] if channels == 6 else []  # the encoder takes the highs from the bass channel
    assert [f for n, f in enumerate(loudest) if n not in low] == [
        200 + 100 * n for n in range(channels) if n not in low
    ]
    mixed = mux(video, tmp_path / "o.flac", tmp_path / "out", "fr", NOTICE)
    assert probe(mixed).audio[1].channels == channels


def test_sound_that_begins_later_does_so_on_the_grid(tmp_path):
    early = video_file(tmp_path / "early.mkv")
    late = tmp_path / "late.mkv"
    inputs = [*input_arguments(early), "-itsoffset", "0.7", *input_arguments(early)]
    run_ffmpeg([*inputs, "-map", "0:v", "-map", "1:a", "-c", "copy", "-y", str(late)])
    video = probe(late)
    sound, _ = soundfile.read(extract_audio(video, tmp_path / "o.flac"))
    assert sound.size == video.samples
    assert np.flatnonzero(np.abs(sound) > 0.01)[0] == pytest.approx(0.7 * RATE, abs=0.03 * RATE)


def test_the_default_track_is_the_original(tmp_path):
    video = probe(
        video_file(
            tmp_path / "film.mkv",
            more=(
                *("-f", "lavfi", "-i", "sine=f=1000:d=2.6", "-map", "0", "-map", "1", "-map", "2"),
                *("-disposition:a:0", "0", "-disposition:a:1", "default"),
            ),
        )
    )
    assert [track.default for track in video.audio] == [False, True]
    for track, hertz in ((None, 1000), (0, 440)):
        sound, _ = soundfile.read(extract_audio(video, tmp_path / "o.flac", track))
        spectrum = np.abs(np.fft.rfft(sound[RATE // 2 : RATE // 2 + RATE]))
        assert spectrum.argmax() == hertz


def test_subtitles_and_chapters_that_are_there_stay(tmp_path):
    (tmp_path / "old.srt").write_text("1\n00:00:00,100 --> 00:00:01,000\nHello\n")
    chapters = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n"
    (tmp_path / "chapters.txt").write_text(chapters)
    for suffix, codec in (("mp4", "mov_text"), ("mkv", "subrip")):
        more = ("-i", str(tmp_path / "old.srt"), "-i", str(tmp_path / "chapters.txt"))
        mapped = ("-map", "0", "-map", "1", "-map", "2", "-map_chapters", "3", "-c:s", codec)
        source = video_file(tmp_path / f"film.{suffix}", more=(*more, *mapped))
        video = probe(source)
        dubbed_sound(video, tmp_path / "mix.flac")
        (tmp_path / "dub.srt").write_text(SRT, encoding="utf-8")
        out = mux(video, tmp_path / "mix.flac", tmp_path, "de", NOTICE, tmp_path / "dub.srt")
        assert len(probe(out).subtitles) == 2
        data = bytearray()
        asked = [*input_arguments(out), "-map", "0:s:0", "-f", "srt", "pipe:1"]
        run_ffmpeg(asked, on_output=data.extend)
        assert b"Hello" in data
        saved = tmp_path / "saved.txt"
        run_ffmpeg([*input_arguments(out), "-f", "ffmetadata", "-y", str(saved)])
        assert "title=One" in saved.read_text()


def test_subtitles_that_only_their_container_takes_are_left_out(tmp_path):
    found = probe(video_file(tmp_path / "film.ts"))
    teletext = Track("subtitle", 0, "libzvbi_teletextdec", "deu", "", False)
    video = replace(found, tracks=(*found.tracks, teletext))
    dubbed_sound(video, tmp_path / "mix.flac")
    (tmp_path / "dub.srt").write_text(SRT, encoding="utf-8")
    out = mux(video, tmp_path / "mix.flac", tmp_path, "fr", NOTICE, tmp_path / "dub.srt")
    assert [track.language for track in probe(out).subtitles] == ["fre"]


def test_sound_alone_can_be_dubbed(tmp_path):
    source = tmp_path / "talk.m4a"
    run_ffmpeg(["-f", "lavfi", "-i", "sine=d=2.2:r=44100", "-c:a", "aac", "-y", str(source)])
    video = probe(source)
    assert (video.picture, video.container) == (False, "mp4")
    assert video.samples == round(2.2 * RATE)
    original = extract_audio(video, tmp_path / "o.flac")
    out = mux(video, original, tmp_path, "en", NOTICE)
    assert out.name == "talk.en.m4a"
    assert decoded(out, "0:a:1").size == video.samples


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nreal.mp4\n"),
        ("list.mkv", b"ffconcat version 1.0\nfile real.mp4\n"),
        ("text.mp4", b"only words\n" * 100),
        ("empty.mp4", b""),
        (
            "cut.mp4",
            b"\0\0\0\x20ftypisom\0\0\2\0isomiso2mp41\0\0\0\x08free\0\1\0\0mdat" + bytes(99),
        ),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, name, content):
    video_file(tmp_path / "real.mp4")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="is no video or audio file"):
        probe(tmp_path / name)


def test_a_video_that_is_not_there_or_has_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        probe(tmp_path / "absent.mp4")
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros(1000), RATE)
    with pytest.raises(UserError, match="half a second and a day"):
        probe(short)


def test_a_broken_copy_leaves_nothing(tmp_path):
    source = video_file(tmp_path / "film.mp4")
    video = probe(source)
    dubbed_sound(video, tmp_path / "mix.flac")
    data = source.read_bytes()
    source.write_bytes(data[:40] + b"junk" * (len(data) // 4))  # gone bad after it was looked into
    with pytest.raises(UserError, match="can't be put into a copy"):
        mux(video, tmp_path / "mix.flac", tmp_path / "out", "de", NOTICE)
    assert not list((tmp_path / "out").iterdir())


def test_sound_of_another_length_is_a_mistake_of_ours(tmp_path):
    video = probe(video_file(tmp_path / "film.mp4"))
    soundfile.write(tmp_path / "mix.flac", np.zeros(video.samples - 1), RATE)
    with pytest.raises(ValueError, match="samples"):
        mux(video, tmp_path / "mix.flac", tmp_path, "de", NOTICE)


@pytest.mark.parametrize(
    ("tag", "mp4", "others"),
    [
        ("en", "eng", "eng"),
        ("de-AT", "deu", "ger"),
        ("zh-Hans", "zho", "chi"),
        ("yue", "yue", "yue"),
        ("jpn", "jpn", "jpn"),
        ("", "und", "und"),
        ("und", "und", "und"),
        ("klingonese", "und", "und"),
    ],
)
def test_codes_of_languages(tag, mp4, others):
    assert language_code(tag, "mp4") == mp4
    assert language_code(tag, "matroska") == others


def test_the_notice_says_the_same_as_that_of_a_book():
    assert "synthetic" in NOTICE and "synthetic" in synthetic_notice("ada", "built-in")
    assert dub_notice(["ada"], "v4").count("“ada”") == 1
