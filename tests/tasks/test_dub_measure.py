"""What is measured of a dubbed track is what is in the file, not what was planned."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from configs.errors import UserError
from tasks.dub_fit import Measure, measure_piece, place
from tasks.dub_measure import measure_dub
from tasks.dub_types import RATE, Piece, SubtitleCue
from tasks.levels import sound_bounds, sound_frames
from tasks.stretch import fitted_piece

MS = RATE // 1000
SECONDS = 40
SAMPLES = SECONDS * RATE


def cue(index, start_ms, end_ms, speaker="A"):
    return SubtitleCue(index, start_ms, end_ms, "words", "words", speaker, index + 1)


CUES = [cue(n, 4000 * n + 1000, 4000 * n + 3000, "AB"[n % 2]) for n in range(9)]
PLACEMENTS = place([Measure(one.index, one.index, one.speaker, 2000 * MS) for one in CUES], CUES)


def render(folder, placements=PLACEMENTS, samples=SAMPLES, late_ms=lambda seconds: 0.0, gain=None):
    """Noise where something is placed, a file for each speaker and one of all."""
    draw = np.random.default_rng(3)
    tracks = {speaker: np.zeros(samples, np.float32) for speaker in "AB"}
    for number, one in enumerate(placements):
        start = one.start + round(late_ms(one.start / RATE) * MS)
        level = 0.1 if gain is None else gain[number]
        noise = level * draw.standard_normal(one.samples).astype(np.float32)
        track = tracks[one.speaker]
        track[start : start + one.samples] += noise[: max(0, samples - start)]
    stems = {speaker: folder / f"{speaker}.wav" for speaker in tracks}
    for speaker, track in tracks.items():
        soundfile.write(stems[speaker], track, RATE, subtype="PCM_24")
    soundfile.write(folder / "dub.wav", sum(tracks.values()), RATE, subtype="PCM_24")
    return folder / "dub.wav", stems


def measure(folder, cues=CUES, placements=PLACEMENTS, speeds=None, samples=SAMPLES, **rendered):
    dub, stems = render(folder, placements, **rendered)
    return measure_dub(dub, stems, placements, cues, speeds or {}, samples)


def bars(measured):
    return {bar.name: bar for bar in measured.bars}


def failed(measured):
    return {bar.name for bar in measured.bars if not bar.passed}


def test_a_good_dub_meets_every_bar(tmp_path):
    measured = measure(tmp_path)
    assert failed(measured) == set() and measured.passed
    assert bars(measured)["onset_error_p95_ms"].value <= 1.0
    assert all(bar.excellent for bar in measured.bars)
    assert measured.drift_ms_per_hour == pytest.approx(0.0, abs=0.1)
    assert measured.iou == pytest.approx(1.0, abs=0.02)
    assert measured.alike_share == 1.0
    assert [round(one.end_ms - one.onset_ms) for one in measured.cues] == [2000] * 9


def test_a_late_track_is_seen_though_the_plan_says_otherwise(tmp_path):
    measured = measure(tmp_path, late_ms=lambda seconds: 100.0)
    assert {"onset_error_p50_ms", "onset_error_p95_ms"} <= failed(measured)
    assert bars(measured)["onset_error_p50_ms"].value == pytest.approx(100.0, abs=1.0)


def test_an_early_track_is_seen(tmp_path):
    measured = measure(tmp_path, late_ms=lambda seconds: -80.0)
    assert bars(measured)["early_share"].value == 100.0
    assert {cue.error_ms < -75 for cue in measured.cues} == {True}


def test_drift_is_seen(tmp_path):
    """One part in a thousand: 3.6 s in an hour."""
    measured = measure(tmp_path, late_ms=lambda seconds: seconds)
    assert "drift_ms_per_hour" in failed(measured)
    assert measured.drift_ms_per_hour == pytest.approx(3600, rel=0.05)


def test_a_handful_of_cues_is_no_evidence_of_drift(tmp_path):
    measured = measure(tmp_path, CUES[:4], PLACEMENTS[:4], late_ms=lambda seconds: seconds / 10)
    assert measured.drift_ms_per_hour is None
    assert "drift_ms_per_hour" not in failed(measured)


def test_a_silent_cue_is_seen(tmp_path):
    measured = measure(tmp_path, gain=[0.1] * 8 + [0.0])
    assert failed(measured) == {"cues_not_heard"}
    assert measured.cues[8].onset_ms is None and measured.cues[8].error_ms is None


def test_a_cue_without_a_piece_is_told(tmp_path):
    measured = measure(tmp_path, placements=PLACEMENTS[:-1])
    assert bars(measured)["cues_not_heard"].value == 1
    assert measured.cues[8].problem == "is not heard"


def test_speakers_who_overlap_against_their_subtitles_are_seen(tmp_path):
    placements = [replace(PLACEMENTS[0], samples=3500 * MS), *PLACEMENTS[1:]]
    measured = measure(tmp_path, placements=placements)
    assert "overlaps" not in failed(measured)  # 4.5 s, when the next begins at 5 s
    placements = [replace(PLACEMENTS[0], samples=4500 * MS), *PLACEMENTS[1:]]
    measured = measure(tmp_path, placements=placements)
    assert {"overlaps", "overlap_ms"} <= failed(measured)
    assert measured.overlaps == ((5000.0, 5500.0),)
    assert measured.cues[0].overrun_ms == pytest.approx(500, abs=2)


def test_speakers_may_overlap_where_their_subtitles_do(tmp_path):
    cues = [cue(0, 1000, 6000, "A"), *CUES[1:]]
    placements = [replace(PLACEMENTS[0], samples=4500 * MS), *PLACEMENTS[1:]]
    assert measure(tmp_path, cues=cues, placements=placements).overlaps == ()


def test_a_speaker_who_overlaps_himself_is_seen(tmp_path):
    second = replace(PLACEMENTS[1], start=2500 * MS, speaker="A")
    measured = measure(tmp_path, placements=[PLACEMENTS[0], second, *PLACEMENTS[2:]])
    assert (2500.0, 3000.0) in measured.overlaps


def test_rates_are_those_of_model_and_stretching_together(tmp_path):
    speeds = dict.fromkeys(range(3), 1.15)
    placements = [replace(one, rate=1.2) for one in PLACEMENTS]
    measured = measure(tmp_path, placements=placements, speeds=speeds)
    assert measured.cues[0].rate == pytest.approx(1.38)
    assert "unhurried_share" in failed(measured)
    assert bars(measured)["rate_max"].value == pytest.approx(1.38)
    assert not bars(measured)["rate_max"].excellent


def test_uneven_loudness_is_seen(tmp_path):
    measured = measure(tmp_path, gain=[0.1, 0.01, 0.3] * 3)
    assert "loudness_spread_lu" in failed(measured)
    assert measured.cues[0].lufs - measured.cues[1].lufs == pytest.approx(20.0, abs=0.5)


def test_nothing_to_say_is_no_failure(tmp_path):
    measured = measure(tmp_path, cues=[], placements=[])
    assert measured.cues == () and measured.passed
    assert measured.drift_ms_per_hour is None and measured.iou is None


def test_words_that_a_recogniser_missed_count(tmp_path):
    dub, stems = render(tmp_path)
    measured = measure_dub(dub, stems, PLACEMENTS, CUES, {}, SAMPLES, words_lost=0.05)
    assert failed(measured) == {"words_lost"}


def test_a_free_dub_is_not_asked_for_its_onsets(tmp_path):
    dub, stems = render(tmp_path, late_ms=lambda seconds: 200.0)
    measured = measure_dub(dub, stems, PLACEMENTS, CUES, {}, SAMPLES, "free")
    assert measured.passed and "onset_error_p50_ms" not in bars(measured)


def test_a_broken_file_is_a_sentence(tmp_path):
    dub, stems = render(tmp_path)
    stems["A"].write_bytes(b"no sound")
    with pytest.raises(UserError, match=r"A\.wav could not be measured"):
        measure_dub(dub, stems, PLACEMENTS, CUES, {}, SAMPLES)


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_sample_too_many_or_too_few_is_seen(tmp_path, wrong):
    dub, stems = render(tmp_path, samples=SAMPLES + wrong)
    measured = measure_dub(dub, stems, PLACEMENTS, CUES, {}, SAMPLES)
    assert failed(measured) == {"length_error"}
    assert measured.samples == SAMPLES + wrong


def test_recorded_speech_that_is_stretched_is_heard_on_time(tmp_path, shared):
    """From the fitting to the measuring: lines that need rates of 1 to 1.25."""
    speech, rate = soundfile.read(shared / "voices/librispeech_1688-0000.flac", dtype="float32")
    cues = [cue(n, 2000 * n + 500, 2000 * n + 2500) for n in range(5)]
    pieces = []
    for one in cues:
        whole = speech[one.index * 3 * rate :][: round((1.7 + 0.15 * one.index) * rate)]
        sounding = sound_frames(whole, rate, 40.0, -60.0)
        kept = sound_bounds(sounding, whole.size, rate, 0.0)
        lead = min(kept.start, rate // 50)
        pieces.append(Piece(one.index, one.index, whole[kept.start - lead : kept.stop], lead))
    placements = place([measure_piece(piece, "A", rate) for piece in pieces], cues)
    assert max(placed.rate for placed in placements) > 1.05
    track = np.zeros(SAMPLES, np.float32)
    for piece, placed in zip(pieces, placements, strict=True):
        start, audio = fitted_piece(piece, rate, placed)
        track[start : start + audio.size] += audio
    soundfile.write(tmp_path / "dub.wav", track, RATE, subtype="PCM_24")
    dub = tmp_path / "dub.wav"
    measured = measure_dub(dub, {"A": dub}, placements, cues, {}, SAMPLES)
    assert failed(measured) <= {"loudness_spread_lu"}
    assert all(-10 <= one.error_ms <= 15 for one in measured.cues)
