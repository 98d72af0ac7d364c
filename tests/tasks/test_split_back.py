"""A line's take is split between its cues: where words end, at pauses, and no sound is lost."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.engine import Engine
from model.speaking import Request, Sample
from tasks.audio_in import load_sample
from tasks.dub_plan import plan_dub
from tasks.dub_types import DubLine, SubtitleCue, Subtitles
from tasks.lexicon import Entry, Lexicon
from tasks.plan import NO_LEXICON
from tasks.split_back import split_take

RATE = 24_000
HOP = 120  # 5 ms
FRAME = RATE // 50
UNKNOWN = np.zeros((0, 2), np.int16)


def line_of(*texts: str, lexicon: Lexicon = NO_LEXICON) -> DubLine:
    """One line with these cues, one after the other."""
    cues = [
        SubtitleCue(number, 2000 * number, 2000 * number + 2000, text, text, "", number + 1)
        for number, text in enumerate(texts)
    ]
    (line,) = plan_dub(Subtitles(tuple(cues), (), "srt", "utf-8", "en"), "en", lexicon=lexicon)
    assert len(line.parts) == len(texts)
    return line


def tone(seconds: float, level: float = 0.3) -> np.ndarray:
    phase = 2 * np.pi * 400 * np.arange(round(seconds * RATE)) / RATE
    return (level * np.cos(phase)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def evenly(line: DubLine, bounds: list[tuple[float, float]]) -> np.ndarray:
    """Times of the phones of a line, whose parts are said from and to these seconds."""
    times = np.zeros((len(line.utterance.phones), 2), np.int16)
    phone = 0
    counts = [0] * len(line.parts)
    for token in line.utterance.tokens:
        place = next(n for n, part in enumerate(line.parts) if token.start < part.end)
        counts[place] += token.phones
    counts[-1] += len(times) - sum(counts)
    for count, (start, end) in zip(counts, bounds, strict=True):
        edges = np.rint(np.linspace(start, end, count + 1) * 50)
        times[phone : phone + count] = np.stack([edges[:-1], edges[1:]], 1)
        phone += count
    return times


TWO = line_of("I went to see the sea and", "its ships with all my friends.")


def test_a_pause_between_cues_is_in_neither() -> None:
    audio = np.concatenate([silence(0.2), tone(1.0), silence(0.4), tone(1.2), silence(0.3)])
    times = evenly(TWO, [(0.2, 1.2), (1.6, 2.8)])
    for known in (times, UNKNOWN):
        first, second = split_take(TWO, audio, RATE, known)
        assert (first.line, first.cue, second.cue) == (0, 0, 1)
        assert len(first.audio) == round(1.06 * RATE)
        assert len(second.audio) == round(1.26 * RATE)
        for piece in (first, second):
            assert piece.audio.dtype == np.float32
            assert piece.lead == round(0.02 * RATE)
            assert not piece.audio[: piece.lead].any()
            assert np.abs(piece.audio[piece.lead : piece.lead + HOP]).max() > 0.2


def test_a_cut_without_a_pause_is_where_it_is_quietest() -> None:
    dip = tone(0.02, 0.03)
    audio = np.concatenate([tone(1.0), dip, tone(1.0)])
    for off in (-0.04, 0.0, 0.04):  # times are not exact
        first, second = split_take(TWO, audio, RATE, evenly(TWO, [(0, 1.0 + off), (1.0 + off, 2)]))
        assert 1.0 * RATE <= len(first.audio) <= 1.02 * RATE
        np.testing.assert_array_equal(np.concatenate([first.audio, second.audio]), audio)
        assert second.lead == 0


def test_noise_in_the_pause_between_two_cues_is_no_sound() -> None:
    noise = tone(0.4, 0.3 * 10 ** (-30 / 20))
    audio = np.concatenate([tone(1.0), noise, tone(1.2)])
    late = evenly(TWO, [(0, 1.0), (1.46, 2.6)])  # as phone times are after a pause
    first, second = split_take(TWO, audio, RATE, late)
    assert len(first.audio) == round(1.04 * RATE)
    assert (second.lead, len(second.audio)) == (round(0.02 * RATE), round(1.22 * RATE))


def test_long_pauses_in_a_cue_are_cut_short() -> None:
    audio = np.concatenate([tone(0.5), silence(0.9), tone(0.5), silence(0.2), tone(0.5)])
    (piece,) = split_take(line_of("He came. He saw. He left."), audio, RATE, UNKNOWN)
    assert len(piece.audio) == round((0.5 + 0.25 + 0.5 + 0.2 + 0.5) * RATE)
    assert np.abs(np.diff(piece.audio)).max() <= np.abs(np.diff(audio)).max() + 1e-6


def test_shares_find_the_pause_at_a_mark() -> None:
    line = line_of("Emo,", "it is not safe here;", "no.")
    audio = np.concatenate(
        [tone(0.5), silence(0.15), tone(0.6), silence(0.1), tone(0.6), silence(0.2), tone(0.3)]
    )
    pieces = split_take(line, audio, RATE, UNKNOWN)
    assert [round(len(piece.audio) / RATE, 2) for piece in pieces] == [0.54, 1.36, 0.32]


def test_a_part_that_has_no_sound_of_its_own() -> None:
    lexicon = Lexicon({"New York": Entry("New York", say="noo-york")})
    line = line_of("I went to see my friends in New", "York.", lexicon=lexicon)
    audio = np.concatenate([tone(1.0), silence(0.3)])
    times = evenly(line, [(0.0, 1.0), (1.0, 1.3)])
    first, second = split_take(line, audio, RATE, times)
    assert (len(first.audio), len(second.audio)) == (round(1.04 * RATE), 0)


@pytest.mark.parametrize("audio", [silence(0.0), silence(1.0)])
def test_a_take_without_sound(audio: np.ndarray) -> None:
    pieces = split_take(TWO, audio, RATE, UNKNOWN)
    assert [len(piece.audio) for piece in pieces] == [0, 0]
    times = evenly(TWO, [(0.0, 0.5), (0.5, 1.0)])
    assert [len(piece.audio) for piece in split_take(TWO, audio, RATE, times)] == [0, 0]


@pytest.mark.parametrize("audio", [np.zeros((2, 9), np.float32), np.full(9, np.nan, np.float32)])
def test_what_is_no_sound(audio: np.ndarray) -> None:
    with pytest.raises(ValueError, match="mono"):
        split_take(TWO, audio, RATE, UNKNOWN)


SOUND = st.lists(
    st.tuples(st.floats(0.0, 0.8), st.sampled_from([0.0, 0.0, 1e-4, 0.01, 0.3])), max_size=12
)
THREE = line_of("I went to see the sea and", "its ships with all", "my friends.")


@settings(max_examples=150)
@given(SOUND, st.booleans(), st.lists(st.integers(0, 500), min_size=60, max_size=60))
def test_every_sound_is_in_a_piece(
    drawn: list[tuple[float, float]], known: bool, places: list[int]
) -> None:
    rng = np.random.default_rng(len(drawn))
    audio = np.concatenate(
        [np.zeros(0), *(level * rng.standard_normal(round(s * RATE)) for s, level in drawn)]
    ).astype(np.float32)
    edges = np.sort(places[: len(THREE.utterance.phones) + 1])
    times = np.stack([edges[:-1], edges[1:]], 1).astype(np.int16) if known else UNKNOWN
    pieces = split_take(THREE, audio, RATE, times)
    assert [piece.cue for piece in pieces] == [0, 1, 2]
    frames = [audio[at : at + HOP] for at in range(0, len(audio), HOP)]
    levels = [float(np.sqrt(np.mean(np.square(frame, dtype=np.float64)))) for frame in frames]
    # Between two cues, what is less than 18 dB under the loudest sound may be noise.
    least = max(levels, default=0.0) * 10 ** ((-18 if known else -40) / 20)
    held = b"|".join(piece.audio.tobytes() for piece in pieces)
    at = 0
    for frame, level in zip(frames, levels, strict=True):
        if level > 1.001 * max(least, 10 ** (-66 / 20)):
            at = held.index(frame.tobytes(), at) + frame.nbytes  # in order, and as it was
    assert all(0 <= piece.lead <= round(0.02 * RATE) for piece in pieces)
    assert sum(len(piece.audio) for piece in pieces) <= len(audio)
    assert all(a.cue < b.cue for a, b in pairwise(pieces))


@pytest.mark.slow
def test_takes_of_the_built_in_voice(root: Path) -> None:
    engine = Engine.load()
    audio, rate = load_sample(root / "demo" / "voice.flac")
    reference = engine.reference([Sample(audio, rate)])
    lines = [
        line_of("The keeper of the lighthouse", "tapped the barometer and waited."),
        line_of("When the storm was over at last,", "the ship came back,", "but nobody was in it."),
        line_of("I have always wanted to see", "the gardens of Babylon."),
    ]
    requests = [Request(line.utterance.phones, seed=7) for line in lines]
    for line, made in zip(lines, engine.render(requests, reference), strict=True):
        pieces = split_take(line, made.audio, engine.sample_rate, made.times)
        # 10 ms windows, each millisecond; sound is 40 dB under the loudest.
        loudest = envelope(made.audio, engine.sample_rate).max()
        for piece in pieces:
            heard = envelope(piece.audio, engine.sample_rate) > loudest / 100
            assert abs(int(heard.argmax()) + 5 - 1000 * piece.lead / engine.sample_rate) <= 15
        held = sum(float(np.square(piece.audio, dtype=np.float64).sum()) for piece in pieces)
        assert held > 0.998 * float(np.square(made.audio, dtype=np.float64).sum())


def envelope(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    step, window = sample_rate // 1000, sample_rate // 100
    energy = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
    places = np.arange(0, len(audio) - window, step)
    return np.sqrt((energy[places + window] - energy[places]) / window)
