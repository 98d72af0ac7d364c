"""Forced alignment: known answers, what holds for every answer, phones whose times are known."""

import io
import json
import tarfile
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from model.alignment import AlignedPhone, align, align_frames, is_sound, log_probabilities
from model.checkpoint import load_model
from model.engine import PRETRAINED
from model.recogniser import PHONES, SAMPLE_RATE, SILENCE, Recogniser
from model.training.alignment import timed_phones

FRAME = 0.02


def frames_of(*runs: tuple[str, int], sure: float = 0.9) -> np.ndarray:
    """(frames, classes) log-probabilities in which each run's class is likely for its frames."""
    labels = [PHONES.index(name) for name, length in runs for _ in range(length)]
    probabilities = np.full((len(labels), len(PHONES)), (1 - sure) / (len(PHONES) - 1))
    probabilities[np.arange(len(labels)), labels] = sure
    return np.log(probabilities).astype(np.float32)


def times(aligned: list[AlignedPhone]) -> list[tuple[int, int]]:
    return [(round(one.start / FRAME), round(one.end / FRAME)) for one in aligned]


def test_phones_marks_and_silences_get_their_frames() -> None:
    log_probs = frames_of((SILENCE, 4), ("N", 3), ("OW", 9), (SILENCE, 5), ("OW", 6), (SILENCE, 2))
    aligned = align_frames(log_probs, ("N", "OW1", ",", "OW2", "."))
    assert [one.phone for one in aligned] == ["N", "OW1", ",", "OW2", "."]
    assert times(aligned) == [(4, 7), (7, 16), (16, 21), (21, 27), (27, 29)]
    assert all(one.score == pytest.approx(np.log(0.9), abs=1e-6) for one in aligned)


def test_a_mark_without_a_pause_takes_no_time() -> None:
    aligned = align_frames(frames_of(("N", 3), ("OW", 4), ("N", 3)), ("N", "OW1", ",", "N", "."))
    assert times(aligned) == [(0, 3), (3, 7), (7, 7), (7, 10), (10, 10)]
    assert aligned[2].score == 0


def test_silence_without_a_mark_belongs_to_nobody() -> None:
    aligned = align_frames(frames_of(("N", 3), (SILENCE, 6), ("OW", 4)), ("N", "OW1"))
    assert times(aligned) == [(0, 3), (9, 13)]


def test_a_pause_of_several_marks_is_the_firsts() -> None:
    aligned = align_frames(frames_of(("N", 3), (SILENCE, 6), ("OW", 4)), ("N", ",", "…", "OW1"))
    assert times(aligned) == [(0, 3), (3, 9), (9, 9), (9, 13)]


def test_equal_neighbours_share_their_frames() -> None:
    aligned = align_frames(frames_of(("S", 6), (SILENCE, 1), ("S", 3)), ("S", "S"))
    assert times(aligned) == [(0, 6), (7, 10)]
    aligned = align_frames(frames_of(("S", 6)), ("S", "S"))
    assert aligned[0].start == 0
    assert aligned[0].end == aligned[1].start
    assert aligned[1].end == pytest.approx(6 * FRAME)


def test_a_word_that_nobody_said_scores_badly() -> None:
    log_probs = frames_of(("N", 5), ("OW", 9), ("S", 8))
    there = align_frames(log_probs, ("N", "OW1", "S"))
    lost = align_frames(log_probs, ("N", "OW1", "K", "AE1", "T", "S"))
    assert min(one.score for one in there) > -0.2
    assert all(one.score < -3 for one in lost[2:5])


def test_what_is_no_english_phone_may_be_any_sound() -> None:
    aligned = align_frames(frames_of((SILENCE, 4), ("S", 5), ("IY", 6)), ("UNK", "IY1"))
    assert times(aligned) == [(4, 9), (9, 15)]


def test_more_sounds_than_frames() -> None:
    assert times(align_frames(frames_of(("N", 2)), ("N", "OW1"))) == [(0, 1), (1, 2)]
    with pytest.raises(ValueError, match="too few for 3 sounds"):
        align_frames(frames_of(("N", 2)), ("N", "OW1", "N"))


def test_nothing_to_say() -> None:
    assert align_frames(frames_of((SILENCE, 5)), ()) == []
    assert times(align_frames(frames_of((SILENCE, 5)), (".",))) == [(0, 5)]
    assert times(align_frames(frames_of(), (".",))) == [(0, 0)]


SYMBOLS = st.sampled_from(["N", "OW1", "S", "IY0", "UNK", ",", ".", "…", "-"])


@given(st.lists(SYMBOLS, max_size=12), st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_every_alignment_is_in_order(phones: list[str], more: int, seed: int) -> None:
    sounds = sum(map(is_sound, phones))
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(sounds + more, len(PHONES)), scale=3)
    log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    aligned = align_frames(log_probs.astype(np.float32), phones)
    assert [one.phone for one in aligned] == phones
    before = 0.0
    for one in aligned:
        assert one.start >= before
        assert one.end >= one.start + (FRAME - 1e-9 if is_sound(one.phone) else 0)
        assert one.score <= 0
        before = one.end
    assert before <= (sounds + more) * FRAME + 1e-9


@given(st.lists(st.sampled_from(["N", "OW", "S"]), min_size=1, max_size=4), st.integers(0, 2**32))
def test_no_other_path_is_better(names: list[str], seed: int) -> None:
    """Against all paths through seven frames."""
    frames = 7
    logits = np.random.default_rng(seed).normal(size=(frames, len(PHONES)), scale=2)
    states = [part for name in names for part in (SILENCE, name)] + [SILENCE]

    @cache
    def best(frame: int, state: int) -> float:
        here = logits[frame, PHONES.index(states[state])]
        if frame == 0:
            return float(here) if state < 2 else -np.inf
        ways = [state, state - 1, state - 2] if state % 2 else [state, state - 1]
        return float(here) + max(best(frame - 1, way) for way in ways if way >= 0)

    aligned = align_frames(logits.astype(np.float32), names)
    labels = [SILENCE] * frames
    for one in aligned:
        for frame in range(round(one.start / FRAME), round(one.end / FRAME)):
            labels[frame] = one.phone
    found = sum(logits[frame, PHONES.index(label)] for frame, label in enumerate(labels))
    last = len(states) - 1
    expected = max(best(frames - 1, last), best(frames - 1, last - 1))
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return load_model(PRETRAINED).recogniser


def test_more_than_thirty_seconds(recogniser: Recogniser) -> None:
    with pytest.raises(ValueError, match="30 s"):
        align(recogniser, np.zeros(30 * SAMPLE_RATE + 1, np.float32), ("N",))


def test_no_audio(recogniser: Recogniser) -> None:
    assert log_probabilities(recogniser, np.zeros(100, np.float32)).shape == (0, len(PHONES))


def test_a_search_takes_no_time() -> None:
    draw = np.random.default_rng(0)
    log_probs = draw.normal(size=(1500, len(PHONES))).astype(np.float32)
    started = time.process_time()
    align_frames(log_probs, ("N", "OW1", "S", "IY0", ",") * 60)
    assert time.process_time() - started < 0.5  # 0.03 s on a free core


def test_phone_times_of_the_corpus_are_found(recogniser: Recogniser, shared: Path) -> None:
    """The corpus knows its phone times exactly; nearly all boundaries are found to 50 ms."""
    with (shared / "corpus" / "manifest.jsonl").open(encoding="utf-8") as lines:
        rows = {row["id"]: row for row in map(json.loads, lines)}
    errors = []
    with tarfile.open(shared / "corpus" / "audio-05.tar") as archive:
        members = [member for member in archive if member.isfile()][:8]
        for member in members:
            data = archive.extractfile(member)
            assert data is not None
            audio, rate = soundfile.read(io.BytesIO(data.read()), dtype="float32")
            truth = timed_phones(rows[Path(member.name).stem])
            low = soxr.resample(audio, rate, SAMPLE_RATE)
            aligned = align(recogniser, low, [one.phone for one in truth])
            for one, known in zip(aligned, truth, strict=True):
                if known.word >= 0:
                    errors += [abs(one.start - known.start), abs(one.end - known.end)]
    assert np.median(errors) < 0.015
    assert np.quantile(errors, 0.95) < 0.05
