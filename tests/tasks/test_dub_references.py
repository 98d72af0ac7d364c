"""Samples of a video's speakers: only their own, clean seconds, at the right places."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from model.engine import Engine
from model.speaking import Sample
from tasks.audio_in import load_sample
from tasks.dub_references import cut_samples, stretches_alone
from tasks.dub_types import RATE, SubtitleCue, Subtitles
from tasks.ffmpeg import run_ffmpeg

Said = tuple[float, float, str] | tuple[float, float, str, str]


def subtitles(*said: Said) -> Subtitles:
    """Subtitles of (start, end, speaker) in seconds, or (start, end, speaker, text)."""
    cues = [
        SubtitleCue(
            number,
            round(1000 * one[0]),
            round(1000 * one[1]),
            one[3] if len(one) > 3 else "Words.",
            "Words.",
            one[2],
            number + 1,
        )
        for number, one in enumerate(said)
    ]
    return Subtitles(tuple(cues), (), "srt", "utf-8", "en")


def alone(*said: Said) -> dict[str, list[tuple[int, int, tuple[int, ...]]]]:
    return {
        speaker: [(one.start_ms, one.end_ms, one.cues) for one in found]
        for speaker, found in stretches_alone(subtitles(*said).cues).items()
    }


def test_stretches_of_one_speaker() -> None:
    assert alone((0, 2, "A"), (2.5, 4, "A"), (5, 8, "A"), (9, 12, "B"), (12, 14.5, "A")) == {
        "A": [(0, 4000, (0, 1)), (5000, 8000, (2,)), (12_100, 14_500, (4,))],
        "B": [(9000, 11_900, (3,))],
    }


def test_nobody_else_and_no_sound_is_heard_in_them() -> None:
    assert alone((0, 9, "A"), (3, 4, "B"), (5, 8, "A")) == {"A": [(0, 2900, (0,))]}
    assert alone((0, 3, "A"), (1, 2, "", ""), (3, 6, "A")) == {"A": [(3100, 6000, (2,))]}
    assert alone((0, 3, "B"), (1, 6, "A")) == {"A": [(3100, 6000, (1,))]}


def test_cues_without_a_name_may_be_anybodys() -> None:
    assert alone((0, 3, ""), (3, 6, "")) == {"": [(0, 2900, (0,)), (3100, 6000, (1,))]}


def test_who_speaks_when_in_a_shared_cue_is_not_known() -> None:
    two = subtitles((0, 3, "A"), (3, 6, "B"), (7, 10, "A"))
    cues = [SubtitleCue(0, 0, 3000, "a", "a", "A", 1), SubtitleCue(1, 3000, 6000, "b", "b", "B", 1)]
    found = stretches_alone([*cues, two.cues[2]])
    assert [one.cues for group in found.values() for one in group] == [(2,)]


CUES = st.lists(
    st.tuples(
        st.integers(0, 4000),
        st.integers(0, 12_000),
        st.sampled_from(["A", "B", ""]),
        st.sampled_from(["", "x"]),
    ),
    max_size=20,
)


@given(CUES)
def test_stretches_are_apart_and_nobody_elses(drawn: list[tuple[int, int, str, str]]) -> None:
    at, said = 0, []
    for later, length, who, text in drawn:
        at += later
        said.append((at / 1000, (at + length) / 1000, who, text))
    cues = subtitles(*said).cues
    found = sorted(
        (one for group in stretches_alone(cues).values() for one in group),
        key=lambda one: one.start_ms,
    )
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(found))
    for one in found:
        assert 2000 <= one.end_ms - one.start_ms <= 10_000
        for cue in cues:
            if cue.index in one.cues:
                assert (cue.speaker, cue.text) == (one.speaker, "x")
            else:
                apart = cue.end_ms <= one.start_ms or cue.start_ms >= one.end_ms
                assert apart or cue.end_ms <= cue.start_ms


@pytest.fixture(scope="module")
def readers(shared: Path) -> dict[str, list[np.ndarray]]:
    """Three clips of two people, of at most 8 s, mono at `RATE`."""
    clips: dict[str, list[np.ndarray]] = {}
    for who in ("1688", "2033"):
        for number in ("0000", "0001", "0003"):
            path = shared / "voices" / f"librispeech_{who}-{number}.flac"
            audio, rate = soundfile.read(path, dtype="float32")
            clips.setdefault(who, []).append(soxr.resample(audio[: 8 * rate], rate, RATE))
    return clips


@pytest.fixture(scope="module")
def voice_vector() -> Callable[[np.ndarray, int], np.ndarray]:
    engine = Engine.load()
    return lambda audio, rate: engine.voice_vector(Sample(audio, rate))


def film(folder: Path, parts: list[np.ndarray], offset: float = 0.0) -> tuple[Path, list[float]]:
    """A video with these parts one after the other, a second apart, and where they begin; its
    sound begins `offset` seconds later than its picture."""
    starts, at = [], 0.0
    sounds = []
    for part in parts:
        starts.append(at + offset)
        sounds += [part, np.zeros(RATE, np.float32)]
        at += len(part) / RATE + 1.0
    wav, video = folder / "film.wav", folder / "film.mkv"
    soundfile.write(wav, np.concatenate(sounds), RATE, subtype="PCM_16")
    picture = f"color=c=black:s=32x32:r=5:d={at + offset:.2f}"
    run_ffmpeg(
        [
            *("-f", "lavfi", "-i", picture, "-itsoffset", f"{offset}", "-i", str(wav)),
            *("-map", "0:v", "-map", "1:a", "-c:v", "mpeg4", "-c:a", "flac", "-y", str(video)),
        ]
    )
    return video, starts


def test_samples_of_two_speakers(
    tmp_path: Path,
    readers: dict[str, list[np.ndarray]],
    voice_vector: Callable[[np.ndarray, int], np.ndarray],
) -> None:
    one, two = readers["1688"], readers["2033"]
    hum = 0.1 * np.sin(2 * np.pi * 220 * np.arange(len(two[1])) / RATE).astype(np.float32)
    parts = [one[0], two[2], two[0], two[1] + hum, one[1]]
    video, starts = film(tmp_path, parts, offset=0.7)
    ends = [start + len(part) / RATE for start, part in zip(starts, parts, strict=True)]
    names = ["A/1", "B", "B", "B", "A/1"]
    after = ends[-1] + 2.0  # where the film is over
    told = subtitles(
        *zip(starts, ends, names, strict=True),
        (after, after + 1, "C"),
        (after + 3, after + 6, "D"),
    )
    fractions: list[float] = []
    folder = tmp_path / "samples"
    made = cut_samples(video, told, ["B", "A/1", "C", "D"], folder, voice_vector, fractions.append)
    b, a, c, d = made
    assert [sample.speaker for sample in made] == ["B", "A/1", "C", "D"]
    assert b.cues and set(b.cues) <= {1, 2} and 5.0 <= b.seconds <= 10.0 and not b.why_not
    assert c.path is None and "2 s" in c.why_not
    assert d.path is None and "hardly any speech" in d.why_not
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    # What is in the sample of A is what A says there.
    assert a.path and a.path.parent == folder
    sound, rate = soundfile.read(a.path, dtype="float32")
    assert rate == RATE and abs(len(sound) / RATE - a.seconds) < 0.02
    for number in a.cues:
        part = parts[number]
        probe = part[2 * RATE : 3 * RATE]
        places = soxr.resample(sound, RATE, 8000), soxr.resample(probe, RATE, 8000)
        match = np.correlate(places[0], places[1], "valid").max()
        assert match > 0.95 * float(np.square(places[1]).sum())
    load_sample(a.path)  # it will do as a voice
    before = a.path.read_bytes()
    assert cut_samples(video, told, ["A/1"], folder, voice_vector) == [a]
    assert a.path.read_bytes() == before


def test_a_line_of_somebody_else_is_left_out(
    tmp_path: Path,
    readers: dict[str, list[np.ndarray]],
    voice_vector: Callable[[np.ndarray, int], np.ndarray],
) -> None:
    parts = [clip[: 5 * RATE] for clip in (*readers["2033"], readers["1688"][0])]
    video, starts = film(tmp_path, parts)
    told = subtitles(*((start, start + 5.0, "B") for start in starts))
    (b,) = cut_samples(video, told, ["B"], tmp_path, voice_vector)
    assert b.path and 3 not in b.cues and len(b.cues) >= 2


def test_what_has_no_sound(tmp_path: Path) -> None:
    video = tmp_path / "silent.mkv"
    run_ffmpeg(["-f", "lavfi", "-i", "color=c=black:s=32x32:r=5:d=1", "-y", str(video)])
    text = tmp_path / "text.mkv"
    text.write_text("no video")
    for path in (video, text, tmp_path / "none.mkv"):
        with pytest.raises(UserError):
            cut_samples(path, subtitles((0, 3, "A")), ["A"], tmp_path, lambda a, r: a)
