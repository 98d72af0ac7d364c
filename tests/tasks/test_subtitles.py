"""Subtitles: folding text, times on the book's timeline, files that parsers read back."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pysrt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.assemble import ChapterAudio, Span
from tasks.plan import Token
from tasks.subtitles import (
    LINE_COLUMNS,
    LINES,
    Cue,
    book_cues,
    fold,
    write_lrc,
    write_srt,
    write_vtt,
)

RATE = 24_000
LONG = (
    "The Time Traveller (for so it will be convenient to speak of him) was expounding a recondite "
    "matter to us. His grey eyes shone and twinkled, and his usually pale face was flushed."
)


@dataclass(frozen=True)
class Said:
    """What subtitles read of an utterance."""

    chapter: int
    index: int
    text: str
    phones: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = ()


def without_space(text: str) -> str:
    return "".join(text.split())


def columns(line: str) -> int:
    wide = sum(char >= "\u1100" for char in line)
    return len(line) + wide


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=600))
@example(LONG)
@example("x" * 200)
@example("e\u0301" * 100)
@example("\u0301")
@example("word " + "漢字かな、" * 40 + " word")
def test_folding_keeps_every_character(text: str) -> None:
    pieces = fold(text)
    assert without_space("".join(pieces)) == without_space(text)
    for piece in pieces:
        lines = piece.split("\n")
        assert 1 <= len(lines) <= LINES
        assert all(lines)
        assert all(line == line.strip() for line in lines)


@given(st.lists(st.text(st.sampled_from("abcdefg,.;"), min_size=1, max_size=20), max_size=60))
def test_lines_are_short_and_words_stay_whole(words: list[str]) -> None:
    pieces = fold(" ".join(words))
    assert " ".join(pieces).split() == words
    assert all(len(line) <= LINE_COLUMNS for piece in pieces for line in piece.split("\n"))


@given(st.text(st.sampled_from("漢字かなカナ、。「」abc "), max_size=300))
def test_east_asian_lines_fit(text: str) -> None:
    for piece in fold(text):
        assert all(columns(line) <= LINE_COLUMNS for line in piece.split("\n"))


def test_short_text_is_one_line_and_two_lines_are_even() -> None:
    assert fold("A short one.") == ["A short one."]
    assert fold("He said that it was rather late, and that he would not stay.") == [
        "He said that it was rather late,\nand that he would not stay."
    ]
    assert fold("") == fold(" \n ") == []


def test_cues_rather_end_where_sentences_do() -> None:
    text = (
        "It was a dark night, and nobody slept. The wind blew from the sea until the morning came."
    )
    assert [piece.replace("\n", " ") for piece in fold(text)] == [
        "It was a dark night, and nobody slept.",
        "The wind blew from the sea until the morning came.",
    ]


def audio(samples: int, *spans: Span) -> ChapterAudio:
    return ChapterAudio(Path("a.flac"), samples, RATE, spans)


def test_times_are_those_of_the_whole_book() -> None:
    utterances = [Said(4, 0, "One."), Said(4, 1, "Two."), Said(7, 0, "Three.")]
    chapters = [
        audio(5 * RATE, Span(4, 0, RATE, 2 * RATE), Span(4, 1, 3 * RATE, 4 * RATE)),
        audio(3 * RATE, Span(7, 0, 12_345, 2 * RATE)),
    ]
    assert book_cues(utterances, chapters, {}) == [
        Cue(1000, 2000, "One.", ((0, 1000),)),
        Cue(3000, 4000, "Two.", ((0, 3000),)),
        Cue(5514, 7000, "Three.", ((0, 5514),)),
    ]


def test_a_long_utterance_is_split_in_proportion() -> None:
    cues = book_cues([Said(0, 0, LONG)], [audio(20 * RATE, Span(0, 0, RATE, 11 * RATE))], {})
    assert len(cues) > 1
    assert (cues[0].start_ms, cues[-1].end_ms) == (1000, 11_000)
    assert all(before.end_ms == after.start_ms for before, after in pairwise(cues))
    total = sum(len(cue.text) for cue in cues)
    for cue in cues:
        assert (cue.end_ms - cue.start_ms) / 10_000 == pytest.approx(
            len(cue.text) / total, abs=5e-3
        )


def test_what_is_not_heard_has_no_cue() -> None:
    utterances = [Said(0, 0, "* * *"), Said(0, 1, "Said.")]
    chapters = [audio(RATE, Span(0, 0, 100, 100), Span(0, 1, 2400, 4800))]
    assert [cue.text for cue in book_cues(utterances, chapters, {})] == ["Said."]


def test_a_span_without_its_text_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        book_cues([], [audio(RATE, Span(0, 0, 0, 100))], {})


@st.composite
def readings(draw: st.DrawFn) -> tuple[list[Said], list[ChapterAudio]]:
    utterances, chapters = [], []
    for chapter in range(draw(st.integers(0, 4))):
        position, spans = 0, []
        for index in range(draw(st.integers(0, 6))):
            start = position + draw(st.integers(0, 3000))
            position = start + draw(st.integers(0, 200_000))
            spans.append(Span(chapter, index, start, position))
            utterances.append(
                Said(chapter, index, draw(st.sampled_from(["", "a", LONG, "漢" * 99])))
            )
        chapters.append(audio(position + draw(st.integers(0, 48_000)), *spans))
    return utterances, chapters


@given(readings())
def test_times_are_in_order_and_never_overlap(
    reading: tuple[list[Said], list[ChapterAudio]],
) -> None:
    cues = book_cues(*reading, {})
    assert all(0 <= cue.start_ms < cue.end_ms for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))
    assert cues == book_cues(*reading, {})


CUES = [
    Cue(0, 1500, "„Grüße“ & <b>more</b>\n42"),
    Cue(1500, 3_599_999, "so --> it goes"),
    Cue(360_000_000, 360_001_000, "第一章"),
]


def test_srt_reads_back(tmp_path: Path) -> None:
    write_srt(CUES, tmp_path / "a.srt")
    data = (tmp_path / "a.srt").read_bytes()
    assert data.startswith(b"1\n00:00:00,000 --> 00:00:01,500\n")
    assert b"\r" not in data
    items = pysrt.open(tmp_path / "a.srt", encoding="utf-8", error_handling=pysrt.ERROR_RAISE)
    assert [item.index for item in items] == [1, 2, 3]
    assert [(item.start.ordinal, item.end.ordinal) for item in items] == [
        (cue.start_ms, cue.end_ms) for cue in CUES
    ]
    assert [item.text for item in items] == [CUES[0].text, "so → it goes", CUES[2].text]


def test_vtt_is_escaped(tmp_path: Path) -> None:
    write_vtt(CUES, tmp_path / "a.vtt")
    assert (tmp_path / "a.vtt").read_text(encoding="utf-8") == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.500\n„Grüße“ &amp; &lt;b&gt;more&lt;/b&gt;\n42\n\n"
        "00:00:01.500 --> 00:59:59.999\nso --&gt; it goes\n\n"
        "100:00:00.000 --> 100:00:01.000\n第一章\n"
    )


TIMED = [
    Cue(1000, 2500, "Oh <no>,\nshe said.", ((0, 1000), (3, 1400), (9, 1400), (13, 2500))),
    Cue(3_725_000, 3_726_000, "[Yes]", ((0, 3_725_000),)),
]


def test_vtt_has_times_of_words(tmp_path: Path) -> None:
    write_vtt(TIMED, tmp_path / "a.vtt", "Read by <a computer>.")
    # Times must grow and lie within the cue.
    assert (tmp_path / "a.vtt").read_text(encoding="utf-8") == (
        "WEBVTT\n\nNOTE Read by &lt;a computer&gt;.\n\n"
        "00:00:01.000 --> 00:00:02.500\nOh <00:00:01.400>&lt;no&gt;,\nshe said.\n\n"
        "01:02:05.000 --> 01:02:06.000\n[Yes]\n"
    )


def test_lrc(tmp_path: Path) -> None:
    tags = {"ti": "A [B]", "ar": "", "by": "a\ncomputer"}
    write_lrc(TIMED, tmp_path / "a.lrc", tags, words=False)
    assert (tmp_path / "a.lrc").read_text(encoding="utf-8") == (
        "[ti:A (B)]\n[by:a computer]\n[00:01.00] Oh <no>, she said.\n[62:05.00] (Yes)\n"
    )
    write_lrc(TIMED, tmp_path / "a.elrc", {}, words=True)
    assert (tmp_path / "a.elrc").read_text(encoding="utf-8") == (
        "[00:01.00] <00:01.00> Oh <00:01.40> <no>, <00:01.40> she <00:02.50> said. <00:02.50>\n"
        "[62:05.00] <62:05.00> (Yes) <62:06.00>\n"
    )


def test_cues_begin_with_their_words() -> None:
    text = "One two three four five six seven eight nine ten eleven. " * 3
    words = text.split()
    starts = [text.index(word) for word in words[:11]]
    tokens = tuple(
        Token(start + 57 * n, start + 57 * n + len(word.rstrip(".")), word, 1)
        for n in range(3)
        for start, word in zip(starts, words[:11], strict=True)
    )
    # A word each second, half of it heard; the take lost its first two seconds.
    times = np.array([(100 + 50 * n, 125 + 50 * n) for n in range(33)], np.int16)
    said = Said(0, 0, text.strip(), ("AH0",) * 33, tokens)
    span = Span(0, 0, RATE, 34 * RATE, cut=2 * RATE)
    cues = book_cues([said], [audio(40 * RATE, span)], {(0, 0): times})
    assert len(cues) >= 3
    counted = 0
    for cue in cues:
        assert cue.start_ms == 1000 + 1000 * counted
        assert [time for _, time in cue.words] == [
            cue.start_ms + 1000 * n for n in range(len(cue.text.split()))
        ]
        assert all(cue.text[place - 1 : place].isspace() or not place for place, _ in cue.words)
        counted += len(cue.words)
    assert counted == 33
    assert cues[-1].end_ms == 1000 + 32_500


def test_no_cues_make_empty_files(tmp_path: Path) -> None:
    write_srt([], tmp_path / "a.srt")
    write_vtt([], tmp_path / "a.vtt")
    assert (tmp_path / "a.srt").read_bytes() == b""
    assert (tmp_path / "a.vtt").read_bytes() == b"WEBVTT\n"
