"""Speech is fitted to subtitles: starts are kept, nothing overlaps, nobody is hurried."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dub_fit import (
    HARD_LIMIT,
    MODES,
    SOFT_LIMIT,
    LineRoom,
    Measure,
    choose_speed,
    cue_rooms,
    isotonic,
    line_room,
    measure_piece,
    place,
)
from tasks.dub_types import RATE, Part, Piece, Placement, SubtitleCue

MS = RATE // 1000


def cue(index, start_ms, end_ms, speaker="A", text="some words"):
    return SubtitleCue(index, start_ms, end_ms, text, text, speaker, index + 1)


def measure(index, ms, speaker="A", line=None, speed=1.0):
    return Measure(index if line is None else line, index, speaker, round(ms * MS), speed)


def ends(placement: Placement) -> int:
    return placement.start + placement.samples


def errors_ms(placements, cues):
    starts = {one.index: one.start_ms for one in cues}
    return [placed.start / MS - starts[placed.cue] for placed in placements]


# Subtitles of up to three speakers who may talk at once, and how long their speech takes.
timelines = st.lists(
    st.tuples(
        st.integers(0, 4000),  # after the start of the one before
        st.integers(1, 5000),  # shown
        st.integers(1, 9000),  # spoken
        st.sampled_from("ABC"),
        st.sampled_from([0.92, 1.0, 1.15]),
    ),
    min_size=1,
    max_size=25,
)


def timeline(rows):
    cues, measures, start = [], [], 0
    for index, (after, shown, spoken, speaker, speed) in enumerate(rows):
        start += after
        cues.append(cue(index, start, start + shown, speaker))
        measures.append(measure(index, spoken, speaker, speed=speed))
    return cues, measures


class TestRooms:
    def test_speech_is_over_before_its_speaker_goes_on(self):
        rooms = cue_rooms([cue(0, 1000, 2000), cue(1, 4000, 5000)])
        assert (rooms[0].start, rooms[0].shown_until) == (1000 * MS, 2000 * MS)
        assert rooms[0].latest == 3950 * MS

    def test_another_speaker_is_waited_for_unless_both_talk_at_once(self):
        cues = [cue(0, 0, 2000, "A"), cue(1, 1000, 3000, "B"), cue(2, 3500, 4000, "B")]
        rooms = cue_rooms(cues)
        assert rooms[0].latest == 3500 * MS
        assert rooms[1].latest == 3450 * MS

    def test_what_is_not_spoken_takes_no_room(self):
        rooms = cue_rooms([cue(0, 0, 1000), cue(1, 2000, 3000, text=""), cue(2, 9000, 9500)])
        assert set(rooms) == {0, 2}
        assert rooms[0].latest == 8950 * MS

    def test_the_last_one_has_room_until_the_video_ends(self):
        assert cue_rooms([cue(0, 0, 1000)], total=1500 * MS)[0].latest == 1500 * MS

    def test_of_a_shared_cue_a_line_has_its_share(self):
        cues = {0: cue(0, 0, 2000, text="abcdefgh"), 1: cue(1, 2000, 4050, text="abcd")}
        rooms = cue_rooms([*cues.values(), cue(2, 4100, 5000)])
        room = line_room([Part(0, 0, 4), Part(1, 5, 9)], cues, rooms)
        assert room.shown == pytest.approx(1.0 + 2.05)
        assert room.most == pytest.approx(1.95 / 2 + 2.05)


class TestSpeed:
    def test_what_fits_is_spoken_as_it_comes(self):
        assert choose_speed([2.0], LineRoom(2.1, 2.5)) == choose_speed([2.0, 3.0], LineRoom(2, 2))
        assert choose_speed([2.0], LineRoom(2.1, 2.5)).speed == 1.0

    def test_the_candidate_that_fits_is_better_than_speed(self):
        assert choose_speed([2.6, 2.2, 2.4], LineRoom(2.2, 2.25)).candidate == 1

    def test_speed_is_what_is_needed_and_no_more_than_the_model_can(self):
        assert choose_speed([2.2], LineRoom(2.0, 2.0)).speed == pytest.approx(1.10)
        assert choose_speed([4.0], LineRoom(2.0, 2.0)).speed == pytest.approx(1.15)

    def test_a_long_subtitle_slows_speech_a_little(self):
        assert 0.92 <= choose_speed([1.0], LineRoom(3.0, 3.0)).speed < 1.0

    def test_free_is_as_it_comes(self):
        choice = choose_speed([4.0, 2.0], LineRoom(2.0, 2.0), "free")
        assert (choice.candidate, choice.speed) == (0, 1.0)

    def test_without_candidates_there_is_nothing_to_choose(self):
        with pytest.raises(ValueError, match="candidate"):
            choose_speed([], LineRoom(2.0, 2.0))

    @given(st.lists(st.floats(0, 60), min_size=1, max_size=5), st.floats(0, 60), st.floats(0, 60))
    def test_it_is_always_a_hundredth_within_its_bounds(self, seconds, shown, most):
        choice = choose_speed(seconds, LineRoom(shown, most))
        assert 0 <= choice.candidate < len(seconds)
        assert 0.92 <= choice.speed <= 1.15
        assert round(choice.speed * 100) / 100 == choice.speed


class TestIsotonic:
    @settings(max_examples=150)
    @given(
        st.lists(
            st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)),
            min_size=1,
            max_size=5,
        )
    )
    def test_it_is_the_optimum_that_trying_all_finds(self, rows):
        """On integers and halves of them, with bounds that can be kept."""
        wanted = [row[0] for row in rows]
        lowest = list(itertools.accumulate((min(row[1:]) for row in rows), min))
        highest = list(itertools.accumulate((max(row[1:]) for row in rows), max))
        grid = np.arange(0, 7)
        least = min(
            sum((value - want) ** 2 for value, want in zip(values, wanted, strict=True))
            for values in itertools.combinations_with_replacement(grid, len(wanted))
            if all(
                low <= value <= high
                for low, value, high in zip(lowest, values, highest, strict=True)
            )
        )
        # On the grid of whole numbers the rounded optimum is an optimum, as the cost is convex.
        values = isotonic(wanted, lowest, highest)
        assert list(values) == sorted(values)
        assert all(
            low <= value <= high for low, value, high in zip(lowest, values, highest, strict=True)
        )
        cost = sum((value - want) ** 2 for value, want in zip(values, wanted, strict=True))
        assert cost == least

    def test_many_values_take_no_long(self):
        """Linear: a solver that pooled one by one from the start would need hours."""
        count = 200_000
        values = isotonic(range(count, 0, -1), [-count] * count, [2 * count] * count)
        assert set(values) == {round((count + 1) / 2)}


class TestPlace:
    def test_what_fits_starts_on_the_sample_and_is_not_stretched(self):
        cues = [cue(0, 1000, 3000), cue(1, 3000, 5000), cue(2, 8123, 9000)]
        placed = place([measure(0, 1900), measure(1, 2500), measure(2, 700)], cues)
        assert [one.start for one in placed] == [1000 * MS, 3000 * MS, 8123 * MS]
        assert [one.rate for one in placed] == [1.0, 1.0, 1.0]
        assert not any(one.problem for one in placed)

    def test_stretching_is_better_than_a_late_start(self):
        cues = [cue(0, 0, 2000), cue(1, 2000, 4000)]
        placed = place([measure(0, 2300), measure(1, 1500)], cues)
        assert [one.start for one in placed] == [0, 2000 * MS]
        assert 1.17 <= placed[0].rate <= SOFT_LIMIT
        assert ends(placed[0]) <= 1950 * MS

    def test_beyond_the_soft_limit_a_few_hundredths_are_shifted_first(self):
        cues = [cue(0, 0, 2000), cue(1, 2000, 6000)]
        placed = place([measure(0, 2480), measure(1, 1500)], cues)
        assert placed[0].rate == SOFT_LIMIT
        assert max(map(abs, errors_ms(placed, cues))) <= 40

    def test_beyond_the_soft_limit_others_are_interrupted_a_little(self):
        cues = [cue(0, 0, 2000, "A"), cue(1, 2000, 6000, "B")]
        placed = place([measure(0, 2600, "A"), measure(1, 1500, "B")], cues)
        assert placed[0].rate == SOFT_LIMIT
        assert errors_ms(placed, cues) == [0.0, 0.0]
        assert 0 < ends(placed[0]) - placed[1].start <= 150 * MS

    def test_what_can_not_fit_is_reported_and_spoken(self):
        cues = [cue(0, 0, 1000), cue(1, 1000, 2000), cue(2, 9000, 9900)]
        placed = place([measure(0, 3000), measure(1, 800), measure(2, 800)], cues)
        assert placed[0].rate == HARD_LIMIT
        assert "1.40 times as fast" in placed[0].problem
        assert "late" in placed[1].problem
        assert placed[2].start == 9000 * MS and not placed[2].problem

    def test_the_models_speed_counts(self):
        cues = [cue(0, 0, 1000), cue(1, 1000, 2000)]
        placed = place([measure(0, 3000, speed=1.15), measure(1, 800)], cues)
        assert placed[0].rate * 1.15 == pytest.approx(HARD_LIMIT)

    def test_neighbours_of_a_fast_line_are_a_little_faster(self):
        cues = [cue(n, 2000 * n, 2000 * n + 2000) for n in range(5)]
        placed = place([measure(n, 2400 if n == 2 else 1500) for n in range(5)], cues)
        rates = [one.rate for one in placed]
        assert 1.0 < rates[1] <= 1.12 and 1.0 < rates[3] <= 1.12
        assert rates[2] == max(rates)

    def test_people_who_talk_at_once_do(self):
        cues = [cue(0, 1000, 4000, "A"), cue(1, 1500, 4000, "B"), cue(2, 4000, 6000, "A")]
        placed = place([measure(0, 2800, "A"), measure(1, 2400, "B"), measure(2, 1000, "A")], cues)
        assert errors_ms(placed, cues) == [0.0, 0.0, 0.0]

    def test_two_unnamed_cues_at_once_follow_one_another(self):
        cues = [cue(0, 1000, 3000), cue(1, 1000, 3000)]
        first, second = place([measure(0, 800), measure(1, 800)], cues)
        assert second.start == ends(first) + 50 * MS
        assert (first.rate, second.rate) == (1.0, 1.0)

    def test_two_pieces_of_one_cue_follow_one_another(self):
        cues = [cue(0, 1000, 4000), cue(1, 4000, 6000)]
        pieces = [measure(0, 1200, line=0), measure(0, 1300, line=1), measure(1, 900, line=1)]
        first, second, third = place(pieces, cues)
        assert (first.start, third.start) == (1000 * MS, 4000 * MS)
        assert 80 * MS <= second.start - ends(first) <= 200 * MS

    def test_the_last_line_is_not_cut_off_by_the_end(self):
        cues = [cue(0, 0, 2000), cue(1, 4000, 5000)]
        total = 5000 * MS
        placed = place([measure(0, 1000), measure(1, 1800)], cues, total=total)
        assert ends(placed[1]) <= total
        assert "early" in placed[1].problem

    def test_a_cue_after_the_end_is_told(self):
        (placed,) = place([measure(0, 1000)], [cue(0, 4000, 5000)], total=3000 * MS)
        assert "after the video" in placed.problem

    def test_a_voice_over_begins_later(self):
        cues = [cue(0, 0, 2000), cue(1, 2000, 4000)]
        placed = place([measure(0, 1500), measure(1, 1500)], cues, "voice-over")
        assert errors_ms(placed, cues) == [400.0, 400.0]

    def test_free_never_stretches(self):
        cues = [cue(0, 0, 1000), cue(1, 1000, 2000)]
        placed = place([measure(0, 3000), measure(1, 900)], cues, "free")
        assert [one.rate for one in placed] == [1.0, 1.0]
        assert placed[1].start >= ends(placed[0]) + 50 * MS
        assert not any(one.problem for one in placed)

    @settings(max_examples=60)
    @given(timelines, st.sampled_from(MODES), st.none() | st.integers(1, 60_000))
    def test_whatever_comes_order_and_lengths_are_kept(self, rows, mode, total_ms):
        cues, measures = timeline(rows)
        total = None if total_ms is None else total_ms * MS
        placed = place(measures, cues, mode, total)
        assert [one.cue for one in placed] == [one.index for one in cues]
        for one, piece, before in zip(placed, measures, [None, *placed], strict=False):
            assert one.start >= 0
            assert one.samples == max(1, round(piece.samples / one.rate))
            assert one.rate == 1.0 or one.rate * piece.speed <= HARD_LIMIT + 1e-9
            assert before is None or one.start >= before.start
        for speaker in "ABC":
            lane = [one for one in placed if one.speaker == speaker]
            assert all(b.start >= ends(a) + 50 * MS for a, b in itertools.pairwise(lane))

    @settings(max_examples=60)
    @given(timelines)
    def test_speakers_overlap_only_where_their_subtitles_do(self, rows):
        cues, measures = timeline(rows)
        for mode in MODES:
            placed = place(measures, cues, mode)
            for a, b in itertools.combinations(placed, 2):
                if cues[a.cue].end_ms <= cues[b.cue].start_ms:
                    assert ends(a) - b.start <= 200 * MS

    @given(timelines)
    def test_nothing_starts_earlier_than_can_be_noticed(self, rows):
        cues, measures = timeline(rows)
        assert min(errors_ms(place(measures, cues), cues)) >= -40


def test_a_film_of_two_hours_does_not_drift():
    """1,800 cues back to back in pairs, two speakers, every fifth one long: no error adds up."""
    draw = random.Random(6)
    cues, measures = [], []
    for index in range(1800):
        start = index * 4000 + draw.randrange(0, 250)
        length = draw.choice([2400, 3700])
        speaker = "AB"[index // 2 % 2]
        cues.append(cue(index, start, start + length, speaker))
        spoken = draw.gauss(1.05 if index % 5 == 0 else 0.85, 0.12) * length
        measures.append(measure(index, max(300, spoken), speaker))
    placed = place(measures, cues, total=7_300_000 * MS)
    errors = np.array(errors_ms(placed, cues))
    hours = np.array([one.start / RATE / 3600 for one in placed])
    assert abs(np.polyfit(hours, errors, 1)[0]) <= 1.0  # ms/h
    assert np.percentile(np.abs(errors), 50) <= 1.0
    assert np.percentile(np.abs(errors), 95) <= 15.0
    rates = np.array([one.rate for one in placed])
    assert np.mean((rates >= 0.9) & (rates <= SOFT_LIMIT)) >= 0.99
    jumps = [
        math.exp(abs(math.log(b.rate / a.rate)))
        for speaker in "AB"
        for a, b in itertools.pairwise([one for one in placed if one.speaker == speaker])
    ]
    assert np.percentile(jumps, 95) <= 1.12


def test_a_piece_is_measured_on_the_grid():
    piece = Piece(3, 4, np.zeros(32_000 + 320, np.float32), lead=320)
    assert measure_piece(piece, "A", 32_000, 1.1) == Measure(3, 4, "A", RATE, 1.1)
