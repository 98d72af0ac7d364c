"""Cues become lines: no word is lost, a sentence goes over cue borders, a turn ends it."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from model.text.marks import PAUSES
from tasks.dub_plan import plan_dub
from tasks.dub_types import DubLine, SubtitleCue, Subtitles
from tasks.lexicon import Entry, Lexicon
from tasks.plan import LONGEST, LONGEST_PHONES

Said = tuple[float, float, str] | tuple[float, float, str, str]


def subtitles(*said: Said) -> Subtitles:
    """Subtitles of (start, end, text) or (start, end, text, speaker), in seconds."""
    cues = [
        SubtitleCue(
            number,
            round(1000 * one[0]),
            round(1000 * one[1]),
            one[2],
            one[2],
            one[3] if len(one) > 3 else "",
            number + 1,
        )
        for number, one in enumerate(said)
    ]
    return Subtitles(tuple(cues), (), "srt", "utf-8", "en")


def planned(*said: Said) -> list[list[str]]:
    """The parts' texts of each line."""
    return [parts_of(line) for line in plan_dub(subtitles(*said), "en")]


def parts_of(line: DubLine) -> list[str]:
    return [line.utterance.text[part.start : part.end] for part in line.parts]


def test_a_sentence_goes_over_cue_borders() -> None:
    assert planned(
        (0, 2, "The keeper of the lighthouse"),
        (2, 4, "tapped the barometer and waited."),
        (4.1, 6, "Then he went home to his wife."),
    ) == [
        ["The keeper of the lighthouse", "tapped the barometer and waited."],
        ["Then he went home to his wife."],
    ]


@pytest.mark.parametrize(
    ("first", "second", "gap", "together"),
    [
        ("At the right we can see the...", "...the head-snarlers.", 0.1, True),
        ("At the right we can see…", "somebody whom nobody knows.", 0.1, True),
        ("At the right we can see…", "Then they went to his house.", 0.1, False),
        ("I went to see Mr.", "Bennet at his own house.", 0.1, True),
        ("I went to see him in the evening", "and found him at his house.", 0.9, True),
        ("I went to see him in the evening", "And found him at his house.", 0.9, False),
        ("I went to see him in the evening", "and found him at his house.", 1.1, False),
        ("I went to see him in the evening.", "and found him at his house.", 0.0, False),
        ("Have you ever been to his house?”", "He has no house at all.", 0.0, False),
    ],
)
def test_what_ends_a_line(first: str, second: str, gap: float, together: bool) -> None:
    lines = plan_dub(subtitles((0, 2, first), (2 + gap, 5, second)), "en")
    assert (len(lines) == 1 and len(lines[0].parts) == 2) is together


def test_a_turn_of_somebody_else_ends_a_line() -> None:
    assert planned(
        (0, 1, "I have always wanted to", "Ada"),
        (1, 1.5, "What is it that you wanted?", "Bob"),
        (1.5, 3, "see the sea and its ships.", "Ada"),
    ) == [
        ["I have always wanted to"],
        ["What is it that you wanted?"],
        ["see the sea and its ships."],
    ]


def test_two_people_may_speak_at_once() -> None:
    lines = plan_dub(
        subtitles(
            (0, 2, "I have always wanted to", "Ada"),
            (0.5, 3, "Nobody in the world has ever", "Bob"),
            (2, 4, "see the sea and its ships.", "Ada"),
            (3, 5, "asked me what I would like.", "Bob"),
        ),
        "en",
    )
    assert [(line.speaker, [part.cue for part in line.parts]) for line in lines] == [
        ("Ada", [0, 2]),
        ("Bob", [1, 3]),
    ]
    assert [line.utterance.index for line in lines] == [0, 1]


def test_two_people_in_one_cue_are_two_lines() -> None:
    two = subtitles((0, 1, "And so I said to her"), (1, 2, "and then she said nothing"))
    cues = (two.cues[0], replace(two.cues[1], number=1))
    assert len(plan_dub(replace(two, cues=cues), "en")) == 2


def test_a_gap_that_is_heard_has_a_mark() -> None:
    (line,) = plan_dub(
        subtitles((0, 2, "So hearty and hale"), (2.3, 4, "I live on an isle.")), "en"
    )
    assert line.utterance.text == "So hearty and hale, I live on an isle."
    assert parts_of(line) == ["So hearty and hale,", "I live on an isle."]
    assert "," in line.utterance.phones


def test_a_line_that_is_cut_goes_on() -> None:
    said = [(2.0 * n, 2.0 * n + 2, f"and then we went to the {n}th house") for n in range(12)]
    lines = plan_dub(subtitles(*said), "en")
    assert [line.utterance.phones[-1] for line in lines] == [","] * (len(lines) - 1) + ["."]
    assert len(lines) > 2


def test_text_after_a_change_is_spoken_as_before() -> None:
    said = [(2.0 * n, 2.0 * n + 2, f"and then we went to house {n}") for n in range(60)]
    changed = list(said)
    changed[20] = (40.0, 42.0, "and then they went to a house")
    before, after = (
        {line.utterance.phones for line in plan_dub(subtitles(*one), "en")}
        for one in (said, changed)
    )
    assert len(before - after) == len(after - before) == 1


def test_a_cue_that_is_too_long_has_parts_in_several_lines() -> None:
    text = "We went up the hill, and then we went down the hill again, " * 6 + "and that was all."
    lines = plan_dub(subtitles((0, 30, text)), "en")
    assert len(lines) > 1
    assert all([part.cue for part in line.parts] == [0] for line in lines)
    assert " ".join(line.utterance.text for line in lines) == text


def test_a_text_without_stops_is_cut_where_one_breathes() -> None:
    said = [(3.0 * n, 3.0 * n + 3, f"So hearty and hale was number {n}") for n in range(6)]
    said[2] = (6.0, 8.5, "So hearty and hale was number 2")  # then there is a gap
    assert [len(line) for line in planned(*said)] == [3, 3]
    said[2] = (6.0, 9.0, "So hearty and hale was number 2")
    said[1] = (3.0, 6.0, "So hearty and hale was number 1,")
    assert [len(line) for line in planned(*said)] == [2, 4]


def test_numbers_are_as_long_as_they_are_said() -> None:
    text = " ".join(["1,234,567"] * 12)
    lines = plan_dub(subtitles((0, 5, text)), "en")
    assert all(len(line.utterance.phones) <= LONGEST_PHONES for line in lines)
    assert " ".join(line.utterance.text for line in lines) == text


def test_what_can_not_be_spoken_is_told() -> None:
    told: list[str] = []
    lines = plan_dub(
        subtitles((0, 1, "日本"), (1, 2, ""), (2, 4, "Then he went home.")), "en", warn=told.append
    )
    assert [parts_of(line) for line in lines] == [["Then he went home."]]
    assert len(told) == 1 and "cue 1" in told[0] and "日本" in told[0]


def test_the_lexicon_is_heard() -> None:
    lexicon = Lexicon({"Emo": Entry("Emo", phones="IY1 M OW0")})
    said = subtitles((0, 3, "Emo went home to see them."))
    (plain,), (own,) = plan_dub(said, "en"), plan_dub(said, "en", lexicon=lexicon)
    assert own.utterance.phones[:3] == ("IY1", "M", "OW0") != plain.utterance.phones[:3]


def test_scripts_without_spaces_are_joined_without_them() -> None:
    (line,) = plan_dub(subtitles((0, 1, "他说他昨天晚上"), (1, 2, "没有去过那里。")), "zh", "v2")
    assert line.utterance.text == "他说他昨天晚上没有去过那里。"
    assert [line.utterance.text[p.start : p.end] for p in line.parts] == [
        "他说他昨天晚上",
        "没有去过那里。",
    ]


def test_a_language_without_a_front_end() -> None:
    with pytest.raises(UserError, match="sw"):
        plan_dub(subtitles((0, 1, "Habari")), "sw")


WORDS = st.sampled_from(
    [
        "ship",
        "Sea",
        "1912",
        "no",
        "…",
        "Mr.",
        "a",
        "-",
        "“Oh",
        "well,”",
        "end.",
        "why?",
        "日",
        "x" * 90,
    ]
)
CUES = st.lists(
    st.tuples(
        st.integers(0, 2500),
        st.integers(0, 9000),
        st.lists(WORDS, max_size=14).map(" ".join),
        st.sampled_from(["", "Ada", "Bob"]),
    ),
    max_size=14,
)


@settings(max_examples=60)
@given(CUES)
@example([(0, 0, "ship 日", ""), (200, 0, "日 ship", "")])
def test_every_word_is_in_one_line(drawn: list[tuple[int, int, str, str]]) -> None:
    at, said = 0.0, []
    for later, length, text, speaker in drawn:
        at += later / 1000
        said.append((at, at + length / 1000, text, speaker))
    told: list[str] = []
    source = subtitles(*said)
    lines = plan_dub(source, "en", warn=told.append)
    spoken: dict[int, list[str]] = {}
    for number, line in enumerate(lines):
        text, phones = line.utterance.text, line.utterance.phones
        assert line.utterance.index == number
        assert not PAUSES.issuperset(phones)
        assert sum(token.phones for token in line.utterance.tokens) <= len(phones)
        for before, after in pairwise(line.parts):
            assert before.cue < after.cue
            assert not text[before.end : after.start].strip()
        assert line.parts[0].start == 0 and line.parts[-1].end == len(text)
        if len(line.parts) > 1:
            assert len(text) <= LONGEST and len(phones) <= LONGEST_PHONES + 1
            cues = [source.cues[part.cue] for part in line.parts]
            assert {cue.speaker for cue in cues} == {line.speaker}
            assert all(b.start_ms - a.end_ms <= 1000 for a, b in pairwise(cues))
        for part, words in zip(line.parts, parts_of(line), strict=True):
            spoken.setdefault(part.cue, []).append(words)
    for cue in source.cues:
        heard = " ".join(spoken.get(cue.index, []))
        if heard:
            # Where two cues become one line, a comma of their script joins them.
            assert heard.rstrip(",，").replace(" ", "") == cue.text.rstrip(",，").replace(" ", "")
    left_out = [cue for cue in source.cues if cue.text.strip() and cue.index not in spoken]
    assert len(left_out) == len(told)
