from itertools import pairwise

import pysrt
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from tasks.dub_subtitles import heard_cues, one_at_a_time, write_dub_subtitles
from tasks.dub_types import RATE, Placement, SubtitleCue
from tasks.subtitles import Cue


def cue(index: int, text: str, shown: str = "", number: int = 0) -> SubtitleCue:
    return SubtitleCue(index, index * 1000, index * 1000 + 900, text, shown or text, "", number)


def place(index: int, start: int, samples: int, line: int = 0) -> Placement:
    return Placement(line, index, "", start, samples, 1.0)


def test_times_are_those_of_the_sound():
    cues = [cue(0, "One."), cue(1, "Two."), cue(2, "Nobody says this.")]
    placements = [place(1, 2 * RATE + 1, RATE), place(0, RATE // 2, RATE)]
    assert heard_cues(cues, placements) == [Cue(500, 1500, "One."), Cue(2000, 3001, "Two.")]


def test_a_cue_that_two_lines_speak_is_shown_through_both():
    placements = [place(0, RATE, RATE), place(0, 3 * RATE, RATE, 1)]
    assert heard_cues([cue(0, "Long. Talk.")], placements) == [Cue(1000, 4000, "Long. Talk.")]


def test_two_people_of_one_cue_are_shown_together():
    cues = [
        cue(0, "Who?", "- Who?\n- Me.", 7),
        cue(1, "Me.", "- Who?\n- Me.", 7),
        cue(2, "Hm.", "", 8),
    ]
    placements = [place(0, RATE, RATE), place(1, RATE * 3 // 2, RATE), place(2, 2 * RATE, RATE)]
    shown = heard_cues(cues, placements)
    assert shown == [Cue(1000, 2500, "- Who?\n- Me."), Cue(2000, 3000, "Hm.")]


def test_only_what_is_heard_is_shown():
    long = "A sentence that goes on and on so that it does not fit into one line of a subtitle."
    cues = [
        cue(0, "Get down!", "[gunshot]\nGet\ndown!"),
        cue(1, "Get down!", "Get\ndown!"),
        cue(2, long, f"ANN: {long}"),
        cue(3, "", "♪ la la ♪"),
    ]
    shown = heard_cues(cues, [place(n, n * RATE, RATE) for n in range(4)])
    assert [one.text.count("\n") for one in shown] == [0, 1, 1]
    assert " ".join(shown[2].text.split()) == long


def test_a_lead_before_the_film_is_no_negative_time(tmp_path):
    shown = heard_cues([cue(0, "Now.")], [place(0, -100, 50)])
    assert shown == [Cue(0, 1, "Now.")]


def test_files_are_read_back(tmp_path):
    cues = [cue(0, "Fish & <chips> -->", number=1), cue(1, "你好。", number=2)]
    placements = [place(0, 100 * 3600 * RATE, RATE), place(1, 100 * 3600 * RATE + RATE // 2, RATE)]
    srt, vtt = write_dub_subtitles(cues, placements, tmp_path, "film.de", "Synthetic.")
    assert (srt.name, vtt.name) == ("film.de.srt", "film.de.vtt")
    items = pysrt.open(srt, encoding="utf-8")
    assert [item.start.ordinal for item in items] == [360_000_000, 360_000_500]
    captions = webvtt.read(vtt).captions
    assert [caption.text for caption in captions][1] == "你好。"
    assert "NOTE Synthetic." in vtt.read_text(encoding="utf-8")


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(-1000, 10**6), st.integers(1, 10**6)), max_size=12
    )
)
def test_every_sound_lies_within_its_subtitle_and_starts_grow(drawn):
    cues = [cue(n, f"word{n}", number=n + 1) for n in range(10)]
    placements = [place(*one) for one in drawn]
    shown = heard_cues(cues, placements)
    assert [one.start_ms for one in shown] == sorted(one.start_ms for one in shown)
    by_text = {one.text: one for one in shown}
    assert set(by_text) == {f"word{one[0]}" for one in drawn}
    for index, start, samples in drawn:
        one = by_text[f"word{index}"]
        assert one.start_ms * RATE <= max(0, start) * 1000
        assert one.end_ms * RATE >= (start + samples) * 1000
        assert one.start_ms < one.end_ms


def test_people_who_speak_at_once_share_a_text_while_they_do():
    cues = [Cue(0, 5000, "Long"), Cue(1000, 2000, "Short"), Cue(5000, 6000, "Then")]
    assert one_at_a_time(cues) == [
        Cue(0, 1000, "Long"),
        Cue(1000, 2000, "Long\nShort"),
        Cue(2000, 5000, "Long"),
        Cue(5000, 6000, "Then"),
    ]
    crowd = [Cue(0, 10, str(n)) for n in range(9)]
    assert one_at_a_time(crowd) == [Cue(0, 10, "5\n6\n7\n8")]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=8))
def test_at_each_moment_the_same_texts_are_shown(drawn):
    cues = [Cue(start, start + size, f"t{n}") for n, (start, size) in enumerate(drawn)]
    flat = one_at_a_time(cues)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(flat))
    for time in range(75):
        expected = {cue.text for cue in cues if cue.start_ms <= time < cue.end_ms}
        shown = [set(cue.text.split("\n")) for cue in flat if cue.start_ms <= time < cue.end_ms]
        found = shown[0] if shown else set()
        assert found == expected if len(expected) <= 4 else found < expected
